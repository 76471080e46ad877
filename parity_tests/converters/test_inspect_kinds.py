"""What a layer is called, by the names, roles and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from twinzoo.converters.inspect.kinds import kind_of
from twinzoo.converters.layers import Shape, layers_of

LAYERS: list[tuple[dict[str, Shape], str]] = [
    ({"c.weight": (128, 64, 4, 4)}, "conv2d 64->128 k4"),
    ({"c.weight": (128, 64, 4, 4), "c.bias": (128,)}, "conv2d 64->128 k4 bias"),
    ({"c.weight": (128, 64, 3, 5)}, "conv2d 64->128 k3x5"),
    ({"c.weight": (128, 64, 4, 4), "c.bias": (64,)}, "conv_transpose2d 128->64 k4 bias"),
    ({"c.weight": (128, 32, 4, 4), "c.bias": (64,)}, "conv_transpose2d 128->64 k4 bias"),
    ({"c.weight": (8, 4, 3)}, "conv1d 4->8 k3"),
    ({"c.weight": (8, 4, 3, 3, 3)}, "conv3d 4->8 k3"),
    ({"c.weight_g": (8, 1, 1, 1), "c.weight_v": (8, 4, 3, 3), "c.bias": (8,)}, "conv2d 4->8 k3 bias weight-normed"),
    (
        {"c.parametrizations.weight.original0": (8, 1, 1), "c.parametrizations.weight.original1": (8, 4, 3)},
        "conv1d 4->8 k3 weight-normed",
    ),
    (
        {"c.weight_orig": (8, 4, 3, 3), "c.weight_u": (8,), "c.weight_v": (36,)},
        "conv2d 4->8 k3 spectral-normed",
    ),
    ({"fc.weight": (10, 64), "fc.bias": (10,)}, "linear 64->10 bias"),
    ({"fc.weight": (10, 64)}, "linear 64->10"),
    ({"token_embedding.weight": (10, 64)}, "embedding 10x64"),
    ({"x.embedding_table": (10, 64)}, "embedding 10x64"),
    ({"n.weight": (64,), "n.bias": (64,), "n.running_mean": (64,), "n.running_var": (64,)}, "batch norm 64"),
    ({"n.gamma": (4,), "n.beta": (4,), "n.moving_mean": (4,), "n.moving_variance": (4,)}, "batch norm 4"),
    ({"n.running_mean": (64,), "n.running_var": (64,)}, "norm statistics 64"),
    ({"n.weight": (64,), "n.bias": (64,)}, "norm 64"),
    ({"n.gamma": (64,), "n.beta": (64,)}, "norm 64"),
    ({"p.weight": (1,)}, "PReLU 1"),
    ({"prelu3.weight": (64,)}, "PReLU 64"),
    ({"p.w": (64,)}, "PReLU 64"),
    ({"attention.gamma": (1,)}, "scale 1"),
    ({"norm.weight": (64,)}, "scale 64"),
    ({"b.filt": (64, 1, 3, 3)}, "blur 64 k3"),
    ({"a.in_proj_weight": (96, 32), "a.in_proj_bias": (96,)}, "attention 32 bias"),
    ({"r.weight_ih_l0": (80, 10), "r.weight_hh_l0": (80, 20)}, "LSTM 10->20"),
    (
        {f"r.{w}_l{i}{s}": (60, 20) for i in range(2) for s in ("", "_reverse") for w in ("weight_ih", "weight_hh")},
        "GRU 20->20 x2 bidirectional",
    ),
    ({"r.weight_ih": (20, 10), "r.weight_hh": (20, 20), "r.bias_ih": (20,), "r.bias_hh": (20,)}, "RNN 10->20 bias"),
    (
        {"r.weight_ih_l0": (80, 10), "r.weight_hh_l0": (80, 5), "r.weight_hr_l0": (5, 20)},
        "LSTM 10->20",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("shapes", "words"), LAYERS)
def test_a_layer_has_its_kind(shapes: dict[str, Shape], words: str) -> None:
    (layer,) = layers_of(shapes).values()
    assert str(kind_of(layer)) == words


@pytest.mark.parametrize(
    "shapes", [{"x.table": (4, 4)}, {"x.weight": ()}, {"x.weight": (2,) * 6}, {"x.weight_ih": (3,)}]
)
def test_what_is_not_known_has_none(shapes: dict[str, Shape]) -> None:
    (layer,) = layers_of(shapes).values()
    assert kind_of(layer) is None


@pytest.mark.parametrize(
    ("names", "transposed"),
    [
        (("up2_conv", "up2_norm"), True),
        (("m.5", "m.6"), True),
        (("b.conv2", "b.bn2"), True),
        (("b.conv2", "b.bn1"), False),  # defined one after the other, but the norm is another's
        (("a.conv", "b.norm"), False),
    ],
)
def test_a_norm_tells_a_transposed_convolution_by_its_name(names: tuple[str, str], transposed: bool) -> None:
    conv, norm = names
    shapes = {f"{conv}.weight": (128, 64, 4, 4), f"{norm}.weight": (64,), f"{norm}.bias": (64,)}
    layer, following = layers_of(shapes).values()
    assert str(kind_of(layer, following)) == (
        "conv_transpose2d 128->64 k4" if transposed else "conv2d 64->128 k4"
    )  # fmt: skip


def test_what_the_model_says_goes_first() -> None:
    (layer,) = layers_of({"c.weight": (64, 64, 4, 4)}).values()
    layer.kind = "conv_transpose2d"
    assert str(kind_of(layer)) == "conv_transpose2d 64->64 k4"
    layer.kind = "blur2d"
    assert str(kind_of(layer)) == "blur 64 k4"


TORCH_LAYERS: dict[str, Callable[[Any], Any]] = {
    "LSTM 3->5 x2 bidirectional bias": lambda nn: nn.LSTM(3, 5, 2, bidirectional=True),
    "GRU 3->5": lambda nn: nn.GRU(3, 5, bias=False),
    "RNN 3->5 bias": lambda nn: nn.RNNCell(3, 5),
    "LSTM 3->5 bias": lambda nn: nn.LSTM(3, 5, proj_size=2),
    "batch norm 6": lambda nn: nn.BatchNorm1d(6),
    "conv_transpose1d 4->6 k2 bias": lambda nn: nn.ConvTranspose1d(4, 6, 2),
    "conv2d 4->6 k3 bias weight-normed": lambda nn: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 6, 3)),
    "conv2d 4->6 k3 bias spectral-normed": lambda nn: nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 6, 3)),
    "linear 4->6 bias spectral-normed": lambda nn: nn.utils.spectral_norm(nn.Linear(4, 6)),
}


@pytest.mark.parametrize("words", TORCH_LAYERS)
def test_pytorchs_own_layers(words: str) -> None:
    nn = pytest.importorskip("torch.nn")
    state = TORCH_LAYERS[words](nn).state_dict()
    layers = layers_of({f"m.{key}": tuple(value.shape) for key, value in state.items()})
    assert str(kind_of(layers["m"])) == words


def test_attention_is_one_layer_with_its_projection_below() -> None:
    nn = pytest.importorskip("torch.nn")
    layers = layers_of({k: tuple(v.shape) for k, v in nn.MultiheadAttention(8, 2).state_dict().items()})
    assert [str(kind_of(layer)) for layer in layers.values()] == ["attention 8 bias", "linear 8->8 bias"]
