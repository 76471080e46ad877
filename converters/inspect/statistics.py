"""The numbers of a tensor in one pass over small pieces: range, mean, deviation, zeros, NaN, infinities, denormals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.converters.files import Tensors
from twinzoo.converters.progress import Advance

Array = NDArray[Any]
CHUNK = 256 * 1024
"""Values looked at together: their float64 copy and the temporaries stay in a processor's cache."""


@dataclass(frozen=True)
class Statistics:
    """What the values of a tensor are like; of complex ones, the real and the imaginary parts.

    Attributes:
        size: how many values there are.
        nan, infinite: how many are no numbers; the rest of the attributes leave them out.
        minimum, maximum, mean: None where there are no finite values. The mean is summed in float64.
        spread: the sum of squared distances from the mean, in float64.
        zeros: of either sign.
        denormal: below the smallest normal number of the type (float8 aside), but not zero.
    """

    size: int = 0
    nan: int = 0
    infinite: int = 0
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    spread: float = 0.0
    zeros: int = 0
    denormal: int = 0

    @property
    def finite(self) -> int:
        return self.size - self.nan - self.infinite

    @property
    def std(self) -> float | None:
        """Around the mean, divided by the number of values; None where there are no finite values."""
        return math.sqrt(self.spread / self.finite) if self.finite else None

    @property
    def constant(self) -> bool:
        """Whether all values are the same number."""
        return self.finite == self.size > 0 and self.minimum == self.maximum

    @property
    def magnitude(self) -> float:
        """The largest absolute value, 0 where there is none."""
        return max(abs(self.minimum or 0.0), abs(self.maximum or 0.0))

    def __add__(self, other: Statistics) -> Statistics:
        """The statistics of both sets of values together (Chan et al. 1983 for the spread)."""
        mean, spread = self.mean, self.spread
        if mean is None:
            mean, spread = other.mean, other.spread
        elif other.mean is not None:
            both = self.finite + other.finite
            step = other.mean - mean
            spread += other.spread + step * step * self.finite * (other.finite / both)
            mean += step * (other.finite / both)
        return Statistics(
            self.size + other.size,
            self.nan + other.nan,
            self.infinite + other.infinite,
            min((x for x in (self.minimum, other.minimum) if x is not None), default=None),
            max((x for x in (self.maximum, other.maximum) if x is not None), default=None),
            mean,
            spread,
            self.zeros + other.zeros,
            self.denormal + other.denormal,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "minimum": self.minimum,
            "maximum": self.maximum,
            "mean": self.mean,
            "std": self.std,
            "zeros": self.zeros,
            "nan": self.nan,
            "infinite": self.infinite,
            "denormal": self.denormal,
        }


def statistics_of(tensors: Tensors, key: str, advance: Advance) -> Statistics:
    """Look at every value of a tensor once; `advance` is told of the bytes as they are done."""
    total = Statistics()
    for run in runs(tensors, key):
        total += _of_run(numbers(run))
        advance(run.nbytes)
    return total


def runs(tensors: Tensors, key: str) -> Iterator[Array]:
    """The values of a tensor in C order, at most CHUNK at a time, without the whole of it in memory."""
    dtype = tensors.entries[key].dtype
    for piece in tensors.pieces(key):
        values = np.frombuffer(piece, dtype)
        for start in range(0, values.size, CHUNK):
            yield values[start : start + CHUNK]


def numbers(run: Array) -> Array:
    """A run of values in a type that NumPy computes with: bfloat16 and float8 as float32, complex as pairs."""
    if run.dtype.kind == "c":
        return run.view(run.real.dtype)
    if run.dtype.kind == "b":
        return run.view(np.uint8)
    return run if run.dtype.kind in "fiu" else run.astype(np.float32)


def _of_run(values: Array) -> Statistics:
    size, nan, infinite = values.size, 0, 0
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        finite = np.isfinite(values)
        nan = int(np.count_nonzero(np.isnan(values)))
        infinite = int(size - nan - np.count_nonzero(finite))
        values = values[finite]
        if not values.size:
            return Statistics(size, nan, infinite)
        low, high = float(values.min()), float(values.max())
    zeros, denormal = _small(values)
    wide = values.astype(np.float64)
    mean = float(wide.mean())
    wide -= mean
    with np.errstate(over="ignore"):  # float64 values above 1e154: their deviation is infinite then
        spread = float(wide @ wide)
    return Statistics(size, nan, infinite, low, high, mean, spread, zeros, denormal)


def _small(values: Array) -> tuple[int, int]:
    """How many values are zero, and how many are denormal."""
    if values.dtype.kind != "f":
        return values.size - int(np.count_nonzero(values)), 0
    below = int(np.count_nonzero(np.abs(values) < np.finfo(values.dtype).smallest_normal))
    zeros = int(np.count_nonzero(values == 0)) if below else 0
    return zeros, below - zeros
