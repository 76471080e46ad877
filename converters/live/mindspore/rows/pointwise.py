"""Rows of functions of one element, and of pairs of elements."""

from __future__ import annotations

from typing import Any

from mindspore import Tensor

from twinzoo.converters.live.mindspore.calls import IDENTITY, Call, Step
from twinzoo.converters.live.mindspore.rows.table import Row, SingleRow, function


def _unary(kind: str) -> Row:
    return lambda call: Step(kind, (call.x,))


for _name in ("relu", "tanh", "sigmoid", "silu", "exp", "log", "sqrt", "abs", "square", "neg"):
    function(_name)(_unary(_name))
function("negative")(_unary("neg"))
function("identity", "copy", "clone", "contiguous")(_unary(IDENTITY))
function("stop_gradient", "detach")(_unary("stop_gradient"))


def _binary(kind: str, *, reverse: bool = False) -> SingleRow:
    """A row for two tensors, or a tensor and a number; `reverse` where the method belongs to the right operand."""

    def row(call: Call) -> Step | None:
        left, right = call.get("input", "x", at=0), call.get("other", "exponent", "y", at=1)
        if reverse:
            left, right = right, left
        if call.get("alpha", default=1) != 1 or call.get("rounding_mode") is not None:
            return None
        if isinstance(left, Tensor) and isinstance(right, Tensor):
            return Step(kind, (left, right))
        number_first = isinstance(right, Tensor)
        number = left if number_first else right
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            return None
        meaning = _with_number(kind, number, number_first)
        return meaning and Step(meaning[0], (call.x,), meaning[1])

    return row


def _with_number(kind: str, number: float, number_first: bool) -> tuple[str, dict[str, float]] | None:
    """A function of two elements where one is a number, as an op of one."""
    match kind, number_first:
        case "add", _:
            return "affine", {"shift": number}
        case "sub", first:
            return "affine", {"scale": -1.0, "shift": number} if first else {"shift": -number}
        case "mul", _:
            return "affine", {"scale": number}
        case "div", False if number:
            return "affine", {"scale": 1 / number}
        case "pow", False:
            return "pow", {"exponent": number}
        case "maximum", _:
            return "clamp", {"low": number}
        case "minimum", _:
            return "clamp", {"high": number}
    return None


for _kind, _names in {
    "add": ("add", "adds"),
    "sub": ("sub", "subs", "subtract"),
    "mul": ("mul", "muls", "multiply"),
    "div": ("div", "divs", "divide", "truediv", "realdiv"),
    "pow": ("pow",),
    "maximum": ("maximum",),
}.items():
    for _name in _names:
        function(_name, f"i{_name}")(_binary(_kind))
        function(f"r{_name}")(_binary(_kind, reverse=True))


@function("minimum")
def _minimum(call: Call) -> Step | None:
    """The op table has none for two tensors."""
    step = _binary("minimum")(call)
    return step if step is not None and step.kind == "clamp" else None


@function("clamp", "clip", "clip_by_value")
def _clamp(call: Call) -> Step | None:
    low, high = call.get("min", "clip_value_min", at=1), call.get("max", "clip_value_max", at=2)
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        return None
    return Step("clamp", (call.x,), {"low": low, "high": high})


@function("relu6")
def _relu6(call: Call) -> Step:
    return Step("clamp", (call.x,), {"low": 0.0, "high": 6.0})


@function("hardtanh")
def _hardtanh(call: Call) -> Step:
    low, high = call.get("min_val", at=1, default=-1.0), call.get("max_val", at=2, default=1.0)
    return Step("clamp", (call.x,), {"low": low, "high": high})


@function("leaky_relu")
def _leaky_relu(call: Call) -> Step:
    """MindSpore's own default slope is 0.2, that of `mint` PyTorch's 0.01."""
    return Step("leaky_relu", (call.x,), {"slope": call.get("alpha", "negative_slope", at=1, default=0.01)})


@function("elu")
def _elu(call: Call) -> Step:
    return Step("elu", (call.x,), {"alpha": call.get("alpha", at=1, default=1.0)})


@function("gelu")
def _gelu(call: Call) -> Step:
    """The function has the exact form by default; the primitive has the approximation alone."""
    default = "none" if call.owner is None else "tanh"
    return Step("gelu", (call.x,), {"approximate": call.get("approximate", at=1, default=default)})


@function("softplus")
def _softplus(call: Call) -> Step | None:
    """With another steepness or threshold it is another function."""
    own = call.get("beta", at=1, default=1), call.get("threshold", at=2, default=20)
    return Step("softplus", (call.x,)) if own == (1, 20) else None


@function("astype", "cast", "to", "float", "half", "type_as")
def _cast(call: Call) -> Step:
    if call.results[0].dtype == call.x.dtype:
        return Step(IDENTITY, (call.x,))
    return Step("mindspore.cast", (call.x,), {"dtype": str(call.results[0].dtype).lower()})


def _loss(kind: str, default: str = "mean") -> Row:
    def row(call: Call) -> Step | None:
        if any(call.get(name) is not None for name in ("weight", "pos_weight")) or call.get("label_smoothing"):
            return None
        prediction, target = call.tensors[:2]
        attrs: dict[str, Any] = {"reduction": call.get("reduction", default=default)}
        if kind == "smooth_l1_loss":
            attrs["beta"] = call.get("beta", default=1.0)
        return Step(kind, (prediction, target), attrs)

    return row


for _name in ("l1_loss", "mse_loss", "cross_entropy"):
    function(_name)(_loss(_name))
function("smooth_l1_loss")(_loss("smooth_l1_loss", "none"))
function("binary_cross_entropy_with_logits")(_loss("bce_with_logits"))
