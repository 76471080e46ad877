"""An optimizer's moments where only the gradients are told: made from these since the first step, in float64."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.steps.moments import USUAL, Betas
from twinzoo.parity.steps.rules import Rule, fit
from twinzoo.parity.steps.tracks import Track

Array = NDArray[Any]

_MOMENTA = (0.9, 0.5, 0.95, 0.99, 0.8)
_ROUNDINGS = 4.0
"""Of each step of a moment in float32, which ours in float64 has not."""


def told(track: Track) -> bool:
    """Whether gradients are all there is."""
    return track.gradients is not None and not track.slots


def simulated(kind: str, track: Track, betas: Betas) -> Track:
    """The track with the moments of Adam, or with the buffer of momentum, whose coefficient is the first beta."""
    assert track.gradients is not None
    added = 1 - betas[0] if kind == "adam" else 1.0
    m, size = (_average(given, betas[0], added) for given in (track.gradients, np.abs(track.gradients)))
    with np.errstate(all="ignore"):
        blur = np.where(m[1:] != 0, _ROUNDINGS * track.unit * size[1:] / np.abs(m[1:]), 0.0)
    if kind == "momentum":
        return replace(track, slots={"momentum": m}, blur=blur)
    v = _average(track.gradients**2, betas[1], 1 - betas[1])
    return replace(track, slots={"m": m, "v": v}, blur=blur + 2 * _ROUNDINGS * track.unit)


def _average(given: Array, kept: float, added: float) -> Array:
    """(K + 1, n): zeros, and what each step makes of it."""
    made = [np.zeros_like(given[0])]
    for step in given:
        made.append(kept * made[-1] + added * step)
    return np.stack(made)


def candidates(kind: str) -> Iterator[Betas]:
    """The coefficients to try, the most usual first."""
    yield from USUAL if kind == "adam" else ((momentum, 0.0) for momentum in _MOMENTA)


def fitting(kind: str, track: Track, rules: Iterable[Rule], tried: Iterable[Betas]) -> Betas | None:
    """The first coefficients with which one of the rules makes the recorded steps."""
    rules = list(rules)
    for betas in tried:
        made = simulated(kind, track, betas)
        if any(fit(rule, made, betas).possible for rule in rules):
            return betas
    return None
