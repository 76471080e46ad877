"""Ops on images: padding, pooling, resizing, pixel shuffle, blurring."""

from __future__ import annotations

import numpy as np

from twinzoo.ports.reference.convolution import convolve, convolve_transposed, padded, windows
from twinzoo.ports.reference.rule import Array, Attrs, Params, Rule

_MODES = {"zero": "constant", "reflect": "reflect", "replicate": "edge"}


def _pad2d(a: Attrs, p: Params, x: Array) -> Array:
    left, right, top, bottom = a["padding"]
    widths = ((0, 0), (0, 0), (top, bottom), (left, right))
    y: Array = np.pad(x, widths, mode=_MODES[a["mode"]])  # type: ignore[call-overload]
    return y


def _starts(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> tuple[int, int]:
    """How many windows there are, and how many pixels must follow the padding for the last one to fit."""
    room = size + 2 * padding - kernel
    count = -(-room // stride) + 1 if ceil_mode else room // stride + 1
    if ceil_mode and (count - 1) * stride >= size + padding:  # a window that would start in the right padding
        count -= 1
    return count, max(0, (count - 1) * stride + kernel - size - 2 * padding)


def pool_windows(a: Attrs, x: Array, value: float) -> Array:
    """Every window of the padded image: (N, C, H', W', kernel height, kernel width)."""
    stride = a["stride"] or a["kernel"]
    wide = padded(x, a["padding"], value)
    extra = [
        _starts(*window, a["ceil_mode"])[1]
        for window in zip(x.shape[2:], a["kernel"], stride, a["padding"], strict=True)
    ]
    wide = np.pad(wide, ((0, 0), (0, 0), (0, extra[0]), (0, extra[1])), constant_values=value)
    return windows(wide, a["kernel"], stride)


def _counted(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool, include_pad: bool) -> Array:
    """How many pixels each window along one axis is divided by; what lies beyond the padding never counts."""
    starts = np.arange(_starts(size, kernel, stride, padding, ceil_mode)[0]) * stride - padding
    low, high = (-padding, size + padding) if include_pad else (0, size)
    counts: Array = np.minimum(starts + kernel, high) - np.maximum(starts, low)
    return counts


def _max_pool2d(a: Attrs, p: Params, x: Array) -> Array:
    y: Array = pool_windows(a, x, -np.inf).max((-2, -1))
    return y


def pool_divisor(a: Attrs, x: Array) -> Array:
    """(H', W'): what avg_pool2d divides the sum of each window by."""
    stride = a["stride"] or a["kernel"]
    rows, columns = (
        _counted(*window, a["ceil_mode"], a["count_include_pad"])
        for window in zip(x.shape[2:], a["kernel"], stride, a["padding"], strict=True)
    )
    return rows[:, None] * columns


def _avg_pool2d(a: Attrs, p: Params, x: Array) -> Array:
    y: Array = pool_windows(a, x, 0.0).sum((-2, -1)) / pool_divisor(a, x)
    return y


def window_means(size: int, count: int) -> Array:
    """(count, size): row i averages the pixels from floor(i size / count) to ceil((i + 1) size / count)."""
    matrix = np.zeros((count, size))
    for i in range(count):
        first, last = i * size // count, -(-(i + 1) * size // count)
        matrix[i, first:last] = 1 / (last - first)
    return matrix


def _adaptive_avg_pool2d(a: Attrs, p: Params, x: Array) -> Array:
    rows, columns = (window_means(size, count) for size, count in zip(x.shape[2:], a["size"], strict=True))
    return rows @ x @ columns.T


def resized(a: Attrs, x: Array) -> tuple[int, int]:
    """(H', W') of interpolate."""
    if a["size"] is not None:
        return a["size"][0], a["size"][1]
    return round(x.shape[2] * a["scale"]), round(x.shape[3] * a["scale"])


def source_pixels(size: int, count: int, align_corners: bool) -> Array:
    """Where in an axis of `size` pixels each of `count` output pixels samples, bilinear; pixel i is at i."""
    i = np.arange(count)
    if align_corners:
        return i * (size - 1) / (count - 1) if count > 1 else np.zeros(1)
    return np.clip((i + 0.5) * size / count - 0.5, 0, size - 1)


def lerp_matrix(size: int, count: int, align_corners: bool) -> Array:
    """(count, size): row i weighs the two pixels that output i lies between."""
    place = source_pixels(size, count, align_corners)
    below = np.minimum(np.floor(place).astype(np.int64), size - 1)
    share = place - below
    matrix = np.zeros((count, size))
    matrix[np.arange(count), below] = 1 - share
    matrix[np.arange(count), np.minimum(below + 1, size - 1)] += share
    return matrix


def _interpolate(a: Attrs, p: Params, x: Array) -> Array:
    sizes = list(zip(x.shape[2:], resized(a, x), strict=True))
    if a["mode"] == "nearest":
        rows, columns = (np.arange(count) * size // count for size, count in sizes)
        return x[:, :, rows[:, None], columns]
    down, across = (lerp_matrix(size, count, a["align_corners"]) for size, count in sizes)
    return down @ x @ across.T


def _pixel_shuffle(a: Attrs, p: Params, x: Array) -> Array:
    n, c, h, w = x.shape
    r = a["factor"]
    return x.reshape(n, c // r**2, r, r, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, c // r**2, h * r, w * r)


def _blur2d(a: Attrs, p: Params, x: Array) -> Array:
    return convolve(x, p["filt"], (a["stride"],) * 2, (0, 0), (1, 1), x.shape[1])


def _blur_transpose2d(a: Attrs, p: Params, x: Array) -> Array:
    return convolve_transposed(x, p["filt"], (a["stride"],) * 2, (a["padding"],) * 2, (1, 1), x.shape[1])


RULES: dict[str, Rule] = {
    "pad2d": _pad2d,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "interpolate": _interpolate,
    "pixel_shuffle": _pixel_shuffle,
    "blur2d": _blur2d,
    "blur_transpose2d": _blur_transpose2d,
}
