"""Gradients of functions of one element and of pairs of elements, in float64 without overflow or cancellation.

Where a function has a kink the derivative is PyTorch's: 0 at 0 for relu and abs, 1 at the limits of clamp, the left one
for leaky_relu, elu and prelu, half to each of two equal numbers for maximum.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from twinzoo.ports.reference.backward.rule import Pulled, Rule
from twinzoo.ports.reference.layers import per_channel
from twinzoo.ports.reference.pointwise import erfc, sigmoid
from twinzoo.ports.reference.rule import Array, Attrs, Params

Slope = Callable[[Attrs, Params, Array, Array], Array]
"""(attributes, parameters by role, output, input) -> the derivative of each output by its own input."""


def broadcast_axes(wide: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of `wide` along which an array of `shape` was repeated, with all that it has not."""
    extra = len(wide) - len(shape)
    repeated = (axis for axis, size in enumerate(shape, extra) if size == 1 and wide[axis] != 1)
    return (*range(extra), *repeated)


def summed_to(shape: tuple[int, ...], x: Array) -> Array:
    """The adjoint of broadcasting `shape` to that of x."""
    total: Array = x.sum(broadcast_axes(x.shape, shape), keepdims=True).reshape(shape)
    return total


def _pow(a: Attrs, p: Params, y: Array, x: Array) -> Array:
    if a["exponent"] == 0:
        return np.zeros_like(x)
    slope: Array = a["exponent"] * np.power(x, a["exponent"] - 1)
    return slope


def _clamp(a: Attrs, p: Params, y: Array, x: Array) -> Array:
    low, high = (-np.inf if a["low"] is None else a["low"]), (np.inf if a["high"] is None else a["high"])
    return ((x >= low) & (x <= high)).astype(np.float64)


def _gelu(a: Attrs, p: Params, y: Array, x: Array) -> Array:
    if a["approximate"] == "tanh":
        z = 2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        steepness = 2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
        slope: Array = sigmoid(z) * (1 + x * sigmoid(-z) * steepness)
        return slope
    return 0.5 * erfc(-x / math.sqrt(2)) + x * normal_density(x)


def normal_density(x: Array) -> Array:
    """exp(-x^2 / 2) / sqrt(2 pi)."""
    density: Array = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return density


def _standardize(a: Attrs, p: Params, y: Array, x: Array) -> Array:
    return np.broadcast_to(1 / per_channel(np.array(a["std"]), x.ndim), x.shape)


def _dropout(a: Attrs, p: Params, y: Array, x: Array) -> Array:
    if "mask" not in p:
        return np.ones_like(x)
    return p["mask"] / (1 - a["p"]) if a["p"] < 1 else np.zeros_like(x)


SLOPES: dict[str, Slope] = {
    "relu": lambda a, p, y, x: (x > 0).astype(np.float64),
    "tanh": lambda a, p, y, x: 4 * sigmoid(2 * x) * sigmoid(-2 * x),
    "sigmoid": lambda a, p, y, x: sigmoid(x) * sigmoid(-x),
    "softplus": lambda a, p, y, x: sigmoid(x),
    "silu": lambda a, p, y, x: sigmoid(x) * (1 + x * sigmoid(-x)),
    "exp": lambda a, p, y, x: np.exp(x),
    "log": lambda a, p, y, x: 1 / x,
    "sqrt": lambda a, p, y, x: 0.5 / np.sqrt(x),
    "abs": lambda a, p, y, x: np.sign(x),
    "square": lambda a, p, y, x: 2 * x,
    "neg": lambda a, p, y, x: -np.ones_like(x),
    "leaky_relu": lambda a, p, y, x: np.where(x > 0, 1.0, a["slope"]),
    "elu": lambda a, p, y, x: np.where(x > 0, 1.0, a["alpha"] * np.exp(np.minimum(x, 0))),
    "gelu": _gelu,
    "pow": _pow,
    "clamp": _clamp,
    "affine": lambda a, p, y, x: np.full_like(x, a["scale"]),
    "standardize": _standardize,
    "dropout": _dropout,
}


def _by_slope(slope: Slope) -> Rule:
    return lambda a, p, g, y, x: Pulled((g * slope(a, p, y, x),), {})


def _prelu(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    weight = per_channel(p["weight"], x.ndim)
    by_weight = summed_to(weight.shape, g * np.minimum(x, 0)).reshape(p["weight"].shape)
    return Pulled((np.where(x > 0, g, g * weight),), {"weight": by_weight})


def _learned_scale(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    return Pulled((g * p["weight"],), {"weight": summed_to((1,) * x.ndim, g * x).reshape(1)})


PAIRS: dict[str, Callable[[Array, Array, Array], tuple[Array, Array]]] = {
    "add": lambda g, x, y: (g, g),
    "sub": lambda g, x, y: (g, -g),
    "mul": lambda g, x, y: (g * y, g * x),
    "div": lambda g, x, y: (g / y, -g * (x / y) / y),
    "maximum": lambda g, x, y: (g * (np.sign(x - y) + 1) / 2, g * (np.sign(y - x) + 1) / 2),
}
"""(gradient, x, y) -> the terms of the gradient by each, before what was broadcast is summed."""


def _by_pair(terms: Callable[[Array, Array, Array], tuple[Array, Array]]) -> Rule:
    def rule(a: Attrs, p: Params, g: Array, out: Array, x: Array, y: Array) -> Pulled:
        by_x, by_y = terms(g, x, y)
        return Pulled((summed_to(x.shape, by_x), summed_to(y.shape, by_y)), {})

    return rule


RULES: dict[str, Rule] = {
    **{op: _by_slope(slope) for op, slope in SLOPES.items()},
    **{op: _by_pair(terms) for op, terms in PAIRS.items()},
    "prelu": _prelu,
    "learned_scale": _learned_scale,
    "stop_gradient": lambda a, p, g, y, x: Pulled((None,), {}),
}
