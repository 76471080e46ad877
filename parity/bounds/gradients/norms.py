"""Bounds of the gradients of the normalisations, whether a kernel subtracts the mean first or folds it into a shift.

dx = r (h - mean(h) - (x - m) k) with h = g w, r = 1 / sqrt(v + eps) and k = r^2 mean(h (x - m)): what is left of h
may be small against h, so the absolute errors of both sums count, and those of m and v as the kernel has them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from twinzoo.parity.bounds.pointwise import off as rounded
from twinzoo.parity.bounds.reductions import count_of, moments
from twinzoo.parity.bounds.sums import Array, U, sum_bound
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


def _statistics(mean: Array, var: Array, mean_off: Array | float, var_off: Array | float, eps: float) -> _Statistics:
    return _Statistics(mean, mean_off, 1 / np.sqrt(var + eps), (var_off + rounded(eps)) / (2 * (var + eps)) + 5 * U)


def _dot_bound(h: Array, x: Array, s: _Statistics, axes: Axes) -> Array:
    """The bound of sum(h (x - m)), also where it is taken as sum(h x) - m sum(h); each h is off by u of itself."""

    def total(terms: Array) -> Array:
        return np.asarray(terms.sum(axes, keepdims=True))

    centred = h * (x - s.mean)
    direct = sum_bound(centred, axes, True) + 3 * U * total(np.abs(centred))
    shift = np.abs(s.mean) * (sum_bound(h, axes, True) + U * total(np.abs(h)) + 2 * U * np.abs(total(h)))
    folded = sum_bound(h * x, axes, True) + 2 * U * total(np.abs(h * x)) + shift
    bound: Array = np.maximum(direct, folded) + s.mean_off * np.abs(total(h))
    return bound


def _through_moments(h: Array, x: Array, s: _Statistics, axes: Axes, dx: Array) -> Array:
    count, centred = count_of(x, axes), x - s.mean
    mean = h.mean(axes, keepdims=True)
    mean_off = (sum_bound(h, axes, True) + U * np.abs(h).sum(axes, keepdims=True)) / count + 2 * U * np.abs(mean)
    k = s.gain**2 * (h * centred).mean(axes, keepdims=True)
    k_off = s.gain**2 * _dot_bound(h, x, s, axes) / count + np.abs(k) * (2 * s.gain_off + 3 * U)
    moved = mean_off + np.abs(k) * s.mean_off + np.abs(centred) * k_off
    kept = U * (2 * np.abs(h) + 2 * np.abs(mean) + 2 * np.abs(k) * (np.abs(x) + 2 * np.abs(s.mean)))
    bound: Array = s.gain * (moved + kept) + (s.gain_off + 2 * U) * np.abs(dx)
    return bound


def _by_params(p: Params, g: Array, x: Array, s: _Statistics, axes: Axes, over: Axes) -> dict[str, Array]:
    """The bounds of sum(g (x - m) r) and sum(g) over the axes `over`, where m and r are those over `axes`.

    What one m and r go with is a sum of its own, of which those are factors.
    """
    if "weight" not in p:
        return {}
    inner = tuple(axis for axis in over if axis in axes)
    outer = tuple(axis for axis in over if axis not in axes)
    centred = (g * (x - s.mean)).sum(inner, keepdims=True)
    each = s.gain * (_dot_bound(g, x, s, inner) + (s.gain_off + 2 * U) * np.abs(centred))
    total = each.sum(outer, keepdims=True)
    if outer:
        total = total + sum_bound(g * (x - s.mean) * s.gain, over, True)
    return {"weight": total.squeeze(over), "bias": sum_bound(g, over)}


def _scaled(p: Params, g: Array) -> Array:
    return g * p["weight"] if "weight" in p else g


def _over_channels(p: Params, rank: int) -> dict[str, Array]:
    return {role: per_channel(value, rank) for role, value in p.items()}


def _batch_norm(a: Attrs, p: Params, g: Array, out: Array, off: Off, pulled: Pulled, x: Array) -> Pulled:
    wide, axes = _over_channels(p, x.ndim), batch_axes(x)
    s = _statistics(wide["running_mean"], wide["running_var"], 0.0, 0.0, a["eps"])
    return Pulled(((s.gain_off + 2 * U) * np.abs(np.asarray(pulled.inputs[0])),), _by_params(p, g, x, s, axes, axes))


def _over(axes_of: Callable[[Attrs, Array], Axes]) -> Callable[..., Pulled]:
    def rule(a: Attrs, p: Params, g: Array, out: Array, off: Off, pulled: Pulled, x: Array) -> Pulled:
        axes = axes_of(a, x)
        s = _statistics(*moments(x, axes), a["eps"])
        bound = _through_moments(_scaled(_over_channels(p, x.ndim), g), x, s, axes, np.asarray(pulled.inputs[0]))
        return Pulled((bound,), _by_params(p, g, x, s, axes, batch_axes(x)))

    return rule


def _group_norm(a: Attrs, p: Params, g: Array, out: Array, off: Off, pulled: Pulled, x: Array) -> Pulled:
    shape = (x.shape[0], a["groups"], x.shape[1] // a["groups"], -1)
    wide = {role: value.reshape(1, *shape[1:3], 1) for role, value in p.items()}
    g, groups, dx = g.reshape(shape), x.reshape(shape), np.asarray(pulled.inputs[0]).reshape(shape)
    s = _statistics(*moments(groups, (2, 3)), a["eps"])
    bound = _through_moments(_scaled(wide, g), groups, s, (2, 3), dx)
    params = _by_params(p, g, groups, s, (2, 3), (0, 3))
    return Pulled((bound.reshape(x.shape),), {role: value.reshape(-1) for role, value in params.items()})


def _layer_norm(a: Attrs, p: Params, g: Array, out: Array, off: Off, pulled: Pulled, x: Array) -> Pulled:
    first = x.ndim - a["axes"]
    axes = tuple(range(first, x.ndim))
    s = _statistics(*moments(x, axes), a["eps"])
    bound = _through_moments(_scaled(p, g), x, s, axes, np.asarray(pulled.inputs[0]))
    return Pulled((bound,), _by_params(p, g, x, s, axes, tuple(range(first))))


RULES: dict[str, Callable[..., Pulled]] = {
    "batch_norm": _batch_norm,
    "instance_norm": _over(lambda a, x: (2, 3)),
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
}

TRAINING: dict[str, Callable[..., Pulled]] = {"batch_norm": _over(lambda a, x: batch_axes(x))}
"""The ops that compute something else in training mode."""
