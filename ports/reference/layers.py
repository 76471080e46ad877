"""Layers with parameters, and dropout, in float64."""

from __future__ import annotations

import numpy as np

from twinzoo.ports.reference.convolution import convolve, convolve_transposed
from twinzoo.ports.reference.rule import Array, Attrs, Params, Rule
from twinzoo.zoo.spectral import PLAIN, normalised


def per_channel(values: Array, rank: int) -> Array:
    """(C,) shaped to be combined with (N, C, ...)."""
    return values.reshape(-1, *(1,) * (rank - 2))


def _biased(y: Array, p: Params) -> Array:
    return y + per_channel(p["bias"], y.ndim) if "bias" in p else y


def _conv1d(a: Attrs, p: Params, x: Array) -> Array:
    y = convolve(
        x[:, :, None], p["weight"][:, :, None], (1, a["stride"]), (0, a["padding"]), (1, a["dilation"]), a["groups"]
    )
    return _biased(y[:, :, 0], p)


def _conv2d(a: Attrs, p: Params, x: Array) -> Array:
    return _biased(convolve(x, p["weight"], a["stride"], a["padding"], a["dilation"], a["groups"]), p)


def _conv_transpose2d(a: Attrs, p: Params, x: Array) -> Array:
    y = convolve_transposed(x, p["weight"], a["stride"], a["padding"], a["dilation"], a["groups"], a["output_padding"])
    return _biased(y, p)


def _linear(a: Attrs, p: Params, x: Array) -> Array:
    y = x @ p["weight"].T
    return y + p["bias"] if "bias" in p else y


def _embedding(a: Attrs, p: Params, indices: Array) -> Array:
    return p["weight"][indices]


def _batch_norm(a: Attrs, p: Params, x: Array) -> Array:
    mean, var = per_channel(p["running_mean"], x.ndim), per_channel(p["running_var"], x.ndim)
    y = (x - mean) / np.sqrt(var + a["eps"])
    return _biased(y * per_channel(p["weight"], x.ndim), p) if "weight" in p else y


def batch_axes(x: Array) -> tuple[int, ...]:
    """The axes of x (N, C, ...) that batch normalisation averages over."""
    return (0, *range(2, x.ndim))


def batch_statistics(x: Array) -> dict[str, Array]:
    """Mean and biased variance of each channel of x (N, C, ...), under the roles they take the place of."""
    return {"running_mean": x.mean(batch_axes(x)), "running_var": x.var(batch_axes(x))}


def moved_statistics(a: Attrs, p: Params, x: Array) -> dict[str, Array]:
    """running = (1 - momentum) running + momentum batch, with the unbiased batch variance."""
    count = x.size // x.shape[1]
    batch = batch_statistics(x)
    batch["running_var"] = batch["running_var"] * count / (count - 1)
    return {role: (1 - a["momentum"]) * p[role] + a["momentum"] * value for role, value in batch.items()}


def _standardized(x: Array, axes: tuple[int, ...], eps: float) -> Array:
    centred = x - x.mean(axes, keepdims=True)
    y: Array = centred / np.sqrt((centred * centred).mean(axes, keepdims=True) + eps)
    return y


def _instance_norm(a: Attrs, p: Params, x: Array) -> Array:
    y = _standardized(x, (2, 3), a["eps"])
    return _biased(y * per_channel(p["weight"], x.ndim), p) if "weight" in p else y


def _group_norm(a: Attrs, p: Params, x: Array) -> Array:
    groups = x.reshape(x.shape[0], a["groups"], -1)
    y = _standardized(groups, (2,), a["eps"]).reshape(x.shape)
    return _biased(y * per_channel(p["weight"], x.ndim), p) if "weight" in p else y


def _layer_norm(a: Attrs, p: Params, x: Array) -> Array:
    y = _standardized(x, tuple(range(x.ndim - a["axes"], x.ndim)), a["eps"])
    return y * p["weight"] + p["bias"] if "weight" in p else y


def _prelu(a: Attrs, p: Params, x: Array) -> Array:
    y: Array = np.maximum(x, 0) + per_channel(p["weight"], x.ndim) * np.minimum(x, 0)
    return y


def _dropout(a: Attrs, p: Params, x: Array) -> Array:
    if "mask" not in p:
        return x
    return x * p["mask"] / (1 - a["p"]) if a["p"] < 1 else np.zeros_like(x)


RULES: dict[str, Rule] = {
    "conv1d": _conv1d,
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "linear": _linear,
    "embedding": _embedding,
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
    "prelu": _prelu,
    "learned_scale": lambda a, p, x: p["weight"] * x,
    "dropout": _dropout,
}


def _spectral(op: str) -> Rule:
    plain = RULES[PLAIN[op]]
    return lambda a, p, x: plain(a, normalised(op, p), x)


RULES |= {op: _spectral(op) for op in PLAIN}
