"""Bounds of the gradients of functions of one element and of pairs: a product with a derivative that is itself off.

Most kernels take the derivative from the stored output, so what that is off by is passed on: tanh g (1 - y^2) errs by
2 |g y| off. `off` is taken to hold at least the function's own rounding, also for kernels that compute it again.

At a kink any derivative between the two sides is right, and the bound is as wide as the jump. Numbers below TINY count
as 0 there, since they may be flushed to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from twinzoo.parity.bounds.precision import SINGLE, Precision
from twinzoo.parity.bounds.sums import TINY, Array, sum_bound
from twinzoo.ports.reference.backward.pointwise import PAIRS, broadcast_axes, normal_density
from twinzoo.ports.reference.backward.rule import Pulled
from twinzoo.ports.reference.layers import per_channel
from twinzoo.ports.reference.pointwise import erfc, sigmoid
from twinzoo.ports.reference.rule import Attrs, Params

Bound = Callable[[Attrs, Array, Array, Array | float, Array, Array, Precision], Array]
"""(attributes, gradient, output, off, pulled gradient, input, precision) -> the bound of the pulled gradient."""

Rule = Callable[..., Pulled]
"""(attributes, parameters, gradient, output, off, pulled, *inputs, r: how results are rounded) -> the bounds."""


def vanishes(x: Array) -> Array:
    """Where x is 0, or so small that it may be flushed to 0."""
    return np.abs(x) < TINY


def summed_bound(terms: Array, spoiled: Array | float, shape: tuple[int, ...]) -> Array:
    """The bound of terms, each off by at most `spoiled`, summed to an array of `shape` that was broadcast to theirs."""
    axes = broadcast_axes(terms.shape, shape)
    total = np.broadcast_to(spoiled, terms.shape).sum(axes, keepdims=True)
    if axes:
        total = total + sum_bound(terms, axes, True)
    bound: Array = total.reshape(shape)
    return bound


def faded(r: Precision, g: Array | float, slope: Array | float = 1.0) -> Array | float:
    """What is lost where derivatives, or gradients before they are multiplied by one, are too small for their type."""
    if r.kept is SINGLE:
        return 0.0
    lost: Array = r.kept.least * (1 + np.abs(slope)) * np.maximum(1, np.abs(g))
    return lost


def roundings(count: float) -> Bound:
    """`count` roundings one after another, each of something as large as the result."""
    return lambda a, g, y, off, dx, x, r: count * r.u * np.abs(dx)


def _relu(a: Attrs, g: Array, y: Array, off: Array | float, dx: Array, x: Array, r: Precision) -> Array:
    return np.where(vanishes(x), np.abs(g), 0.0)


def _tanh(a: Attrs, g: Array, y: Array, off: Array | float, dx: Array, x: Array, r: Precision) -> Array:
    """g (1 - y^2), where y^2 is rounded, the difference and the product; or 4 g s (1 - s) with s = sigmoid(2x)."""
    bound: Array = np.abs(g) * (2 * np.abs(y) * off + r.u * y * y) + 3 * r.u * np.abs(dx)
    return bound


def _sigmoid(a: Attrs, g: Array, y: Array, off: Array | float, dx: Array, x: Array, r: Precision) -> Array:
    """g y (1 - y)."""
    bound: Array = np.abs(g * (1 - 2 * y)) * off + 3 * r.u * np.abs(dx)
    return bound


def _silu(a: Attrs, g: Array, y: Array, off: Array | float, dx: Array, x: Array, r: Precision) -> Array:
    """g s (1 + x (1 - s)) with s = sigmoid(x), off by 7 u of itself, or lost where exp(-x) overflows.

    The sum in brackets cancels around x = -1.28 and keeps the roundings of its product.
    """
    s, rest = sigmoid(x), sigmoid(-x)
    bracket = (r.library(4) + 3 * r.u) * np.abs(1 + x * (rest - s)) + 3 * r.u * np.abs(x) * rest
    bound: Array = np.abs(g) * (s * bracket + r.lost * (1 + np.abs(x))) + 3 * r.u * np.abs(dx)
    return bound


def _softplus(a: Attrs, g: Array, y: Array, off: Array | float, dx: Array, x: Array, r: Precision) -> Array:
    """A product with a sigmoid."""
    bound: Array = (r.library(4) + 4 * r.u) * np.abs(dx) + r.lost * np.abs(g)
    return bound


def _sqrt(a: Attrs, g: Array, y: Array, off: Array | float, dx: Array, x: Array, r: Precision) -> Array:
    """g / 2y."""
    bound: Array = np.abs(dx) * (off / np.abs(y) + 2 * r.u)
    return bound


def _exp(a: Attrs, g: Array, y: Array, off: Array | float, dx: Array, x: Array, r: Precision) -> Array:
    bound: Array = np.abs(g) * off + r.u * np.abs(dx)
    return bound


def _leaky_relu(a: Attrs, g: Array, y: Array, off: Array | float, dx: Array, x: Array, r: Precision) -> Array:
    below = np.where(x <= 0, np.abs(g) * r.kept.off(a["slope"]) + r.u * np.abs(dx), 0.0)
    bound: Array = below + np.where(vanishes(x), np.abs(g) * abs(1 - a["slope"]), 0.0)
    return bound


def _elu(a: Attrs, g: Array, y: Array, off: Array | float, dx: Array, x: Array, r: Precision) -> Array:
    """g (y + alpha), where y is off; or g alpha exp(x). At 0 a composition of two relus has no slope at all."""
    below = np.abs(g) * off + np.abs(dx) * (r.library(4) + 3 * r.u + r.kept.off(a["alpha"]) / max(a["alpha"], TINY))
    jump = np.abs(g) * (max(1.0, a["alpha"]) if a["alpha"] != 1 else 0.0)
    bound: Array = np.where(x <= 0, below, 0.0) + np.where(vanishes(x), jump, 0.0)
    return bound


def _gelu(a: Attrs, g: Array, y: Array, off: Array | float, dx: Array, x: Array, r: Precision) -> Array:
    """A sum in which 1 + erf (or tanh) and 1 - tanh^2 keep the absolute error of their library, 4 u.

    Where 1 - tanh^2 is below u, tanh is rounded to 1: the error is then of the size of that difference itself.
    """
    if a["approximate"] == "tanh":
        z = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        steepness = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
        flat = 4 * sigmoid(2 * z) * sigmoid(-2 * z)  # 1 - tanh(z)^2
        curved = np.abs(x) * steepness * (np.minimum(6, 8 * flat / r.u) + flat * (5 * np.abs(z) + 4))
        slope = 3 + 5 * np.abs(z) * flat / 2 + curved
    else:
        slope = 4 + 3 * erfc(-x / math.sqrt(2)) / 2 + np.abs(x) * normal_density(x) * (x * x + 8)
    bound: Array = r.u * (np.abs(g) * slope + 2 * np.abs(dx))
    return bound


def _pow(a: Attrs, g: Array, y: Array, off: Array | float, dx: Array, x: Array, r: Precision) -> Array:
    """g e x^(e-1): 8 u from the library, three roundings, and the exponents e and e - 1 themselves rounded."""
    e = a["exponent"]
    moved = r.kept.off(e) + r.kept.off(e - 1) + r.u * abs(e - 1) * (e % 1 != 0)
    spoiled = np.where(x == 0, 0, moved * np.abs(np.log(np.abs(x))))
    bound: Array = np.abs(dx) * (r.library(8) + 3 * r.u + spoiled + r.kept.off(e) / max(abs(e), TINY)) + faded(r, g, e)
    return bound


def _clamp(a: Attrs, g: Array, y: Array, off: Array | float, dx: Array, x: Array, r: Precision) -> Array:
    """A limit is a number of the outputs' type, and elements at it may be on either side."""
    bound = np.zeros(x.shape)
    for limit in (a["low"], a["high"]):
        if limit is not None:
            bound = np.where(np.abs(x - limit) <= max(r.stored.off(limit), TINY), np.abs(g), bound)
    return bound


