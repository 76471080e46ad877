"""Bounds of pooling and resizing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from twinzoo.parity.bounds.precision import FLOAT32, Precision
from twinzoo.parity.bounds.sums import Array, U, sum_bound
from twinzoo.ports.reference.rule import Attrs, Params
from twinzoo.ports.reference.spatial import lerp_matrix, pool_divisor, pool_windows, source_pixels


def _avg_pool2d(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    return sum_bound(pool_windows(a, x, 0.0), (-2, -1)) / pool_divisor(a, x) + 2 * r.u * np.abs(out)


def _adaptive_avg_pool2d(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    bound = 2 * r.u * np.abs(out)
    rows, columns = (_windows(size, count) for size, count in zip(x.shape[2:], a["size"], strict=True))
    for i, down in enumerate(rows):
        for j, across in enumerate(columns):
            window = x[:, :, down, across]
            bound[:, :, i, j] += sum_bound(window, (2, 3)) / (window.shape[2] * window.shape[3])
    return bound


def _windows(size: int, count: int) -> list[slice]:
    return [slice(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def _interpolate(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    return _nearest(out, x) if a["mode"] == "nearest" else _bilinear(a, out, x, r)


def _nearest(out: Array, x: Array) -> Array:
    """The place i H / h is rounded to float32: where it is a whole number, or next to one, its floor may be another.

    The bound there is the distance to the other pixel.
    """
    bound = np.zeros(out.shape)
    pixels = []
    for size, count in zip(x.shape[2:], out.shape[2:], strict=True):
        place = np.arange(count) * size / count
        pixels.append([np.minimum(np.floor(place * (1 + shift)).astype(np.int64), size - 1) for shift in _NUDGES])
    for rows in pixels[0]:
        for columns in pixels[1]:
            bound = np.maximum(bound, np.abs(x[:, :, rows[:, None], columns] - out))
    return bound


_NUDGES = (-3 * U, 0.0, 3 * U)


def _bilinear(a: Attrs, out: Array, x: Array, r: Precision) -> Array:
    """Four products and their sum, with shares that are differences; a place that is rounded to float32; kept shares.

    The place (i + 1/2) H / h - 1/2 errs by 3 u (i + 1/2) H / h, and moves the output by that times the slope there.
    """
    corners = a["align_corners"]
    down, across = (lerp_matrix(s, c, corners) for s, c in zip(x.shape[2:], out.shape[2:], strict=True))
    sampled: Array = 6 * r.u * (down @ np.abs(x) @ across.T)
    along_h = _moved(x, out.shape[2], corners, r) @ across.T
    along_w = (_moved(x.swapaxes(2, 3), out.shape[3], corners, r) @ down.T).swapaxes(2, 3)
    return sampled + along_h + along_w


def _moved(x: Array, count: int, corners: bool, r: Precision) -> Array:
    """How far the errors of place and shares along H move the output: x (N, C, H, W) -> (N, C, count, W)."""
    size = x.shape[2]
    if size == 1:
        return np.zeros((*x.shape[:2], count, x.shape[3]))
    place = source_pixels(size, count, corners)
    wrong = 3 * U * (place if corners else (np.arange(count) + 0.5) * size / count)
    slopes = np.abs(np.diff(x, axis=2))
    cells = [np.clip(np.floor(place + sign * wrong).astype(np.int64), 0, size - 2) for sign in (-1, 1)]
    moved: Array = (wrong + r.again)[:, None] * np.maximum(slopes[:, :, cells[0]], slopes[:, :, cells[1]])
    return moved


RULES: dict[str, Callable[..., Array]] = {
    "avg_pool2d": _avg_pool2d,
    "adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "interpolate": _interpolate,
}
