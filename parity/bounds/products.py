"""Bounds of sums of products: convolutions, their adjoints, blurs, linear layers, products of matrices.

The walks are followed in float32, on inputs and weights scaled to at most 1: a bound needs a digit or two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from twinzoo.parity.bounds.precision import FLOAT32, Precision
from twinzoo.parity.bounds.sums import BLOCKS, TINY, Array, Walk, blocks, product_bound, repeated
from twinzoo.ports.reference.convolution import convolve, convolve_transposed, padded
from twinzoo.ports.reference.rule import Attrs, Params

FINE = 16
"""The largest number of kernel places that are followed one by one; of a larger kernel its rows are."""

_Pair = tuple[int, int]


@dataclass(frozen=True)
class Sliding:
    """A convolution, or the adjoint of one, that can be had in pieces: some input channels, part of the kernel."""

    transposed: bool
    kernel: _Pair
    size: _Pair
    stride: _Pair = (1, 1)
    padding: _Pair = (0, 0)
    dilation: _Pair = (1, 1)

    def part(self, x: Array, weight: Array, groups: int, at: _Pair = (0, 0)) -> Array:
        """What a part of the kernel that starts at place `at` contributes to the output."""
        top, left = (place * d for place, d in zip(at, self.dilation, strict=True))
        if not self.transposed:
            spans = [
                (size - 1) * s + d * (k - 1) + 1
                for size, s, d, k in zip(self.size, self.stride, self.dilation, weight.shape[2:], strict=True)
            ]
            seen = padded(x, self.padding)[:, :, top : top + spans[0], left : left + spans[1]]
            return convolve(seen, weight, self.stride, (0, 0), self.dilation, groups)
        made = convolve_transposed(x, weight, self.stride, (0, 0), self.dilation, groups)
        (down, across), (height, width) = self.padding, self.size
        whole = np.zeros(
            (*made.shape[:2], max(down + height, top + made.shape[2]), max(across + width, left + made.shape[3])),
            made.dtype,
        )
        whole[:, :, top : top + made.shape[2], left : left + made.shape[3]] = made
        return whole[:, :, down : down + height, across : across + width]

    def terms(self, x: Array, kernel: _Pair, at: _Pair = (0, 0)) -> Array:
        """How many pixels a part of the kernel sees: (1, 1, H', W')."""
        return self.part(np.ones((1, 1, *x.shape[2:]), x.dtype), np.ones((1, 1, *kernel), x.dtype), 1, at)


def _channels(weight: Array, groups: int, block: slice, transposed: bool) -> Array:
    """The weights of some of the input channels of each group."""
    if not transposed:
        return weight[:, block]
    return weight.reshape(groups, -1, *weight.shape[1:])[:, block].reshape(-1, *weight.shape[1:])


def _walks(how: Sliding, x: Array, weight: Array, groups: int, pieces: bool = False) -> tuple[list[Walk], Array, Array]:
    """The walks by channels and by kernel places, and the sum of squares and the number of the products."""
    with ThreadPoolExecutor(2) as pool:
        by_channel = pool.submit(_by_channel, how, x, weight, groups, pieces)
        by_place = pool.submit(_by_place, how, x, weight, groups, pieces)
        own = pool.submit(how.part, x * x, weight * weight, groups)
        count = how.terms(x, how.kernel) * (x.shape[1] // groups)
        return [by_channel.result(), by_place.result()], own.result(), count


def _by_channel(how: Sliding, x: Array, weight: Array, groups: int, pieces: bool) -> Walk:
    n, c, *size = x.shape
    walk, grouped, seen = Walk(pieces), x.reshape(n, groups, c // groups, *size), how.terms(x, how.kernel)
    for block in blocks(c // groups):
        some, taken = grouped[:, :, block].reshape(n, -1, *size), _channels(weight, groups, block, how.transposed)
        walk.step(how.part(some, taken, groups), seen * (block.stop - block.start))
    return walk


def _by_place(how: Sliding, x: Array, weight: Array, groups: int, pieces: bool) -> Walk:
    n, c, *size = x.shape
    walk, grouped = Walk(pieces), x.reshape(n, groups, c // groups, *size)
    for at, part in _places(how.kernel):
        kernel, sees = weight[:, :, at[0] : at[0] + part[0], at[1] : at[1] + part[1]], how.terms(x, part, at)
        for block in blocks(c // groups, _runs(how)):
            some, taken = grouped[:, :, block].reshape(n, -1, *size), _channels(kernel, groups, block, how.transposed)
            walk.step(how.part(some, taken, groups, at), sees * (block.stop - block.start))
    return walk


def _places(kernel: _Pair) -> Iterator[tuple[_Pair, _Pair]]:
    """Parts of a kernel in order, each with its place and its size."""
    part = (1, 1) if kernel[0] * kernel[1] <= FINE else (1, kernel[1])
    for row in range(kernel[0]):
        for column in range(0, kernel[1], part[1]):
            yield (row, column), part


def _runs(how: Sliding) -> int:
    """Into how many blocks of channels each place is cut, for BLOCKS pieces in all that reach one output."""
    places = len(list(_places(how.kernel)))
    reaching = max(1, places // (how.stride[0] * how.stride[1])) if how.transposed else places
    return -(-BLOCKS // reaching)


def sliding_bound(
    how: Sliding, x: Array, weight: Array, groups: int, bias: Array | None, out: Array, r: Precision = FLOAT32
) -> Array:
    """The bound of `convolve` or of its adjoint: x (N, C, H, W), weight as it has it -> the shape of `out`."""
    small, x_scale = scaled(x)
    light, w_scale = scaled(weight)
    scale = (x_scale * w_scale).item()
    walks, own, count = _walks(how, small, light, groups, pieces=r.factors > 0 and (repeated(small) or repeated(light)))
    shift = 0.0 if bias is None else bias.reshape(-1, 1, 1) / scale
    own = own + TINY * count  # squares may underflow
    flushed = TINY * (1 + count) * (1 + w_scale.item())
    bound: Array = scale * product_bound(walks, own, count, shift, out / scale, r) + flushed
    return bound


def scaled(x: Array, axes: int | tuple[int, ...] | None = None) -> tuple[Array, Array]:
    """x in float32, divided by its largest magnitude over axes (all of them), and that, with the axes kept."""
    largest = np.abs(x).max(axes, keepdims=True, initial=0.0)
    factors = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    return (x / factors).astype(np.float32), factors


def _conv2d(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    how = Sliding(False, a["kernel"], _size(out), a["stride"], a["padding"], a["dilation"])
    return sliding_bound(how, x, p["weight"], a["groups"], p.get("bias"), out, r)


def _conv1d(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    how = Sliding(False, (1, a["kernel"]), (1, out.shape[2]), (1, a["stride"]), (0, a["padding"]), (1, a["dilation"]))
    wide = x[:, :, None], p["weight"][:, :, None], a["groups"], p.get("bias"), out[:, :, None]
    flat = sliding_bound(how, *wide, r)
    return flat[:, :, 0]


def _conv_transpose2d(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    how = Sliding(True, a["kernel"], _size(out), a["stride"], a["padding"], a["dilation"])
    return sliding_bound(how, x, p["weight"], a["groups"], p.get("bias"), out, r)


def _blur2d(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    how = Sliding(False, (len(a["taps"]),) * 2, _size(out), (a["stride"],) * 2)
    return sliding_bound(how, x, p["filt"], x.shape[1], None, out, r)


def _blur_transpose2d(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    how = Sliding(True, (len(a["taps"]),) * 2, _size(out), (a["stride"],) * 2, (a["padding"],) * 2)
    return sliding_bound(how, x, p["filt"], x.shape[1], None, out, r)


def _size(out: Array) -> _Pair:
    return out.shape[2], out.shape[3]


def matmul_bound(x: Array, y: Array, out: Array, bias: Array | float = 0.0, r: Precision = FLOAT32) -> Array:
    """The bound of x @ y + bias, followed by blocks of the inner axis; each row and each column has its own scale."""
    small, x_scale = scaled(x, -1)
    light, y_scale = scaled(y, -2)
    walk, own = Walk(pieces=r.factors > 0 and (repeated(small) or repeated(light))), np.zeros((), np.float32)
    for block in blocks(x.shape[-1]):
        left, right = small[..., block], light[..., block, :]
        walk.step(left @ right, block.stop - block.start)
        own = own + (left * left) @ (right * right)
    scale, count = x_scale * y_scale, x.shape[-1]
    flushed = TINY * (1 + count) * (1 + y_scale)
    bound: Array = scale * product_bound([walk], own + TINY * count, count, bias / scale, out / scale, r) + flushed
    return bound


def _linear(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32) -> Array:
    return matmul_bound(x, p["weight"].T, out, p.get("bias", 0.0), r)


def _matmul(a: Attrs, p: Params, out: Array, x: Array, y: Array, r: Precision = FLOAT32) -> Array:
    return matmul_bound(x, y, out, r=r)


RULES: dict[str, Callable[..., Array]] = {
    "conv1d": _conv1d,
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "blur2d": _blur2d,
    "blur_transpose2d": _blur_transpose2d,
    "linear": _linear,
    "matmul": _matmul,
}
"""(attributes, parameters, float64 output, *inputs) -> the bound of the output."""
