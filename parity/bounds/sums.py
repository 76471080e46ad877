"""Rounding of long sums: how far a float32 sum in an unknown order may be off, from the partial sums of the data.

Every addition rounds its partial sum s_k, by at most u |s_k|, independently of the others. So the error of the sum is a
sum of n independent errors, each evenly spread in [-u |s_k|, u |s_k|] at worst, and exceeds
lambda * (u / sqrt 3) * sqrt(sum of s_k squared) with a probability below 2 exp(-lambda^2 / 2) (Hoeffding); where n is
small, u sqrt(n * sum of s_k squared), which nothing exceeds, is less. The partial sums are those of the data in the
orders that kernels use, and no less than a random order has on average. docs/rounding.md has the derivation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.bounds.precision import FLOAT32, SINGLE, Precision

Array = NDArray[Any]

U = SINGLE.unit
"""The unit roundoff of float32: rounding to nearest moves a number by at most this share of it."""

TINY = SINGLE.least
"""The smallest normal float32: below it numbers have fewer digits, or are flushed to zero."""

LAMBDA = 8.0
"""2 exp(-LAMBDA^2 / 2) = 3e-14 is the chance of a false alarm for one number: 3e-6 for a hundred million of them."""

STRAY = 2.0
"""How far above its mean an order may lie: more than t times the mean has the chance exp(-0.8 t), and the chance that
an order strays and the errors in it too, so that together they pass LAMBDA, is then 3e-9 for one number."""

SEVERAL = 0.01
"""The share of repeated values, zeros aside, from which on terms are grouped by value."""

BLOCKS = 16
"""In how many pieces an order of summation is followed; within a piece the order counts as random."""


def spread(squares: Array, roundings: Array | float, unit: float = U) -> Array:
    """The bound of a sum of `roundings` independent errors, of numbers with this sum of squares."""
    factor = np.minimum(np.sqrt(np.maximum(roundings, 0)), LAMBDA / np.sqrt(3))
    bound: Array = unit * factor * np.sqrt(np.maximum(squares, 0))
    return bound


def random_order(total: Array, squares: Array, count: Array | float) -> Array:
    """What the sum of s_k squared is in a random order of `count` terms, from their sum and sum of squares.

    The mean over all orders is (n + 1) / 6 * (2 total^2 + squares); an order strays above it, and STRAY is for that.
    """
    strays: Array = STRAY * (count + 1) / 6 * (2 * total * total + squares)
    return strays


def sum_bound(terms: Array, axes: tuple[int, ...], keepdims: bool = False, unit: float = U) -> Array:
    """The bound of the sum over axes of numbers whose partial sums have this unit roundoff."""
    axes = tuple(axis % terms.ndim for axis in axes)
    kept = [axis for axis in range(terms.ndim) if axis not in axes]
    rows = terms.transpose(*kept, *axes).reshape(int(np.prod([terms.shape[axis] for axis in kept])), -1)
    shape = [1 if axis in axes else size for axis, size in enumerate(terms.shape)]
    bound = _row_bound(rows, unit).reshape(shape)
    return bound if keepdims else bound.squeeze(axes)


def _row_bound(rows: Array, unit: float = U) -> Array:
    """The bound of the sum of each row: (rows, n) -> (rows,).

    Not every rounding is an even draw of its own. Equal terms are rounded alike (adding one number again and again errs
    the same way each time), so that their errors add up before they are squared. Where the numbers near the partial sum
    are further apart than the terms are from each other, all terms are rounded alike, and where they are further apart
    than a term is large, it is lost: those additions count in full.
    """
    if rows.shape[1] < 2:
        return np.zeros(rows.shape[0])
    rounded = rows != 0  # adding zero is exact
    count = rounded.sum(1)
    ahead = np.cumsum(rows, 1)
    total, own = ahead[:, -1], np.sum(rows * rows, 1)
    back = total[:, None] - ahead + rows
    there, here = np.sum(ahead**2 * rounded, 1), np.sum(back**2 * rounded, 1)
    reach = np.abs(np.where((there > here)[:, None], ahead, back)) * rounded
    coarse, vague = unit * reach > np.abs(rows), unit * reach > rows.std(1, keepdims=True)
    lost = np.sum(np.minimum(unit * reach, np.abs(rows)) * (coarse | vague), 1)
    squares, draws = _alike(rows, reach)
    together = np.minimum(spread(squares, draws, unit) + lost, unit * reach.sum(1))
    unordered = np.maximum(random_order(total, own, count), np.maximum(there, here)) - own / np.maximum(count, 1)
    worst: Array = np.maximum(together, spread(unordered, count - 1, unit))  # the first term of a sum is not rounded
    return worst


def _alike(rows: Array, reach: Array) -> tuple[Array, Array | int]:
    """The sum of squared errors in u, terms of one value taken together, and how many such values there are."""
    ordered = np.sort(rows.astype(np.float32), 1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != 0)
    if np.sum(twice) < SEVERAL * np.count_nonzero(ordered):
        return np.zeros(rows.shape[0]), 0
    order = np.argsort(rows, 1)
    values, weights = np.take_along_axis(rows, order, 1), np.take_along_axis(reach, order, 1)
    first = np.ones(rows.shape, bool)
    first[:, 1:] = values[:, 1:] != values[:, :-1]
    starts = np.flatnonzero(first)
    sums = np.add.reduceat(weights.ravel(), starts)
    row = starts // rows.shape[1]
    return np.bincount(row, sums**2, rows.shape[0]), np.bincount(row, minlength=rows.shape[0])


def cumsum_bound(terms: Array, axis: int, unit: float = U) -> Array:
    """The bound of every running sum along an axis: no rounding moves one by more than u |s_k|."""
    partial = np.abs(np.cumsum(terms, axis))
    bound: Array = unit * (np.cumsum(partial, axis) - np.take(partial, [0], axis))
    return bound


def repeated(x: Array) -> bool:
    """Whether some of the numbers, zeros aside, occur more than once."""
    used = x[x != 0]
    return bool(np.unique(used).size < (1 - SEVERAL) * used.size)


def blocks(count: int, pieces: int = BLOCKS) -> Iterator[slice]:
    """`count` places as at most `pieces` slices of one size, the last perhaps smaller."""
    step = -(-count // pieces)
    for first in range(0, count, step):
        yield slice(first, min(first + step, count))


def scaled(x: Array, axes: int | tuple[int, ...] | None = None) -> tuple[Array, Array]:
    """x in float32, divided by its largest magnitude over axes (all of them), and that, with the axes kept.

    Sums of products are followed in float32, on numbers of at most 1: a bound needs a digit or two.
    """
    largest = np.maximum(x.max(axes, keepdims=True, initial=0.0), -x.min(axes, keepdims=True, initial=0.0))
    factors = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    small: Array = np.divide(x, factors, out=np.empty(x.shape, np.float32), casting="same_kind")
    return small, factors


class Walk:
    """The partial sums of one order of summation, seen at the ends of blocks of terms.

    Between two ends the sum is taken to go straight: for f convex, the sum of f over the m steps from c to d is at most
    m (f(c) + f(d)) / 2 + (f(d) - f(c)) / 2. What it strays from the straight is added by `squares`.

    Attributes:
        total: the sum of all terms.
        pieces: the sum of the squares of the blocks' sums, where it is asked for.
    """

    def __init__(self, pieces: bool = False) -> None:
        self.total: Array = np.zeros(())
        self.pieces: Array | None = np.zeros((), np.float32) if pieces else None
        self._squares: Array = np.zeros(())
        self._sums: Array = np.zeros(())
        self._scratch: Array = np.zeros(())
        self._half: Array | float | None = None
        self._longest: Array | float = 0.0

    def step(self, block: Array, count: Array | float) -> None:
        """Go on by a block of `count` terms with this sum. Works in place: the arrays are large and the steps many."""
        half = count / 2
        if self.pieces is not None:
            self.pieces = self.pieces + block * block
        if self._half is None:
            self.total = np.array(block)
            self._squares, self._sums, self._scratch = (np.zeros_like(self.total) for _ in range(3))
        else:
            np.multiply(self.total, self._half + half, out=self._scratch)
            self._sums += self._scratch
            self._scratch *= self.total
            self._squares += self._scratch
            self.total += block
        self._half, self._longest = half, np.maximum(self._longest, count)

    def squares(self, own: Array, count: Array | float, bias: Array | float = 0.0) -> Array:
        """The sum of s_k squared in the worst of both directions, with a bias added last or first.

        Args:
            own: the sum of squares of all terms. A random bridge of m steps strays from the straight by m / 6 times
                the sum of squares of its own terms.
            count: the number of all terms.
        """
        total, half = self.total, 0.0 if self._half is None else self._half
        there, sums = self._squares + total * total * half, self._sums + total * half
        back = there - 2 * total * sums + total * total * count
        worse = np.maximum(self._with(there, sums, count, bias), self._with(back, total * count - sums, count, bias))
        worst: Array = worse + total * total / 2 + self._longest * own / 6
        return worst

    def _with(self, squares: Array, sums: Array, count: Array | float, bias: Array | float) -> Array:
        """Added last, a bias meets none of the partial sums; added first, it is part of all."""
        bound: Array = squares + np.maximum(0, bias * (2 * sums + self.total + bias * count))
        return bound


def product_bound(
    walks: list[Walk],
    total: Array,
    own: Array,
    count: Array | float,
    bias: Array | float,
    out: Array,
    r: Precision = FLOAT32,
) -> Array:
    """The bound of a sum of products and a bias: of the worst of several walks, and of the products' own rounding.

    Where the sum of the products is kept in half, it is rounded before a bias is added.

    Args:
        walks: the orders that were followed. Without them a random order is taken for the worst, and the bound is less.
        total: the sum of the products.
        own: the sum of the squares of the products.
        count: the number of the products.
    """
    squares = random_order(total, own, count)
    for walk in walks:
        squares = np.maximum(squares, walk.squares(own, count, bias))
    added = np.abs(out) * r.u if np.any(bias) else 0.0
    bound: Array = spread(squares + own, 2 * count) + np.abs(total) * r.again + added
    if r.tensor_cores:
        bound = bound + U / 4 * np.sqrt(count * squares)
    return bound + _factors_bound(walks, total, own, count, r.factors) if r.factors else bound


def _factors_bound(walks: list[Walk], total: Array, own: Array, count: Array | float, unit: float) -> Array:
    """What comes of rounding both factors of every product: each factor errs by `unit`, on its own.

    Equal factors err alike: all of them in a picture of one colour, and where numbers are cut off in place of rounded
    (then by `unit` on average); those of one channel, or of one place of the kernel, in a picture of few colours.
    """
    alike = own
    for walk in walks:
        alike = alike if walk.pieces is None else np.maximum(alike, walk.pieces)
    bound: Array = spread(own + alike, 2 * count, unit) + 2 * unit * np.abs(total)
    return bound
