"""Bounds of the gradients of sums, means, moments, extremes, softmax and what is made of them."""

from __future__ import annotations

import numpy as np

from twinzoo.parity.bounds.gradients.pointwise import Bound, Rule, of_input
from twinzoo.parity.bounds.precision import Precision
from twinzoo.parity.bounds.reductions import count_of, moments
from twinzoo.parity.bounds.sums import TINY, Array, sum_bound
from twinzoo.ports.reference.backward.reductions import kept
from twinzoo.ports.reference.reductions import axes_of
from twinzoo.ports.reference.rule import Attrs

Off = Array | float


def _mean(a: Attrs, g: Array, y: Array, off: Off, dx: Array, x: Array, r: Precision) -> Array:
    """A division by n, or a product with a rounded 1 / n."""
    return 2 * r.u * np.abs(dx)


def _extreme(a: Attrs, g: Array, y: Array, off: Off, dx: Array, x: Array, r: Precision) -> Array:
    """Of equal ones each may take anything from nothing to all."""
    axes = axes_of(a, x)
    chosen = x == kept(x, axes, y)
    several = chosen.sum(axes, keepdims=True) > 1
    return np.where(chosen & several, np.abs(kept(x, axes, g)), 0.0)


def through_maximum(x: Array, axes: tuple[int, ...], r: Precision) -> Array:
    """What max + log(sum(exp(x - max))) adds to its gradient where it is differentiated as it stands; axes kept.

    Where the maximum is, that is 1 less the sum of all shares of the exponentials: 0, but for the rounding of two sums.
    """
    top = x.max(axes, keepdims=True)
    powers = np.exp(x - top)
    rest = 2 * sum_bound(powers, axes, True) / powers.sum(axes, keepdims=True) + 4 * r.u
    return np.where(x == top, rest, 0.0)


def _logsumexp(a: Attrs, g: Array, y: Array, off: Off, dx: Array, x: Array, r: Precision) -> Array:
    """g exp(x - y): the difference is rounded, and as far off as y."""
    axes = axes_of(a, x)
    depth, y_off = np.abs(x - kept(x, axes, y)), kept(x, axes, np.broadcast_to(off, y.shape))
    bound: Array = np.abs(dx) * (y_off + r.u * (depth + 6)) + np.abs(kept(x, axes, g)) * through_maximum(x, axes, r)
    return bound


def _difference_off(x: Array, axes: tuple[int, ...], r: Precision) -> Array:
    """How far x - mean(x) may be off, also where its own mean is subtracted once more, as differentiating asks for."""
    mean_off = moments(x, axes, r)[2]
    centred = x - x.mean(axes, keepdims=True)
    again = sum_bound(centred, axes, True) / count_of(x, axes) + r.again * np.abs(centred).mean(axes, keepdims=True)
    off: Array = mean_off + r.u * np.abs(centred) + again
    return off


def _var(a: Attrs, g: Array, y: Array, off: Off, dx: Array, x: Array, r: Precision) -> Array:
    """2 g (x - m) / (n - c)."""
    axes = axes_of(a, x)
    scale = 2 * np.abs(kept(x, axes, g)) / (count_of(x, axes) - a["correction"])
    bound: Array = scale * _difference_off(x, axes, r) + 3 * r.u * np.abs(dx)
    return bound


def _std(a: Attrs, g: Array, y: Array, off: Off, dx: Array, x: Array, r: Precision) -> Array:
    """g (x - m) / ((n - c) y), of which no element exceeds g / sqrt(n - c): the jump where y vanishes."""
    axes = axes_of(a, x)
    free = count_of(x, axes) - a["correction"]
    deviation, deviation_off = kept(x, axes, y), kept(x, axes, np.broadcast_to(off, y.shape))
    scale = np.abs(kept(x, axes, g)) / (free * deviation)
    off_by = scale * _difference_off(x, axes, r) + np.abs(dx) * (deviation_off / deviation + 4 * r.u)
    bound: Array = np.fmin(off_by, 2 * np.abs(kept(x, axes, g)) / np.sqrt(free))
    return bound


def _softmax(a: Attrs, g: Array, y: Array, off: Off, dx: Array, x: Array, r: Precision) -> Array:
    """y (g - sum(g y)), or g y - y sum(g y)."""
    axes = (a["axis"] % x.ndim,)
    dot = (g * y).sum(axes, keepdims=True)
    spoiled = (np.abs(g) * (off + r.u * np.abs(y))).sum(axes, keepdims=True)
    dot_off = sum_bound(g * y, axes, True) + spoiled
    roundings = r.u * (y * (2 * np.abs(g) + 2 * np.abs(dot)) + np.abs(dx))
    bound: Array = np.abs(g - dot) * off + y * dot_off + roundings
    return bound


def _log_softmax(a: Attrs, g: Array, y: Array, off: Off, dx: Array, x: Array, r: Precision) -> Array:
    """g - exp(y) sum(g)."""
    axes = (a["axis"] % x.ndim,)
    total = g.sum(axes, keepdims=True)
    shared = np.abs(total) * (off + 5 * r.u) + sum_bound(g, axes, True)
    bound: Array = np.exp(y) * shared + r.u * np.abs(dx)
    return bound


def _l2_normalize(a: Attrs, g: Array, y: Array, off: Off, dx: Array, x: Array, r: Precision) -> Array:
    """(g - y sum(g y)) / norm, where norm is off by half the relative error of the sum of squares and 4 u.

    Below eps it is g / eps alone; at eps it may be either.
    """
    axes = (a["axis"] % x.ndim,)
    total = (x * x).sum(axes, keepdims=True)
    squares_off = sum_bound(x * x, axes, True) / np.maximum(total, TINY) + r.u
    norm, norm_off = np.sqrt(total), squares_off / 2 + 4 * r.u
    near = np.abs(norm - a["eps"]) <= norm * norm_off + r.kept.off(a["eps"])
    short = (norm < a["eps"]) & ~near
    divisor = np.maximum(norm, a["eps"])
    constant = np.where(short | near, r.kept.off(a["eps"]) / max(a["eps"], TINY), 0.0)
    terms = g * x / divisor
    dot = np.abs(terms.sum(axes, keepdims=True))
    dot_off = sum_bound(terms, axes, True) + 3 * r.u * np.abs(terms).sum(axes, keepdims=True) + (3 * norm_off) * dot
    z = np.abs(x) / divisor
    through = np.where(short, 0.0, z * (dot_off + 4 * r.u * dot)) + np.where(near, z * dot, 0.0)
    bound: Array = (2 * r.u * np.abs(g) + through) / divisor + np.abs(dx) * (norm_off + constant + 2 * r.u)
    return bound


_EACH: dict[str, Bound] = {
    "sum": lambda a, g, y, off, dx, x, r: np.zeros(x.shape),
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
