"""Ops on images: padding, pooling, resizing, pixel shuffle."""

from __future__ import annotations

from twinzoo.zoo.spec.dims import Shape, Size
from twinzoo.zoo.spec.ops.layers import convolved
from twinzoo.zoo.spec.schema import (
    Attrs,
    Bool,
    Choice,
    Float,
    Int,
    Ints,
    Pair,
    Param,
    ShapeMismatch,
    channels_of,
    dims4,
    op,
    volume,
)


@op(
    "pad2d",
    positional=("padding",),
    attrs={
        "padding": Ints(length=4, minimum=0),
        "mode": Choice("zero", choices=("zero", "reflect", "replicate")),
    },
)
def _pad2d(a: Attrs, x: Shape) -> Shape:
    """Widen x (N, C, H, W) by (left, right, top, bottom) pixels: zeros, a reflection without the edge, or the edge."""
    n, c, h, w = dims4(x)
    left, right, top, bottom = a["padding"]
    if a["mode"] == "reflect":
        for size, padding in ((h, max(top, bottom)), (w, max(left, right))):
            if isinstance(size, int) and padding >= size:
                raise ShapeMismatch(f"padding={padding}: a reflection must be smaller than the {size} pixels")
    return n, c, h + top + bottom, w + left + right


def _pooled(size: Size, kernel: int, stride: int, padding: int, ceil_mode: bool) -> Size:
    if not ceil_mode:
        return convolved(size, kernel, stride, padding)
    count = (size + 2 * padding - kernel + stride - 1) // stride + 1
    if isinstance(count, int) and isinstance(size, int):
        count -= (count - 1) * stride >= size + padding
        if count < 1:
            raise ShapeMismatch(f"output size would be {count}: the input is too small for the kernel")
        return count
    if padding + stride > kernel:
        raise ShapeMismatch("ceil_mode with padding + stride > kernel needs a known input size")
    return count


def _pool(a: Attrs, x: Shape) -> Shape:
    n, c, *size = dims4(x)
    stride = a["stride"] or a["kernel"]
    if any(2 * p > k for p, k in zip(a["padding"], a["kernel"], strict=True)):
        raise ShapeMismatch(f"padding={a['padding']}: must be at most half the kernel {a['kernel']}")
    windows = zip(size, a["kernel"], stride, a["padding"], strict=True)
    return n, c, *(_pooled(*window, ceil_mode=a["ceil_mode"]) for window in windows)


_WINDOW = {
    "kernel": Pair(minimum=1),
    "stride": Pair(None, minimum=1),
    "padding": Pair((0, 0)),
    "ceil_mode": Bool(False),
}


@op("max_pool2d", positional=("kernel",), attrs=_WINDOW, flops=lambda a, y, x: volume(y) * volume(a["kernel"]))
def _max_pool2d(a: Attrs, x: Shape) -> Shape:
    """The largest value of each window of x (N, C, H, W); padding never wins; stride is the kernel unless given."""
    return _pool(a, x)


@op(
    "avg_pool2d",
    positional=("kernel",),
    attrs=_WINDOW | {"count_include_pad": Bool(True)},
    flops=lambda a, y, x: volume(y) * volume(a["kernel"]),
)
def _avg_pool2d(a: Attrs, x: Shape) -> Shape:
    """The mean of each window of x (N, C, H, W), the zeros of the padding counted unless count_include_pad is False."""
    return _pool(a, x)


@op(
    "adaptive_avg_pool2d",
    positional=("size",),
    attrs={"size": Pair(minimum=1)},
    flops=lambda a, y, x: volume(x),
)
def _adaptive_avg_pool2d(a: Attrs, x: Shape) -> Shape:
    """Means over windows from floor(i H / h) to ceil((i + 1) H / h): x (N, C, H, W) -> (N, C, *size)."""
    n, c, _, _ = dims4(x)
    return n, c, *a["size"]


