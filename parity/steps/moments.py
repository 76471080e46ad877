"""Which betas made the moments of Adam, and the gradients behind them.

They follow from the first moment, g = (m' - b1 m) / (1 - b1), with the L2 decay that an optimizer adds to them; and the
second moment tells whether b1 was right: v' = b2 v + (1 - b2) g^2 must hold in every element. After one step alone
several pairs may pass; a second step settles it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.steps.tracks import Track

Array = NDArray[Any]
Betas = tuple[float, float]

_FIRST = (0.9, 0.5, 0.0, 0.8, 0.95, 0.99, 0.7)
_SECOND = (0.999, 0.99, 0.9, 0.95, 0.98, 0.995, 0.9999)
USUAL: tuple[Betas, ...] = tuple((first, second) for second in _SECOND for first in _FIRST)
"""Pairs of betas, the most usual first."""

_TINY = 2.0**-126
_FLOAT32 = 2.0**-24


def has_moments(track: Track) -> bool:
    """Whether both of Adam's moments are there."""
    return {"m", "v"} <= track.slots.keys()


def gradients(track: Track, beta: float) -> Array:
    """(K, n): what the first moment was fed with."""
    m = track.slots["m"]
    return np.asarray((m[1:] - beta * m[:-1]) / (1 - beta))


def possible_betas(track: Track) -> list[Betas]:
    """The pairs that every step fits, what the side itself states first, then the most usual."""
    tried = list(USUAL)
    named = track.numbers.get("beta1"), track.numbers.get("beta2")
    if named[0] is not None and named[1] is not None:
        tried.insert(0, (named[0], named[1]))
    fitting = [pair for pair in dict.fromkeys(tried) if misfit(track, pair) <= 1]
    if not fitting:
        seconds = [(first, second) for first in _FIRST for second in _fitted_seconds(track, first)]
        fitting = [pair for pair in seconds if misfit(track, pair) <= 1]
    return fitting


def misfit(track: Track, betas: Betas) -> float:
    """How far the recorded moments are from what these betas make of the gradients, over what rounding explains."""
    m, v, u = track.slots["m"], track.slots["v"], max(track.unit, _FLOAT32)
    given = gradients(track, betas[0])
    noise = u * (4 * betas[0] * np.abs(m[:-1]) + 4 * np.abs(m[1:]) + np.abs(given)) / (1 - betas[0])
    made = betas[1] * v[:-1] + (1 - betas[1]) * given**2
    limit = u * (4 * betas[1] * np.abs(v[:-1]) + 4 * np.abs(v[1:]) + given**2)
    limit = limit + (1 - betas[1]) * (2 * np.abs(given) * noise + noise**2) + _TINY
    return float((np.abs(made - v[1:]) / limit).max(initial=0.0))


def _fitted_seconds(track: Track, first: float) -> list[float]:
    """The second beta that is nearest to the record, as it would be written and as it is, if there is one."""
    v = track.slots["v"]
    square = gradients(track, first) ** 2
    past, change = v[:-1] - square, v[1:] - square
    total = float((past**2).sum())
    found = float((past * change).sum()) / total if total > 0 else -1.0
    return [*(1 - float(f"{1 - found:.{digits}g}") for digits in (1, 2, 3)), found] if 0 <= found < 1 else []
