"""Three linear layers q, k and v as one layer of attention, and when they are left alone."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from twinzoo.converters.forms import plain, regroup
from twinzoo.converters.layers import Shape, layers_of


def linears(parent: str, names: tuple[str, ...], out: int = 4, into: int = 4) -> dict[str, Shape]:
    return {f"{parent}{n}.{w}": s for n in names for w, s in (("weight", (out, into)), ("bias", (out,)))}


PACKED = {"a.attn.in_proj_weight": (12, 4), "a.attn.in_proj_bias": (12,), "a.attn.out_proj.weight": (4, 4)}


@pytest.mark.parametrize(
    "names",
    [
        ("q", "k", "v"),
        ("query", "key", "value"),
        ("to_q", "to_k", "to_v"),
        ("q_proj", "k_proj", "v_proj"),
        ("Wq", "Wk", "Wv"),
    ],
)
def test_three_linears_become_one_layer_where_the_other_side_has_one(names: tuple[str, ...]) -> None:
    by_hand = {"x.weight": (2,), **linears("b.attn.", names), "b.attn.out.weight": (4, 4)}
    one, other = regroup(layers_of(PACKED), layers_of(by_hand))
    assert list(one) == ["a.attn", "a.attn.out_proj"]
    assert list(other) == ["x", "b.attn", "b.attn.out"]
    assert plain(one["a.attn"]).signature == plain(other["b.attn"]).signature
    assert other["b.attn"].tensors["k_proj_bias"].key == f"b.attn.{names[1]}.bias"
    again = regroup(layers_of(by_hand), layers_of(PACKED))
    assert (again[0], again[1]) == (other, one)
    assert regroup(layers_of(by_hand), layers_of(by_hand))[0] == layers_of(by_hand)


@pytest.mark.parametrize(
    "by_hand",
    [
        linears("b.", ("q", "k")),
        linears("b.", ("q", "key", "v")),
        linears("b.", ("to_q", "k", "v")),
        linears("b.", ("q", "k", "v")) | linears("b.", ("query", "key", "value")),
        linears("b.", ("q", "k", "v")) | {"b.scale": (1,)},
        linears("b.", ("q", "k", "v"), out=8),
        linears("b.", ("q",)) | linears("b.", ("k", "v"), out=2),
        {key: shape for key, shape in linears("b.", ("q", "k", "v")).items() if key != "b.k.bias"},
        {f"b.{name}.weight": (4, 4, 1, 1) for name in "qkv"},
        linears("b.", ("qkv",), out=12),
    ],
)
def test_what_is_not_certain_stays_three_layers(by_hand: Mapping[str, Shape]) -> None:
    assert regroup(layers_of(PACKED), layers_of(by_hand))[1] == layers_of(by_hand)