@op(
    "interpolate",
    attrs={
        "size": Pair(None, minimum=1),
        "scale": Float(None, minimum=0.0),
        "mode": Choice("nearest", choices=("nearest", "bilinear")),
        "align_corners": Bool(False),
    },
    flops=lambda a, y, x: volume(y) * (7 if a["mode"] == "bilinear" else 0),
)
def _interpolate(a: Attrs, x: Shape) -> Shape:
    """Resize x (N, C, H, W) to `size`, or by the whole number or unit fraction `scale`, without antialiasing.

    Source pixel of output i: nearest floor(i H / h); bilinear (i + 1/2) H / h - 1/2, held inside the image, or
    i (H - 1) / (h - 1) with align_corners.
    """
    n, c, h, w = dims4(x)
    if (a["size"] is None) == (a["scale"] is None):
        raise ShapeMismatch("size and scale: give one of them")
    if a["align_corners"] and a["mode"] == "nearest":
        raise ShapeMismatch("align_corners: only for mode bilinear")
    if a["size"] is not None:
        return n, c, *a["size"]
    return n, c, _scaled(h, a["scale"]), _scaled(w, a["scale"])


def _scaled(size: Size, scale: float) -> Size:
    if scale >= 1 and scale == int(scale):
        return size * int(scale)
    divisor = round(1 / scale) if scale else 0
    if divisor < 1 or 1 / divisor != scale:
        raise ShapeMismatch(f"scale={scale}: must be a whole number or 1 over one; give size instead")
    smaller = size // divisor
    if smaller * divisor != size:
        raise ShapeMismatch(f"scale={scale}: must divide the size {size}")
    return smaller


@op("pixel_shuffle", positional=("factor",), attrs={"factor": Int(minimum=1)})
def _pixel_shuffle(a: Attrs, x: Shape) -> Shape:
    """Channels become pixels: x (N, C r r, H, W) -> (N, C, H r, W r)."""
    n, _, h, w = dims4(x)
    factor = a["factor"]
    if channels_of(x) % factor**2:
        raise ShapeMismatch(f"factor={factor}: its square must divide the {x[1]} channels")
    return n, channels_of(x) // factor**2, h * factor, w * factor


def _filter(taps: tuple[int, ...], channels: int, gain: int) -> dict[str, Param]:
    total = sum(taps) ** 2
    square = tuple(gain * vertical * horizontal / total for vertical in taps for horizontal in taps)
    return {"filt": Param((channels, 1, len(taps), len(taps)), "constant", square * channels, buffer=True)}


@op(
    "blur2d",
    positional=("taps",),
    attrs={"taps": Ints(minimum=1), "stride": Int(1, minimum=1)},
    params=lambda a, x: _filter(a["taps"], channels_of(x), 1),
    flops=lambda a, y, x: 2 * volume(y) * len(a["taps"]) ** 2,
)
def _blur2d(a: Attrs, x: Shape) -> Shape:
    """Each channel of x (N, C, H, W) convolved, without padding, with the outer square of `taps` divided by its sum.

    Zhang 2019, "Making Convolutional Networks Shift-Invariant Again", section 3.
    """
    n, c, h, w = dims4(x)
    channels_of(x)
    return n, c, *(convolved(size, len(a["taps"]), a["stride"], 0) for size in (h, w))


@op(
    "blur_transpose2d",
    positional=("taps",),
    attrs={"taps": Ints(minimum=1), "stride": Int(2, minimum=1), "padding": Int(0, minimum=0)},
    params=lambda a, x: _filter(a["taps"], channels_of(x), a["stride"] ** 2),
    flops=lambda a, y, x: 2 * volume(x) * len(a["taps"]) ** 2,
)
def _blur_transpose2d(a: Attrs, x: Shape) -> Shape:
    """The adjoint of blur2d times stride squared, cropped by `padding`: the anti-aliased upsampling of CUT."""
    n, c, h, w = dims4(x)
    channels_of(x)
    return n, c, *((size - 1) * a["stride"] + len(a["taps"]) - 2 * a["padding"] for size in (h, w))
