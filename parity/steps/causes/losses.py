"""Causes in a loss: another reduction, a factor, a constant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.steps.causes.cause import Cause, cause, short
from twinzoo.parity.steps.causes.gradients import factor

Array = NDArray[Any]

_LONGEST = 5
"""Steps over which a factor or a constant must hold; after more, training itself has led elsewhere."""

_CLEAR = 8.0
"""A factor or a constant says something where the sides are so many times further apart than is explained by noise."""


def loss_causes(
    step: int,
    wrong: Sequence[str],
    a: Sequence[Mapping[str, float]],
    b: Sequence[Mapping[str, float]],
    noise: Sequence[Mapping[str, float]],
    counts: Mapping[int, str],
) -> list[Cause]:
    """A cause for each loss that is a multiple of the other side's, or a constant away from it.

    Args:
        step: the first, from 1, after which a loss is not explained by rounding.
        wrong: the losses that are not.
        a, b: of all steps.
        noise: of all steps, the difference that is explained.
        counts: numbers of elements that a sum may be larger by, in words.
    """
    span = slice(step - 1, step - 1 + _LONGEST)
    found = []
    for name in wrong:
        x, y = (np.array([losses.get(name, np.nan) for losses in side[span]]) for side in (a, b))
        allowed = np.array([limits.get(name, np.nan) for limits in noise[span]])
        known = np.isfinite(x) & np.isfinite(y) & np.isfinite(allowed)
        if known[0] and x[0] != 0:
            cause_ = _explained(step, name, x[known], y[known], allowed[known], counts)
            found += [cause_] if cause_ else []
    return found


def _explained(
    step: int,
    name: str,
    x: Array,
    y: Array,
    noise: Array,
    counts: Mapping[int, str],
) -> Cause | None:
    ratio, constant = float(y[0] / x[0]), float(y[0] - x[0])
    share = float(noise[0] / abs(x[0])) * 2
    kept = len(x) > 1 and bool((np.abs(y - x) > _CLEAR * noise).all())
    as_ratio = kept and bool((np.abs(y - ratio * x) <= 2 * noise * (1 + abs(ratio))).all())
    as_constant = kept and bool((np.abs(y - x - constant) <= 4 * noise).all())
    plain = _plain(ratio, share)
    if ratio != 0 and (as_ratio or (not as_constant and (plain or factor(ratio, share, counts)[0] == "reduction"))):
        kind, words = factor(ratio, share, counts)
        span = f" in each of steps {step} to {step + len(x) - 1}" if as_ratio else ""
        evidence = f"b's value is {words} a's{span}: {y[0]:.7g} against {x[0]:.7g}"
        fix = f"b: divide it by {ratio:.6g}"
        return cause(
            step, "loss", kind, [name], evidence, fix + ("; mean in place of sum" if kind == "reduction" else "")
        )
    if as_constant:
        number = short(constant, *sorted((constant - 2 * noise[0], constant + 2 * noise[0])))
        evidence = f"b's value is a's and {number:+g} in each of steps {step} to {step + len(x) - 1}"
        return cause(step, "loss", "offset", [name], evidence, f"b: subtract the constant {number:g}")
    return None


def _plain(ratio: float, share: float) -> bool:
    """Whether a factor, or one over it, is a number that somebody would write: one or two digits."""
    if float(f"{ratio:.1e}") == 1:
        return False
    return any(
        abs(float(f"{value:.1e}") - value) <= share * abs(value) for value in (ratio, 1 / ratio if ratio else 0.0)
    )
