"""How far two tensors are apart, in one pass over both in small pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.converters.files import Tensors
from twinzoo.converters.inspect.statistics import Array, numbers, runs
from twinzoo.converters.progress import Advance


@dataclass(frozen=True)
class Deviation:
    """The distance of two tensors of as many values; real and imaginary parts are values of their own.

    Attributes:
        size: how many values there are.
        differing: how many are not the same bit for bit; of two types, how many are not the same number.
        absolute, relative: the largest |a - b|, and that divided by the larger of |a| and |b|.
        ulp: the largest number of steps between representable numbers, None of two types and of integers.
        undefined: how many of those that differ are NaN or infinite on a side; the distances leave them out.
    """

    size: int = 0
    differing: int = 0
    absolute: float = 0.0
    relative: float = 0.0
    ulp: int | None = None
    undefined: int = 0

    def __add__(self, other: Deviation) -> Deviation:
        """The distance of both parts of two tensors together."""
        return Deviation(
            self.size + other.size,
            self.differing + other.differing,
            max(self.absolute, other.absolute),
            max(self.relative, other.relative),
            max((count for count in (self.ulp, other.ulp) if count is not None), default=None),
            self.undefined + other.undefined,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def deviation(a: Tensors, b: Tensors, key_a: str, key_b: str, advance: Advance) -> Deviation:
    """Compare a tensor of each side, value by value in C order."""
    total = Deviation()
    for ours, theirs in _in_step(runs(a, key_a), runs(b, key_b)):
        total += _of_runs(ours, theirs)
        advance(ours.nbytes + theirs.nbytes)
    return total


def _in_step(left: Iterator[Array], right: Iterator[Array]) -> Iterator[tuple[Array, Array]]:
    """Runs of one length out of two series of runs that hold as many values."""
    ours, theirs = next(left, None), next(right, None)
    while ours is not None and theirs is not None:
        count = min(ours.size, theirs.size)
        yield ours[:count], theirs[:count]
        ours = ours[count:] if ours.size > count else next(left, None)
        theirs = theirs[count:] if theirs.size > count else next(right, None)


def _of_runs(ours: Array, theirs: Array) -> Deviation:
    if ours.dtype.kind == theirs.dtype.kind == "c":
        ours, theirs = numbers(ours), numbers(theirs)
    same_type = ours.dtype == theirs.dtype
    unequal = _bits(ours) != _bits(theirs) if same_type else _unequal_numbers(ours, theirs)
    if not unequal.any():
        return Deviation(ours.size)
    ours, theirs = ours[unequal], theirs[unequal]
    a, b = numbers(ours).astype(np.float64), numbers(theirs).astype(np.float64)
    finite = np.isfinite(a) & np.isfinite(b)
    far = Deviation(unequal.size, ours.size, undefined=int(ours.size - np.count_nonzero(finite)))
    if not finite.any():
        return far
    distance = np.abs(a[finite] - b[finite])
    larger = np.maximum(np.abs(a[finite]), np.abs(b[finite]))
    relative = np.divide(distance, larger, out=np.zeros_like(distance), where=larger > 0)
    steps = _steps(ours[finite], theirs[finite]) if same_type and ours.dtype.kind in "fV" else None
    return replace(far, absolute=float(distance.max()), relative=float(relative.max()), ulp=steps)


def _bits(values: Array) -> Array:
    return values.view(f"u{values.dtype.itemsize}")


def _unequal_numbers(ours: Array, theirs: Array) -> NDArray[np.bool_]:
    """Where two arrays of different types hold different numbers; NaN is NaN."""
    a, b = numbers(ours), numbers(theirs)
    unequal: NDArray[np.bool_] = (a != b) & ~(np.isnan(a) & np.isnan(b))
    return unequal


def _steps(ours: Array, theirs: Array) -> int:
    """The largest number of representable numbers that one must step over, both zeros being one."""
    a, b = (_place(values) for values in (ours, theirs))
    with np.errstate(over="ignore"):  # the difference of two int64 is right as uint64, whatever their signs
        return int(np.where(a > b, a - b, b - a).view(np.uint64).max())


def _place(values: Array) -> NDArray[np.int64]:
    """The position of each value among all of its type, 0 for zero."""
    signed = values.view(f"i{values.dtype.itemsize}")
    places = signed.astype(np.int64)
    return np.where(places < 0, np.iinfo(signed.dtype).min - places, places)
