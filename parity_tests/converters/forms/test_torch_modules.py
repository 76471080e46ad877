"""Between the forms that PyTorch itself has of one layer: the module filled from the other's state does the same."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from twinzoo.converters.live.torch.model import arrays_of, assign  # noqa: E402
from twinzoo.zoo.errors import ConversionError  # noqa: E402

nn, utils = torch.nn, torch.nn.utils

LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "conv2d": (lambda: nn.Conv2d(3, 5, 3), (2, 3, 8, 8)),
    "conv1d": (lambda: nn.Conv1d(3, 5, 3), (2, 3, 8)),
    "square conv2d": (lambda: nn.Conv2d(4, 4, 3, bias=False), (2, 4, 8, 8)),
    "conv_transpose2d": (lambda: nn.ConvTranspose2d(3, 5, 4, 2, 1), (2, 3, 6, 6)),
    "square conv_transpose2d": (lambda: nn.ConvTranspose2d(4, 4, 4, 2, 1), (2, 4, 6, 6)),
    "linear": (lambda: nn.Linear(6, 4), (2, 6)),
    "one output": (lambda: nn.Linear(6, 1), (2, 6)),
}

NORMS: dict[str, Callable[[Any], Any]] = {
    "weight_norm hook": lambda m: _quietly(utils.weight_norm, m),
    "weight_norm hook, dim 1": lambda m: _quietly(utils.weight_norm, m, dim=1),
    "weight_norm hook, no dim": lambda m: _quietly(utils.weight_norm, m, dim=None),
    "weight_norm parametrization": lambda m: utils.parametrizations.weight_norm(m),
    "weight_norm parametrization, dim 1": lambda m: utils.parametrizations.weight_norm(m, dim=1),
    "spectral_norm hook": lambda m: utils.spectral_norm(m, n_power_iterations=3),
    "spectral_norm parametrization": lambda m: utils.parametrizations.spectral_norm(m),
}


def _quietly(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


def trained(module: Any, shape: tuple[int, ...]) -> Any:
    """The module after a few steps of training, in eval mode: norms and directions have moved."""
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(module.parameters(), 0.05)
    for _ in range(3):
        optimizer.zero_grad()
        (module(torch.randn(shape)) ** 2).mean().backward()
        optimizer.step()
    return module.eval()


def shapes_of(module: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def same(one: Any, other: Any, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        a, b = one.eval()(x), other.eval()(x)
    assert torch.allclose(a, b, rtol=1e-6, atol=1e-6 * float(a.abs().max()))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("norm", NORMS)
def test_a_norm_is_folded_into_a_plain_weight(layer: str, norm: str, converted: Any) -> None:
    make, shape = LAYERS[layer]
    source, target = trained(NORMS[norm](make()), shape), make()
    state = converted(arrays_of(source), shapes_of(target))
    assert not np.array_equal(state["weight"], arrays_of(target)["weight"])
    assign(target, {key: value.astype(np.float32) for key, value in state.items()})
    same(source, target, shape)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("norm", [name for name in NORMS if name.startswith("weight_norm")])
def test_a_plain_weight_gets_a_weight_norm(layer: str, norm: str, converted: Any) -> None:
    make, shape = LAYERS[layer]
    source, target = make(), NORMS[norm](make())
    with torch.no_grad():
        source.weight[0] = 0  # a filter that was pruned: its length is 0, its direction free
    state = converted(arrays_of(source), shapes_of(target))
    assign(target, {key: value.astype(np.float32) for key, value in state.items()})
    same(source, target, shape)


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm"])
@pytest.mark.parametrize("ways", [("hook", "parametrization"), ("parametrization", "hook")])
@pytest.mark.parametrize("layer", LAYERS)
def test_a_norm_that_both_have_is_kept_bit_for_bit(
    kind: str, ways: tuple[str, str], layer: str, converted: Any
) -> None:
    make, shape = LAYERS[layer]
    source, target = (NORMS[f"{kind} {way}"](make()) for way in ways)
    trained(source, shape)
    state = converted(arrays_of(source), shapes_of(target))
    assign(target, state)
    same(source, target, shape)
    back = converted(arrays_of(target), shapes_of(source))
    assert all(np.array_equal(back[key], value) for key, value in arrays_of(source).items())


def test_a_weight_norm_along_another_axis_is_made_anew(converted: Any) -> None:
    """Keeping the direction and changing the length alone would be another weight."""
    make, shape = LAYERS["conv2d"]
    source, target = (trained(NORMS[f"weight_norm parametrization{dim}"](make()), shape) for dim in ("", ", dim 1"))
    state = converted(arrays_of(source), shapes_of(target))
    assign(target, {key: value.astype(np.float32) for key, value in state.items()})
    same(source, target, shape)


def test_a_square_spectral_norm_that_never_ran_is_refused(converted: Any) -> None:
    source = NORMS["spectral_norm hook"](nn.Conv2d(4, 4, 3))
    with pytest.raises(ConversionError, match="axis 0 or 1"):
        converted(arrays_of(source), shapes_of(nn.Conv2d(4, 4, 3)))


def test_an_lstm_with_weight_norm_is_folded(converted: Any) -> None:
    source = _quietly(utils.weight_norm, nn.LSTM(3, 4, 2), "weight_hh_l1")
    target = nn.LSTM(3, 4, 2)
    state = converted(arrays_of(source), shapes_of(target))
    assign(target, {key: value.astype(np.float32) for key, value in state.items()})
    x = torch.randn(5, 2, 3)
    assert torch.allclose(source(x)[0], target(x)[0], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_a_cell_and_a_network_of_one_layer(kind: str, converted: Any) -> None:
    network, cell = getattr(nn, kind)(3, 4), getattr(nn, f"{kind}Cell")(3, 4)
    state = converted(arrays_of(network), shapes_of(cell))
    assign(cell, state)
    x = torch.randn(1, 2, 3)
    found = cell(x[0])
    assert torch.allclose(network(x)[0][0], found[0] if kind == "LSTM" else found, rtol=1e-6, atol=1e-7)
    back = converted(arrays_of(cell), shapes_of(network))
    assert all(np.array_equal(back[key], value) for key, value in arrays_of(network).items())


class Attention(nn.Module):  # type: ignore[name-defined,misc]
    """Self-attention by hand, of three linear layers."""

    def __init__(self, names: tuple[str, str, str], heads: int, width: int, context: int, bias: bool) -> None:
        super().__init__()
        self.names, self.heads = names, heads
        for name, size in zip(names, (width, context, context), strict=True):
            self.add_module(name, nn.Linear(size, width, bias=bias))
        self.out_proj = nn.Linear(width, width, bias=bias)

    def forward(self, x: Any, y: Any) -> Any:
        projected = [getattr(self, name)(i) for name, i in zip(self.names, (x, y, y), strict=True)]
        q, k, v = (i.unflatten(-1, (self.heads, -1)).transpose(1, 2) for i in projected)
        found = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out_proj(found.transpose(1, 2).flatten(2))


@pytest.mark.parametrize(
    "names", [("q", "k", "v"), ("to_q", "to_k", "to_v"), ("query", "key", "value"), ("Wq", "Wk", "Wv")]
)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("context", [8, 6])
def test_attention_packed_and_by_hand(names: tuple[str, str, str], bias: bool, context: int, converted: Any) -> None:
    packed = nn.MultiheadAttention(8, 2, bias=bias, batch_first=True, kdim=context, vdim=context)
    torch.manual_seed(0)
    for parameter in packed.parameters():
        nn.init.normal_(parameter)
    by_hand = Attention(names, 2, 8, context, bias)
    assign(by_hand, converted(arrays_of(packed), shapes_of(by_hand)))
    x, y = torch.randn(2, 5, 8), torch.randn(2, 4, context)
    want = packed(x, y, y)[0].detach()
    assert torch.allclose(by_hand(x, y), want, rtol=1e-5, atol=1e-6 * float(want.abs().max()))
    again = deepcopy(packed)
    assign(again, converted(arrays_of(by_hand), shapes_of(packed)))
    assert all(np.array_equal(value, arrays_of(packed)[key]) for key, value in arrays_of(again).items())


def test_a_linear_layer_becomes_the_convolution_that_covers_its_input(converted: Any) -> None:
    source, target = nn.Linear(3 * 5 * 4, 6), nn.Conv2d(3, 6, (5, 4))
    assign(target, converted(arrays_of(source), shapes_of(target)))
    x = torch.randn(2, 3, 5, 4)
    assert torch.allclose(source(x.flatten(1)), target(x).flatten(1), rtol=1e-6, atol=1e-6)
