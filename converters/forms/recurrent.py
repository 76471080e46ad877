"""Recurrent layers: the same parameters in both frameworks, but for the names of cells and MindSpore's flat weights.

torch.nn.LSTM, GRU, RNN and their cells and mindspore.nn's have equal names, shapes and orders of gates (i, f, g, o and
r, z, n, with the reset gate applied after the product), so nothing is done to those.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from math import prod

import numpy as np

from twinzoo.converters.forms.units import Roles, Seen, Unit, renamed
from twinzoo.converters.forms.values import Array, Value, filled, part, stacked, wide
from twinzoo.converters.layers import Shape

TENSORS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
DIRECTIONS = ([""], ["_l0", "_l0_reverse"])
"""What the names of one layer's tensors end in: plain for one direction, for two."""


def single_layers(seen: Seen) -> Iterator[Unit]:
    """`weight_ih_l0` and its like in a network of one layer and one direction: a cell's, which have no number."""
    roles = {f"{name}_l0": name for name in TENSORS if f"{name}_l0" in seen.roles}
    numbered = [role for role in seen.roles if "_ih_l" in role or "_hh_l" in role or "_hr_l" in role]
    if roles and len(roles) == len(numbered):
        yield renamed(roles, seen.roles)


def flat_lstms(seen: Seen) -> Iterator[Unit]:
    """`weight` (N, 1, 1) as MindSpore's LSTM operator takes it: the tensors of one layer, one after the other.

    All weight_ih, all weight_hh, all biases. The CPU's kernel has one bias a direction, the sum of both; where there
    are both, or none, only the order for one direction is known.
    """
    shape = seen.roles.get("weight", ())
    endings = [role.removeprefix("weight_ih") for role in seen.other if role.startswith("weight_ih")]
    if len(shape) != 3 or shape[1:] != (1, 1) or endings not in DIRECTIONS or not _is_lstm(seen.other, endings[0]):
        return
    names = [f"{name}{ending}" for name in TENSORS for ending in endings if f"{name}{ending}" in seen.other]
    second = [name for name in names if name.startswith("bias_hh")]
    if len(endings) == 1 and shape[0] == _total(names, seen.other):
        plain = _parts(names, seen.other)
        yield Unit({"weight": shape}, plain, {"weight": stacked(tuple(names), shape, "packed flat")})
    elif second and shape[0] == _total(names[: -len(second)], seen.other):
        zeros = {name: filled(seen.other[name], 0.0, np.float32, "0: one bias is the sum of both") for name in second}
        plain = _parts(names[: -len(second)], seen.other) | zeros
        yield Unit({"weight": shape}, plain, {"weight": _summed(names, len(second), shape)})


def _is_lstm(roles: Roles, ending: str) -> bool:
    """Whether there are four gates."""
    rows, hidden = roles.get(f"weight_hh{ending}", (0, 1))
    return rows == 4 * hidden


def _total(names: list[str], shapes: Roles) -> int:
    return sum(prod(shapes[name]) for name in names)


def _parts(names: list[str], shapes: Roles) -> dict[str, Value]:
    starts = accumulate((prod(shapes[name]) for name in names), initial=0)
    words = "out of the flat weights"
    return {name: part("weight", start, shapes[name], words) for name, start in zip(names, starts, strict=False)}


def _summed(names: list[str], directions: int, shape: Shape) -> Value:
    """All but the biases as they are, then the sum of each direction's two."""
    first, second = names[-2 * directions : -directions], names[-directions:]
    rest = names[: -2 * directions]

    def make(arrays: Mapping[str, Array]) -> Array:
        sums = [wide(arrays[a]) + wide(arrays[b]) for a, b in zip(first, second, strict=True)]
        flat: Array = np.concatenate([*(arrays[name].reshape(-1) for name in rest), *sums])
        return flat.reshape(shape)

    return Value(tuple(names), shape, "packed flat, both biases added", make, exact=False)
