"""Rows of functions and primitives that use weights: convolutions, linear, embedding, normalisations."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import Any

from mindspore import Parameter, Tensor

from twinzoo.converters.live.mindspore.calls import Call, Step
from twinzoo.converters.live.mindspore.rows.spatial import window_padding
from twinzoo.converters.live.mindspore.rows.table import Row, SingleRow, function, holds, pair, weighted


@function("conv2d")
def _conv2d(call: Call) -> Step | None:
    weight, bias = call.get("weight", at=1), call.get("bias", at=2)
    mode = call.get("pad_mode", default="pad")
    padding = call.get("padding", "pad", at=4, default=0)
    if isinstance(padding, str):
        mode, padding = padding, 0
    attrs = {
        "channels": weight.shape[0],
        "kernel": tuple(weight.shape[2:]),
        "stride": pair(call.get("stride", at=3, default=1)),
        "dilation": pair(call.get("dilation", at=5, default=1)),
        "groups": call.get("groups", "group", at=6, default=1),
    }
    return convolution("conv2d", call, attrs, mode, padding, weight=weight, bias=bias)


@function("Conv2DTranspose", "Conv2DBackpropInput")
def _conv2d_transpose(call: Call) -> Step | None:
    """The primitive, which is told the size of its output; what that adds behind is `output_padding`."""
    weight, size = call.get("filter", "weight", at=1), call.get("input_size", at=2)
    mode, sides = call.get("pad_mode", default="valid"), call.get("pad", default=0)
    kernel, stride = tuple(weight.shape[2:]), pair(call.get("stride", default=1))
    if mode not in ("pad", "valid") or not isinstance(size, tuple):
        return None
    dilation, groups = pair(call.get("dilation", default=1)), call.get("group", default=1)
    padding = tuple(sides[::2]) if mode == "pad" and isinstance(sides, tuple) else pair(sides if mode == "pad" else 0)
    whole = [
        (n - 1) * s + d * (k - 1) + 1 - 2 * p
        for n, s, d, k, p in zip(call.x.shape[2:], stride, dilation, kernel, padding, strict=True)
    ]
    more = tuple(wanted - made for wanted, made in zip(size[2:], whole, strict=True))
    if min(more) < 0:
        return None
    attrs = {"channels": weight.shape[1] * groups, "kernel": kernel, "stride": stride, "padding": padding}
    attrs |= {"output_padding": more, "dilation": dilation, "groups": groups, "bias": False}
    return weighted("conv_transpose2d", (call.x,), attrs, weight=weight)


@function("conv1d")
def _conv1d(call: Call) -> Step | None:
    weight, bias = call.get("weight", at=1), call.get("bias", at=2)
    padding = call.get("padding", at=4, default=0)
    if call.get("pad_mode", default="pad") == "same" or not isinstance(padding, int):
        return None
    attrs = {
        "channels": weight.shape[0],
        "kernel": weight.shape[-1],
        "stride": _single(call.get("stride", at=3, default=1)),
        "padding": padding,
        "dilation": _single(call.get("dilation", at=5, default=1)),
        "groups": call.get("groups", at=6, default=1),
        "bias": isinstance(bias, Tensor),
    }
    return weighted("conv1d", (call.x,), attrs, weight=weight, bias=bias)


def _single(value: Any) -> Any:
    return value[0] if isinstance(value, (tuple, list)) else value


def convolution(kind: str, call: Call, attrs: dict[str, Any], mode: str, padding: Any, **roles: Any) -> Step:
    """A convolution over H and W, with MindSpore's ways to say padding."""
    numbers, own = window_padding(call.x, mode, padding, attrs["kernel"], attrs["stride"], attrs["dilation"])
    attrs |= {"padding": numbers, "bias": isinstance(roles.get("bias"), Tensor)}
    return weighted(kind, (call.x,), attrs, own, **roles)


@function("bias_add")
def _bias_add(call: Call) -> Step:
    """It becomes part of the layer before it, where there is one."""
    return weighted("mindspore.bias_add", call.tensors[:1], {}, bias=call.tensors[1])


@function("dense", "linear")
def _linear(call: Call) -> Step:
    weight, bias = call.get("weight", "w", at=1), call.get("bias", "b", at=2)
    attrs = {"features": weight.shape[0], "bias": isinstance(bias, Tensor)}
    return weighted("linear", (call.x,), attrs, weight=weight, bias=bias)


@function("embedding")
def _embedding(call: Call) -> Step:
    weight = call.get("weight", at=1)
    return weighted("embedding", call.tensors[:1], _table(weight), weight=weight)


def _table(weight: Tensor) -> dict[str, Any]:
    return {"entries": weight.shape[0], "features": weight.shape[1]}


