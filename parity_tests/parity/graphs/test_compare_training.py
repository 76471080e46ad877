"""What training, gradients and computed weights add to the report of two runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from parity_tests.parity.graphs.made import BIAS, IMAGE, KERNEL, Side, convolution, report, told
from parity_tests.parity.graphs.passes import Plant, moved, norm, pulled
from twinzoo.converters.layers import Layer, Tensor
from twinzoo.parity.graphs.compare import compare_runs
from twinzoo.parity.graphs.computed import Made
from twinzoo.parity.graphs.run import How, Run
from twinzoo.parity.report import ParityReport

TRAIN = How(train=True)


def stepped(by: Plant | None = None, drop: float | None = None, factor: float = 2.0) -> Run:
    """A norm in training mode, and a dropout behind it that drops every second value, or all or none."""
    side = Side()
    place = norm(side, side.input())
    last = side.op("dropout", place, name="drop", p=0.5)
    kept = np.arange(IMAGE.size).reshape(IMAGE.shape) % 2 == 0 if drop is None else np.full(IMAGE.shape, drop > 0)
    side.values[last] = np.where(kept, factor * side.values[place], 0).astype(np.float32)
    side.output(last)
    return replace(side.run(), how=TRAIN, after=moved(side, [place], by=by))


def causes(found: ParityReport) -> list[tuple[str, str]]:
    return [(finding.layer, finding.cause) for finding in found.findings]


def test_a_step_has_rows_of_its_statistics() -> None:
    found = compare_runs(stepped(), stepped(), 0.0)
    assert found.ok and not found.findings and found.mode == "train"
    named = [(row.name, row.quantity) for row in found.layers]
    assert named[:3] == [("norm", "output"), ("norm", "buffer running_mean"), ("norm", "buffer running_var")]
    evaluated = compare_runs(replace(stepped(), how=How()), replace(stepped(), how=How()), 0.0)
    assert {row.quantity for row in evaluated.layers} == {"output"}


def test_what_a_step_does_wrong_is_told_once_for_each_layer() -> None:
    found = compare_runs(stepped(), stepped(by=lambda x: x * 1.01), 0.0)
    assert not found.ok and causes(found) == [("norm", "unexplained")]
    found = compare_runs(stepped(), stepped(drop=1.0), 0.0)
    assert causes(found) == [("drop", "dropout")]
    found = compare_runs(stepped(), stepped(factor=1.5), 0.0)
    assert not found.ok and causes(found) == [("drop", "dropout")]
    found = compare_runs(stepped(), stepped(by=lambda x: x * 1.01, drop=1.0), 0.0)
    assert causes(found) == [("norm", "unexplained"), ("drop", "dropout")]


def test_a_layer_in_another_mode_than_its_neighbours_is_told() -> None:
    side = Side()
    x = side.input()
    for path in ("first", "second"):
        tensors = {"running_mean": np.zeros(3, np.float32), "running_var": np.ones(3, np.float32)}
        x = side.layer(path, "batch_norm", x, tensors=tensors, affine=False)
    side.output(x)
    flags = {"": False, "first": False, "second": False}
    a, b = replace(side.run(), training=flags), replace(side.run(), training={**flags, "second": True})
    assert causes(compare_runs(a, b, 0.0)) == [("second", "norm-mode")]
    assert not compare_runs(a, a, 0.0).findings


def activation(slope: float = 0.2) -> Side:
    side = Side()
    side.output(side.op("leaky_relu", convolution(side, side.input()), slope=slope, name="act"))
    return side


def test_a_wrong_gradient_is_told_where_the_layers_themselves_are_right() -> None:
    found = compare_runs(pulled(activation()), pulled(activation(), plant={1: lambda g: g * np.float32(1.01)}), 0.0)
    assert not found.ok and causes(found) == [("conv", "scale")]
    assert compare_runs(pulled(activation()), pulled(activation()), 0.0).ok


def test_a_layer_that_is_wrong_is_not_told_again_for_its_gradient() -> None:
    found = compare_runs(pulled(activation()), pulled(activation(0.1)), 0.0)
    assert causes(found) == [("act", "slope")]
    assert any(not row.ok and row.backward for row in found.layers)


def test_what_lets_back_something_that_nobody_can_compute_is_noted() -> None:
    side = Side()
    side.output(side.op("relu", side.other("torch.strange", IMAGE, side.input(), name="strange")))
    notes = compare_runs(pulled(side), pulled(side), 0.0).notes
    assert notes == ["what strange lets back is not judged: the op table has no word for it"]
    assert compare_runs(side.run(), side.run(), 0.0).notes == []


def test_kernels_of_gradients_are_listed_with_their_allowance() -> None:
    def side(port: str) -> Side:
        made = Side(port)
        made.output(made.op("silu", made.input()))
        return made

    off: dict[int | str, Plant] = {0: lambda g: g * (1 + 3e-6)}
    found = compare_runs(pulled(side("torch")), pulled(side("mindspore"), plant=off), 0.0)
    assert found.ok, str(found)
    assert [(k.port, k.op, k.layers) for k in found.kernels] == [("live mindspore", "silu gradient", ("silu",))]
    assert found.kernels[0].relative > 0
    assert not compare_runs(pulled(side("torch")), pulled(side("torch"), plant=off), 0.0).ok
    assert compare_runs(pulled(side("torch")), pulled(side("torch")), 0.0).kernels == []


def test_parameters_are_counted_without_the_weights_that_are_computed() -> None:
    side = Side()
    side.output(convolution(side, side.input()))
    layer = Layer("conv", {"orig": Tensor("conv.orig", "orig", KERNEL.shape)}, "conv2d")
    run = replace(
        side.run(),
        state={**side.state, "conv.orig": KERNEL / 2},
        made={1: (Made("conv.weight", "weight", layer, ("conv.orig",)),)},
    )
    assert compare_runs(run, run, 0.0).parameters == KERNEL.size + BIAS.size


def returning(what: int, slope: float = 0.2) -> Side:
    """Two functions, of which the model returns one."""
    side = Side()
    x = side.op("leaky_relu", side.input(), slope=slope, name="act")
    places = [x, side.op("sigmoid", x, name="gate")]
    side.output(places[what])
    side.output(places[1])
    return side


def test_a_model_that_returns_another_layers_value_is_told_beside_what_else_is_wrong() -> None:
    assert told(returning(1), returning(1)) == []
    assert told(returning(1), returning(0)) == [("0", "inplace")]
    assert told(returning(1), returning(0, 0.1)) == [("act", "slope"), ("0", "inplace")]


def test_what_a_model_returns_is_told_in_words() -> None:
    def evidence(a: Side, b: Side) -> str:
        (finding,) = report(a, b).findings
        assert finding.layer == "model: 0"
        return finding.evidence

    other = activation()
    other.outputs["0"] = other.outputs["0"] * np.float32(2)
    assert evidence(activation(), other) == "what the model returns: something else than its layers give"
    assert evidence(other, activation()) == "what the model returns: something else than its layers give"
    wide = activation()
    wide.outputs["0"] = wide.outputs["0"].astype(np.float64)
    assert evidence(activation(), wide) == "what the model returns: dtype float64, where float32 is right"
    assert evidence(wide, activation()).startswith("what the model returns: dtype float64, where float32 or")
