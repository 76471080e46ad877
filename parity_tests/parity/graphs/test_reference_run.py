"""What the reference port gives as a side: values, gradients and buffers, held against the port by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from twinzoo.parity.graphs.drawing import BATCH
from twinzoo.parity.graphs.reference import reference_run
from twinzoo.parity.graphs.run import Array, How, Run
from twinzoo.ports.reference.port import PORT, ReferenceModel
from twinzoo.zoo.errors import ParityError
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.spec import Spec

IMAGE = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)


def network() -> Spec:
    """Values that are used twice and returned twice, a norm and a convolution that are called twice, a scale."""
    inner = Spec("inner")
    x = inner.input("x", shape=("N", 4, "H", "W"))
    x = inner.batch_norm("norm", inner.conv2d("conv", x, 4, kernel=3, padding=1), momentum=0.3)
    inner.output(y=x)
    s = Spec("net")
    image, other = (s.input(name, shape=("N", 3, "H", "W")) for name in ("image", "other"))
    role = s.role("block", inner)
    x = s.conv2d("first", s.mul("both", image, other), 4, kernel=1)
    (y,) = s.call("once", role, s.sigmoid("act", x))
    (z,) = s.call("again", role, y)
    total = s.add("sum", s.learned_scale("scaled", z, start=0.5), s.affine("same", s.learned_scale("too", y)))
    s.output(image=s.blur2d("blur", total, taps=(1, 2, 1)), features=y, again=y)
    return s


def model(spec: Spec) -> ReferenceModel:
    made = PORT.build(spec)
    PORT.load(made, initial_state(spec, 3))
    return made


INPUTS = {"image": IMAGE, "other": IMAGE[::-1] * 2}


def own(spec: Spec, how: How, inputs: dict[str, Array] = INPUTS) -> tuple[dict[str, Array], dict[str, Array], Any]:
    """Outputs, gradients and state of the port by itself."""
    outputs = PORT.run(model(spec), inputs, train=how.train)
    names = enumerate(spec.outputs.items())
    pulls = {n: how.pull(i, outputs[n].shape) for i, (n, value) in names if value.dtype == "float"}
    again = model(spec)
    gradients = PORT.gradients(again, inputs, {n: p.astype(np.float64) for n, p in pulls.items()}, train=how.train)
    return outputs, gradients, again.state


def close(found: Array, wanted: Array) -> None:
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=3e-6 * max(1.0, float(np.abs(wanted).max())), rtol=0)


def of_input(run: Run, name: str) -> Array:
    return run.gradients.values[[op.name for op in run.graph.operations].index(name)]


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("grad", [False, True])
def test_it_gives_what_the_port_gives(train: bool, grad: bool) -> None:
    spec, how = network(), How(train=train, grad=grad)
    ours = model(spec)
    before = {name: value.copy() for name, value in ours.state.items()}
    run = reference_run(ours, tuple(INPUTS.values()), how)
    outputs, gradients, state = own(spec, how)
    for found, wanted in zip(run.outputs.values(), outputs.values(), strict=True):
        close(found, wanted)
    assert list(run.outputs) == ["0", "1", "2"] and run.how == how
    assert all(value.dtype == np.float32 for value in (*run.values.values(), *run.state.values()))
    assert all(np.array_equal(ours.state[name], value) for name, value in before.items())  # a run moves nothing
    assert all(np.array_equal(run.state[name], value.astype(np.float32)) for name, value in before.items())
    assert set(run.after) == ({"block.norm.running_mean", "block.norm.running_var"} if train else set())
    for name, value in run.after.items():
        close(value, state[name])
    if grad:
        for name in ("image", "other"):
            close(of_input(run, name), gradients[name])
        trained = run.gradients.parameters.keys() - run.frozen
        assert trained == {name for name, param in spec.params.items() if not param.buffer}
        for name in trained:
            close(run.gradients.parameters[name], gradients[name])
    else:
        assert not run.gradients.values and not run.gradients.parameters


def test_batch_norms_are_marked_in_training_mode_alone() -> None:
    for train in (False, True):
        run = reference_run(model(network()), INPUTS, How(train=train))
        marked = {op.kind: op.attrs.get(BATCH, False) for op in run.graph.operations}
        assert marked == {kind: train and kind == "batch_norm" for kind in marked}
        assert "batch_norm" in marked


def test_constants_are_frozen_and_statistics_are_not() -> None:
    assert reference_run(model(network()), INPUTS, How()).frozen == {"blur.filt"}


def test_every_value_is_rounded_before_it_goes_on() -> None:
    spec = Spec("steps")
    x = spec.input("x", shape=("N", 3, 8, 8))
    spec.output(y=spec.affine("back", spec.sigmoid("act", x), scale=1024.0), z=spec.square("square", x))
    run = reference_run(model(spec), IMAGE, How())
    position = [op.name for op in run.graph.operations].index("act")
    rounded = (1 / (1 + np.exp(-IMAGE.astype(np.float64)))).astype(np.float32)
    np.testing.assert_array_equal(run.values[position], rounded)
    np.testing.assert_array_equal(run.outputs["0"], rounded * np.float32(1024))


def test_indices_stay_whole_and_let_nothing_back() -> None:
    spec = Spec("pick")
    rows = spec.input("rows", shape=(1, 6))
    best = spec.topk("best", rows, 2, axis=1)
    places = spec.values("best")[1]
    flat = spec.reshape("flat", places, (2,))
    taken = spec.gather("taken", rows, flat, axis=1)
    spec.output(best=best, places=places, taken=taken, flat=flat)
    table = np.array([[3.0, 1.0, 9.0, 4.0, 7.0, 2.0]], np.float32)
    how = How(grad=True)
    run = reference_run(model(spec), table, how)
    assert run.outputs["1"].dtype.kind == "i" and run.outputs["1"].tolist() == [[2, 4]]
    np.testing.assert_array_equal(run.outputs["2"], [[9, 7]])
    names = [op.name for op in run.graph.operations]
    np.testing.assert_array_equal(run.values[names.index("best")], [[9, 7]])  # of further outputs nothing is kept
    wanted = np.zeros((1, 6))
    wanted[0, [2, 4]] = how.pull(0, (1, 2))[0] + how.pull(2, (1, 2))[0]
    close(of_input(run, "rows"), wanted)
    assert names.index("flat") not in run.gradients.values


def test_what_leads_to_no_output_has_no_gradient() -> None:
    spec = Spec("idle")
    x, y = (spec.input(name, shape=("N", 3, 8, 8)) for name in ("x", "y"))
    spec.output(z=spec.neg("node", x), index=spec.values(spec.topk("best", y, 1, axis=1).node)[1])
    run = reference_run(model(spec), (IMAGE, IMAGE), How(grad=True))
    names = [run.graph.operations[position].name for position in run.gradients.values]
    assert sorted(names) == ["node", "x"]


def dropped(p: float) -> Spec:
    inner = Spec("inner")
    inner.output(y=inner.dropout("thin", inner.input("x", shape=("N", 3, "H", "W")), p=p))
    spec = Spec("outer")
    x = spec.input("x", shape=("N", 3, "H", "W"))
    spec.output(y=spec.neg("after", spec.call("once", spec.role("block", inner), x)[0]))
    return spec


def test_dropouts_of_called_networks_are_told_and_refused_in_training_mode() -> None:
    (idle,) = reference_run(model(dropped(0.25)), IMAGE, How()).idle
    assert (idle.name, idle.kind, idle.p, idle.after) == ("block.thin", "dropout", 0.25, -1)
    assert reference_run(model(network()), INPUTS, How()).idle == ()
    with pytest.raises(ParityError, match="draws nothing"):
        reference_run(model(dropped(0.25)), IMAGE, How(train=True))
    reference_run(model(dropped(0.0)), IMAGE, How(train=True))


def test_what_it_cannot_do_is_said_first() -> None:
    spec = Spec("stopped")
    spec.output(y=spec.neg("after", spec.stop_gradient("stop", spec.input("x", shape=("N", 3, 8, 8)))))
    np.testing.assert_array_equal(reference_run(model(spec), IMAGE, How()).outputs["0"], -IMAGE)
    with pytest.raises(ParityError, match="no gradients through stop_gradient"):
        reference_run(model(spec), IMAGE, How(grad=True))
    normed = Spec("normed")
    normed.output(y=normed.spectral_conv2d("conv", normed.input("x", shape=("N", 3, 8, 8)), 4, kernel=3))
    with pytest.raises(ParityError, match=r"cannot compute conv \(conv2d\) by itself"):
        reference_run(model(normed), IMAGE, How())
    with pytest.raises(ParityError, match="cannot call a loss"):
        reference_run(model(network()), INPUTS, How(loss=True))