def _affine(a: Attrs, g: Array, y: Array, off: Array | float, dx: Array, x: Array, r: Precision) -> Array:
    return np.abs(g) * r.kept.off(a["scale"]) + (r.u * np.abs(dx) if a["scale"] != 1 else 0.0)


def _standardize(a: Attrs, g: Array, y: Array, off: Array | float, dx: Array, x: Array, r: Precision) -> Array:
    """A division, or a product with a rounded reciprocal, of a rounded constant."""
    widths = per_channel(np.array([r.kept.off(s) / abs(s) for s in a["std"]]), x.ndim)
    bound: Array = np.abs(dx) * (2 * r.u + widths)
    return bound


_EACH: dict[str, Bound] = {
    "relu": _relu,
    "abs": _relu,
    "neg": roundings(0),
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "silu": _silu,
    "softplus": _softplus,
    "exp": _exp,
    "log": roundings(2),
    "sqrt": _sqrt,
    "square": roundings(1),
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "gelu": _gelu,
    "pow": _pow,
    "clamp": _clamp,
    "affine": _affine,
    "standardize": _standardize,
    "dropout": lambda a, g, y, off, dx, x, r: np.where(dx == g, 0.0, 4 * r.u * np.abs(dx)),
}


def of_input(bound: Bound) -> Rule:
    """The rule of an op of one input and no parameters."""

    def rule(
        a: Attrs, p: Params, g: Array, y: Array, off: Array | float, pulled: Pulled, x: Array, r: Precision
    ) -> Pulled:
        flow = g if g.shape == x.shape else np.abs(g).max(initial=0.0)
        return Pulled((bound(a, g, y, off, np.asarray(pulled.inputs[0]), x, r) + faded(r, flow),), {})

    return rule


