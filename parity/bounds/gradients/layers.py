"""Bounds of the gradients of convolutions, linear layers, products of matrices and embeddings.

By the input a layer's gradient is the adjoint layer's output, and has its bound; by the weight it is a sum over all
pixels of all images, followed in runs of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from twinzoo.parity.bounds.gradients.structure import scatter_bound
from twinzoo.parity.bounds.precision import FLOAT32, SINGLE, Precision
from twinzoo.parity.bounds.products import matmul_bound
from twinzoo.parity.bounds.sliding import Sliding, sliding_bound
from twinzoo.parity.bounds.sums import (
    BLOCKS,
    SEVERAL,
    TINY,
    Array,
    U,
    Walk,
    blocks,
    random_order,
    scaled,
    spread,
    sum_bound,
)
from twinzoo.ports.reference.backward.layers import adjoint, in_a_row
from twinzoo.ports.reference.backward.pointwise import broadcast_axes
from twinzoo.ports.reference.backward.rule import Pulled
from twinzoo.ports.reference.convolution import correlate, padded
from twinzoo.ports.reference.rule import Attrs, Params

RUN = 8
"""The fewest pixels in a run of a sum over pixels: within it the order counts as random."""


def _runs(n: int, height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Images and rows, in the order of memory, in about BLOCKS runs of at least RUN pixels."""
    pieces = max(1, min(BLOCKS, n * height * width // RUN))
    for images in blocks(n, pieces):
        for rows in blocks(height, max(1, pieces // n)):
            yield images, rows


def correlate_bound(a: Attrs, gradient: Array, x: Array, r: Precision = FLOAT32) -> Array:
    """The bound of `correlate` with these attributes: gradient (N, O, H', W'), x (N, C, H, W) -> (O, C/groups, kh, kw).

    Every channel is scaled to at most 1, since gradients of channels can be any number of magnitudes apart.
    """
    kernel, stride, dilation, groups = a["kernel"], a["stride"], a["dilation"], a["groups"]
    small, g_scale = scaled(gradient, (0, 2, 3))
    seen, x_scale = scaled(padded(x, a["padding"]), (0, 2, 3))
    how = (kernel, stride, (0, 0), dilation, groups)
    n, _, height, width = gradient.shape
    inside = padded(np.ones((1, 1, *x.shape[2:]), np.float32), a["padding"])
    walk, count = Walk(), np.zeros((), np.float32)
    for images, rows in _runs(n, height, width):
        reached = slice(rows.start * stride[0], (rows.stop - 1) * stride[0] + dilation[0] * (kernel[0] - 1) + 1)
        here, there = small[images, :, rows], seen[images, :, reached]
        terms = (images.stop - images.start) * correlate(
            np.ones((1, 1, *here.shape[2:]), np.float32), inside[:, :, reached], kernel, stride, (0, 0), dilation, 1
        )
        walk.step(correlate(here, there, *how), terms)
        count = count + terms
    own = correlate(small * small, seen * seen, *how) + TINY * count  # squares may underflow
    squares = np.maximum(random_order(walk.total, own, count), walk.squares(own, count)) + own
    alike = _by_pair(np.minimum, _alike(small), _alike(seen), groups)
    scale = _by_pair(np.multiply, g_scale, x_scale, groups)
    flushed = TINY * (1 + count) * (1 + g_scale.max() + x_scale.max())
    bound: Array = spread(alike * squares, 2 * count / alike)
    if r.tensor_cores:
        bound = bound + U / 4 * np.sqrt(count * squares)
    if r.factors:  # equal factors err alike
        repeats = _by_pair(np.add, _alike(small), _alike(seen), groups)
        bound = bound + spread(repeats * own, 2 * count, r.factors) + 2 * r.factors * np.abs(walk.total)
    scaled_back: Array = scale * bound + flushed
    return scaled_back


def _by_pair(combine: Callable[..., Array], by_output: Array, by_input: Array, groups: int) -> Array:
    """A number for each pair of channels: (O,), (C,) -> (O, C/groups, 1, 1)."""
    pairs = combine(by_output.reshape(groups, -1, 1), by_input.reshape(groups, 1, -1))
    return pairs.reshape(by_output.size, -1, 1, 1).astype(np.float32)


def _alike(x: Array) -> Array:
    """How often the most frequent number of each channel of x (N, C, H, W) occurs, zero aside; 1 where few repeat.

    Products with one value are rounded alike. By Cauchy and Schwarz the squared sum of m errors is at most m times the
    sum of their squares; a product occurs no more often than either of its factors.
    """
    ordered = np.sort(x.swapaxes(0, 1).reshape(x.shape[1], -1), 1)
    repeats = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != 0)
    place = np.arange(1, ordered.shape[1])
    since = place - np.maximum.accumulate(np.where(repeats, 0, place), 1)
    few = repeats.sum(1) < SEVERAL * np.count_nonzero(ordered, 1)
    return np.where(few, 1, 1 + since.max(1, initial=0))


def _trained(p: Params, weight: Array, g: Array, axes: tuple[int, ...]) -> dict[str, Array]:
    return {"weight": weight, "bias": sum_bound(g, axes)} if "bias" in p else {"weight": weight}


def by_sliding(
    transposed: bool, a: Attrs, weight: Array, g: Array, pulled: Array | None, r: Precision = FLOAT32
) -> Array:
    """The bound of a gradient by the input, which a convolution, or the adjoint of one, makes of g (N, O, H', W')."""
    assert pulled is not None
    kernel, size = (weight.shape[2], weight.shape[3]), (pulled.shape[2], pulled.shape[3])
    how = Sliding(transposed, kernel, size, a["stride"], a["padding"], a["dilation"])
    return sliding_bound(how, g, weight, a["groups"], None, pulled, r)


def _conv2d(
    a: Attrs, p: Params, g: Array, y: Array, off: Array | float, pulled: Pulled, x: Array, r: Precision
) -> Pulled:
    by_input = by_sliding(*adjoint(a, p["weight"]), g, pulled.inputs[0], r)
    return Pulled((by_input,), _trained(p, correlate_bound(a, g, x, r), g, (0, 2, 3)))


def _conv_transpose2d(
    a: Attrs, p: Params, g: Array, y: Array, off: Array | float, pulled: Pulled, x: Array, r: Precision
) -> Pulled:
    by_input = by_sliding(False, a, p["weight"], g, pulled.inputs[0], r)
    return Pulled((by_input,), _trained(p, correlate_bound(a, x, g, r), g, (0, 2, 3)))


def _conv1d(
    a: Attrs, p: Params, g: Array, y: Array, off: Array | float, pulled: Pulled, x: Array, r: Precision
) -> Pulled:
    flat = {**p, "weight": p["weight"][:, :, None]}
    (by_input,) = pulled.inputs
    assert by_input is not None
    wide = Pulled((by_input[:, :, None],), pulled.params)
    bounds = _conv2d(in_a_row(a), flat, g[:, :, None], y, off, wide, x[:, :, None], r)
    assert bounds.inputs[0] is not None
    return Pulled((bounds.inputs[0][:, :, 0],), bounds.params | {"weight": bounds.params["weight"][:, :, 0]})


_POINT: Attrs = {"kernel": (1, 1), "stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}


def _linear(
    a: Attrs, p: Params, g: Array, y: Array, off: Array | float, pulled: Pulled, x: Array, r: Precision
) -> Pulled:
    """By the weight: a convolution of one place, over the rows as pixels."""
    (by_input,) = pulled.inputs
    assert by_input is not None
    pixels, seen = (rows.reshape(-1, rows.shape[-1]).T[None, :, :, None] for rows in (g, x))
    weight = correlate_bound(_POINT, pixels, seen, r)[:, :, 0, 0]
    bias_axes = tuple(range(g.ndim - 1))
    return Pulled((matmul_bound(g, p["weight"], by_input, r=r),), _trained(p, weight, g, bias_axes))


def _matmul(
    a: Attrs, p: Params, g: Array, y: Array, off: Array | float, pulled: Pulled, left: Array, right: Array, r: Precision
) -> Pulled:
    by_left, by_right = pulled.inputs
    assert by_left is not None and by_right is not None
    turned = by_right.swapaxes(-1, -2)
    other = _by_left(g.swapaxes(-1, -2), left.swapaxes(-1, -2), turned, r).swapaxes(-1, -2)
    return Pulled((_by_left(g, right, by_left, r), other), {})


def _by_left(g: Array, right: Array, pulled: Array, r: Precision) -> Array:
    """The bound of g @ right^T, summed over the axes along which the left factor was repeated: one long sum."""
    batch = g.shape[:-2]
    right = np.broadcast_to(right, (*batch, *right.shape[-2:]))
    repeated = broadcast_axes(batch, pulled.shape[:-2])
    kept = [axis for axis in range(len(batch)) if axis not in repeated]
    rows, inner, columns = len(batch), len(batch) + 1, right.shape[-2]
    sizes = [batch[axis] for axis in kept]
    long_g = g.transpose(*kept, rows, *repeated, inner).reshape(*sizes, g.shape[-2], -1)
    long_right = right.transpose(*kept, *repeated, inner, rows).reshape(*sizes, -1, columns)
    bound = matmul_bound(long_g, long_right, pulled.reshape(*sizes, *pulled.shape[-2:]), r=r).reshape(pulled.shape)
    if not repeated or r.stored is SINGLE:
        return bound
    products = np.abs(g @ right.swapaxes(-1, -2)).sum(repeated, keepdims=True)  # each is stored before they are summed
    times = np.prod([batch[axis] for axis in repeated])
    with_stored: Array = bound + (r.stored.unit * products + times * r.stored.least).reshape(pulled.shape)
    return with_stored


def _embedding(
    a: Attrs, p: Params, g: Array, y: Array, off: Array | float, pulled: Pulled, indices: Array, r: Precision
) -> Pulled:
    columns = scatter_bound(g.reshape(-1, g.shape[-1]).T, indices.reshape(-1), p["weight"].shape[0], r)
    return Pulled((None,), {"weight": columns.T})


RULES: dict[str, Callable[..., Pulled]] = {
    "conv1d": _conv1d,
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "linear": _linear,
    "matmul": _matmul,
    "embedding": _embedding,
}
"""(attributes, parameters, gradient, float64 output, how far that may be off, pulled, *inputs) -> the bounds."""