@function("prelu")
def _prelu(call: Call) -> Step:
    weight = call.get("weight", at=1)
    return weighted("prelu", (call.x,), {"parameters": weight.size}, weight=weight)


@function("group_norm")
def _group_norm(call: Call) -> Step:
    weight, bias = call.get("weight", at=2), call.get("bias", at=3)
    return grouped(call.x, call.get("num_groups", at=1), call.get("eps", at=4, default=1e-5), weight, bias)


def grouped(x: Tensor, groups: int, eps: float, weight: Any, bias: Any) -> Step:
    """A group norm; with groups of one channel it is an instance norm."""
    affine = not (holds(weight, 1) and holds(bias, 0))
    attrs = {"eps": eps, "affine": affine}
    roles = {"weight": weight, "bias": bias} if affine else {}
    if x.ndim == 4 and groups == x.shape[1]:
        return weighted("instance_norm", (x,), attrs, **roles)
    return weighted("group_norm", (x,), attrs | {"groups": groups}, **roles)


def _layer_normed(x: Tensor, axes: int, eps: float, weight: Any, bias: Any) -> Step:
    affine = not (holds(weight, 1) and holds(bias, 0))
    roles = {"weight": weight, "bias": bias} if affine else {}
    return weighted("layer_norm", (x,), {"axes": axes, "eps": eps, "affine": affine}, **roles)


@function("layer_norm")
def _layer_norm(call: Call) -> Step:
    """The primitive counts its axes from the front or from behind, and always takes a gain and an offset."""
    if call.owner is not None:
        begin = call.get("begin_norm_axis")
        axes = -begin if begin < 0 else call.x.ndim - begin
        return _layer_normed(call.x, axes, call.get("epsilon"), *call.values[1:3])
    shape = call.get("normalized_shape", at=1)
    axes = 1 if isinstance(shape, int) else len(shape)
    weight, bias = call.get("weight", at=2), call.get("bias", at=3)
    return _layer_normed(call.x, axes, call.get("eps", at=4, default=1e-5), weight, bias)


@function("batch_norm")
def _batch_norm(call: Call) -> Step:
    """By running statistics a primitive does not know its momentum, which is the op's default then."""
    if call.owner is not None:
        weight, bias, mean, var = call.values[1:5]
        return _normed(call, weight, bias, mean, var, call.get("epsilon"), bool(call.get("is_training")))
    weight, bias = call.get("weight", at=3), call.get("bias", at=4)
    mean, var = call.get("running_mean", at=1), call.get("running_var", at=2)
    eps, training = call.get("eps", at=7, default=1e-5), bool(call.get("training", at=5, default=False))
    return _normed(call, weight, bias, mean, var, eps, training)


def _normed(call: Call, weight: Any, bias: Any, mean: Any, var: Any, eps: float, training: bool) -> Step:
    affine = not (holds(weight, 1) and holds(bias, 0))
    roles = {"weight": weight, "bias": bias} if affine else {}
    own: dict[str, Hashable] = {"batch_statistics": True} if training else {}
    attrs = {"eps": eps, "affine": affine}
    if training or call.owner is None:
        attrs["momentum"] = call.get("momentum", at=6, default=0.1)
    return weighted("batch_norm", (call.x,), attrs, own, **roles, running_mean=mean, running_var=var)


def _with_transposed_weight(row: SingleRow) -> Row:
    """A product with a parameter whose rows are the outputs is a linear layer."""

    def either(call: Call) -> Step | None:
        tensors = call.tensors
        transposed = call.get("transpose_b", default=False) and not call.get("transpose_a", default=False)
        if transposed and isinstance(tensors[1], Parameter) and tensors[1].ndim == 2:
            attrs = {"features": tensors[1].shape[0], "bias": False}
            return weighted("linear", tensors[:1], attrs, weight=tensors[1])
        return row(call)

    return either


@function("matmul", "bmm", "batchmatmul", "mm")
@_with_transposed_weight
def _matmul(call: Call) -> Step | None:
    flipped = [call.get(name, default=False) for name in ("transpose_a", "transpose_b")]
    return None if any(flipped) else Step("matmul", call.tensors)


def _thinned(kind: str, call: Call) -> Step:
    """A primitive has the share that it keeps, and is called in training alone."""
    if call.owner is not None:
        return Step(kind, (call.x,), {"p": round(1.0 - call.owner.keep_prob, 12)})
    p, training = call.get("p", at=1, default=0.5), call.get("training", at=2, default=True)
    return Step(kind, (call.x,), {"p": p}, idle=not (p and training))


for _name in ("dropout", "dropout1d", "dropout2d", "dropout3d"):
    function(_name)(partial(_thinned, _name))
