"""Bounds of functions of one element and of pairs: how many roundings each takes, and how accurate its library is.

A library function is given twice the error, in units in the last place, that CUDA's table of maximum errors has for it
(an ulp is up to 2 u); Intel's and Sleef's vector functions are better. Where a port's kernel is worse, parity.kernels
has its measured accuracy.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from twinzoo.parity.bounds.precision import FLOAT32, SINGLE, Precision
from twinzoo.parity.bounds.sums import Array
from twinzoo.ports.reference.layers import per_channel
from twinzoo.ports.reference.rule import Attrs, Params

Rule = Callable[..., Array]
"""(attributes, parameters, float64 output, *inputs, r: how results are rounded) -> the bound of the output."""


def off(constant: float) -> float:
    """How far a constant moves when it becomes a float32 number."""
    return SINGLE.off(constant)


def exact(a: Attrs, p: Params, out: Array, *inputs: Array, r: Precision = FLOAT32) -> Array:
    """Elements that are moved or chosen are not rounded."""
    return np.zeros(out.shape)


def once(a: Attrs, p: Params, out: Array, *inputs: Array, r: Precision = FLOAT32) -> Array:
    """One correctly rounded operation."""
    return r.u * np.abs(out)


def library(count: float) -> Rule:
    """A library function with `count` roundings of float32, each of something as large as the output."""

    def rule(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
        return r.library(count) * np.abs(out)

    return rule


def _sigmoid(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    """exp, a sum, a division and one to spare; lost where exp(-x) overflows, which in float32 is below TINY."""
    bound: Array = (r.library(4) + 3 * r.u) * np.abs(out) + r.lost
    return bound


def _silu(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    """One rounding more than sigmoid, and lost with it."""
    bound: Array = (r.library(4) + 4 * r.u) * np.abs(out) + r.lost * np.abs(x)
    return bound


def _leaky_relu(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    return np.where(x < 0, np.abs(x) * r.kept.off(a["slope"]) + r.u * np.abs(out), 0.0)


def _prelu(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    return np.where(x < 0, r.u * np.abs(out), 0.0)


def _softplus(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    """log1p(exp(x)): exp errs by 4 u e^x, which log1p passes on divided by 1 + e^x; log1p and a sum add 5 u."""
    bound: Array = r.library(4) / (1 + np.exp(-x)) + (r.library(4) + r.u) * np.abs(out)
    return bound


def _elu(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    relative, moved = r.library(4) + r.u, r.kept.off(a["alpha"])
    return np.where(x < 0, np.abs(out) * relative + moved * np.abs(np.expm1(np.minimum(x, 0))), 0.0)


def _gelu(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    """x (1 + erf z) / 2: the sum in brackets cancels on the left and keeps the absolute error of erf, or of tanh."""
    return r.library(4) * np.abs(x) + 3 * r.u * np.abs(out)


def _pow(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    """8 u from the library; an exponent e that moves by d moves the result by d log(x) of itself."""
    moved = r.kept.off(a["exponent"]) * np.abs(np.log(np.abs(x), out=np.zeros(x.shape), where=x != 0))
    bound: Array = np.abs(out) * (r.library(7) + r.u + moved)
    return bound


def _clamp(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    """A limit becomes a number of the outputs' type; elements within reach of it may fall on either side."""
    bound = np.zeros(out.shape)
    for limit in (a["low"], a["high"]):
        if limit is not None:
            moved = r.stored.off(limit)
            bound = np.maximum(bound, np.where(np.abs(out - limit) <= moved, moved, 0.0))
    return bound


def _affine(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    product, shift = np.abs(a["scale"] * x), a["shift"]
    scaled = np.abs(x) * r.kept.off(a["scale"]) + (r.u * product if a["scale"] != 1 else 0.0)
    return scaled + r.kept.off(shift) + (r.u * np.abs(out) if shift else 0.0)


def _standardize(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    """Two constants become numbers; a difference; a division, or a product with a rounded reciprocal."""
    std = per_channel(np.abs(np.array(a["std"])), x.ndim)
    moved = per_channel(np.array([r.kept.off(mean) for mean in a["mean"]]), x.ndim) / std
    widths = per_channel(np.array([r.kept.off(s) / abs(s) for s in a["std"]]), x.ndim)
    bound: Array = moved + np.abs(out) * (3 * r.u + widths)
    return bound


def _dropout(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    """Nothing, or a product with a mask, and one with a rounded 1 / (1 - p)."""
    return np.where(out == x, 0.0, 4 * r.u * np.abs(out))


RULES: dict[str, Rule] = {
    **dict.fromkeys(("relu", "abs", "neg", "stop_gradient", "maximum"), exact),
    **dict.fromkeys(("add", "sub", "mul", "div", "square", "learned_scale"), once),
    "sqrt": library(2),
    **dict.fromkeys(("tanh", "exp", "log"), library(4)),
    "sigmoid": _sigmoid,
    "silu": _silu,
    "softplus": _softplus,
    "leaky_relu": _leaky_relu,
    "prelu": _prelu,
    "elu": _elu,
    "gelu": _gelu,
    "pow": _pow,
    "clamp": _clamp,
    "affine": _affine,
    "standardize": _standardize,
    "dropout": _dropout,
}
