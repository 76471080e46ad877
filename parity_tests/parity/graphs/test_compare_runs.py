"""The verdict on two runs: what is wrong is wrong in the report, and what is right is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from parity_tests.parity.graphs.made import BIAS, IMAGE, KERNEL, Side, convolution, report, told
from twinzoo.parity.rounding import bound
from twinzoo.zoo.errors import ParityError
from twinzoo.zoo.spec import Spec


def network(*kinds: str, port: str = "torch", path: str = "conv") -> Side:
    side = Side(port)
    x = convolution(side, side.input(), path)
    for kind in kinds:
        x = side.op(kind, x)
    side.output(x)
    return side


def test_clean_sides_agree_in_every_layer() -> None:
    found = report(network("tanh", "square"), network("tanh", "square", port="mindspore", path="other"))
    assert found.ok and not found.findings
    assert [layer.name for layer in found.layers] == ["conv ~ other", "tanh", "square", "model: 0"]
    assert found.parameters == KERNEL.size + BIAS.size
    assert found.inputs == {"image": "(2, 3, 8, 8) float32"}


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize("place", [1, 2, 3])
def test_one_value_beyond_its_bound_is_wrong(side: str, place: int) -> None:
    for share, ok in ((0.5, True), (2.5, False)):
        a, b = network("sigmoid", "square"), network("sigmoid", "square")
        made = a if side == "a" else b
        _move(made, place, share)
        found = report(a, b)
        wrong = [layer.name for layer in found.layers if not layer.ok and not layer.name.startswith("model")]
        assert (wrong == []) is ok, (share, wrong)
        assert ok or wrong[0] == found.layers[place - 1].name


def _move(side: Side, place: int, share: float) -> None:
    """One value of an operation so many of its bounds off, and all that is made of it as that makes it."""
    operation = side.operations[place]
    spec = Spec("x")
    given = tuple(side.values[p] for p, _ in operation.operands)
    inputs = [spec.input(f"x{i}", shape=x.shape) for i, x in enumerate(given)]
    getattr(spec, operation.kind)("node", *inputs, **operation.attrs)
    tensors = {role: side.state[f"conv.{role}"] for role in spec.nodes["node"].params}
    exact = side.values[place].astype(np.float64)
    limit = bound(spec.nodes["node"], tensors, given, (exact,))[0]
    exact[0, 0, 0, 0] += share * limit[0, 0, 0, 0]
    side.values[place] = exact.astype(np.float32)
    for later in range(place + 1, len(side.operations) - 1):
        x = side.values[later - 1].astype(np.float64)
        made = 1 / (1 + np.exp(-x)) if side.operations[later].kind == "sigmoid" else x * x
        side.values[later] = made.astype(np.float32)
    side.outputs["0"] = side.values[len(side.operations) - 2]


def test_what_a_model_returns_is_held_against_its_layers() -> None:
    b = network("tanh")
    b.outputs["0"] = b.outputs["0"] + np.float32(0.1)
    found = report(network("tanh"), b)
    assert not found.ok and [layer.name for layer in found.layers if not layer.ok] == ["model: 0"]
    assert [(finding.layer, finding.cause) for finding in found.findings] == [("model: 0", "unexplained")]


def test_another_element_type_is_told() -> None:
    b = network("tanh")
    b.values[2] = b.values[2].astype(np.float64)
    b.outputs["0"] = b.values[2]
    (found,) = told(network("tanh"), b)
    assert found == ("tanh", "dtype")


def test_nothing_to_compare_is_refused() -> None:
    sides = []
    for _ in "ab":
        side = Side()
        side.output(side.input())
        sides.append(side)
    with pytest.raises(ParityError, match="nothing that could be compared"):
        report(*sides)


def test_a_layer_that_only_one_side_has() -> None:
    def more(extra: bool) -> Side:
        side = Side()
        x = convolution(side, side.input())
        if extra:
            convolution(side, 0, "unused", KERNEL[:2], BIAS[:2])
        side.output(side.op("tanh", x))
        return side

    assert told(more(False), more(True)) == [("unused", "extra-op")]
    assert told(more(True), more(False)) == [("unused", "missing-op")]


def test_inputs_and_outputs_that_only_one_side_has() -> None:
    def more(count: int) -> Side:
        side = Side()
        x = convolution(side, side.input())
        for _ in range(count):
            side.output(x)
        return side

    assert told(more(1), more(2)) == [("1", "extra-op")]
    assert told(more(2), more(1)) == [("1", "missing-op")]


def test_what_cannot_be_computed_agrees_within_1e_4_of_its_largest_value() -> None:
    def strange(factor: float, place: float = 0.0) -> Side:
        side = Side()
        x = side.op("relu", side.input())
        value = (IMAGE * np.float32(1)).copy()
        value[0, 0, 0, 0] += place * np.abs(IMAGE).max()
        side.output(side.other("torch.strange", value * np.float32(factor), x))
        return side

    assert report(strange(1), strange(1, 0.9e-4)).ok
    assert not report(strange(1), strange(1, 1.2e-4)).ok
    row = next(row for row in report(strange(1), strange(1, 1.2e-4)).layers if row.op == "torch.strange")
    assert row.b.ratio == pytest.approx(1.2, rel=1e-2) and row.a.ok
    assert row.max_abs == pytest.approx(1.2e-4 * np.abs(IMAGE).max(), rel=1e-2)


def test_a_kernel_that_errs_is_listed_where_it_was_needed() -> None:
    def network(port: str, error: float) -> Side:
        side = Side(port)
        x = side.op("tanh", side.input())
        side.values[x] = side.values[x] + np.float32(error)
        side.output(x)
        return side

    found = report(network("torch", 0), network("mindspore", 1e-4))
    assert found.ok
    assert [(use.port, use.op, use.layers) for use in found.kernels] == [("live mindspore", "tanh", ("tanh",))]
    assert report(network("torch", 0), network("mindspore", 0)).kernels == []
    assert not report(network("torch", 0), network("torch", 1e-4)).ok
    assert not report(network("torch", 0), network("mindspore", 1.5e-4)).ok


def test_a_weight_that_no_output_shows_is_found_by_its_value() -> None:
    def network(value: float) -> Side:
        side = Side()
        kernel = KERNEL.copy()
        kernel[0, 0, 0, 0] *= value
        x = side.op("affine", convolution(side, side.input(), kernel=kernel), scale=0.0)
        side.output(x)
        return side

    assert told(network(1), network(1.001)) == [("conv", "weight-value")]
    found = report(network(1), network(1.001))
    assert next(layer for layer in found.layers if layer.name == "conv").weights == ("conv.weight",)


def test_a_weight_of_what_cannot_be_computed_is_found_by_its_value() -> None:
    def network(value: float) -> Side:
        side = Side("mindspore")
        kernel = KERNEL.copy()
        kernel[0, 0, 0, 0] *= value
        x = convolution(side, side.op("relu", side.input()), kernel=kernel)
        made = side.operations[x]
        side.operations[x] = replace(made, attrs={**made.attrs, "mindspore.pad_mode": "same"})
        side.values[x] = np.zeros_like(side.values[x])
        side.output(x)
        return side

    assert report(network(1), network(1)).ok
    assert told(network(1), network(1.001)) == [("conv", "weight-value")]


def test_an_integer_that_is_wrong_hides_nothing_behind_it() -> None:
    def network(shift: int) -> Side:
        side = Side()
        x = side.input()
        index = side.input(np.array([2, 0, 1]) + 0, "index")
        picked = side.op("gather", x, index, axis=1)
        side.output(side.op("tanh", picked))
        side.values[picked] = np.roll(side.values[picked], shift, 1)
        side.values[picked + 1] = np.tanh(side.values[picked].astype(np.float64)).astype(np.float32)
        side.outputs["0"] = side.values[picked + 1]
        return side

    assert report(network(0), network(0)).ok
    found = report(network(0), network(1))
    assert [finding.layer for finding in found.findings] == ["gather"]


def test_findings_come_tensors_first_then_in_order_of_execution() -> None:
    def network(slope: float, momentum: float, scale: float) -> Side:
        side = Side()
        tensors = {"running_mean": np.zeros(3, np.float32), "running_var": np.ones(3, np.float32)}
        x = side.layer("norm", "batch_norm", side.input(), tensors=tensors, affine=False, momentum=momentum)
        x = side.op("leaky_relu", x, slope=slope)
        side.output(convolution(side, x, kernel=KERNEL * np.float32(scale)))
        return side

    assert told(network(0.2, 0.1, 1), network(0.1, 0.2, 2)) == [
        ("conv", "weight-value"),
        ("norm", "momentum"),
        ("leaky_relu", "slope"),
    ]


def test_findings_and_rows_have_the_lines_of_both_sides() -> None:
    a, b = network("leaky_relu"), network("leaky_relu")
    b.values[2] = b.values[2] * np.float32(2)
    b.outputs["0"] = b.values[2]
    for side, file in ((a, "mine.py"), (b, "other.py")):
        side.operations[1:3] = [replace(op, source=f"{file}:{i}") for i, op in enumerate(side.operations[1:3])]
    found = report(a, b)
    assert [finding.source for finding in found.findings] == [("mine.py:1", "other.py:1")]
    assert [row.source for row in found.layers] == [("mine.py:0", "other.py:0"), ("mine.py:1", "other.py:1"), ("", "")]


def test_an_element_type_that_many_layers_have_is_told_once() -> None:
    b = network("tanh", "sigmoid")
    for place in (2, 3):
        b.values[place] = b.values[place].astype(np.float64)
    b.outputs["0"] = b.values[3]
    assert told(network("tanh", "sigmoid"), b) == [("tanh", "dtype")]


def test_rows_are_in_order_of_execution() -> None:
    """Also those of what cannot be computed, which are judged apart."""
    side = Side()
    x = side.op("relu", side.other("torch.strange", IMAGE, side.op("tanh", side.input()), name="strange"))
    side.output(x)
    assert [row.name for row in report(side, side).layers] == ["tanh", "strange", "relu", "model: 0"]


def test_two_layers_with_the_same_fault_are_told_each() -> None:
    def shifted(by: float) -> Side:
        side = Side()
        x = side.input()
        for _ in range(2):
            x = side.op("relu", x)
            side.values[x] = side.values[x] + np.float32(by)
        side.output(x)
        return side

    a, b = report(shifted(0), shifted(0)), report(shifted(0), shifted(0.5))
    assert a.ok and [finding.layer for finding in b.findings] == ["relu", "relu"]
    assert len({(finding.cause, finding.fix) for finding in b.findings}) == 1
