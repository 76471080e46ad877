"""How far two states, or two sets of losses, are apart: one number for each quantity that is judged.

A tensor counts by the mean of |x - y|. The largest would be at the mercy of single elements: where a gradient is
rounding alone (a bias before a batch norm), Adam moves them by the whole learning rate in either direction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.measure import distances
from twinzoo.parity.steps.state import State, is_buffer, is_pool

Array = NDArray[Any]

LOSS, PARAMETER, BUFFER, POOL = "loss", "parameter", "buffer", "pool"


class Quantity(NamedTuple):
    """What is judged: `kind` is loss, parameter, buffer, pool, or the name of an optimizer's slot.

    A buffer is whatever no optimizer moves, running statistics above all; a pool is a history of generated images.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return self.name if self.kind in (PARAMETER, BUFFER, POOL) else f"{self.kind} {self.name}"


class Apart(NamedTuple):
    """Two values of a quantity.

    Attributes:
        distance: mean |x - y|, infinite where only one is a number.
        size: what the distance is small or large against: for a parameter how far it has moved from the start, else
            the mean magnitude.
        unit: what one rounding of the value itself amounts to: u times the mean magnitude.
    """

    distance: float
    size: float
    unit: float


def is_float(array: Array) -> bool:
    """Whether its elements are rounded; NumPy does not count bfloat16 as a kind of float."""
    return array.dtype.kind == "f" or array.dtype.name == "bfloat16"


def roundoff(array: Array) -> float:
    """The unit roundoff u of an array's element type; float32's for whole numbers."""
    if array.dtype.name == "bfloat16":
        return 2.0**-8
    return float(np.finfo(array.dtype).eps) / 2 if array.dtype.kind == "f" else 2.0**-24


def losses_apart(x: Mapping[str, float], y: Mapping[str, float]) -> dict[Quantity, Apart]:
    """Two sets of losses, by the names that both have."""
    found = {}
    for name in [name for name in x if name in y]:
        size = abs(x[name]) if np.isfinite(x[name]) else 0.0
        found[Quantity(LOSS, name)] = Apart(_mean(np.array([x[name]]), np.array([y[name]])), size, 2.0**-24 * size)
    return found


def states_apart(x: State, y: State, start: State) -> dict[Quantity, Apart]:
    """Two states under the same names; `start` is that before the first step."""
    found = {}
    for quantity, ours, theirs in _both(x, y):
        size = magnitude = float(np.abs(ours.astype(np.float64)).mean()) if ours.size else 0.0
        if quantity.kind == PARAMETER and quantity.name in start.tensors:
            size = _mean(ours, start.tensors[quantity.name])
        unit = max(roundoff(ours), roundoff(theirs)) * magnitude
        found[quantity] = Apart(_mean(ours, theirs), size, unit)
    return found


def _both(x: State, y: State) -> Iterator[tuple[Quantity, Array, Array]]:
    trained = x.trained() | y.trained()
    for key, ours in x.tensors.items():
        if key in y.tensors and ours.shape == y.tensors[key].shape:
            moved = key in trained if trained else not is_buffer(key)
            kind = POOL if is_pool(key) else PARAMETER if moved else BUFFER
            yield Quantity(kind, key), ours, y.tensors[key]
    for slot, arrays in x.slots.items():
        for key, ours in arrays.items():
            if key in y.slots.get(slot, {}):
                yield Quantity(slot, key), ours, y.slots[slot][key]


def _mean(x: Array, y: Array) -> float:
    return float(distances(x, y).mean()) if x.size else 0.0
