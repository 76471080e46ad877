"""Bounds of layers with spectral norm: of the plain layer, and of the weight that it was given.

The weight W / (u W v) errs by one factor, that of u W v, and by the rounding of each quotient. Errors of the places of
a vector are independent of each other, so what comes of them all together is what sums of roundings come to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from twinzoo.parity.bounds import products
from twinzoo.parity.bounds.precision import FLOAT32, Precision
from twinzoo.parity.bounds.products import matmul_bound
from twinzoo.parity.bounds.sums import Array, spread
from twinzoo.ports.reference.layers import RULES as LAYERS
from twinzoo.ports.reference.rule import Attrs, Params
from twinzoo.zoo.spectral import PLAIN, matrix_of, moved, normalised


@dataclass(frozen=True)
class Estimate:
    """u, v and sigma = u W v as a float32 kernel has them.

    Attributes:
        u, v, sigma: the float64 ones.
        u_off, v_off: how far those of the kernel may be off; zeros in eval mode, where they are given.
        relative: how far its sigma may be off, as a share of it; infinite where that is 0.
    """

    u: Array
    v: Array
    sigma: float
    u_off: Array
    v_off: Array
    relative: float


def together(errors: Array, axis: int | None = None) -> Array:
    """The bound of a sum of independent errors that have these bounds."""
    count = errors.size if axis is None else errors.shape[axis]
    return spread((errors * errors).sum(axis), count, 1.0)


def estimate(op: str, a: Attrs, p: Params, *, train: bool, r: Precision = FLOAT32) -> Estimate:
    """What comes of the layer's tensors by role, as they were before the run.

    v is the direction of u W, so that an error of u turns v without moving u W v to first order; where a length is
    below eps it moves it as much again.
    """
    matrix = matrix_of(op, p["weight_orig"])
    u, v = p["weight_u"], p["weight_v"]
    u_off, v_off, relative = np.zeros(u.shape), np.zeros(v.shape), 0.0
    if train:
        after = moved(op, a["eps"], p)
        u, from_u, u_length = _direction(matrix, v, after["weight_u"], a["eps"], np.zeros(v.shape), r)
        v, from_v, v_length = _direction(matrix.T, u, after["weight_v"], a["eps"], from_u, r)
        relative, u_off, v_off = u_length + v_length, from_u + np.abs(u) * u_length, from_v + np.abs(v) * v_length
    product = matrix @ v
    sigma = float(u @ product)
    off = _product_off(matrix, v, product, r)
    absolute = together(np.abs(u) * off) + matmul_bound(u[None], product[:, None], np.array([[sigma]]), r=r)[0, 0]
    if train:
        own = _product_off(matrix.T, u, u @ matrix, r) / max(float(np.linalg.norm(u @ matrix)), a["eps"])
        absolute = absolute + 2 * together(np.abs(product) * u_off) + together(np.abs(u @ matrix) * own)
    share = float(absolute) / abs(sigma) if sigma else float("inf")
    return Estimate(u, v, sigma, u_off, v_off, relative + share)


def _product_off(matrix: Array, vector: Array, product: Array, r: Precision) -> Array:
    bound: Array = matmul_bound(matrix, vector[:, None], product[:, None], r=r)[:, 0]
    return bound


def _direction(
    matrix: Array, vector: Array, direction: Array, eps: float, off: Array, r: Precision
) -> tuple[Array, Array, float]:
    """matrix @ vector made 1 long: itself, how far its places may be off on their own, and its length as a share."""
    product = matrix @ vector
    length = max(float(np.linalg.norm(product)), eps)
    errors = _product_off(matrix, vector, product, r) + together(np.abs(matrix) * off, 1)
    square = float(product @ product)
    summed = matmul_bound(product[None], product[:, None], np.array([[square]]), r=r)[0, 0]
    return direction, errors / length, float(summed) / (2 * length * length) + 4 * r.u


def weight_off(op: str, a: Attrs, held: Params, off: Estimate, out: Array, *inputs: Array, u: float) -> Array:
    """How far the output of the plain layer may be off for the weight's errors: the factor's and the quotients'."""
    shift = held.get("bias", np.zeros(()))
    plain = out - (shift.reshape(-1, *(1,) * (out.ndim - 2)) if out.ndim == 4 else shift)
    sizes = LAYERS[PLAIN[op]](a, {"weight": np.abs(held["weight"])}, *map(np.abs, inputs))
    bound: Array = np.abs(plain) * off.relative + u * sizes
    return bound


def _rule(op: str, train: bool) -> Callable[..., Array]:
    def rule(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
        off = estimate(op, a, p, train=train, r=r)
        held = normalised(op, {**p, **(moved(op, a["eps"], p) if train else {})})
        inner: Array = products.RULES[PLAIN[op]](a, held, out, x, r=r)
        return inner + weight_off(op, a, held, off, out, x, u=r.u)

    return rule


RULES: Mapping[str, Callable[..., Array]] = {op: _rule(op, False) for op in PLAIN}
TRAINING: Mapping[str, Callable[..., Array]] = {op: _rule(op, True) for op in PLAIN}
"""In training mode, where u and v move first."""
