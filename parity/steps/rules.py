"""How optimizers move a parameter, as equations that a recorded step fits or does not.

Each side is held against its own record: what a step makes of a parameter follows from the moments after it and the
parameter before it, both known to the bit. So nothing compounds, and every step is a test of its own.

What rounding explains, with u of the element type and v = 2^-24 for the framework's own numbers, which may be float32:
- the new parameter is rounded once: u |p'|; with weight decay the old one is scaled first: 2 u |p| more;
- the step itself takes a dozen operations, 12 u; the powers of beta in the bias correction carry t roundings, which
  1 - beta^t magnifies: v t beta^t / (1 - beta^t), half of it for beta2, under the root.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.steps.tracks import Track

Array = NDArray[Any]

_FLOAT32 = 2.0**-24
_TINY = 2.0**-126


@dataclass(frozen=True)
class Rule:
    """What is done with the moments.

    Attributes:
        kind: `adam` (moments m and v), `momentum` (a buffer) or `sgd` (the gradient itself).
        eps: of Adam.
        place: where eps stands: `after` the bias correction, `before` it, or `inside` the root.
        counted: what is added to the number of the step in the bias correction; None for no correction.
        decay: weight decay that shrinks the parameter beside the step; with `momentum` and `sgd` the same as L2.
    """

    kind: str
    eps: float = 0.0
    place: str = "after"
    counted: int | None = 0
    decay: float = 0.0


class Fit(NamedTuple):
    """How well a rule reproduces the steps of a parameter.

    Attributes:
        low, high: (K,), the learning rates that every element allows; low above high where none does.
        rate: (K,), in the middle between them, or the nearest there is.
        ratio: (K,), the largest |what was done - what the rule does| over what rounding explains, at `rate`.
    """

    low: Array
    high: Array
    rate: Array
    ratio: Array

    @property
    def possible(self) -> bool:
        """Whether there is a learning rate for each step."""
        return bool((self.low <= self.high).all())


def direction(rule: Rule, track: Track, betas: tuple[float, float]) -> Array:
    """(K, n): what the rule subtracts, but for the learning rate."""
    if rule.kind == "sgd":
        assert track.gradients is not None
        step = track.gradients
    elif rule.kind == "momentum":
        step = track.slots["momentum"][1:]
    else:
        step = _adam(rule, track, betas)
    return np.asarray(step + rule.decay * track.values[:-1])


def _adam(rule: Rule, track: Track, betas: tuple[float, float]) -> Array:
    m, v = track.slots["m"][1:], np.maximum(track.slots["v"][1:], 0.0)
    first = second = np.ones((track.steps, 1))
    if rule.counted is not None:
        t = track.count[:, None] + rule.counted
        first, second = 1 - betas[0] ** t, 1 - betas[1] ** t
    with np.errstate(all="ignore"):
        if rule.place == "after":
            step = m / first / (np.sqrt(v / second) + rule.eps)
        elif rule.place == "before":
            step = m * np.sqrt(second) / first / (np.sqrt(v) + rule.eps)
        else:
            step = m / first / np.sqrt(v / second + rule.eps)
    return np.where(np.isfinite(step), step, 0.0)


def allowed(rule: Rule, track: Track, betas: tuple[float, float]) -> Array:
    """(K, n): how far a move may be from what the rule says."""
    relative = np.full((track.steps, 1), 12 * track.unit)
    if rule.kind == "adam":
        t = track.count[:, None]
        for beta, share in zip(betas, (1.0, 0.5), strict=True):
            relative = relative + _FLOAT32 * t * share * beta**t / (1 - beta**t)
    if track.blur is not None:
        relative = relative + track.blur
    stored = np.abs(track.values[1:]) + (2 * np.abs(track.values[:-1]) if rule.decay else 0.0)
    return np.asarray(1.01 * track.unit * stored + relative * np.abs(track.moves) + _TINY)


def fit(rule: Rule, track: Track, betas: tuple[float, float]) -> Fit:
    """The learning rates at which the rule makes the recorded steps."""
    steps, limit = direction(rule, track, betas), allowed(rule, track, betas)
    moves = track.moves
    used = np.abs(steps) > _TINY
    safe = np.where(used, steps, 1.0)
    with np.errstate(all="ignore"):
        middle, half = -moves / safe, limit / np.abs(safe)
        still = np.where(~used & (np.abs(moves) > limit), np.inf, -np.inf)  # moved although nothing pushed it
        low = np.maximum(np.where(used, middle - half, -np.inf), still).max(axis=1, initial=-np.inf)
        high = np.where(used, middle + half, np.inf).min(axis=1, initial=np.inf)
        weights = np.where(used, steps / limit, 0.0)
        square = (weights**2).sum(axis=1)
        nearest = -(weights * moves / limit).sum(axis=1) / np.where(square > 0, square, 1.0)
        known = (low <= high) & np.isfinite(low) & np.isfinite(high)
        rate = np.where(known, (low + high) / 2, nearest)
    return Fit(low, high, rate, misses(rule, track, betas, rate))


def misses(rule: Rule, track: Track, betas: tuple[float, float], rate: Array) -> Array:
    """(K,): how far the rule with these learning rates is from the recorded steps, over what rounding explains."""
    apart = np.abs(track.moves + rate[:, None] * direction(rule, track, betas))
    return np.asarray((apart / allowed(rule, track, betas)).max(axis=1, initial=0.0))
