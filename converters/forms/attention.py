"""Attention's three input projections: packed into one tensor, apart in one layer, or as three linear layers.

`qkv` layers of hand-written code are left alone: whether their rows go by q, k, v or by heads first is not to be seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import prod

from twinzoo.converters.forms.units import Seen, Unit
from twinzoo.converters.forms.values import part, stacked
from twinzoo.converters.layers import Layer, Tensor

PROJECTIONS = ("q_proj", "k_proj", "v_proj")
PACKED = frozenset({"in_proj_weight", "q_proj_weight"})
"""Roles of a layer that holds all three."""

_WORDS = ({"q": 0, "k": 1, "v": 2}, {"query": 0, "key": 1, "value": 2}, {"queries": 0, "keys": 1, "values": 2})
_AROUND = r"((?:.*\.)?)((?:to_|w_?|linear_|fc_|proj_)?)({})((?:_proj|_projection|_linear|_fc)?)"
_NAMES = [(words, re.compile(_AROUND.format("|".join(words)), re.IGNORECASE)) for words in _WORDS]


def in_projections(seen: Seen) -> Iterator[Unit]:
    """`in_proj_weight` (3E, E) and `in_proj_bias` (3E,): q, k and v on top of each other, in both frameworks."""
    for role, word in (("in_proj_weight", "weight"), ("in_proj_bias", "bias")):
        shape = seen.roles.get(role, ())
        if not shape or shape[0] % 3 or shape[1:] not in ((), (shape[0] // 3,)):
            continue
        third = (shape[0] // 3, *shape[1:])
        names = tuple(f"{projection}_{word}" for projection in PROJECTIONS)
        plain = {
            name: part(role, i * prod(third), third, f"{'qkv'[i]} of q, k, v packed in one")
            for i, name in enumerate(names)
        }
        yield Unit({role: shape}, plain, {role: stacked(names, shape, "q, k, v packed into one")})


def regroup(one: Mapping[str, Layer], other: Mapping[str, Layer]) -> tuple[dict[str, Layer], dict[str, Layer]]:
    """Three linear layers q, k and v as one layer of attention, on both sides, where either side has such a layer.

    The three must lie under one prefix that is no layer itself, under names that differ in the usual words only (`q`,
    `query`, `to_q`, `q_proj`, ... and those of k and v), with the same roles out of weight and bias, q's weight (E, E)
    and the others' (E, any). Where anything else would do as well, nothing is done.

    Args:
        one, other: the layers of the two sides by prefix, in order.

    Returns:
        The same, with each three replaced by a layer under their common prefix, in the place of the first of them, with
        the roles `q_proj_weight`, `q_proj_bias`, ... and the keys as before. Operations of a graph that name one of the
        three are to be pointed at the new one: the keys tell.
    """
    if not any(PACKED & layer.tensors.keys() for layer in (*one.values(), *other.values())):
        return dict(one), dict(other)
    return _grouped(one), _grouped(other)


def _grouped(layers: Mapping[str, Layer]) -> dict[str, Layer]:
    members: dict[str, Layer] = {}
    for parent, found in _threes(layers).items():
        if len(found) == 1 and parent not in layers and _is_attention(found[0]):
            members |= {layer.prefix: _joined(parent, found[0]) for layer in found[0]}
    grouped: dict[str, Layer] = {}
    for prefix, layer in layers.items():
        joined = members.get(prefix, layer)
        grouped[joined.prefix] = joined
    return grouped


def _threes(layers: Mapping[str, Layer]) -> dict[str, list[list[Layer]]]:
    """The complete q, k, v under each common prefix."""
    seen: dict[tuple[str, str, str, int], dict[int, Layer]] = {}
    for prefix, layer in layers.items():
        for number, (words, pattern) in enumerate(_NAMES):
            if found := pattern.fullmatch(prefix):
                parent, before, word, after = found.groups()
                place = words[word.lower()]
                seen.setdefault((parent, before, after, number), {})[place] = layer
    threes: dict[str, list[list[Layer]]] = {}
    for (parent, *_), three in seen.items():
        if len(three) == 3:
            threes.setdefault(parent.removesuffix("."), []).append([three[i] for i in range(3)])
    return threes


def _is_attention(three: list[Layer]) -> bool:
    """Whether the shapes are those of torch's MultiheadAttention, which the three are to be matched with."""
    roles = [layer.tensors.keys() for layer in three]
    if roles[0] not in ({"weight"}, {"weight", "bias"}) or any(keys != roles[0] for keys in roles):
        return False
    shapes = [layer.tensors["weight"].shape for layer in three]
    width = shapes[0][:1]
    return shapes[0] == 2 * width and all(len(shape) == 2 and shape[:1] == width for shape in shapes)


def _joined(parent: str, three: list[Layer]) -> Layer:
    tensors = {
        f"{name}_{role}": Tensor(tensor.key, f"{name}_{role}", tensor.shape)
        for name, layer in zip(PROJECTIONS, three, strict=True)
        for role, tensor in layer.tensors.items()
    }
    return Layer(parent, tensors)
