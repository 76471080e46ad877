"""Bounds of weight norm, w = g v / |v| (Salimans and Kingma 2016, arXiv:1602.07868), and of its gradients."""

from __future__ import annotations

import numpy as np

from twinzoo.parity.bounds.spectral import together
from twinzoo.parity.bounds.sums import Array, U, sum_bound


def axes_of(g: Array, v: Array) -> tuple[int, ...]:
    """The axes of v that its length is taken over: those that g has not."""
    return tuple(axis for axis in range(v.ndim) if g.ndim == 0 or g.shape[axis] == 1)


def _length(g: Array, v: Array) -> tuple[Array, Array]:
    """|v| with its axes kept, and how far a kernel's may be off as a share of it."""
    axes = axes_of(g, v)
    square = np.asarray((v * v).sum(axes, keepdims=True))
    return np.sqrt(square), sum_bound(v * v, axes, keepdims=True) / (2 * square) + 4 * U


def weight_norm_bound(g: Array, v: Array) -> Array:
    """How far g v / |v| may be off."""
    length, relative = _length(g, v)
    bound: Array = np.abs(v * (g / length)) * (relative + 3 * U)
    return bound


def pulled(g: Array, v: Array, gradient: Array) -> dict[str, tuple[Array, Array]]:
    """The gradients by g and by v, each with its bound, of sum(w * gradient)."""
    axes, (length, relative) = axes_of(g, v), _length(g, v)
    terms = gradient * v
    total = terms.sum(axes, keepdims=True)
    rows = np.moveaxis(terms, axes, range(len(axes))).reshape(-1, total.size)
    off = sum_bound(terms, axes, keepdims=True) + together(3 * U * np.abs(rows), 0).reshape(total.shape)
    by_g, along = total / length, g / length**3 * v
    by_v = g / length * gradient - along * total
    g_off = off / length + np.abs(by_g) * (relative + 4 * U)
    v_off = np.abs(g / length * gradient) * (relative + 6 * U) + np.abs(along) * off
    v_off = v_off + np.abs(along * total) * (3 * relative + 8 * U)
    return {"g": (by_g.reshape(g.shape), g_off.reshape(g.shape)), "v": (by_v, v_off)}
