"""Rows of padding, pooling and resizing: functions, primitives, and the cells that are several steps inside."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from mindspore import Tensor, nn

from twinzoo.converters.live.mindspore.calls import IDENTITY, Call, Step
from twinzoo.converters.live.mindspore.rows.table import cell, function, pair

_MODES = {
    "constant": "zero",
    "zero": "zero",
    "reflect": "reflect",
    "replicate": "replicate",
    "edge": "replicate",
}


def _padded(call: Call, sides: Any, mode: str, value: Any = None) -> Step | None:
    """Padding of H and W by (left, right, top, bottom)."""
    sides = tuple(sides) + (0,) * (4 - len(sides))
    if call.x.ndim != 4 or len(sides) != 4 or mode.lower() not in _MODES or value not in (None, 0):
        return None
    if not any(sides):
        return Step(IDENTITY, (call.x,))
    return Step("pad2d", (call.x,), {"padding": sides, "mode": _MODES[mode.lower()]})


@function("pad", "PadV3")
def _pad(call: Call) -> Step | None:
    pairs = call.get("paddings")
    if pairs is not None:
        return _pad_of_pairs(call, pairs, "constant")
    sides = call.get("padding", "pad", at=1)
    if not isinstance(sides, (tuple, list)):
        return None
    return _padded(call, sides, call.get("mode", default="constant"), call.get("value", "constant_value"))


@function("mirror_pad")
def _mirror_pad(call: Call) -> Step | None:
    """The primitive behind nn.ReflectionPad2d and nn.Pad takes its sides as a tensor."""
    pairs = call.values[1]
    return _pad_of_pairs(call, pairs.asnumpy().tolist() if isinstance(pairs, Tensor) else pairs, call.get("mode"))


def _pad_of_pairs(call: Call, pairs: Any, mode: str) -> Step | None:
    """Padding by a pair (before, after) for each axis."""
    if len(pairs) != 4 or any(side for both in pairs[:2] for side in both):
        return None
    (top, bottom), (left, right) = pairs[2:]
    return _padded(call, (left, right, top, bottom), mode)


def window_padding(
    x: Tensor, mode: str, padding: Any, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[tuple[int, int], dict[str, Hashable]]:
    """The padding along H and W of a sliding window, and what numbers cannot say.

    `same` pads by what the input's size needs. It is a number where the stride divides the size and the padding is the
    same on both sides, since it is so at every such size then.
    """
    mode = mode.lower()
    if mode == "valid":
        return (0, 0), {}
    if mode == "same":
        windows = zip(x.shape[2:], kernel, stride, dilation, strict=True)
        totals = [(size % s, max(0, d * (k - 1) + 1 - s)) for size, k, s, d in windows]
        if any(rest or total % 2 for rest, total in totals):
            return (0, 0), {"pad_mode": "same"}
        return (totals[0][1] // 2, totals[1][1] // 2), {}
    if isinstance(padding, int) or len(padding) == 2:
        return pair(padding), {}
    top, bottom, left, right = padding
    if (top, left) == (bottom, right):
        return (top, left), {}
    return (0, 0), {"padding_tblr": (top, bottom, left, right)}


def _pooled(call: Call, kind: str, mode: str, attrs: dict[str, Any]) -> Step:
    """A pooling whose `kernel`, `stride` and `padding` are numbers or pairs."""
    kernel, stride = pair(attrs["kernel"]), pair(attrs["stride"])
    padding, own = window_padding(call.x, mode, attrs["padding"], kernel, stride, (1, 1))
    made = {"padding": padding, "stride": None if stride == kernel else stride}
    return Step(kind, (call.x,), attrs | made, own=own)


@function("max_pool2d", "avg_pool2d")
def _pool(call: Call) -> Step | None:
    kind = "max_pool2d" if "max" in call.name else "avg_pool2d"
    kernel = call.get("kernel_size", at=1, default=1)
    default = 1 if kind == "avg_pool2d" else kernel
    if call.get("dilation", default=1) not in (1, (1, 1)) or call.get("divisor_override"):
        return None
    stride = call.get("stride", at=2)
    attrs = {
        "kernel": kernel,
        "stride": default if stride is None else stride,
        "padding": call.get("padding", at=3, default=0),
        "ceil_mode": call.get("ceil_mode", default=False),
    }
    if kind == "avg_pool2d":
        attrs["count_include_pad"] = call.get("count_include_pad", default=True)
    return _pooled(call, kind, "pad", attrs)


@function("MaxPool", "AvgPool")
def _pool_primitive(call: Call) -> Step:
    kind = "max_pool2d" if "max" in call.name.lower() else "avg_pool2d"
    attrs = {"kernel": call.get("kernel_size"), "stride": call.get("strides"), "padding": 0}
    return _pooled(call, kind, call.get("pad_mode"), attrs)


@cell("pool", nn.MaxPool2d, nn.AvgPool2d)
def _pool_cell(call: Call) -> Step | None:
    """With padding, the cell is a pooling over volumes of depth 1 inside."""
    kind = "max_pool2d" if isinstance(call.owner, nn.MaxPool2d) else "avg_pool2d"
    primitive = call.owner.max_pool if kind == "max_pool2d" else call.owner.avg_pool
    made = primitive.init_attrs
    attrs = {"kernel": call.owner.kernel_size, "stride": call.owner.stride, "padding": 0}
    if "ceil_mode" not in made:
        return _pooled(call, kind, call.owner.pad_mode, attrs)
    sides = made.get("pads", made.get("pad"))
    sides = sides[1:] if isinstance(sides, tuple) and len(sides) == 3 else sides
    attrs |= {"padding": sides[2:] if isinstance(sides, tuple) and len(sides) == 6 else sides}
    attrs |= {"ceil_mode": made["ceil_mode"]}
    dilation = made.get("dilation", 1)
    if set(dilation if isinstance(dilation, tuple) else [dilation]) != {1} or made.get("divisor_override"):
        return None
    if kind == "avg_pool2d":
        attrs["count_include_pad"] = made["count_include_pad"]
    return _pooled(call, kind, "pad", attrs)


@function("adaptive_avg_pool2d")
def _adaptive_avg_pool2d(call: Call) -> Step:
    """None for a size keeps the input's."""
    size = call.get("output_size", at=1)
    sizes = (size, size) if isinstance(size, int) or size is None else tuple(size)
    kept = zip(sizes, call.x.shape[-2:], strict=True)
    return Step("adaptive_avg_pool2d", (call.x,), {"size": tuple(own if s is None else s for s, own in kept)})


@function("interpolate", "upsample")
def _interpolate(call: Call) -> Step | None:
    """By a factor where both sides grow by the same whole number or shrink to a whole part; else to a size."""
    mode = call.get("mode", at=3, default="nearest")
    before, after = call.x.shape[2:], call.results[0].shape[2:]
    if mode not in ("nearest", "bilinear") or len(after) != 2:
        return None
    factors = {new / old for old, new in zip(before, after, strict=True)}
    factor = factors.pop()
    whole = not factors and (factor == int(factor) or 1 / factor == int(1 / factor))
    attrs: dict[str, Any] = {"scale": factor} if whole else {"size": tuple(after)}
    attrs |= {"mode": mode, "align_corners": bool(call.get("align_corners", at=4, default=False))}
    return Step("interpolate", (call.x,), attrs)


@function("pixel_shuffle")
def _pixel_shuffle(call: Call) -> Step:
    return Step("pixel_shuffle", (call.x,), {"factor": call.get("upscale_factor", at=1)})
