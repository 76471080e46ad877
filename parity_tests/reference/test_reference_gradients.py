"""Gradients of whole specs by the reference port: against torch in double, against differences, and their protocol."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.ports.port import Port
from twinzoo.ports.reference import PORT
from twinzoo.ports.reference import gradients as reverse
from twinzoo.ports.reference.backward.rule import Pulled
from twinzoo.ports.reference.pull import TABLE
from twinzoo.zoo import registry
from twinzoo.zoo.errors import PortError, SpecError
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.dims import concrete

Array = NDArray[Any]

MODELS: list[tuple[str, dict[str, Any], int]] = [
    ("unet", {"width": 2, "depth": 6}, 64),
    ("unet", {"width": 2, "depth": 3, "norm": "instance"}, 16),
    ("resnet_generator", {"width": 3, "blocks": 1}, 16),
    ("resnet_generator", {"width": 2, "blocks": 1, "norm": "batch", "padding": "replicate", "antialias": True}, 16),
    ("patchgan", {"width": 3, "layers": 2}, 32),
    ("patchgan", {"width": 3, "layers": 2, "norm": "instance", "antialias": True}, 32),
    ("vgg16_bn", {"width": 2, "taps": ("relu2_2", "relu3_3")}, 16),
    ("vgg16", {"width": 2, "taps": ("relu1_2", "relu3_3")}, 16),
    ("aodnet", {}, 12),
]
LOSSES: list[tuple[str, dict[str, Any], int]] = [
    ("perceptual", {"width": 2, "normalize": False, "input_range": "-1..1"}, 16),
    ("bce_adversarial", {}, 8),
    ("lsgan_adversarial", {}, 8),
    ("smooth_l1", {"beta": 0.5}, 8),
    ("l2", {}, 8),
]


def _case(name: str, options: dict[str, Any], size: int) -> tuple[Spec, dict[str, Array], dict[str, Array]]:
    """A spec, its state, and inputs and draws of two images as float32 numbers."""
    spec, random = registry.spec(name, **options), np.random.default_rng(7)
    state = initial_state(spec, 5)
    moved = [n for n, param in spec.params.items() if not isinstance(param.value, tuple)]  # all but fixed filters
    state |= {n: state[n] + random.uniform(-0.1, 0.1, state[n].shape).astype(np.float32) for n in moved}
    sizes = {symbol: 2 if symbol == "N" else size for symbol in spec.symbols}
    fed = {n: random.uniform(-1, 1, spec.concrete(item.value, sizes)) for n, item in spec.inputs.items()}
    fed |= {n: (random.random(concrete(draw.shape, sizes)) < 0.5) * 1.0 for n, draw in spec.draws.items()}
    return spec, state, {n: x.astype(np.float32) for n, x in fed.items()}


def _cotangents(outputs: dict[str, Array]) -> dict[str, Array]:
    random = np.random.default_rng(8)
    return {name: random.standard_normal(y.shape).astype(np.float32) for name, y in outputs.items()}


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name, options, size", MODELS + LOSSES)
def test_networks_and_losses_agree_with_torch_in_double(
    name: str, options: dict[str, Any], size: int, train: bool
) -> None:
    """A torch model without parameters has no precision to take up: it computes in float32."""
    pytest.importorskip("torch")
    from twinzoo.ports.torch.port import PORT as TORCH

    spec, state, fed = _case(name, options, size)
    ours, theirs = PORT.build(spec), TORCH.build(spec).double()
    PORT.load(ours, state)
    TORCH.load(theirs, state)
    cotangents = _cotangents(PORT.run(PORT.build(spec), fed, train=train))
    found = PORT.gradients(ours, fed, cotangents, train=train)
    wanted = TORCH.gradients(theirs, fed, cotangents, train=train)
    assert list(found) == list(wanted)
    largest = max(
        np.abs(want).max() for want in wanted.values()
    )  # a bias before an instance norm has none but rounding
    assert largest > 1e-4
    for key, want in wanted.items():
        assert found[key].shape == want.shape and found[key].dtype == np.float64
        near = 1e-9 if want.dtype == np.float64 else 1e-5
        np.testing.assert_allclose(found[key], want, rtol=near, atol=near / 10 * largest, err_msg=key)


def _shared() -> Spec:
    """A network called twice by role, once on what it made; values used twice; a value through which nothing flows."""
    inner = Spec("inner")
    x = inner.input("x", channels=2)
    y = inner.conv2d("conv", x, 2, kernel=3, padding=1)
    inner.output(y=inner.tanh("squash", inner.batch_norm("norm", y)), raw=y)
    spec = Spec("outer")
    image = spec.input("image", channels=2)
    mask = spec.dropout("drop", image, 0.5)
    role = spec.role("net", inner)
    once, raw = spec.call("once", role, mask)
    twice, _ = spec.call("twice", role, spec.add("sum", once, image))
    still = spec.stop_gradient("still", raw)
    spec.output(y=spec.mul("product", twice, spec.sigmoid("gate", still)), once=once, image=image, still=still)
    return spec


def _fed() -> dict[str, Array]:
    random = np.random.default_rng(9)
    return {"image": random.standard_normal((3, 2, 4, 5)), "drop_mask": (random.random((3, 2, 4, 5)) < 0.6) * 1.0}


def _weighed(state: dict[str, Array], fed: dict[str, Array], cotangents: dict[str, Array], train: bool) -> float:
    model = PORT.build(_shared())
    PORT.load(model, state)
    outputs = PORT.run(model, fed, train=train)
    return float(sum(np.sum(outputs[name] * g) for name, g in cotangents.items()))


@pytest.mark.parametrize("train", [False, True])
def test_called_networks_and_shared_values_agree_with_differences(train: bool) -> None:
    """Central differences of step h err by h^2. Outputs behind the stop are left out: differences do not stop there."""
    spec, fed, random = _shared(), _fed(), np.random.default_rng(10)
    state = {name: x.astype(np.float64) for name, x in initial_state(spec, 3).items()}
    model = PORT.build(spec)
    PORT.load(model, state)
    outputs = PORT.run(model, fed)
    cotangents = {name: random.standard_normal(outputs[name].shape) for name in ("once", "image")}
    PORT.load(model, state)
    found = PORT.gradients(model, fed, cotangents, train=train)
    step = 1e-5
    for name, slope in found.items():
        source = fed if name in fed else state
        way = random.standard_normal(slope.shape)
        up, down = (dict(source) | {name: source[name] + sign * step * way} for sign in (1, -1))
        above, below = (
            _weighed(state, moved, cotangents, train) if source is fed else _weighed(moved, fed, cotangents, train)
            for moved in (up, down)
        )
        assert np.sum(slope * way) == pytest.approx((above - below) / (2 * step), rel=1e-6, abs=1e-7), name


def test_a_shared_network_adds_up_over_its_calls() -> None:
    pytest.importorskip("torch")
    from twinzoo.ports.torch.port import PORT as TORCH

    spec, fed = _shared(), _fed()
    state = initial_state(spec, 3)
    ours, theirs = PORT.build(spec), TORCH.build(spec).double()
    PORT.load(ours, state)
    TORCH.load(theirs, state)
    cotangents = _cotangents(PORT.run(ours, fed))
    for train in (False, True):
        found = PORT.gradients(ours, fed, cotangents, train=train)
        for name, want in TORCH.gradients(theirs, fed, cotangents, train=train).items():
            np.testing.assert_allclose(found[name], want, rtol=1e-9, atol=1e-11, err_msg=name)


def test_a_lost_call_and_a_flow_through_a_stop_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two faults that a reverse pass can have, planted: the last flow replaces the others; a stop passes on."""
    model, fed = PORT.build(_shared()), _fed()
    PORT.load(model, initial_state(_shared(), 3))
    cotangents = _cotangents(PORT.run(model, fed))
    clean = PORT.gradients(model, fed, cotangents)
    with monkeypatch.context() as patch:
        patch.setattr(reverse, "_add", lambda flow, more: flow.update(more))
        assert not np.allclose(PORT.gradients(model, fed, cotangents)["net.conv.weight"], clean["net.conv.weight"])
    still = {"still": cotangents["still"]}
    assert not any(np.any(gradient) for gradient in PORT.gradients(model, fed, still).values())
    monkeypatch.setitem(TABLE, "stop_gradient", lambda a, p, g, y, x: Pulled((g,), {}))
    assert np.any(PORT.gradients(model, fed, still)["net.conv.weight"])


