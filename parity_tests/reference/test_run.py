"""The reference runs specs: training mode, called networks, draws; and is a port."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from twinzoo.ports.port import Port
from twinzoo.ports.reference import PORT, evaluate, moved_buffers, run, trace
from twinzoo.zoo import init
from twinzoo.zoo.errors import PortError, SpecError
from twinzoo.zoo.models.aodnet import aodnet
from twinzoo.zoo.spec import Spec


def _generator() -> np.random.Generator:
    return np.random.default_rng(3)


def _inner() -> Spec:
    spec = Spec("inner")
    x = spec.input("x", channels=2)
    spec.output(y=spec.batch_norm("norm", spec.conv2d("conv", x, 2, kernel=1)))
    return spec


def _outer() -> Spec:
    """A network called twice by one role."""
    spec = Spec("outer")
    x = spec.input("image", channels=2)
    role = spec.role("net", _inner())
    (once,) = spec.call("once", role, x)
    (twice,) = spec.call("twice", role, once)
    spec.output(loss=spec.mean("loss", twice))
    return spec


def test_called_network_shares_its_state() -> None:
    spec = _outer()
    state, x = init.initial_state(spec, 1), _generator().standard_normal((3, 2, 4, 5))
    done = trace(spec, state, {"image": x})
    own = {name.removeprefix("net."): value for name, value in state.items()}
    once = run(_inner(), own, {"x": x})["norm"]
    np.testing.assert_array_equal(done.calls["once"].values["norm"], once)
    np.testing.assert_array_equal(done.values["twice"], run(_inner(), own, {"x": once})["norm"])
    assert done.values["loss"] == pytest.approx(float(np.mean(done.values["twice"])))


def test_shared_buffers_move_once_for_each_call() -> None:
    spec = _outer()
    state, x = init.initial_state(spec, 1), _generator().standard_normal((3, 2, 4, 5))
    done = trace(spec, state, {"image": x}, train=True)
    mean = np.zeros(2)
    for name in ("once", "twice"):
        mean = 0.9 * mean + 0.1 * done.calls[name].values["conv"].mean((0, 2, 3))
    np.testing.assert_allclose(done.state["net.norm.running_mean"], mean, rtol=1e-12)
    assert not np.any(state["net.norm.running_mean"]), "the caller's state must stay as it was"


def test_batch_norm_in_training_normalises_by_the_batch() -> None:
    spec = Spec("norm")
    spec.output(y=spec.batch_norm("norm", spec.input("x", channels=2), eps=0.0, affine=False, momentum=0.25))
    x = 3 + 2 * _generator().standard_normal((3, 2, 4, 5))
    state: dict[str, Any] = {"norm.running_mean": np.ones(2), "norm.running_var": np.full(2, 2.0)}
    done = trace(spec, state, {"x": x}, train=True)
    np.testing.assert_allclose(done.values["norm"].mean((0, 2, 3)), 0, atol=1e-14)
    np.testing.assert_allclose(done.values["norm"].var((0, 2, 3)), 1, rtol=1e-13)
    unbiased = x.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(done.state["norm.running_var"], 0.75 * 2 + 0.25 * unbiased, rtol=1e-13)
    assert trace(spec, state, {"x": x}).state["norm.running_var"].tolist() == [2.0, 2.0]


def test_batch_norm_refuses_to_train_on_one_number() -> None:
    spec = Spec("norm")
    spec.output(y=spec.batch_norm("norm", spec.input("x", channels=2)))
    with pytest.raises(SpecError, match="norm .batch_norm.: one number"):
        trace(spec, init.initial_state(spec), {"x": np.ones((1, 2, 1, 1))}, train=True)


def test_dropout_takes_the_mask_that_is_fed() -> None:
    spec = Spec("drop")
    spec.output(y=spec.dropout("drop", spec.input("x", channels=2), 0.75))
    x, mask = np.ones((1, 2, 2, 2)), np.zeros((1, 2, 2, 2))
    mask[0, 1] = 1
    np.testing.assert_array_equal(run(spec, {}, {"x": x})["drop"], x)
    np.testing.assert_array_equal(run(spec, {}, {"x": x, "drop_mask": mask})["drop"], 4 * mask)
    np.testing.assert_array_equal(run(spec, {}, {"x": x, "drop_mask": mask}, train=True)["drop"], 4 * mask)
    with pytest.raises(SpecError, match="feed drop_mask"):
        run(spec, {}, {"x": x}, train=True)


def test_evaluate_computes_in_float64() -> None:
    spec = Spec("one")
    spec.output(y=spec.linear("fc", spec.input("x", shape=("N", 3)), 1, bias=False))
    node = spec.nodes["fc"]
    weight, x = np.ones((1, 3), np.float32), np.array([[1e8, 1.0, -1e8]], np.float32)
    (y,) = evaluate(node, {"weight": weight}, (x,))
    assert y.dtype == np.float64 and y.item() == 1.0
    assert moved_buffers(node, {"weight": weight}, (x,)) == {}


def test_port_protocol() -> None:
    port: Port = PORT
    spec = Spec("aodnet")
    spec.output(image=aodnet(spec))
    model = port.build(spec)
    assert port.spec_of(model) is spec and port.spec_of(object()) is None
    state = init.initial_state(spec, 2)
    port.load(model, state)
    assert {name: value.dtype for name, value in port.state(model).items()} == dict.fromkeys(state, np.dtype(float))
    x = _generator().random((1, 3, 8, 8))
    (output,) = port.run(model, {"image": x}).values()
    np.testing.assert_array_equal(output, run(spec, state, {"image": x})["clean"])
    assert port.info().devices[0].available and not port.info().problem


def test_port_trains_its_buffers_and_guards_its_state() -> None:
    model = PORT.build(_inner())
    assert model.state["norm.running_var"].tolist() == [1.0, 1.0]
    PORT.load(model, init.initial_state(_inner()))
    before = PORT.state(model)
    PORT.run(model, {"x": _generator().standard_normal((3, 2, 4, 5))}, train=True)
    assert not np.array_equal(before["norm.running_mean"], PORT.state(model)["norm.running_mean"])
    with pytest.raises(PortError, match="the state lacks norm.weight"):
        PORT.load(model, {name: value for name, value in before.items() if name != "norm.weight"})


def test_port_has_no_source() -> None:
    with pytest.raises(PortError, match="no source"):
        PORT.source(_inner())
