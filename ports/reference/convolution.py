"""Sliding products: cross-correlation, its adjoint, and its gradient by the weight, through products of matrices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from twinzoo.ports.reference.rule import Array

WORKSPACE = 2**22
"""Elements of the matrix of windows that is held at a time: 32 MiB in float64."""

_PAIR = tuple[int, int]


def strips(rows: int, elements_a_row: int) -> Iterator[slice]:
    """Ranges of rows, each of at most WORKSPACE elements (or of one row)."""
    step = max(1, WORKSPACE // max(1, elements_a_row))
    for first in range(0, rows, step):
        yield slice(first, min(first + step, rows))


def windows(x: Array, kernel: _PAIR, stride: _PAIR, dilation: _PAIR = (1, 1)) -> Array:
    """A view of every window: x (..., H, W) -> (..., H', W', kernel height, kernel width)."""
    span = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    every = sliding_window_view(x, span, axis=(-2, -1))  # type: ignore[call-overload]
    view: Array = every[..., :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    return view


def padded(x: Array, padding: _PAIR, value: float = 0.0) -> Array:
    """x (N, C, H, W) widened on all four sides."""
    if padding == (0, 0):
        return x
    (vertical, horizontal) = padding
    return np.pad(x, ((0, 0), (0, 0), (vertical, vertical), (horizontal, horizontal)), constant_values=value)


def _for_blas(matrices: Array) -> Array:
    """The same matrices with their rows in one piece each, without which NumPy multiplies them one by one."""
    return matrices if matrices.strides[-1] == matrices.itemsize else np.ascontiguousarray(matrices)


def convolve(x: Array, weight: Array, stride: _PAIR, padding: _PAIR, dilation: _PAIR, groups: int) -> Array:
    """Cross-correlation: x (N, C, H, W), weight (O, C/groups, kh, kw) -> (N, O, H', W')."""
    views = windows(padded(x, padding), (weight.shape[2], weight.shape[3]), stride, dilation)
    n, c, height, width, *kernel = views.shape
    out = np.empty((n, groups, weight.shape[0] // groups, height, width), x.dtype)
    matrix = _for_blas(weight.reshape(groups, weight.shape[0] // groups, -1))
    for image in range(n):
        for rows in strips(height, c * width * kernel[0] * kernel[1]):
            columns = views[image, :, rows].transpose(0, 3, 4, 1, 2).reshape(groups, matrix.shape[2], -1)
            out[image, :, :, rows] = (matrix @ columns).reshape(groups, -1, rows.stop - rows.start, width)
    return out.reshape(n, weight.shape[0], height, width)


def convolve_transposed(
    x: Array,
    weight: Array,
    stride: _PAIR,
    padding: _PAIR,
    dilation: _PAIR,
    groups: int,
    output_padding: _PAIR = (0, 0),
) -> Array:
    """The adjoint of `convolve`: x (N, C, H, W), weight (C, O/groups, kh, kw) -> (N, O, H', W')."""
    n, c, height, width = x.shape
    o, kh, kw = weight.shape[1:]
    full = [
        (s - 1) * t + d * (k - 1) + 1 for s, t, d, k in zip((height, width), stride, dilation, (kh, kw), strict=True)
    ]
    size = [f - 2 * p + extra for f, p, extra in zip(full, padding, output_padding, strict=True)]
    wide = (max(f, p + s) for f, p, s in zip(full, padding, size, strict=True))
    out = np.zeros((n, groups * o, *wide), x.dtype)
    matrix = _for_blas(weight.reshape(groups, c // groups, o * kh * kw)).transpose(0, 2, 1)
    for image in range(n):
        for rows in strips(height, groups * o * kh * kw * width):
            pixels = x[image, :, rows].reshape(groups, c // groups, -1)
            products = (matrix @ pixels).reshape(groups * o, kh, kw, rows.stop - rows.start, width)
            _scatter(out[image], products, rows.start, stride, dilation)
    return out[:, :, padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]]


def _scatter(out: Array, products: Array, first: int, stride: _PAIR, dilation: _PAIR) -> None:
    """Add products (O, kh, kw, rows, W), of input rows from `first` on, where each belongs in out (O, H', W')."""
    _, kh, kw, rows, width = products.shape
    for i in range(kh):
        for j in range(kw):
            top, left = i * dilation[0] + first * stride[0], j * dilation[1]
            bottom, right = top + (rows - 1) * stride[0] + 1, left + (width - 1) * stride[1] + 1
            out[:, top : bottom : stride[0], left : right : stride[1]] += products[:, i, j]


def correlate(
    gradient: Array, x: Array, kernel: _PAIR, stride: _PAIR, padding: _PAIR, dilation: _PAIR, groups: int
) -> Array:
    """The gradient of `convolve` by its weight: gradient (N, O, H', W'), x (N, C, H, W) -> (O, C/groups, kh, kw)."""
    n, o, height, width = gradient.shape
    c, per_pixel = x.shape[1], x.shape[1] * kernel[0] * kernel[1]
    views = windows(padded(x, padding), kernel, stride, dilation)[:, :, :height, :width]
    made = np.zeros((groups, o // groups, per_pixel // groups), x.dtype)
    for rows in strips(height, n * width * per_pixel):
        columns = views[:, :, rows].transpose(1, 4, 5, 0, 2, 3).reshape(*made.shape[::2], -1)
        pixels = gradient[:, :, rows].swapaxes(0, 1).reshape(*made.shape[:2], -1)
        made += pixels @ columns.swapaxes(1, 2)
    return made.reshape(o, c // groups, *kernel)
