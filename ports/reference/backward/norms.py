"""Gradients of the normalisations, through the mean and the variance where those are of the input itself."""

from __future__ import annotations

import numpy as np

from twinzoo.ports.reference.backward.rule import Pulled, Rule
from twinzoo.ports.reference.layers import batch_axes, per_channel
from twinzoo.ports.reference.rule import Array, Attrs, Params


def _through_moments(h: Array, x: Array, axes: tuple[int, ...], eps: float) -> tuple[Array, Array]:
    """The gradient by x of sum(h * z) for z = (x - mean) / sqrt(var + eps), and z.

    dx = (h - mean(h) - z mean(h z)) / sqrt(var + eps): Ioffe and Szegedy 2015, "Batch Normalization", section 3.
    """
    centred = x - x.mean(axes, keepdims=True)
    deviation = np.sqrt((centred * centred).mean(axes, keepdims=True) + eps)
    z = centred / deviation
    dx: Array = (h - h.mean(axes, keepdims=True) - z * (h * z).mean(axes, keepdims=True)) / deviation
    return dx, z


def _by_params(p: Params, g: Array, z: Array, over: tuple[int, ...]) -> dict[str, Array]:
    return {"weight": (g * z).sum(over), "bias": g.sum(over)} if "weight" in p else {}


def _over_channels(p: Params, rank: int) -> Array:
    return per_channel(p["weight"], rank) if "weight" in p else np.ones(())


def _batch_norm(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    mean, var = per_channel(p["running_mean"], x.ndim), per_channel(p["running_var"], x.ndim)
    deviation = np.sqrt(var + a["eps"])
    params = _by_params(p, g, (x - mean) / deviation, batch_axes(x))
    return Pulled((g * _over_channels(p, x.ndim) / deviation,), params)


def _batch_norm_train(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    dx, z = _through_moments(g * _over_channels(p, x.ndim), x, batch_axes(x), a["eps"])
    return Pulled((dx,), _by_params(p, g, z, batch_axes(x)))


def _instance_norm(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    dx, z = _through_moments(g * _over_channels(p, x.ndim), x, (2, 3), a["eps"])
    return Pulled((dx,), _by_params(p, g, z, batch_axes(x)))


def _group_norm(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    grouped = (x.shape[0], a["groups"], -1)
    h = (g * _over_channels(p, x.ndim)).reshape(grouped)
    dx, z = _through_moments(h, x.reshape(grouped), (2,), a["eps"])
    return Pulled((dx.reshape(x.shape),), _by_params(p, g, z.reshape(x.shape), batch_axes(x)))


def _layer_norm(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    first = x.ndim - a["axes"]
    dx, z = _through_moments(g * p.get("weight", np.ones(())), x, tuple(range(first, x.ndim)), a["eps"])
    return Pulled((dx,), _by_params(p, g, z, tuple(range(first))))


RULES: dict[str, Rule] = {
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
}

TRAINING: dict[str, Rule] = {"batch_norm": _batch_norm_train}
"""The ops that compute something else in training mode."""
