"""Two arrays: how far apart, and whether within what is allowed. NaN and infinity are handled in one place, here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Judgement:
    """An output against its reference: the worst place and how bad it is there.

    Attributes:
        ratio: |output - reference| / allowed, infinite where nothing is allowed and there is a difference.
        error: |output - reference| there.
        problem: what is at the worst place where it is not a finite number, or empty.
    """

    ratio: float
    error: float
    index: tuple[int, ...]
    problem: str = ""


@dataclass(frozen=True)
class Difference:
    """Side a against side b; `relative` is to the largest magnitude of the reference."""

    max_abs: float
    mean_abs: float
    relative: float
    cosine: float


def distances(x: Array, y: Array) -> Array:
    """|x - y| in float64; 0 where both are the same NaN or infinity, infinite where only one is, or they differ."""
    with np.errstate(all="ignore"):
        apart: Array = np.abs(x.astype(np.float64) - y)
        if not np.isfinite(apart).all():
            same = (x == y) | (np.isnan(x) & np.isnan(y))
            apart[same] = 0.0
            apart[~same & ~np.isfinite(apart)] = np.inf
    return apart


def judge(output: Array, reference: Array, allowed: Array) -> Judgement:
    """Hold an output against the float64 reference and the elementwise allowance, all of one shape.

    A NaN passes only where the reference has one, an infinity only where the reference has the same one or is so large
    that float32 has no number for it. An allowance that is not a number allows nothing.
    """
    if output.size == 0:
        return Judgement(0.0, 0.0, ())
    apart = distances(output, reference)
    limit = np.where(np.isfinite(allowed), allowed, 0.0)
    overflow = np.isinf(apart)
    if overflow.any():
        with np.errstate(all="ignore"):
            overflow &= np.isinf(output) & (np.sign(output) == np.sign(reference))
            overflow &= np.abs(reference) + limit >= _LARGEST
        apart[overflow] = 0.0
    ratios = np.full(apart.shape, np.inf)
    np.divide(apart, limit, out=ratios, where=limit > 0)
    ratios[apart == 0] = 0.0
    worst = apart * np.isinf(ratios) if np.isinf(ratios).any() else ratios
    index = tuple(int(i) for i in np.unravel_index(int(worst.argmax()), worst.shape))
    ratio, error = float(ratios[index]), float(apart[index])
    problem = f"{output[index]} at {index}, where float64 has {reference[index]:.6g}" if np.isinf(error) else ""
    return Judgement(ratio, error, index, problem)


def difference(a: Array, b: Array, reference: Array) -> Difference:
    """Two outputs of one shape against each other, with the magnitude of a reference."""
    if a.size == 0:
        return Difference(0.0, 0.0, 0.0, 1.0)
    apart = distances(a, b)
    largest = float(apart.max())
    magnitude = largest_finite(reference)
    relative = largest / magnitude if magnitude else (0.0 if largest == 0 else float("inf"))
    return Difference(largest, float(apart.mean()), relative, _cosine(a, b))


def largest_finite(x: Array) -> float:
    """The largest |x| that is finite; 0 where there is none."""
    magnitudes = np.abs(x[np.isfinite(x)])
    return float(magnitudes.max()) if magnitudes.size else 0.0


def _cosine(a: Array, b: Array) -> float:
    """The cosine of the angle between two tensors: 1 for two zeros, 0 for a zero and another, NaN for no number."""
    x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    with np.errstate(all="ignore"):
        norms = float(np.linalg.norm(x)), float(np.linalg.norm(y))
        if 0.0 in norms:
            return 1.0 if norms == (0.0, 0.0) else 0.0
        return min(1.0, float(x / norms[0] @ (y / norms[1])))
