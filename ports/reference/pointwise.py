"""Functions of one element and of pairs of elements, in float64 without overflow or cancellation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from twinzoo.ports.reference.layers import per_channel
from twinzoo.ports.reference.rule import Array, Attrs, Params, Rule

erfc: Callable[[Array], Array] = np.vectorize(math.erfc, otypes=[np.float64])
"""The complementary error function, within an ulp or two of float64 wherever it is."""


def softplus(x: Array) -> Array:
    """log(1 + exp(x)) without overflow, and without losing the small values on the left."""
    y: Array = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return y


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) without overflow."""
    small = np.exp(-np.abs(x))
    y: Array = np.where(x >= 0, 1.0, small) / (1 + small)
    return y


def _gelu(a: Attrs, p: Params, x: Array) -> Array:
    if a["approximate"] == "tanh":
        return x * sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))  # (1 + tanh z) / 2 = sigmoid(2 z)
    return 0.5 * x * erfc(-x / math.sqrt(2))


def _standardize(a: Attrs, p: Params, x: Array) -> Array:
    mean, std = (per_channel(np.array(a[name]), x.ndim) for name in ("mean", "std"))
    return (x - mean) / std


RULES: dict[str, Rule] = {
    "relu": lambda a, p, x: np.maximum(x, 0),
    "tanh": lambda a, p, x: np.tanh(x),
    "sigmoid": lambda a, p, x: sigmoid(x),
    "softplus": lambda a, p, x: softplus(x),
    "silu": lambda a, p, x: x * sigmoid(x),
    "exp": lambda a, p, x: np.exp(x),
    "log": lambda a, p, x: np.log(x),
    "sqrt": lambda a, p, x: np.sqrt(x),
    "abs": lambda a, p, x: np.abs(x),
    "square": lambda a, p, x: x * x,
    "neg": lambda a, p, x: -x,
    "stop_gradient": lambda a, p, x: x,
    "leaky_relu": lambda a, p, x: np.maximum(x, 0) + a["slope"] * np.minimum(x, 0),
    "elu": lambda a, p, x: np.maximum(x, 0) + a["alpha"] * np.expm1(np.minimum(x, 0)),
    "gelu": _gelu,
    "pow": lambda a, p, x: np.power(x, a["exponent"]),
    "clamp": lambda a, p, x: np.clip(x, a["low"], a["high"]),
    "affine": lambda a, p, x: a["scale"] * x + a["shift"],
    "standardize": _standardize,
    "add": lambda a, p, x, y: x + y,
    "sub": lambda a, p, x, y: x - y,
    "mul": lambda a, p, x, y: x * y,
    "div": lambda a, p, x, y: x / y,
    "maximum": lambda a, p, x, y: np.maximum(x, y),
}
