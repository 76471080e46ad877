"""Bounds of sums, means, moments, softmax and what is made of them; and of the losses."""

from __future__ import annotations

import numpy as np

from twinzoo.parity.bounds.pointwise import Rule, exact
from twinzoo.parity.bounds.precision import FLOAT32, Precision
from twinzoo.parity.bounds.sums import Array, cumsum_bound, sum_bound
from twinzoo.ports.reference.losses import ELEMENTS
from twinzoo.ports.reference.pointwise import softplus
from twinzoo.ports.reference.reductions import axes_of
from twinzoo.ports.reference.rule import Attrs, Params


def count_of(x: Array, axes: tuple[int, ...]) -> int:
    """How many elements are combined."""
    return int(np.prod([x.shape[axis] for axis in axes]))


def _sum(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    return sum_bound(x, axes_of(a, x), a["keepdims"])


def _mean(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    """A sum, and a product with a rounded 1 / n."""
    axes = axes_of(a, x)
    return sum_bound(x, axes, a["keepdims"]) / count_of(x, axes) + 2 * r.u * np.abs(out)


def moments(x: Array, axes: tuple[int, ...], r: Precision = FLOAT32) -> tuple[Array, Array, Array, Array]:
    """Mean and biased variance, and the bound of each; axes kept.

    The mean errs by dm. In the variance each difference from the mean is rounded, squared and summed: dm itself only
    counts squared, as the differences from the exact mean add up to zero.
    """
    count = count_of(x, axes)
    mean = x.mean(axes, keepdims=True)
    mean_off = sum_bound(x, axes, True) / count + 2 * r.u * np.abs(mean) + r.kept.least
    squares = (x - mean) ** 2
    var = squares.mean(axes, keepdims=True)
    var_off = sum_bound(squares, axes, True) / count + 5 * r.u * var + mean_off**2 + r.kept.least
    return mean, var, mean_off, var_off


def _var(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    axes = axes_of(a, x)
    count = count_of(x, axes)
    var_off = moments(x, axes, r)[3] * count / max(1, count - a["correction"])
    bound: Array = var_off.reshape(out.shape) + r.u * np.abs(out)
    return bound


def _std(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    """sqrt(v + dv) - sqrt(v) <= dv / sqrt(v), and <= sqrt(dv) where v vanishes."""
    moved = _var(a, p, out**2, x, r)
    bound: Array = np.minimum(moved / np.maximum(out, 1e-300), np.sqrt(moved)) + r.u * np.abs(out)
    return bound


def _exponentials(x: Array, axes: tuple[int, ...], r: Precision) -> tuple[Array, Array, Array]:
    """For exp(x - max): |x - max|, log of the sum, and the relative error of the sum; axes kept.

    x - max is rounded, so that its exponential errs by u |x - max| of itself, and by 4 u from the library.
    """
    depth = x.max(axes, keepdims=True) - x
    powers = np.exp(-depth)
    total = powers.sum(axes, keepdims=True)
    each = (powers * (r.u * depth + r.library(4)) + r.kept.least).sum(axes, keepdims=True)
    return depth, np.log(total), (each + sum_bound(powers, axes, True)) / total + r.again


def _logsumexp(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    _, log_total, relative = _exponentials(x, axes_of(a, x), r)
    bound: Array = (relative + r.library(4) * log_total).reshape(out.shape) + r.u * np.abs(out)
    return bound


def _softmax(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    depth, _, relative = _exponentials(x, (a["axis"] % x.ndim,), r)
    bound: Array = np.abs(out) * (r.u * depth + r.library(4) + relative + 2 * r.u) + r.kept.least
    return bound


def _log_softmax_bound(x: Array, axis: int, out: Array, r: Precision) -> Array:
    """(x - max) - log(sum), or x - (max + log(sum)): each difference and each sum is rounded."""
    depth, log_total, relative = _exponentials(x, (axis % x.ndim,), r)
    outer = np.minimum(np.abs(x), depth) + np.abs(x.max(axis, keepdims=True) + log_total)
    bound: Array = relative + (r.library(4) + r.u) * log_total + r.u * (outer + np.abs(out))
    return bound


def _log_softmax(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    return _log_softmax_bound(x, a["axis"], out, r)


def _cumsum(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    return cumsum_bound(x, a["axis"], r.u)


def _l2_normalize(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    """Half the relative error of the sum of squares; a root, a division, and the constant eps."""
    axes = (a["axis"] % x.ndim,)
    total = (x * x).sum(axes, keepdims=True)
    relative = sum_bound(x * x, axes, True) / np.maximum(total, 1e-300) + r.u + r.again
    short = np.sqrt(total) <= a["eps"] * (1 + 4 * r.u)
    bound: Array = np.abs(out) * (relative / 2 + 4 * r.u + short * (r.kept.off(a["eps"]) / max(a["eps"], 1e-300)))
    return bound


def _bce(x: Array, t: Array, each: Array, r: Precision) -> Array:
    """A product with the target, sums as large as x, and a softplus, of which 1 + exp is rounded where it is kept."""
    larger = np.maximum(1, np.maximum(np.abs(t), np.abs(1 - t)))
    bound: Array = r.u * (3 * np.abs(x) * larger + 9 * softplus(-np.abs(x)) + 2 * np.abs(each)) + r.again
    return bound


def _smooth_l1(a: Attrs, x: Array, t: Array, each: Array, r: Precision) -> Array:
    distance, beta = np.abs(x - t), a["beta"]
    bound: Array = 6 * r.u * each + np.where(distance < beta, 0.0, r.u * (distance + beta))
    return bound


def _elements(op: str, a: Attrs, x: Array, t: Array, r: Precision) -> tuple[Array, Array]:
    """The distances, and the bound of each."""
    each = ELEMENTS[op](a, x, t)
    if op == "cross_entropy":
        labels = t[:, None]
        spoiled = _log_softmax_bound(x, 1, np.take_along_axis(x, labels, 1) * 0 - each[:, None], r)
        return each, np.take_along_axis(spoiled, labels, 1)[:, 0]
    if op == "bce_with_logits":
        return each, _bce(x, t, each, r)
    if op == "smooth_l1_loss":
        return each, _smooth_l1(a, x, t, each, r)
    return each, {"l1_loss": 1, "mse_loss": 3}[op] * r.u * each


def _loss(op: str) -> Rule:
    def rule(a: Attrs, p: Params, out: Array, x: Array, t: Array, r: Precision = FLOAT32) -> Array:
        each, spoiled = _elements(op, a, x, t, r)
        if a["reduction"] == "none":
            return spoiled
        total = np.sum(spoiled) + sum_bound(each, tuple(range(each.ndim)))
        bound: Array = total if a["reduction"] == "sum" else total / each.size + 2 * r.u * np.abs(out)
        return bound

    return rule


def tied_places(a: Attrs, x: Array, values: Array, indices: Array) -> Array:
    """How far the equals of each of the top-k values lie from its index: of equals a kernel may name any."""
    axis = a["axis"] % x.ndim
    places = np.arange(x.shape[axis]).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    furthest = []
    for value, index in zip(*(np.split(part, a["k"], axis) for part in (values, indices)), strict=True):
        furthest.append(np.max(np.abs(places - index) * (x == value), axis, keepdims=True))
    apart: Array = np.concatenate(furthest, axis).astype(np.float64)
    return apart


RULES: dict[str, Rule] = {
    "sum": _sum,
    "mean": _mean,
    "amax": exact,
    "amin": exact,
    "topk": exact,
    "var": _var,
    "std": _std,
    "logsumexp": _logsumexp,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "cumsum": _cumsum,
    "l2_normalize": _l2_normalize,
    **{op: _loss(op) for op in ELEMENTS},
}