def _each_product(terms: Array, r: Precision) -> Array:
    bound: Array = r.u * np.abs(terms) + r.kept.least
    return bound


def _prelu(
    a: Attrs, p: Params, g: Array, y: Array, off: Array | float, pulled: Pulled, x: Array, r: Precision
) -> Pulled:
    weight = per_channel(p["weight"], x.ndim)
    below = np.where(x <= 0, r.u * np.abs(g * weight), 0.0)
    terms = g * np.minimum(x, 0)
    by_weight = summed_bound(terms, _each_product(terms, r.in_steps), weight.shape).reshape(p["weight"].shape)
    return Pulled((below + np.where(vanishes(x), np.abs(g * (1 - weight)), 0.0),), {"weight": by_weight})


def _learned_scale(
    a: Attrs, p: Params, g: Array, y: Array, off: Array | float, pulled: Pulled, x: Array, r: Precision
) -> Pulled:
    terms = g * x
    by_weight = summed_bound(terms, _each_product(terms, r.in_steps), (1,) * x.ndim).reshape(1)
    return Pulled((r.u * np.abs(g * p["weight"]),), {"weight": by_weight})


def _by_pair(op: str, spoil: Callable[..., tuple[Array | float, Array | float]]) -> Rule:
    """Each term is off by what `spoil` says of (gradient, off, x, y, terms by x, terms by y, r).

    The terms by what was broadcast are stored before a second kernel sums them.
    """

    def rule(
        a: Attrs, p: Params, g: Array, out: Array, off: Array | float, pulled: Pulled, *inputs: Array, r: Precision
    ) -> Pulled:
        bounds = []
        for place, (terms, x) in enumerate(zip(PAIRS[op](g, *inputs), inputs, strict=True)):
            how = r if terms.shape == x.shape else r.in_steps
            spoiled = spoil(g, off, *inputs, *PAIRS[op](g, *inputs), how)[place]
            bounds.append(summed_bound(terms, spoiled, x.shape))
        return Pulled(tuple(bounds), {})

    return rule


_Pair = tuple[Array | float, Array | float]


def _moved(g: Array, off: Array | float, x: Array, y: Array, by_x: Array, by_y: Array, r: Precision) -> _Pair:
    return 0.0, 0.0


def _products(g: Array, off: Array | float, x: Array, y: Array, by_x: Array, by_y: Array, r: Precision) -> _Pair:
    return _each_product(by_x, r), _each_product(by_y, r)


def _quotients(g: Array, off: Array | float, x: Array, y: Array, by_x: Array, by_y: Array, r: Precision) -> _Pair:
    """g / y, and -(g / y) (x / y), where the second quotient may be the stored output."""
    through = 3 * r.u * np.abs(by_y) + np.abs(g / y) * off
    return _each_product(by_x, r), through + r.kept.least * (1 + np.abs(g / y) + np.abs(x / y))


def _chosen(g: Array, off: Array | float, x: Array, y: Array, by_x: Array, by_y: Array, r: Precision) -> _Pair:
    """Of two equal numbers either may take all of the gradient that the reference gives to both in halves."""
    share = np.where(x == y, np.abs(g) / 2, 0.0)
    return share, share


RULES: dict[str, Rule] = {
    **{op: of_input(bound) for op, bound in _EACH.items()},
    "add": _by_pair("add", _moved),
    "sub": _by_pair("sub", _moved),
    "mul": _by_pair("mul", _products),
    "div": _by_pair("div", _quotients),
    "maximum": _by_pair("maximum", _chosen),
    "prelu": _prelu,
    "learned_scale": _learned_scale,
    "stop_gradient": lambda a, p, g, y, off, pulled, x, r: Pulled((None,), {}),
}
