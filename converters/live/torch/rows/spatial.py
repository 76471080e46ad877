"""Rows of functions on images: padding, pooling, resizing, pixel shuffle."""

from __future__ import annotations

from typing import Any

from twinzoo.converters.live.torch.calls import Call, Step, step
from twinzoo.converters.live.torch.rows.layers import sizes
from twinzoo.converters.live.torch.rows.table import row

_PAD_MODES = {"constant": "zero", "reflect": "reflect", "replicate": "replicate"}


@row("pad", "input pad mode value")
def _pad(call: Call) -> Step | None:
    """Of images, by zeros or by their own pixels."""
    padding, mode = tuple(call.get("pad")), call.get("mode", "constant")
    if call.x.ndim != 4 or len(padding) not in (2, 4) or mode not in _PAD_MODES or call.get("value", 0):
        return None
    return step("pad2d", call.x, padding=(*padding, *(0,) * (4 - len(padding))), mode=_PAD_MODES[mode])


def _window(call: Call) -> dict[str, Any]:
    """The stride is None where it is the kernel's size."""
    kernel = sizes(call.get("kernel_size"), 2)
    stride = sizes(call.get("stride") or kernel, 2)
    return {
        "kernel": kernel,
        "stride": None if stride == kernel else stride,
        "padding": sizes(call.get("padding", 0), 2),
        "ceil_mode": call.get("ceil_mode", False),
    }


@row("max_pool2d", "input kernel_size stride padding dilation ceil_mode return_indices")
def _max_pool2d(call: Call) -> Step | None:
    if sizes(call.get("dilation", 1), 2) != (1, 1) or len(call.results) > 1:
        return None
    return step("max_pool2d", call.x, **_window(call))


@row("avg_pool2d", "input kernel_size stride padding ceil_mode count_include_pad divisor_override")
def _avg_pool2d(call: Call) -> Step | None:
    if call.get("divisor_override") is not None:
        return None
    return step("avg_pool2d", call.x, count_include_pad=call.get("count_include_pad", True), **_window(call))


@row("adaptive_avg_pool2d", "input output_size")
def _adaptive_avg_pool2d(call: Call) -> Step:
    return step("adaptive_avg_pool2d", call.x, size=tuple(call.results[0].shape[-2:]))


@row("interpolate", "input size scale_factor mode align_corners recompute_scale_factor antialias")
def _interpolate(call: Call) -> Step | None:
    size, scale = call.get("size"), call.get("scale_factor")
    if call.x.ndim != 4 or call.get("antialias", False):
        return None
    if scale is not None and not isinstance(scale, (int, float)):
        scale = scale[0] if len(set(scale)) == 1 else None
    return step(
        "interpolate",
        call.x,
        size=None if size is None else sizes(size, 2),
        scale=scale if size is None else None,
        mode=call.get("mode", "nearest"),
        align_corners=call.get("align_corners", False),
    )


@row("pixel_shuffle", "input factor")
def _pixel_shuffle(call: Call) -> Step:
    factor = call.results[0].shape[-1] // call.x.shape[-1]
    return step("pixel_shuffle", call.x, factor=factor)
