"""Bounds of the gradients of ops on images: what meets in one pixel is a sum; choices that were close may fall anew."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from twinzoo.parity.bounds.gradients.layers import by_sliding
from twinzoo.parity.bounds.gradients.structure import moved, scatter_bound
from twinzoo.parity.bounds.precision import Precision
from twinzoo.parity.bounds.sums import Array, U
from twinzoo.ports.reference.backward.layers import adjoint
from twinzoo.ports.reference.backward.rule import Pulled
from twinzoo.ports.reference.backward.spatial import (
    as_convolution,
    averaged_terms,
    chosen,
    image_places,
    nearest_places,
    onto_pixels,
    padded_places,
    pooled_places,
    resize_matrices,
)
from twinzoo.ports.reference.rule import Attrs, Params
from twinzoo.ports.reference.spatial import pool_windows, source_pixels

Off = Array | float


def _meeting(terms: Array, places: Array, x: Array, r: Precision) -> Array:
    """The bound of `onto_pixels`: terms (N, C, ...), places (...) -> the shape of x (N, C, H, W)."""
    inside = places >= 0
    flat = terms.reshape(*x.shape[:2], *places.shape)[:, :, inside]
    return scatter_bound(flat, places[inside], x[0, 0].size, r).reshape(x.shape)


def _pad2d(a: Attrs, p: Params, g: Array, y: Array, off: Off, pulled: Pulled, x: Array, r: Precision) -> Pulled:
    if a["mode"] == "zero":
        return moved(a, p, g, y, off, pulled, x, r=r)
    return Pulled((_meeting(g, padded_places(a, x), x, r),), {})


def _max_pool2d(a: Attrs, p: Params, g: Array, y: Array, off: Off, pulled: Pulled, x: Array, r: Precision) -> Pulled:
    """Of equal numbers in a window any may have been taken, or all a share."""
    places = pooled_places(a, x)
    equal = pool_windows(a, x, -np.inf).reshape(*g.shape, -1) == y[..., None]
    tied = equal & (equal.sum(-1, keepdims=True) > 1)
    jump = onto_pixels(np.abs(g)[..., None] * tied, places, x)
    return Pulled((jump + _meeting(g[..., None] * chosen(a, x), places, x, r),), {})


def _avg_pool2d(a: Attrs, p: Params, g: Array, y: Array, off: Off, pulled: Pulled, x: Array, r: Precision) -> Pulled:
    """A division, or a product with a rounded reciprocal, and a sum."""
    terms, places = averaged_terms(a, g, x), pooled_places(a, x)
    each = 2 * r.u * np.abs(terms) + r.kept.least
    return Pulled((onto_pixels(each, places, x) + _meeting(terms, places, x, r),), {})


def _separable(down: Array, across: Array, g: Array, x: Array, r: Precision) -> Array:
    """The bound of the sums in down^T g across: g (N, C, H', W'), down (H', H), across (W', W) -> (N, C, H, W)."""
    (i, h), (j, w) = np.nonzero(down), np.nonzero(across)
    terms = g[:, :, i[:, None], j] * (down[i, h][:, None] * across[j, w])
    return _meeting(terms, image_places(x)[h[:, None], w], x, r)


def _adaptive_avg_pool2d(
    a: Attrs, p: Params, g: Array, y: Array, off: Off, pulled: Pulled, x: Array, r: Precision
) -> Pulled:
    down, across = resize_matrices("adaptive_avg_pool2d", a, g, x)
    each = 2 * r.u * (down.T @ np.abs(g) @ across) + r.kept.least * np.outer((down != 0).sum(0), (across != 0).sum(0))
    return Pulled((each + _separable(down, across, g, x, r),), {})


def _interpolate(a: Attrs, p: Params, g: Array, y: Array, off: Off, pulled: Pulled, x: Array, r: Precision) -> Pulled:
    return Pulled((_nearest(g, x, r) if a["mode"] == "nearest" else _bilinear(a, g, x, r),), {})


def _nearest(g: Array, x: Array, r: Precision) -> Array:
    """Where a kernel takes the pixel before, the gradient goes there too."""
    places = nearest_places(x, (g.shape[2], g.shape[3]))
    bound = _meeting(g, places, x, r)
    (rows, above), (columns, left) = (_pixels(s, c) for s, c in zip(x.shape[2:], g.shape[2:], strict=True))
    for down, across in ((above, columns), (rows, left), (above, left)):
        other = image_places(x)[down[:, None], across]
        strays = np.abs(g) * (other != places)
        bound += onto_pixels(strays, places, x) + onto_pixels(strays, other, x)
    return bound


def _pixels(size: int, count: int) -> tuple[Array, Array]:
    """Which of `size` pixels each of `count` takes; and with a place i H / h that float32 has rounded to below it."""
    exact = np.arange(count) * size // count
    i = np.arange(count, dtype=np.float32)
    rounded = np.minimum(i * np.float32(size / count), i / np.float32(count / size))
    return exact, np.minimum(exact, rounded.astype(np.int64))


def _bilinear(a: Attrs, g: Array, x: Array, r: Precision) -> Array:
    """Each product errs by 6 u, as in the forward pass; shares that are off by a rounded place; and the sums."""
    down, across = resize_matrices("interpolate", a, g, x)
    wrong = [_wrong_shares(s, c, a["align_corners"], r) for s, c in zip(x.shape[2:], g.shape[2:], strict=True)]
    size = np.abs(g)
    bound: Array = 6 * r.u * (down.T @ size @ across) + wrong[0].T @ size @ across + down.T @ size @ wrong[1]
    return bound + _separable(down, across, g, x, r)


def _wrong_shares(size: int, count: int, corners: bool, r: Precision) -> Array:
    """(count, size): how far each entry of the resize matrix may be off: places err by 3 u, and kept shares by u."""
    shares = np.zeros((count, size))
    place = source_pixels(size, count, corners)
    wrong = 3 * U * (place if corners else (np.arange(count) + 0.5) * size / count) + r.again
    for sign in (-1, 1):
        cell = np.clip(np.floor(place + sign * wrong).astype(np.int64), 0, size - 1)
        for pixel in (cell, np.minimum(cell + 1, size - 1)):
            shares[np.arange(count), pixel] = wrong
    return shares


def _blur2d(a: Attrs, p: Params, g: Array, y: Array, off: Off, pulled: Pulled, x: Array, r: Precision) -> Pulled:
    return Pulled((by_sliding(*adjoint(as_convolution(a, x), p["filt"]), g, pulled.inputs[0], r),), {})


def _blur_transpose2d(
    a: Attrs, p: Params, g: Array, y: Array, off: Off, pulled: Pulled, x: Array, r: Precision
) -> Pulled:
    return Pulled((by_sliding(False, as_convolution(a, x), p["filt"], g, pulled.inputs[0], r),), {})


RULES: dict[str, Callable[..., Pulled]] = {
    "pad2d": _pad2d,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "interpolate": _interpolate,
    "pixel_shuffle": moved,
    "blur2d": _blur2d,
    "blur_transpose2d": _blur_transpose2d,
}
"""(attributes, parameters, gradient, float64 output, how far that may be off, pulled, *inputs) -> the bounds."""
