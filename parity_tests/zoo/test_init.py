"""Initial values: reproducible, independent of the other layers, and distributed as the named rules say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.zoo import registry
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.spec import Spec

registry.load()
ENTRIES = registry.MODELS | registry.LOSSES


def _std_is(values: NDArray[np.float32], std: float, mean: float = 0.0) -> bool:
    """Within five standard errors of a normal sample, for the mean and for the standard deviation."""
    error = std / math.sqrt(values.size)
    wide = values.astype(np.float64)
    return bool(abs(wide.mean() - mean) < 5 * error and abs(wide.std() - std) < 5 * error)


@pytest.mark.parametrize("name", ENTRIES)
def test_a_state_fits_its_spec_and_its_seed(name: str) -> None:
    spec = registry.spec(name, **ENTRIES[name].small)
    state, again = initial_state(spec, 7), initial_state(spec, 7)
    assert {n: v.shape for n, v in state.items()} == {n: p.shape for n, p in spec.params.items()}
    assert all(v.dtype == np.float32 and np.isfinite(v).all() for v in state.values())
    assert all(np.array_equal(state[n], again[n]) for n in state)
    other = initial_state(spec, 8)
    drawn = [n for n in state if n.endswith(".weight") and spec.params[n].fill != "constant"]
    assert all(not np.array_equal(state[n], other[n]) or np.all(state[n] == 1) for n in drawn)


def test_golden_values() -> None:
    """A seed means the same weights on every machine and next year; NumPy does not promise its streams, so look."""
    weight = initial_state(registry.spec("aodnet"), 0)["conv1.weight"].ravel()
    np.testing.assert_allclose(weight[:4], [-0.01843788, 0.01466178, -0.0323373, -0.00514515], rtol=1e-5)


def _chain(*names: str) -> Spec:
    s = Spec("chain")
    x = s.input("x", channels=4)
    for name in names:
        x = s.conv2d(name, x, 4, kernel=3)
    s.output(y=x)
    return s


def test_a_new_layer_moves_no_other() -> None:
    short, long = initial_state(_chain("a", "c")), initial_state(_chain("new", "a", "b", "c"))
    assert all(np.array_equal(short[name], long[name]) for name in short)
    assert not np.array_equal(long["a.weight"], long["b.weight"])


def test_gan_rule() -> None:
    state = initial_state(registry.spec("unet", depth=5))
    assert _std_is(state["down5_conv.weight"], 0.02)
    assert _std_is(state["up5_conv.weight"], 0.02)
    gains = np.concatenate([v for n, v in state.items() if n.endswith("_norm.weight")])
    assert _std_is(gains, 0.02, mean=1.0)
    assert all((v == 0).all() for n, v in state.items() if n.endswith((".bias", ".running_mean")))
    assert all((v == 1).all() for n, v in state.items() if n.endswith(".running_var"))


def test_vgg_rule() -> None:
    state = initial_state(registry.spec("vgg16_bn", width=32, hidden=256, classes=100))
    assert _std_is(state["conv3_1.weight"], math.sqrt(2 / (128 * 9)))
    assert _std_is(state["fc6.weight"], 0.01)
    assert all((v == 0).all() for n, v in state.items() if n.endswith(".bias"))
    assert all((v == 1).all() for n, v in state.items() if n.startswith("norm") and n.endswith(".weight"))


def test_torch_rule() -> None:
    s = Spec("layers")
    x = s.input("x", channels=32)
    y = s.conv2d("conv", x, 64, kernel=3, groups=2)
    s.conv_transpose2d("up", x, 64, kernel=4)
    s.linear("linear", s.flatten("flat", s.adaptive_avg_pool2d("pool", x, 4)), 40)
    s.embedding("embedding", s.input("i", shape=("N",), dtype="int"), 100, 50)
    s.group_norm("norm", y, 4)
    s.prelu("prelu", y)
    state = initial_state(s)
    for layer, fan_in in {"conv": 16 * 9, "up": 64 * 16, "linear": 32 * 16}.items():
        bound = 1 / math.sqrt(fan_in)
        for role in ("weight", "bias"):
            values = state[f"{layer}.{role}"]
            assert 0.8 * bound < np.abs(values).max() <= bound
        assert abs(state[f"{layer}.weight"].std() / (bound / math.sqrt(3)) - 1) < 0.02
    assert _std_is(state["embedding.weight"], 1.0)
    assert (state["norm.weight"] == 1).all()
    assert (state["norm.bias"] == 0).all()
    assert state["prelu.weight"].tolist() == [0.25]


def test_torch_rule_is_that_of_torch() -> None:
    """PyTorch's own fresh layers stay within the bounds, and reach them."""
    torch = pytest.importorskip("torch")
    for layer, fan_in in (
        (torch.nn.Conv2d(32, 64, 3, groups=2), 16 * 9),
        (torch.nn.ConvTranspose2d(32, 64, 4), 64 * 16),
        (torch.nn.Linear(512, 40), 512),
    ):
        bound = 1 / math.sqrt(fan_in)
        for values in (layer.weight, layer.bias):
            assert 0.8 * bound < values.abs().max().item() <= bound * (1 + 1e-6)


def test_filters_keep_brightness() -> None:
    state = initial_state(registry.spec("resnet_generator", antialias=True, width=4, blocks=0))
    np.testing.assert_allclose(state["down1_blur.filt"].sum((1, 2, 3)), 1)
    np.testing.assert_allclose(state["up1_blur.filt"].sum((1, 2, 3)), 4)
    np.testing.assert_array_equal(state["down1_blur.filt"][0, 0] * 16, [[1, 2, 1], [2, 4, 2], [1, 2, 1]])


def test_a_called_network_starts_as_it_does_alone() -> None:
    state = initial_state(registry.spec("perceptual", width=4), 5)
    alone = initial_state(registry.spec("vgg16", width=4, taps=("relu1_2", "relu2_2", "relu3_3")), 5)
    assert set(state) == {f"features.{name}" for name in alone}
    assert all(np.array_equal(state[f"features.{name}"], value) for name, value in alone.items())


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(SpecError, match="^chain: init='orthogonal': must be one of torch, gan, [a-z0-9_, ]+$"):
        s = _chain("a")
        s.init = "orthogonal"
        initial_state(s)
