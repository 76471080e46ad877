"""Bounds of functions of one element and of pairs: how many roundings each takes, and how accurate its library is.

A library function is given twice the error, in units in the last place, that CUDA's table of maximum errors has for it
(an ulp is up to 2 u); Intel's and Sleef's vector functions are better. Where a port's kernel is worse, parity.kernels
has its measured accuracy.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from twinzoo.parity.bounds.sums import TINY, Array, U
from twinzoo.ports.reference.layers import per_channel
from twinzoo.ports.reference.rule import Attrs, Params

Rule = Callable[..., Array]
"""(attributes, parameters, float64 output, *inputs) -> the bound of the output."""


def off(constant: float) -> float:
    """How far a constant moves when it becomes a float32 number."""
    return abs(float(np.float32(constant)) - constant)


def exact(a: Attrs, p: Params, out: Array, *inputs: Array) -> Array:
    """Elements that are moved or chosen are not rounded."""
    return np.zeros(out.shape)


def roundings(count: float) -> Rule:
    """`count` roundings one after another, each of something as large as the output."""
    return lambda a, p, out, *inputs: count * U * np.abs(out)


def _leaky_relu(a: Attrs, p: Params, out: Array, x: Array) -> Array:
    return np.where(x < 0, np.abs(x) * off(a["slope"]) + U * np.abs(out), 0.0)


def _prelu(a: Attrs, p: Params, out: Array, x: Array) -> Array:
    return np.where(x < 0, U * np.abs(out), 0.0)


def _silu(a: Attrs, p: Params, out: Array, x: Array) -> Array:
    """One rounding more than sigmoid, which is lost where exp(-x) overflows: there it is below TINY."""
    bound: Array = 8 * U * np.abs(out) + TINY * np.abs(x)
    return bound


def _softplus(a: Attrs, p: Params, out: Array, x: Array) -> Array:
    """log1p(exp(x)): exp errs by 4 u e^x, which log1p passes on divided by 1 + e^x; log1p and a sum add 5 u."""
    bound: Array = U * (4 / (1 + np.exp(-x)) + 5 * np.abs(out))
    return bound


def _elu(a: Attrs, p: Params, out: Array, x: Array) -> Array:
    return np.where(x < 0, np.abs(out) * 5 * U + off(a["alpha"]) * np.abs(np.expm1(np.minimum(x, 0))), 0.0)


def _gelu(a: Attrs, p: Params, out: Array, x: Array) -> Array:
    """x (1 + erf z) / 2: the sum in brackets cancels on the left and keeps the absolute error of erf, or of tanh."""
    return U * (4 * np.abs(x) + 3 * np.abs(out))


def _pow(a: Attrs, p: Params, out: Array, x: Array) -> Array:
    """8 u from the library; an exponent e that moves by d moves the result by d log(x) of itself."""
    moved = off(a["exponent"]) * np.abs(np.log(np.abs(x), out=np.zeros(x.shape), where=x != 0))
    bound: Array = np.abs(out) * (8 * U + moved)
    return bound


def _clamp(a: Attrs, p: Params, out: Array, x: Array) -> Array:
    """A limit is a float32 number; elements within reach of it may fall on either side."""
    bound = np.zeros(out.shape)
    for limit in (a["low"], a["high"]):
        if limit is not None:
            bound = np.maximum(bound, np.where(np.abs(out - limit) <= off(limit), off(limit), 0.0))
    return bound


def _affine(a: Attrs, p: Params, out: Array, x: Array) -> Array:
    product, shift = np.abs(a["scale"] * x), a["shift"]
    scaled = np.abs(x) * off(a["scale"]) + (U * product if a["scale"] != 1 else 0.0)
    return scaled + off(shift) + (U * np.abs(out) if shift else 0.0)


def _standardize(a: Attrs, p: Params, out: Array, x: Array) -> Array:
    """Two constants become float32 numbers; a difference; a division, or a product with a rounded reciprocal."""
    std = per_channel(np.abs(np.array(a["std"])), x.ndim)
    moved = per_channel(np.array([off(mean) for mean in a["mean"]]), x.ndim) / std
    widths = per_channel(np.array([off(s) / abs(s) for s in a["std"]]), x.ndim)
    bound: Array = moved + np.abs(out) * (3 * U + widths)
    return bound


def _dropout(a: Attrs, p: Params, out: Array, x: Array) -> Array:
    """Nothing, or a product with a mask, and one with a rounded 1 / (1 - p)."""
    return np.where(out == x, 0.0, 4 * U * np.abs(out))


RULES: dict[str, Rule] = {
    **dict.fromkeys(("relu", "abs", "neg", "stop_gradient", "maximum"), exact),
    **dict.fromkeys(("add", "sub", "mul", "div", "square"), roundings(1)),
    "sqrt": roundings(2),
    **dict.fromkeys(("tanh", "exp", "log"), roundings(4)),
    "sigmoid": roundings(7),
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
