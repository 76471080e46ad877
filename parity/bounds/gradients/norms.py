"""Bounds of the gradients of the normalisations, whether a kernel subtracts the mean first or folds it into a shift.

dx = r (h - mean(h) - (x - m) k) with h = g w, r = 1 / sqrt(v + eps) and k = r^2 mean(h (x - m)): what is left of h
may be small against h, so the absolute errors of both sums count, and those of m and v as the kernel has them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from twinzoo.parity.bounds.precision import Precision
from twinzoo.parity.bounds.reductions import count_of, moments
from twinzoo.parity.bounds.sums import Array, U, spread, sum_bound
from twinzoo.ports.reference.backward.rule import Pulled
from twinzoo.ports.reference.layers import batch_axes, per_channel
from twinzoo.ports.reference.rule import Attrs, Params

Axes = tuple[int, ...]
Off = Array | float


class _Statistics(NamedTuple):
    """What x is normalised by, and how far a kernel's own may be off; axes kept.

    Attributes:
        mean, mean_off: m and dm.
        gain, gain_off: r and dr / r: half the relative error of v + eps, and 5 roundings.
    """

    mean: Array
    mean_off: Array | float
    gain: Array
    gain_off: Array | float


def _statistics(
    mean: Array, var: Array, mean_off: Array | float, var_off: Array | float, eps: float, r: Precision
) -> _Statistics:
    gain_off = (var_off + r.kept.off(eps)) / (2 * (var + eps)) + 5 * r.u
    return _Statistics(mean, mean_off, 1 / np.sqrt(var + eps), gain_off)


def _dot_bound(h: Array, x: Array, s: _Statistics, axes: Axes, r: Precision) -> Array:
    """The bound of sum(h (x - m)), also where it is taken as sum(h x) - m sum(h); each h is off by u of itself.

    Half kernels that keep more than m and r take the first form, and round each difference and each product.
    """

    def total(terms: Array) -> Array:
        return np.asarray(terms.sum(axes, keepdims=True))

    centred = h * (x - s.mean)
    direct = sum_bound(centred, axes, True, r.summed.unit) + 3 * U * total(np.abs(centred))
    alike = 2 * r.again * np.abs(total(centred))
    count = 2.0 * count_of(x, axes)
    direct = (
        direct + alike + spread(2 * total(centred**2), count, r.again) + spread(np.asarray(count), count, r.kept.least)
    )
    shift = np.abs(s.mean) * (sum_bound(h, axes, True, r.summed.unit) + U * (total(np.abs(h)) + 2 * np.abs(total(h))))
    folded = sum_bound(h * x, axes, True, r.summed.unit) + 2 * U * total(np.abs(h * x)) + shift
    bound: Array = np.maximum(direct, folded) + s.mean_off * np.abs(total(h))
    return bound


def _through_moments(h: Array, x: Array, s: _Statistics, axes: Axes, dx: Array, r: Precision) -> Array:
    count, centred = count_of(x, axes), x - s.mean
    mean = h.mean(axes, keepdims=True)
    summed = sum_bound(h, axes, True, r.summed.unit) + U * np.abs(h).sum(axes, keepdims=True)
    mean_off = summed / count + 2 * r.u * np.abs(mean) + r.kept.least
    k = s.gain**2 * (h * centred).mean(axes, keepdims=True)
    k_off = s.gain**2 * _dot_bound(h, x, s, axes, r) / count + np.abs(k) * (2 * s.gain_off + 3 * r.u) + r.kept.least
    moved = mean_off + np.abs(k) * s.mean_off + np.abs(centred) * k_off
    kept = 2 * r.kept.least + r.u * (
        2 * np.abs(h) + 2 * np.abs(mean) + 2 * np.abs(k) * (np.abs(x) + 2 * np.abs(s.mean))
    )
    bound: Array = s.gain * (moved + kept) + (s.gain_off + 2 * r.u) * np.abs(dx)
    return bound


def _by_params(p: Params, g: Array, x: Array, s: _Statistics, axes: Axes, over: Axes, r: Precision) -> dict[str, Array]:
    """The bounds of sum(g (x - m) r) and sum(g) over the axes `over`, where m and r are those over `axes`.

    What one m and r go with is a sum of its own, of which those are factors.
    """
    if "weight" not in p:
        return {}
    inner = tuple(axis for axis in over if axis in axes)
    outer = tuple(axis for axis in over if axis not in axes)
    centred = (g * (x - s.mean)).sum(inner, keepdims=True)
    each = s.gain * (_dot_bound(g, x, s, inner, r) + (s.gain_off + 2 * U) * np.abs(centred))
    total = each.sum(outer, keepdims=True)
    if outer:
        total = total + sum_bound(g * (x - s.mean) * s.gain, over, True, r.summed.unit)
    bias = sum_bound(g, over, True, r.summed.unit) + r.again * np.abs(g.sum(over, keepdims=True))
    if inner and outer:
        bias = bias + r.again * np.abs(g.sum(inner, keepdims=True)).sum(outer, keepdims=True)
    return {"weight": total.squeeze(over), "bias": bias.squeeze(over)}


def _scaled(p: Params, g: Array) -> Array:
    return g * p["weight"] if "weight" in p else g


def _over_channels(p: Params, rank: int) -> dict[str, Array]:
    return {role: per_channel(value, rank) for role, value in p.items()}


def _batch_norm(a: Attrs, p: Params, g: Array, out: Array, off: Off, pulled: Pulled, x: Array, r: Precision) -> Pulled:
    wide, axes = _over_channels(p, x.ndim), batch_axes(x)
    s = _statistics(wide["running_mean"], wide["running_var"], 0.0, 0.0, a["eps"], r)
    weight = np.abs(wide.get("weight", np.ones(())))
    faded = r.kept.least * (1 + weight + s.gain)  # before or after each of two factors
    by_input = (s.gain_off + 2 * r.u) * np.abs(np.asarray(pulled.inputs[0])) + faded
    return Pulled((by_input,), _by_params(p, g, x, s, axes, axes, r))


def _over(axes_of: Callable[[Attrs, Array], Axes]) -> Callable[..., Pulled]:
    def rule(a: Attrs, p: Params, g: Array, out: Array, off: Off, pulled: Pulled, x: Array, r: Precision) -> Pulled:
        axes = axes_of(a, x)
        s = _statistics(*moments(x, axes, r), a["eps"], r)
        bound = _through_moments(_scaled(_over_channels(p, x.ndim), g), x, s, axes, np.asarray(pulled.inputs[0]), r)
        return Pulled((bound,), _by_params(p, g, x, s, axes, batch_axes(x), r))

    return rule


def _group_norm(a: Attrs, p: Params, g: Array, out: Array, off: Off, pulled: Pulled, x: Array, r: Precision) -> Pulled:
    shape = (x.shape[0], a["groups"], x.shape[1] // a["groups"], -1)
    wide = {role: value.reshape(1, *shape[1:3], 1) for role, value in p.items()}
    g, groups, dx = g.reshape(shape), x.reshape(shape), np.asarray(pulled.inputs[0]).reshape(shape)
    s = _statistics(*moments(groups, (2, 3), r), a["eps"], r)
    bound = _through_moments(_scaled(wide, g), groups, s, (2, 3), dx, r)
    params = _by_params(p, g, groups, s, (2, 3), (0, 3), r)
    return Pulled((bound.reshape(x.shape),), {role: value.reshape(-1) for role, value in params.items()})


def _layer_norm(a: Attrs, p: Params, g: Array, out: Array, off: Off, pulled: Pulled, x: Array, r: Precision) -> Pulled:
    first = x.ndim - a["axes"]
    axes = tuple(range(first, x.ndim))
    s = _statistics(*moments(x, axes, r), a["eps"], r)
    bound = _through_moments(_scaled(p, g), x, s, axes, np.asarray(pulled.inputs[0]), r)
    return Pulled((bound,), _by_params(p, g, x, s, axes, tuple(range(first)), r))


RULES: dict[str, Callable[..., Pulled]] = {
    "batch_norm": _batch_norm,
    "instance_norm": _over(lambda a, x: (2, 3)),
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
}

TRAINING: dict[str, Callable[..., Pulled]] = {"batch_norm": _over(lambda a, x: batch_axes(x))}
"""The ops that compute something else in training mode."""