def test_what_has_no_influence_has_zeros_and_what_is_given_stays() -> None:
    port: Port = PORT
    model, fed = port.build(_shared()), _fed()
    nothing = port.gradients(model, fed, {})
    assert list(nothing) == ["image", "net.conv.weight", "net.conv.bias", "net.norm.weight", "net.norm.bias"]
    assert not any(np.any(gradient) for gradient in nothing.values())
    cotangent = np.ones((3, 2, 4, 5))
    found = port.gradients(model, fed, {"image": cotangent})
    np.testing.assert_array_equal(found["image"], cotangent)
    found["image"][:] = 7
    assert np.all(cotangent == 1), "what is returned is the caller's own"


def test_buffers_move_in_training_as_in_a_run() -> None:
    states = []
    for how in ("run", "gradients"):
        model = PORT.build(_shared())
        PORT.load(model, initial_state(_shared(), 3))
        if how == "run":
            PORT.run(model, _fed(), train=True)
        else:
            PORT.gradients(model, _fed(), {}, train=True)
        states.append(PORT.state(model))
    assert np.any(states[0]["net.norm.running_mean"])
    for name, value in states[0].items():
        np.testing.assert_array_equal(states[1][name], value)


def test_indices_have_no_gradient() -> None:
    spec = Spec("rows")
    labels = spec.input("labels", shape=("N",), dtype="int")
    spec.output(loss=spec.cross_entropy("loss", spec.input("logits", shape=("N", 3)), labels))
    fed = {"labels": np.array([2, 0]), "logits": np.array([[0.0, 0, 0], [0, 0, 0]])}
    (name,) = found = PORT.gradients(PORT.build(spec), fed, {"loss": np.array(3.0)})
    assert name == "logits"
    np.testing.assert_allclose(found["logits"], [[0.5, 0.5, -1], [-1, 0.5, 0.5]])


def test_wrong_cotangents_and_inputs_are_refused() -> None:
    model, fed = PORT.build(_shared()), _fed()
    with pytest.raises(PortError, match="cotangent z: the outputs with gradients are y, once, image, still"):
        PORT.gradients(model, fed, {"z": np.ones(3)})
    with pytest.raises(PortError, match=r"cotangent y must be \(3, 2, 4, 5\), got \(3,\)"):
        PORT.gradients(model, fed, {"y": np.ones(3)})
    with pytest.raises(SpecError):
        PORT.gradients(model, {}, {})
    with pytest.raises(SpecError, match="feed drop_mask"):
        PORT.gradients(model, {"image": fed["image"]}, {}, train=True)
