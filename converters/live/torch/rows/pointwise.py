"""Rows of functions of one element, of pairs of elements, and of losses."""

from __future__ import annotations

from typing import Any

import torch

from twinzoo.converters.live.torch.calls import Call, Effect, Step, step
from twinzoo.converters.live.torch.rows.table import Rule, row


@row("relu tanh sigmoid silu exp log sqrt abs square")
def _plain(call: Call) -> Step:
    return step(call.name, call.x)


@row("neg negative")
def _neg(call: Call) -> Step:
    return step("neg", call.x)


@row("absolute")
def _absolute(call: Call) -> Step:
    return step("abs", call.x)


@row("softplus", "input beta threshold")
def _softplus(call: Call) -> Step | None:
    return step("softplus", call.x) if (call.get("beta", 1), call.get("threshold", 20)) == (1, 20) else None


@row("leaky_relu", "input negative_slope")
def _leaky_relu(call: Call) -> Step:
    return step("leaky_relu", call.x, slope=call.get("negative_slope", 0.01))


@row("elu", "input alpha")
def _elu(call: Call) -> Step:
    return step("elu", call.x, alpha=call.get("alpha", 1.0))


@row("gelu", "input approximate")
def _gelu(call: Call) -> Step:
    return step("gelu", call.x, approximate=call.get("approximate", "none"))


@row("clamp clip", "input min max")
def _clamp(call: Call) -> Step:
    return step("clamp", call.x, low=call.get("min"), high=call.get("max"))


row("clamp_min", "input min")(_clamp)
row("clamp_max", "input max")(_clamp)


@row("hardtanh", "input min_val max_val")
def _hardtanh(call: Call) -> Step:
    return step("clamp", call.x, low=call.get("min_val", -1.0), high=call.get("max_val", 1.0))


@row("relu6")
def _relu6(call: Call) -> Step:
    return step("clamp", call.x, low=0.0, high=6.0)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _pair(kind: str, scale: float, *, flipped: bool = False) -> Rule:
    """The sum of `x` and `scale` times `other`; `flipped` is that of `other` and `scale` times `x`."""

    def rule(call: Call) -> Effect | None:
        x, other = call.x, call.get("other")
        if call.get("alpha", 1) != 1:
            return None
        if isinstance(other, torch.Tensor):
            return step(kind, *((other, x) if flipped else (x, other)))
        if not _is_number(other):
            return None
        if flipped:
            return step("affine", x, scale=scale, shift=other)
        return step("affine", x, shift=scale * other) if other else x

    return rule


_SUM = "input other alpha"
row("add iadd radd", _SUM)(_pair("add", 1.0))
row("sub subtract isub", _SUM)(_pair("sub", -1.0))
row("rsub", _SUM)(_pair("sub", -1.0, flipped=True))


@row("mul multiply imul rmul", "input other")
def _mul(call: Call) -> Effect | None:
    x, other = call.x, call.get("other")
    if isinstance(other, torch.Tensor):
        return step("mul", x, other)
    return step("affine", x, scale=other) if _is_number(other) else None


@row("div divide true_divide truediv itruediv", "input other rounding_mode")
def _div(call: Call) -> Effect | None:
    x, other = call.x, call.get("other")
    if call.get("rounding_mode") is not None:
        return None
    if isinstance(other, torch.Tensor):
        return step("div", x, other)
    return step("affine", x, scale=1 / other) if _is_number(other) and other else None


@row("rdiv rtruediv", "input other")
def _rdiv(call: Call) -> Step | None:
    x, other = call.x, call.get("other")
    return step("div", other, x) if isinstance(other, torch.Tensor) else None


@row("pow ipow", "input exponent")
def _pow(call: Call) -> Step | None:
    exponent = call.get("exponent")
    return step("pow", call.x, exponent=exponent) if _is_number(exponent) else None


@row("maximum", "input other")
def _maximum(call: Call) -> Step:
    return step("maximum", call.x, call.get("other"))


@row("l1_loss mse_loss", "input target size_average reduce reduction weight")
def _distance(call: Call) -> Step | None:
    return _loss(call.name, call)


def _loss(kind: str, call: Call, **attrs: Any) -> Step | None:
    if any(call.get(name) is not None for name in ("weight", "pos_weight", "size_average", "reduce")):
        return None
    return step(kind, call.x, call.get("target"), reduction=call.get("reduction", "mean"), **attrs)


@row("smooth_l1_loss", "input target size_average reduce reduction beta")
def _smooth_l1(call: Call) -> Step | None:
    return _loss("smooth_l1_loss", call, beta=call.get("beta", 1.0))


@row("binary_cross_entropy_with_logits", "input target weight size_average reduce reduction pos_weight")
def _bce_with_logits(call: Call) -> Step | None:
    return _loss("bce_with_logits", call)


@row("cross_entropy", "input target weight size_average ignore_index reduce reduction label_smoothing")
def _cross_entropy(call: Call) -> Step | None:
    target = call.get("target")
    plain = target.ndim == call.x.ndim - 1 and not call.get("label_smoothing", 0.0)
    return _loss("cross_entropy", call) if plain else None
