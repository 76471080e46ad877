"""Ops that combine elements along axes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from twinzoo.ports.reference.rule import Array, Attrs, Params, Rule


def axes_of(a: Attrs, x: Array) -> tuple[int, ...]:
    """The axes that are reduced, all of them where none is named."""
    return tuple(axis % x.ndim for axis in a["axes"]) or tuple(range(x.ndim))


def _over(function: Callable[..., Array]) -> Rule:
    def rule(a: Attrs, p: Params, x: Array) -> Array:
        return np.asarray(function(x, axis=axes_of(a, x), keepdims=a["keepdims"]))

    return rule


def _logsumexp(a: Attrs, p: Params, x: Array) -> Array:
    axes = axes_of(a, x)
    top = x.max(axes, keepdims=True)
    y: Array = top + np.log(np.exp(x - top).sum(axes, keepdims=True))
    return y if a["keepdims"] else y.squeeze(axes)


def _var(a: Attrs, p: Params, x: Array) -> Array:
    return np.asarray(x.var(axes_of(a, x), ddof=a["correction"], keepdims=a["keepdims"]))


def log_softmax(x: Array, axis: int) -> Array:
    """x - log(sum(exp(x))) along an axis, without overflow."""
    shifted = x - x.max(axis, keepdims=True)
    y: Array = shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))
    return y


def softmax(x: Array, axis: int) -> Array:
    """exp(x) / sum(exp(x)) along an axis, without overflow."""
    powers = np.exp(x - x.max(axis, keepdims=True))
    shares: Array = powers / powers.sum(axis, keepdims=True)
    return shares


def _l2_normalize(a: Attrs, p: Params, x: Array) -> Array:
    norm = np.sqrt((x * x).sum(a["axis"], keepdims=True))
    y: Array = x / np.maximum(norm, a["eps"])
    return y


def _topk(a: Attrs, p: Params, x: Array) -> tuple[Array, Array]:
    best = np.argsort(-x, axis=a["axis"], kind="stable")
    indices = np.take(best, np.arange(a["k"]), axis=a["axis"])
    return np.take_along_axis(x, indices, axis=a["axis"]), indices


RULES: dict[str, Rule] = {
    "sum": _over(np.sum),
    "mean": _over(np.mean),
    "amax": _over(np.max),
    "amin": _over(np.min),
    "logsumexp": _logsumexp,
    "var": _var,
    "std": lambda a, p, x: np.sqrt(_var(a, p, x)),
    "softmax": lambda a, p, x: softmax(x, a["axis"]),
    "log_softmax": lambda a, p, x: log_softmax(x, a["axis"]),
    "cumsum": lambda a, p, x: np.cumsum(x, a["axis"]),
    "l2_normalize": _l2_normalize,
    "matmul": lambda a, p, x, y: x @ y,
    "topk": _topk,
}
