"""Bounds of the normalisations, whether a port subtracts the mean first or folds it into a shift."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from twinzoo.parity.bounds.precision import FLOAT32, Precision
from twinzoo.parity.bounds.reductions import moments
from twinzoo.parity.bounds.sums import Array
from twinzoo.ports.reference.layers import batch_axes, per_channel
from twinzoo.ports.reference.rule import Attrs, Params


def _normalised(
    out: Array,
    x: Array,
    statistics: tuple[Array, Array, Array | float, Array | float],
    a: Attrs,
    p: Params,
    r: Precision,
) -> Array:
    """y = (x - m) g + b = x g + (b - m g), where g = w / sqrt(v + eps), to first order.

    g errs by half the relative error of v + eps and by 5 roundings; the folded form adds the rounding of x g, m g and
    the shift, which are larger than the output where they cancel.
    """
    mean, var, mean_off, var_off = statistics
    weight, bias = p.get("weight", np.ones(())), p.get("bias", np.zeros(()))
    gain = np.abs(weight) / np.sqrt(var + a["eps"])
    relative = (var_off + r.kept.off(a["eps"])) / (2 * (var + a["eps"])) + 5 * r.u
    folded = gain * (np.abs(x) + np.abs(mean)) + np.abs(bias - mean * weight / np.sqrt(var + a["eps"]))
    bound: Array = gain * (mean_off + np.abs(x - mean) * relative) + r.u * (folded + np.abs(out))
    return bound


def _over_channels(p: Params, rank: int) -> dict[str, Array]:
    return {role: per_channel(value, rank) for role, value in p.items()}


def _batch_norm(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    wide = _over_channels(p, x.ndim)
    return _normalised(out, x, (wide["running_mean"], wide["running_var"], 0.0, 0.0), a, wide, r)


def _batch_norm_train(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    return _normalised(out, x, moments(x, batch_axes(x), r), a, _over_channels(p, x.ndim), r)


def _instance_norm(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    return _normalised(out, x, moments(x, (2, 3), r), a, _over_channels(p, x.ndim), r)


def _group_norm(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    groups = x.reshape(x.shape[0], a["groups"], x.shape[1] // a["groups"], -1)
    wide = {role: value.reshape(groups.shape[1], groups.shape[2], 1) for role, value in p.items()}
    return _normalised(out.reshape(groups.shape), groups, moments(groups, (2, 3), r), a, wide, r).reshape(x.shape)


def _layer_norm(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    return _normalised(out, x, moments(x, tuple(range(x.ndim - a["axes"], x.ndim)), r), a, p, r)


RULES: dict[str, Callable[..., Array]] = {
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
}

TRAINING: dict[str, Callable[..., Array]] = {"batch_norm": _batch_norm_train}
"""The ops that compute something else in training mode."""
