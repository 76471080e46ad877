"""Two arrays: how far apart, and whether within what is allowed. NaN and infinity are handled in one place, here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.results import Heat, SideResult

Array = NDArray[Any]

_LARGEST = float(np.finfo(np.float32).max)

PIECE = 2**17
"""Elements that are measured at a time."""

_PARTS = 16
"""Into at most so many parts a heat map divides an axis; so many channels it names."""


@dataclass(frozen=True)
class Judgement:
    """An output against its reference: the worst place and how bad it is there.

    Attributes:
        ratio: |output - reference| / allowed, infinite where nothing is allowed and there is a difference.
        error: |output - reference| there.
        problem: what is at the worst place where it is not a finite number, or empty.
        ratios: the ratio at every place.
    """

    ratio: float
    error: float
    index: tuple[int, ...]
    problem: str = ""
    ratios: Array = field(default_factory=lambda: np.zeros(0), repr=False, compare=False)


@dataclass(frozen=True)
class Difference:
    """Side a against side b; `relative` is to the largest magnitude of the reference, `max_ulp` as in LayerResult."""

    max_abs: float
    mean_abs: float
    relative: float
    cosine: float
    max_ulp: float


def distances(x: Array, y: Array) -> Array:
    """|x - y| in float64; 0 where both are the same NaN or infinity, infinite where only one is, or they differ."""
    with np.errstate(all="ignore"):
        apart: Array = np.asarray(np.subtract(x, y, dtype=np.float64))
        np.abs(apart, out=apart)
        if not np.isfinite(apart.max(initial=0.0)):
            same = (x == y) | (np.isnan(x) & np.isnan(y))
            apart[same] = 0.0
            apart[~same & ~np.isfinite(apart)] = np.inf
    return apart


def pieces(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """The parts of arrays of one shape, side by side, small enough for the processor's cache: passes cost little."""
    shape, size = arrays[0].shape, arrays[0].size
    if size <= PIECE:
        yield arrays
        return
    axis = next(axis for axis, length in enumerate(shape) if length > 1)
    step = max(1, PIECE * shape[axis] // size)
    for first in range(0, shape[axis], step):
        yield tuple(x[(slice(None),) * axis + (slice(first, first + step),)] for x in arrays)


def judge(output: Array, reference: Array, allowed: Array) -> Judgement:
    """Hold an output against the float64 reference and the elementwise allowance, all of one shape.

    A NaN passes only where the reference has one, an infinity only where the reference has the same one or is so large
    that float32 has no number for it. An allowance that is not a number allows nothing.
    """
    if output.size == 0:
        return Judgement(0.0, 0.0, ())
    apart = distances(output, reference)
    limit = allowed if np.isfinite(allowed.max()) else np.where(np.isfinite(allowed), allowed, 0.0)
    if np.isinf(apart.max()):
        with np.errstate(all="ignore"):
            overflow = np.isinf(apart) & np.isinf(output) & (np.sign(output) == np.sign(reference))
            overflow &= np.abs(reference) + limit >= _LARGEST
        apart[overflow] = 0.0
    ratios = _ratios(apart, limit)
    worst = apart * np.isinf(ratios) if np.isinf(ratios.max()) else ratios
    index = tuple(int(i) for i in np.unravel_index(int(worst.argmax()), worst.shape))
    ratio, error = float(ratios[index]), float(apart[index])
    problem = f"{output[index]} at {index}, where float64 has {reference[index]:.6g}" if np.isinf(error) else ""
    return Judgement(ratio, error, index, problem, ratios)


def _ratios(apart: Array, limit: Array) -> Array:
    """apart / limit: 0 where nothing is apart, infinite where something is and nothing is allowed."""
    if limit.min() > 0:
        ratios: Array = np.asarray(apart / limit)
        return ratios
    ratios = np.full(apart.shape, np.inf)
    np.divide(apart, limit, out=ratios, where=limit > 0)
    ratios[apart == 0] = 0.0
    return ratios


def side_result(
    judged: Judgement, output: Array, reference: Array | None = None, problem: str = "", dtype: str = "float32"
) -> SideResult:
    """One side's row of a report.

    Args:
        output: what was judged.
        reference: what it drifts from, of the same shape; None where that is not known yet.
        problem: what is wrong beside its values, instead of what the judgement says.
    """
    off = 0.0 if reference is None else drift(output, reference)
    finite = output.dtype.kind in "iub" or np.isfinite(output).all()
    nans, infs = (0, 0) if finite else (int(np.isnan(output).sum()), int(np.isinf(output).sum()))
    words = problem or judged.problem
    return SideResult(
        judged.ratio, judged.error, judged.index, off, words, dtype, nans=nans, infs=infs, heat=heat(judged.ratios)
    )


def drift(output: Array, reference: Array) -> float:
    """The largest distance."""
    return max(float(distances(x, y).max(initial=0.0)) for x, y in pieces(output, reference))


def heat(ratios: Array) -> Heat | None:
    """Where the largest ratios are; None where all are 0, and of a scalar, which has no places."""
    if not ratios.ndim or not ratios.any():
        return None
    if ratios.ndim != 4:
        return Heat((_short(_parts(ratios.max(axis=tuple(range(ratios.ndim - 1))), 0)),))
    of_sample = ratios.max(axis=0)
    grid = _parts(_parts(of_sample.max(axis=0), 0), 1)
    channels = of_sample.max(axis=(1, 2))
    worst = np.argsort(-channels, kind="stable")[:_PARTS]
    return Heat(tuple(map(_short, grid)), tuple(zip(worst.tolist(), _short(channels[worst]), strict=True)))


def _parts(x: Array, axis: int) -> Array:
    """The largest value in each of at most so many equal parts of an axis."""
    size = x.shape[axis]
    count = min(_PARTS, size)
    largest: Array = np.maximum.reduceat(x, np.arange(count) * size // count, axis=axis)
    return largest


def _short(ratios: Array) -> tuple[float, ...]:
    """Three digits each: more of thousands of ratios would only make a report large."""
    return tuple(float(f"{ratio:.3g}") for ratio in ratios)


def difference(a: Array, b: Array, reference: Array) -> Difference:
    """Two outputs of one shape against each other, with the magnitude of a reference."""
    if a.size == 0:
        return Difference(0.0, 0.0, 0.0, 1.0, 0.0)
    unit = _coarsest(a, b)
    largest, total, ulps, products = 0.0, 0.0, 0.0, np.zeros(3)
    for x, y in pieces(a, b):
        apart = distances(x, y)
        most = float(apart.max())
        largest, total = max(largest, most), total + float(apart.sum())
        ulps = max(ulps, most if unit is None or np.isinf(most) else _max_ulp(apart, x, y, unit))
        products += _products(x, y)
    magnitude = largest_finite(reference)
    relative = largest / magnitude if magnitude else (0.0 if largest == 0 else float("inf"))
    return Difference(largest, total / a.size, relative, _cosine(*products), ulps)


def _coarsest(a: Array, b: Array) -> np.dtype[Any] | None:
    """The coarser element type of both, and float32 where that is finer: a float64 reference beside a float32 kernel is
    held to what float32 has. None for integers.
    """
    kinds = [x.dtype for x in (a, b) if x.dtype.kind not in "iub"]
    return max((*kinds, np.dtype(np.float32)), key=lambda kind: float(np.spacing(kind.type(1)))) if kinds else None


def _max_ulp(apart: Array, a: Array, b: Array, unit: np.dtype[Any]) -> float:
    """The largest distance in units in the last place of the larger of the two numbers, in an element type."""
    with np.errstate(all="ignore"):
        larger = np.maximum(*(np.abs(x.astype(unit, copy=False)) for x in (a, b)))
        ulps = apart / np.spacing(larger)  # NaN where both sides are the same NaN or infinity
    return float(np.fmax.reduce(ulps, axis=None, initial=0.0))


def largest_finite(x: Array) -> float:
    """The largest |x| that is finite; 0 where there is none."""
    if x.size and x.dtype.kind == "f":
        largest = float(np.maximum(x.max(), -x.min()))
        if np.isfinite(largest):
            return largest
    magnitudes = np.abs(x[np.isfinite(x)])
    return float(magnitudes.max()) if magnitudes.size else 0.0


def _products(a: Array, b: Array) -> tuple[float, float, float]:
    """The products of each tensor with itself, and of both."""
    x, y = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    with np.errstate(all="ignore"):
        return float(x @ x), float(y @ y), float(x @ y)


def _cosine(a: float, b: float, both: float) -> float:
    """The cosine of the angle between two tensors: 1 for two zeros, 0 for a zero and another, and without a number."""
    if a == b == 0:
        return 1.0
    if 0 in (a, b) or not np.isfinite([a, b, both]).all():
        return 0.0
    return float(min(1.0, both / np.sqrt(a) / np.sqrt(b)))
