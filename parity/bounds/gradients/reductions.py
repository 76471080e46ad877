"""Bounds of the gradients of sums, means, moments, extremes, softmax and what is made of them."""

from __future__ import annotations

import numpy as np

from twinzoo.parity.bounds.gradients.pointwise import Bound, Rule, of_input
from twinzoo.parity.bounds.pointwise import off as rounded
from twinzoo.parity.bounds.reductions import count_of, moments
from twinzoo.parity.bounds.sums import TINY, Array, U, sum_bound
from twinzoo.ports.reference.backward.reductions import kept
from twinzoo.ports.reference.reductions import axes_of
from twinzoo.ports.reference.rule import Attrs

Off = Array | float


def _mean(a: Attrs, g: Array, y: Array, off: Off, dx: Array, x: Array) -> Array:
    """A division by n, or a product with a rounded 1 / n."""
    return 2 * U * np.abs(dx)


def _extreme(a: Attrs, g: Array, y: Array, off: Off, dx: Array, x: Array) -> Array:
    """Of equal ones each may take anything from nothing to all."""
    axes = axes_of(a, x)
    chosen = x == kept(x, axes, y)
    several = chosen.sum(axes, keepdims=True) > 1
    return np.where(chosen & several, np.abs(kept(x, axes, g)), 0.0)


def through_maximum(x: Array, axes: tuple[int, ...]) -> Array:
    """What max + log(sum(exp(x - max))) adds to its gradient where it is differentiated as it stands; axes kept.

    Where the maximum is, that is 1 less the sum of all shares of the exponentials: 0, but for the rounding of two sums.
    """
    top = x.max(axes, keepdims=True)
    powers = np.exp(x - top)
    rest = 2 * sum_bound(powers, axes, True) / powers.sum(axes, keepdims=True) + 4 * U
    return np.where(x == top, rest, 0.0)


def _logsumexp(a: Attrs, g: Array, y: Array, off: Off, dx: Array, x: Array) -> Array:
    """g exp(x - y): the difference is rounded, and as far off as y."""
    axes = axes_of(a, x)
    depth, y_off = np.abs(x - kept(x, axes, y)), kept(x, axes, np.broadcast_to(off, y.shape))
    bound: Array = np.abs(dx) * (y_off + U * (depth + 6)) + np.abs(kept(x, axes, g)) * through_maximum(x, axes)
    return bound


def _difference_off(x: Array, axes: tuple[int, ...]) -> Array:
    """How far x - mean(x) may be off, also where its own mean is subtracted once more, as differentiating asks for."""
    mean_off = moments(x, axes)[2]
    centred = x - x.mean(axes, keepdims=True)
    off: Array = mean_off + U * np.abs(centred) + sum_bound(centred, axes, True) / count_of(x, axes)
    return off


def _var(a: Attrs, g: Array, y: Array, off: Off, dx: Array, x: Array) -> Array:
    """2 g (x - m) / (n - c)."""
    axes = axes_of(a, x)
    scale = 2 * np.abs(kept(x, axes, g)) / (count_of(x, axes) - a["correction"])
    bound: Array = scale * _difference_off(x, axes) + 3 * U * np.abs(dx)
    return bound


def _std(a: Attrs, g: Array, y: Array, off: Off, dx: Array, x: Array) -> Array:
    """g (x - m) / ((n - c) y), of which no element exceeds g / sqrt(n - c): the jump where y vanishes."""
    axes = axes_of(a, x)
    free = count_of(x, axes) - a["correction"]
    deviation, deviation_off = kept(x, axes, y), kept(x, axes, np.broadcast_to(off, y.shape))
    scale = np.abs(kept(x, axes, g)) / (free * deviation)
    off_by = scale * _difference_off(x, axes) + np.abs(dx) * (deviation_off / deviation + 4 * U)
    bound: Array = np.fmin(off_by, 2 * np.abs(kept(x, axes, g)) / np.sqrt(free))
    return bound


def _softmax(a: Attrs, g: Array, y: Array, off: Off, dx: Array, x: Array) -> Array:
    """y (g - sum(g y)), or g y - y sum(g y)."""
    axes = (a["axis"] % x.ndim,)
    dot = (g * y).sum(axes, keepdims=True)
    spoiled = (np.abs(g) * (off + U * np.abs(y))).sum(axes, keepdims=True)
    dot_off = sum_bound(g * y, axes, True) + spoiled
    roundings = U * (y * (2 * np.abs(g) + 2 * np.abs(dot)) + np.abs(dx))
    bound: Array = np.abs(g - dot) * off + y * dot_off + roundings
    return bound


def _log_softmax(a: Attrs, g: Array, y: Array, off: Off, dx: Array, x: Array) -> Array:
    """g - exp(y) sum(g)."""
    axes = (a["axis"] % x.ndim,)
    total = g.sum(axes, keepdims=True)
    shared = np.abs(total) * (off + 5 * U) + sum_bound(g, axes, True)
    bound: Array = np.exp(y) * shared + U * np.abs(dx)
    return bound


def _l2_normalize(a: Attrs, g: Array, y: Array, off: Off, dx: Array, x: Array) -> Array:
    """(g - y sum(g y)) / norm, where norm is off by half the relative error of the sum of squares and 4 u.

    Below eps it is g / eps alone; at eps it may be either.
    """
    axes = (a["axis"] % x.ndim,)
    total = (x * x).sum(axes, keepdims=True)
    squares_off = sum_bound(x * x, axes, True) / np.maximum(total, TINY) + U
    norm, norm_off = np.sqrt(total), squares_off / 2 + 4 * U
    near = np.abs(norm - a["eps"]) <= norm * norm_off + rounded(a["eps"])
    short = (norm < a["eps"]) & ~near
    divisor = np.maximum(norm, a["eps"])
    constant = np.where(short | near, rounded(a["eps"]) / max(a["eps"], TINY), 0.0)
    terms = g * x / divisor
    dot = np.abs(terms.sum(axes, keepdims=True))
    dot_off = sum_bound(terms, axes, True) + 3 * U * np.abs(terms).sum(axes, keepdims=True) + (3 * norm_off) * dot
    z = np.abs(x) / divisor
    through = np.where(short, 0.0, z * (dot_off + 4 * U * dot)) + np.where(near, z * dot, 0.0)
    bound: Array = (2 * U * np.abs(g) + through) / divisor + np.abs(dx) * (norm_off + constant + 2 * U)
    return bound


_EACH: dict[str, Bound] = {
    "sum": lambda a, g, y, off, dx, x: np.zeros(x.shape),
    "mean": _mean,
    "amax": _extreme,
    "amin": _extreme,
    "logsumexp": _logsumexp,
    "var": _var,
    "std": _std,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "l2_normalize": _l2_normalize,
}

RULES: dict[str, Rule] = {op: of_input(bound) for op, bound in _EACH.items()}
