"""Bounds of convolutions and of their adjoints, whose sums are followed by input channels and by places of the kernel.

An adjoint with stride s is s * s ordinary convolutions, one for each phase of the output: the pixels that are s apart
meet the same places of the kernel. So both come down to one case, in which every product is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from twinzoo.parity.bounds.precision import FLOAT32, Precision
from twinzoo.parity.bounds.sums import BLOCKS, TINY, Array, Walk, blocks, product_bound, repeated, scaled
from twinzoo.parity.together import together
from twinzoo.ports.reference.convolution import convolve, convolve_transposed

FINE = 16
"""The largest number of kernel places that are followed one by one; of a larger kernel its rows are."""

_Pair = tuple[int, int]


@dataclass(frozen=True)
class Sliding:
    """A convolution with these attributes, or the adjoint of one, and the height and width of what it gives."""

    transposed: bool
    kernel: _Pair
    size: _Pair
    stride: _Pair = (1, 1)
    padding: _Pair = (0, 0)
    dilation: _Pair = (1, 1)

    def phases(self) -> Iterator[tuple[_Axis, _Axis]]:
        """The convolutions that it comes down to."""
        attributes = zip(self.kernel, self.size, self.stride, self.padding, self.dilation, strict=True)
        yield from product(*((_phases if self.transposed else _whole)(*axis) for axis in attributes))

    def squares(self, x: Array, weight: Array, groups: int) -> tuple[Array, Array]:
        """The sum of the squares of the products, (N, O, H', W'), and their number, (1, 1, H', W')."""
        ones = np.ones((1, 1, *x.shape[2:]), x.dtype), np.ones((1, 1, *self.kernel), x.dtype)
        count = self._applied(*ones, 1) * (weight.shape[0] // groups if self.transposed else weight.shape[1])
        return self._applied(x * x, weight * weight, groups) + TINY * count, count  # they may underflow

    def _applied(self, x: Array, weight: Array, groups: int) -> Array:
        if not self.transposed:
            return convolve(x, weight, self.stride, self.padding, self.dilation, groups)
        axes = zip(x.shape[2:], self.kernel, self.size, self.stride, self.padding, self.dilation, strict=True)
        height, width = (size - (s - 1) * t - d * (k - 1) - 1 + 2 * p for s, k, size, t, p, d in axes)
        return convolve_transposed(x, weight, self.stride, self.padding, self.dilation, groups, (height, width))


@dataclass(frozen=True)
class _Axis:
    """One axis of a convolution: output j sees the pixels first + stride * j + dilation * m, which meet taps[m].

    Attributes:
        outputs: which of all outputs these are.
    """

    outputs: slice
    count: int
    taps: range
    first: int
    stride: int
    dilation: int

    @property
    def met(self) -> slice:
        """The taps as a slice of an axis of the kernel."""
        stop = self.taps.stop if self.taps.stop >= 0 else None
        return slice(self.taps.start, stop, self.taps.step)

    def seen(self, x: Array, axis: int) -> Array:
        """The pixels that are seen, zeros where there are none."""
        last = self.first + self.stride * (self.count - 1) + self.dilation * (len(self.taps) - 1) + 1
        inside = x[(slice(None),) * axis + (slice(max(0, self.first), max(0, last)),)]
        widths = [(0, 0)] * x.ndim
        widths[axis] = (min(last, 0) - min(self.first, 0), max(last, x.shape[axis]) - max(self.first, x.shape[axis]))
        return np.pad(inside, widths)


def _whole(kernel: int, size: int, stride: int, padding: int, dilation: int) -> list[_Axis]:
    return [_Axis(slice(None), size, range(kernel), -padding, stride, dilation)]


def _phases(kernel: int, size: int, stride: int, padding: int, dilation: int) -> list[_Axis]:
    """Pixel i and tap k of an adjoint meet in output stride * i + dilation * k - padding."""
    found = []
    for phase in range(min(stride, size)):
        taps = [k for k in reversed(range(kernel)) if (phase + padding - dilation * k) % stride == 0]
        if taps:
            first = (phase + padding - dilation * taps[0]) // stride
            step = taps[0] - taps[1] if len(taps) > 1 else stride
            apart = max(1, step * dilation // stride)
            outputs, met = slice(phase, None, stride), range(taps[0], taps[-1] - 1, -step)
            found.append(_Axis(outputs, len(range(phase, size, stride)), met, first, 1, apart))
    return found


@dataclass(frozen=True)
class Convolution:
    """A convolution without padding: x (N, C, H, W), weight (O, C/groups, kh, kw).

    Attributes:
        inside: (1, 1, H, W), 1 where x has a pixel and 0 where it is padded.
    """

    x: Array
    inside: Array
    weight: Array
    groups: int
    stride: _Pair
    dilation: _Pair

    @classmethod
    def of(cls, axes: tuple[_Axis, _Axis], x: Array, weight: Array, groups: int, transposed: bool) -> Convolution:
        """One phase of a convolution of x (N, C, H, W), or of its adjoint, with its whole weight."""
        rows, columns = axes
        taps = weight[:, :, rows.met][:, :, :, columns.met]
        if transposed:
            c, o, *kernel = taps.shape
            grouped = taps.reshape(groups, c // groups, o, *kernel)
            taps = grouped.swapaxes(1, 2).reshape(groups * o, c // groups, *kernel)
        here, ones = (columns.seen(rows.seen(y, 2), 3) for y in (x, np.ones((1, 1, *x.shape[2:]), x.dtype)))
        steps = (rows.stride, columns.stride), (rows.dilation, columns.dilation)
        return cls(here, ones, np.ascontiguousarray(taps), groups, *steps)

    def walks(self, pieces: bool = False) -> list[Walk]:
        """The sums followed by channels, and by kernel places."""
        elements = self.x.size + self.weight.size
        return together(elements, lambda: self._by_channel(pieces), lambda: self._by_place(pieces))

    def squares(self) -> tuple[Array, Array]:
        """The sum of the squares of the products, (N, O, H', W'), and their number, (1, 1, H', W')."""
        count = self._terms(self._kernel, (0, 0))
        return self._convolved(self.x * self.x, self.weight * self.weight) + TINY * count, count  # they may underflow

    def _by_channel(self, pieces: bool) -> Walk:
        walk, sees = Walk(pieces), self._terms(self._kernel, (0, 0), 1)
        for block in blocks(self.weight.shape[1]):
            walk.step(self._convolved(self._channels(block), self.weight[:, block]), sees * (block.stop - block.start))
        return walk

    def _by_place(self, pieces: bool) -> Walk:
        walk, places = Walk(pieces), list(self._places())
        by_place = np.ascontiguousarray(self.weight.transpose(2, 3, 0, 1)).transpose(2, 3, 0, 1)
        for at, part in places:
            weight = by_place[:, :, at[0] : at[0] + part[0], at[1] : at[1] + part[1]]
            sees = self._terms(part, at, 1)
            for block in blocks(self.weight.shape[1], -(-BLOCKS // len(places))):
                made = self._convolved(self._channels(block), weight[:, block], at)
                walk.step(made, sees * (block.stop - block.start))
        return walk

    @property
    def _kernel(self) -> _Pair:
        return self.weight.shape[2], self.weight.shape[3]

    def _places(self) -> Iterator[tuple[_Pair, _Pair]]:
        """Parts of the kernel in order, each with its place and its size."""
        height, width = self._kernel
        part = (1, 1) if height * width <= FINE else (1, width)
        for row in range(height):
            for column in range(0, width, part[1]):
                yield (row, column), part

    def _channels(self, block: slice) -> Array:
        """Some of the input channels of each group."""
        n, c, *size = self.x.shape
        return self.x.reshape(n, self.groups, c // self.groups, *size)[:, :, block].reshape(n, -1, *size)

    def _convolved(self, x: Array, weight: Array, at: _Pair = (0, 0), groups: int | None = None) -> Array:
        """What a part of the kernel that starts at place `at` contributes to the output."""
        rows, columns = (
            slice(d * place, size - d * (k - place - part))
            for d, place, size, k, part in zip(
                self.dilation, at, x.shape[2:], self._kernel, weight.shape[2:], strict=True
            )
        )
        return convolve(x[:, :, rows, columns], weight, self.stride, (0, 0), self.dilation, groups or self.groups)

    def _terms(self, kernel: _Pair, at: _Pair, channels: int | None = None) -> Array:
        """How many products of a part of the kernel reach each output: (1, 1, H', W')."""
        pixels = self._convolved(self.inside, np.ones((1, 1, *kernel), self.x.dtype), at, 1)
        return pixels * (self.weight.shape[1] if channels is None else channels)


def sliding_bound(
    how: Sliding,
    x: Array,
    weight: Array,
    groups: int,
    bias: Array | None,
    out: Array,
    r: Precision = FLOAT32,
    *,
    followed: bool = True,
) -> Array:
    """The bound of `convolve` or of its adjoint: x (N, C, H, W), weight as it has it -> the shape of `out`.

    Args:
        followed: whether orders of summation are followed, as for `product_bound`; most of the work is in that.
    """
    (small, x_scale), (light, w_scale) = together(x.size + weight.size, lambda: scaled(x), lambda: scaled(weight))
    scale = (x_scale * w_scale).item()
    shift = 0.0 if bias is None else bias.reshape(-1, 1, 1) / scale
    given = out / scale
    if followed:
        pieces = r.factors > 0 and (repeated(small) or repeated(light))
        bound, counts = np.zeros(out.shape), np.zeros(out.shape[2:])

        def fill(axes: tuple[_Axis, _Axis]) -> None:
            phase = Convolution.of(axes, small, light, groups, how.transposed)
            here = (..., axes[0].outputs, axes[1].outputs)
            own, count = phase.squares()
            bound[here] = product_bound(phase.walks(pieces), given[here] - shift, own, count, shift, given[here], r)
            counts[here] = count[0, 0]

        together(x.size + weight.size, *(partial(fill, axes) for axes in how.phases()))
    else:
        own, counts = how.squares(small, light, groups)
        bound = product_bound([], given - shift, own, counts, shift, given, r)
    bound *= scale
    bound += TINY * (1 + counts) * (1 + x_scale.item() + w_scale.item())
    return bound
