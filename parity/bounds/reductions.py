"""Bounds of sums, means, moments, softmax and what is made of them; and of the losses."""

from __future__ import annotations

import numpy as np

from twinzoo.parity.bounds.pointwise import Rule, exact, off
from twinzoo.parity.bounds.sums import Array, U, cumsum_bound, sum_bound
from twinzoo.ports.reference.losses import ELEMENTS
from twinzoo.ports.reference.pointwise import softplus
from twinzoo.ports.reference.reductions import axes_of
from twinzoo.ports.reference.rule import Attrs, Params


def count_of(x: Array, axes: tuple[int, ...]) -> int:
    """How many elements are combined."""
    return int(np.prod([x.shape[axis] for axis in axes]))


def _sum(a: Attrs, p: Params, out: Array, x: Array) -> Array:
    return sum_bound(x, axes_of(a, x), a["keepdims"])


def _mean(a: Attrs, p: Params, out: Array, x: Array) -> Array:
    """A sum, and a product with a rounded 1 / n."""
    axes = axes_of(a, x)
    return sum_bound(x, axes, a["keepdims"]) / count_of(x, axes) + 2 * U * np.abs(out)


def moments(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array, Array, Array]:
    """Mean and biased variance, and the bound of each; axes kept.

    The mean errs by dm. In the variance each difference from the mean is rounded, squared and summed: dm itself only
    counts squared, as the differences from the exact mean add up to zero.
    """
    count = count_of(x, axes)
    mean = x.mean(axes, keepdims=True)
    mean_off = sum_bound(x, axes, True) / count + 2 * U * np.abs(mean)
    squares = (x - mean) ** 2
    var = squares.mean(axes, keepdims=True)
    var_off = sum_bound(squares, axes, True) / count + 5 * U * var + mean_off**2
    return mean, var, mean_off, var_off


def _var(a: Attrs, p: Params, out: Array, x: Array) -> Array:
    axes = axes_of(a, x)
    count = count_of(x, axes)
    var_off = moments(x, axes)[3] * count / max(1, count - a["correction"])
    bound: Array = var_off.reshape(out.shape) + U * np.abs(out)
    return bound


def _std(a: Attrs, p: Params, out: Array, x: Array) -> Array:
    """sqrt(v + dv) - sqrt(v) <= dv / sqrt(v), and <= sqrt(dv) where v vanishes."""
    moved = _var(a, p, out**2, x)
    bound: Array = np.minimum(moved / np.maximum(out, 1e-300), np.sqrt(moved)) + U * np.abs(out)
    return bound


def _exponentials(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """For exp(x - max): |x - max|, log of the sum, and the relative error of the sum; axes kept.

    x - max is rounded, so that its exponential errs by u |x - max| of itself, and by 4 u from the library.
    """
    depth = x.max(axes, keepdims=True) - x
    powers = np.exp(-depth)
    total = powers.sum(axes, keepdims=True)
    each = (powers * U * (depth + 4)).sum(axes, keepdims=True)
    return depth, np.log(total), (each + sum_bound(powers, axes, True)) / total


def _logsumexp(a: Attrs, p: Params, out: Array, x: Array) -> Array:
    _, log_total, relative = _exponentials(x, axes_of(a, x))
    bound: Array = (relative + 4 * U * log_total).reshape(out.shape) + U * np.abs(out)
    return bound


def _softmax(a: Attrs, p: Params, out: Array, x: Array) -> Array:
    depth, _, relative = _exponentials(x, (a["axis"] % x.ndim,))
    bound: Array = np.abs(out) * (U * (depth + 4) + relative + 2 * U)
    return bound


def _log_softmax_bound(x: Array, axis: int, out: Array) -> Array:
    """(x - max) - log(sum), or x - (max + log(sum)): each difference and each sum is rounded."""
    depth, log_total, relative = _exponentials(x, (axis % x.ndim,))
    outer = np.minimum(np.abs(x), depth) + np.abs(x.max(axis, keepdims=True) + log_total)
    bound: Array = relative + U * (5 * log_total + outer + np.abs(out))
    return bound


def _l2_normalize(a: Attrs, p: Params, out: Array, x: Array) -> Array:
    """Half the relative error of the sum of squares; a root, a division, and the constant eps."""
    axes = (a["axis"] % x.ndim,)
    total = (x * x).sum(axes, keepdims=True)
    relative = sum_bound(x * x, axes, True) / np.maximum(total, 1e-300) + U
    short = np.sqrt(total) <= a["eps"] * (1 + 4 * U)
    bound: Array = np.abs(out) * (relative / 2 + 4 * U + short * (off(a["eps"]) / max(a["eps"], 1e-300)))
    return bound


def _bce(x: Array, t: Array, each: Array) -> Array:
    """A product with the target, sums as large as x, and a softplus."""
    larger = np.maximum(1, np.maximum(np.abs(t), np.abs(1 - t)))
    bound: Array = U * (3 * np.abs(x) * larger + 9 * softplus(-np.abs(x)) + 2 * np.abs(each))
    return bound


def _smooth_l1(a: Attrs, x: Array, t: Array, each: Array) -> Array:
    distance, beta = np.abs(x - t), a["beta"]
    bound: Array = 6 * U * each + np.where(distance < beta, 0.0, U * (distance + beta))
    return bound


def _elements(op: str, a: Attrs, x: Array, t: Array) -> tuple[Array, Array]:
    """The distances, and the bound of each."""
    each = ELEMENTS[op](a, x, t)
    if op == "cross_entropy":
        labels = t[:, None]
        spoiled = _log_softmax_bound(x, 1, np.take_along_axis(x, labels, 1) * 0 - each[:, None])
        return each, np.take_along_axis(spoiled, labels, 1)[:, 0]
    if op == "bce_with_logits":
        return each, _bce(x, t, each)
    if op == "smooth_l1_loss":
        return each, _smooth_l1(a, x, t, each)
    return each, {"l1_loss": 1, "mse_loss": 3}[op] * U * each


def _loss(op: str) -> Rule:
    def rule(a: Attrs, p: Params, out: Array, x: Array, t: Array) -> Array:
        each, spoiled = _elements(op, a, x, t)
        if a["reduction"] == "none":
            return spoiled
        total = np.sum(spoiled) + sum_bound(each, tuple(range(each.ndim)))
        bound: Array = total if a["reduction"] == "sum" else total / each.size + 2 * U * np.abs(out)
        return bound

    return rule


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
    "log_softmax": lambda a, p, out, x: _log_softmax_bound(x, a["axis"], out),
    "cumsum": lambda a, p, out, x: cumsum_bound(x, a["axis"]),
    "l2_normalize": _l2_normalize,
    **{op: _loss(op) for op in ELEMENTS},
}
