"""Gradients of convolutions, linear layers, products of matrices and embeddings."""

from __future__ import annotations

import numpy as np

from twinzoo.ports.reference.backward.pointwise import summed_to
from twinzoo.ports.reference.backward.rule import Pulled, Rule
from twinzoo.ports.reference.backward.structure import scattered
from twinzoo.ports.reference.convolution import convolve, convolve_transposed, correlate
from twinzoo.ports.reference.rule import Array, Attrs, Params
from twinzoo.zoo.spectral import PLAIN, normalised, sigma_of, weight_of


def convolve_back(a: Attrs, weight: Array, g: Array, x: Array) -> Array:
    """The gradient of a convolution by its input: g (N, O, H', W') -> the shape of x (N, C, H, W).

    What no window has reached, where the stride does not divide, is the adjoint's output padding.
    """
    transposed, a, weight = adjoint(a, weight)
    how = (a["stride"], a["padding"], a["dilation"], a["groups"])
    if not transposed:
        return convolve(g, weight, *how)
    spans = zip(x.shape[2:], g.shape[2:], *how[:3], weight.shape[2:], strict=True)
    left = tuple(size + 2 * pad - (count - 1) * s - d * (k - 1) - 1 for size, count, s, pad, d, k in spans)
    return convolve_transposed(g, weight, *how, (left[0], left[1]))


def adjoint(a: Attrs, weight: Array) -> tuple[bool, Attrs, Array]:
    """The adjoint of a convolution: whether it is a transposed convolution, its attributes and its weight.

    With a stride of 1 it is a convolution as well, with the kernel turned by half a circle, and that is much faster.
    """
    reach = tuple(d * (k - 1) - p for d, k, p in zip(a["dilation"], weight.shape[2:], a["padding"], strict=True))
    if a["stride"] != (1, 1) or min(reach) < 0:
        return True, a, weight
    o, c, *kernel = weight.shape
    turned = weight.reshape(a["groups"], -1, c, *kernel).swapaxes(1, 2)[..., ::-1, ::-1]
    return False, {**a, "padding": reach}, turned.reshape(a["groups"] * c, -1, *kernel)


def transpose_back(a: Attrs, weight: Array, g: Array, x: Array) -> Array:
    """The gradient of a transposed convolution by its input: g (N, O, H', W') -> the shape of x (N, C, H, W)."""
    pulled = convolve(g, weight, a["stride"], a["padding"], a["dilation"], a["groups"])
    return pulled[:, :, : x.shape[2], : x.shape[3]]


def _trained(p: Params, weight: Array, bias: Array) -> dict[str, Array]:
    return {"weight": weight, "bias": bias} if "bias" in p else {"weight": weight}


def _conv2d(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    weight = correlate(g, x, a["kernel"], a["stride"], a["padding"], a["dilation"], a["groups"])
    return Pulled((convolve_back(a, p["weight"], g, x),), _trained(p, weight, g.sum((0, 2, 3))))


def _conv1d(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    flat = {**p, "weight": p["weight"][:, :, None]}
    pulled = _conv2d(in_a_row(a), flat, g[:, :, None], y[:, :, None], x[:, :, None])
    (by_input,) = pulled.inputs
    assert by_input is not None
    return Pulled((by_input[:, :, 0],), pulled.params | {"weight": pulled.params["weight"][:, :, 0]})


def in_a_row(a: Attrs) -> Attrs:
    """The attributes of conv1d as those of the conv2d of one row that it is."""
    before = {"kernel": 1, "stride": 1, "padding": 0, "dilation": 1}
    return {**a, **{name: (one, a[name]) for name, one in before.items()}}


def _conv_transpose2d(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    """The adjoint of a convolution from the output to the input: by the weight, the two change places."""
    weight = correlate(x, g, a["kernel"], a["stride"], a["padding"], a["dilation"], a["groups"])
    return Pulled((transpose_back(a, p["weight"], g, x),), _trained(p, weight, g.sum((0, 2, 3))))


def _linear(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    rows, seen = g.reshape(-1, g.shape[-1]), x.reshape(-1, x.shape[-1])
    return Pulled((g @ p["weight"],), _trained(p, rows.T @ seen, rows.sum(0)))


def _matmul(a: Attrs, p: Params, g: Array, y: Array, left: Array, right: Array) -> Pulled:
    by_left, by_right = g @ right.swapaxes(-1, -2), left.swapaxes(-1, -2) @ g
    return Pulled((summed_to(left.shape, by_left), summed_to(right.shape, by_right)), {})


def _embedding(a: Attrs, p: Params, g: Array, y: Array, indices: Array) -> Pulled:
    rows = scattered(g.reshape(-1, g.shape[-1]).T, indices.reshape(-1), p["weight"].shape[0]).T
    return Pulled((None,), {"weight": rows})


RULES: dict[str, Rule] = {
    "conv1d": _conv1d,
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "linear": _linear,
    "matmul": _matmul,
    "embedding": _embedding,
}


def _spectral(op: str) -> Rule:
    """By W, of which sigma = u W v is made too: (G - (G . W / sigma) u v) / sigma, where G is by the normalised weight.

    Miyato et al. 2018, section 2.4.
    """
    plain = RULES[PLAIN[op]]

    def rule(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
        held = normalised(op, p)
        pulled = plain(a, held, g, y, x)
        by_weight = pulled.params["weight"]
        outer = weight_of(op, np.outer(p["weight_u"], p["weight_v"]), by_weight.shape)
        by_orig = (by_weight - (by_weight * held["weight"]).sum() * outer) / sigma_of(op, p)
        rest = {role: gradient for role, gradient in pulled.params.items() if role != "weight"}
        return Pulled(pulled.inputs, {"weight_orig": by_orig, **rest})

    return rule


RULES |= {op: _spectral(op) for op in PLAIN}
