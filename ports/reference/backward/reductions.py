"""Gradients of ops that combine elements along axes.

As in PyTorch equal largest (or smallest) elements share evenly, and a standard deviation of 0 passes nothing.
"""

from __future__ import annotations

import numpy as np

from twinzoo.ports.reference.backward.rule import Pulled, Rule
from twinzoo.ports.reference.reductions import axes_of, softmax
from twinzoo.ports.reference.rule import Array, Attrs, Params


def kept(x: Array, axes: tuple[int, ...], reduced: Array) -> Array:
    """What was reduced from x over axes, with those axes of size 1."""
    return reduced.reshape([1 if axis in axes else size for axis, size in enumerate(x.shape)])


def _sum(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    return Pulled((np.broadcast_to(kept(x, axes_of(a, x), g), x.shape),), {})


def _mean(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    return Pulled((np.broadcast_to(kept(x, axes_of(a, x), g) * (g.size / x.size), x.shape),), {})


def _extreme(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    axes = axes_of(a, x)
    chosen = x == kept(x, axes, y)
    return Pulled((kept(x, axes, g) * chosen / chosen.sum(axes, keepdims=True),), {})


def _logsumexp(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    axes = axes_of(a, x)
    powers = np.exp(x - x.max(axes, keepdims=True))
    return Pulled((kept(x, axes, g) * powers / powers.sum(axes, keepdims=True),), {})


def _var(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    axes = axes_of(a, x)
    scale = 2 / (x.size // g.size - a["correction"])
    return Pulled((kept(x, axes, g) * scale * (x - x.mean(axes, keepdims=True)),), {})


def _std(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    by_variance = np.divide(g, 2 * y, out=np.zeros_like(g), where=y != 0)
    return _var(a, p, by_variance, y * y, x)


def _softmax(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    shares = softmax(x, a["axis"])
    return Pulled((shares * (g - (g * shares).sum(a["axis"], keepdims=True)),), {})


def _log_softmax(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    return Pulled((g - softmax(x, a["axis"]) * g.sum(a["axis"], keepdims=True),), {})


def _l2_normalize(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    """Below eps the divisor is a constant."""
    norm = np.sqrt((x * x).sum(a["axis"], keepdims=True))
    divisor = np.maximum(norm, a["eps"])
    z = x / divisor * (norm >= a["eps"])
    return Pulled(((g - z * (g * z).sum(a["axis"], keepdims=True)) / divisor,), {})


RULES: dict[str, Rule] = {
    "sum": _sum,
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
