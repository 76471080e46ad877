"""Rows of functions with weights."""

from __future__ import annotations

from typing import Any

from twinzoo.converters.live.torch.calls import Call, Step, step
from twinzoo.converters.live.torch.rows.table import Rule, row

Sizes = tuple[int, ...]


def sizes(value: Any, rank: int) -> Sizes:
    """A size along each of `rank` axes, from one for all or a sequence."""
    if isinstance(value, int):
        return (value,) * rank
    found = tuple(value)
    return found * rank if len(found) == 1 else found


def _alone(value: Sizes) -> int | Sizes:
    """Sizes as the op table has them: plain where there is one axis."""
    return value[0] if len(value) == 1 else value


def _weights(call: Call) -> dict[str, Any]:
    return {"weight": call.get("weight"), "bias": call.get("bias")}


def _convolution(kind: str, rank: int) -> Rule:
    def rule(call: Call) -> Step:
        kernel = tuple(call.get("weight").shape[2:])
        dilation = sizes(call.get("dilation", 1), rank)
        padding = _padding(call.get("padding", 0), kernel, dilation)
        return step(
            kind,
            call.x,
            weights=_weights(call),
            channels=call.get("weight").shape[0],
            kernel=_alone(kernel),
            stride=_alone(sizes(call.get("stride", 1), rank)),
            padding=_alone(padding or (0,) * rank),
            dilation=_alone(dilation),
            groups=call.get("groups", 1),
            bias=call.get("bias") is not None,
            own=None if padding else {"torch.padding": "same"},
        )

    return rule


def _padding(given: Any, kernel: Sizes, dilation: Sizes) -> Sizes | None:
    """In numbers; None for `same` with a kernel that needs more on one side."""
    if given == "valid":
        return (0,) * len(kernel)
    if given == "same":
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return None if any(total % 2 for total in totals) else tuple(total // 2 for total in totals)
    return sizes(given, len(kernel))


def _transposed_convolution(kind: str, rank: int) -> Rule:
    def rule(call: Call) -> Step:
        weight, groups = call.get("weight"), call.get("groups", 1)
        numbers: dict[str, Any] = {
            name: _alone(sizes(call.get(name, default), rank))
            for name, default in (("stride", 1), ("padding", 0), ("output_padding", 0), ("dilation", 1))
        }
        return step(
            kind,
            call.x,
            weights=_weights(call),
            channels=weight.shape[1] * groups,
            kernel=_alone(tuple(weight.shape[2:])),
            groups=groups,
            bias=call.get("bias") is not None,
            **numbers,
        )

    return rule


for _rank in (1, 2, 3):
    _name, _transposed = f"conv{_rank}d", f"conv_transpose{_rank}d"
    row(_name, "input weight bias stride padding dilation groups")(
        _convolution(_name if _rank < 3 else f"torch.{_name}", _rank)
    )
    row(_transposed, "input weight bias stride padding output_padding groups dilation")(
        _transposed_convolution(_transposed if _rank == 2 else f"torch.{_transposed}", _rank)
    )


@row("linear", "input weight bias")
def _linear(call: Call) -> Step:
    features = call.get("weight").shape[0]
    return step("linear", call.x, weights=_weights(call), features=features, bias=call.get("bias") is not None)


@row("bilinear", "input other weight bias")
def _bilinear(call: Call) -> Step:
    return step("torch.bilinear", call.x, call.get("other"), weights=_weights(call))


@row("embedding", "input weight padding_idx max_norm norm_type scale_grad_by_freq sparse")
def _embedding(call: Call) -> Step | None:
    """torch.embedding has the table first."""
    if call.get("max_norm") is not None:
        return None
    indices, table = call.x, call.get("weight")
    if indices.is_floating_point():
        indices, table = table, indices
    return step("embedding", indices, weights={"weight": table}, entries=table.shape[0], features=table.shape[1])


@row("batch_norm", "input running_mean running_var weight bias training momentum eps")
def _batch_norm(call: Call) -> Step:
    """By the batch's own statistics it is another function."""
    weights = {name: call.get(name) for name in ("running_mean", "running_var", "weight", "bias")}
    return step(
        "batch_norm",
        call.x,
        weights=weights,
        eps=call.get("eps", 1e-5),
        momentum=call.get("momentum", 0.1),
        affine=call.get("weight") is not None,
        own={"batch_statistics": True} if call.get("training", False) else None,
    )


@row("instance_norm", "input running_mean running_var weight bias use_input_stats momentum eps")
def _instance_norm(call: Call) -> Step:
    """By running statistics it is a batch norm."""
    if call.get("use_input_stats", True):
        affine = call.get("weight") is not None
        return step("instance_norm", call.x, weights=_weights(call), eps=call.get("eps", 1e-5), affine=affine)
    weights = {name: call.get(name) for name in ("running_mean", "running_var", "weight", "bias")}
    numbers = {"eps": call.get("eps", 1e-5), "momentum": call.get("momentum", 0.1)}
    return step("batch_norm", call.x, weights=weights, affine=call.get("weight") is not None, **numbers)


@row("group_norm", "input num_groups weight bias eps cudnn_enabled")
def _group_norm(call: Call) -> Step:
    affine = call.get("weight") is not None
    groups, eps = call.get("num_groups"), call.get("eps", 1e-5)
    if call.x.ndim == 4 and groups == call.x.shape[1]:
        return step("instance_norm", call.x, weights=_weights(call), affine=affine, eps=eps)
    return step("group_norm", call.x, weights=_weights(call), affine=affine, groups=groups, eps=eps)


@row("layer_norm", "input normalized_shape weight bias eps cudnn_enable")
def _layer_norm(call: Call) -> Step:
    affine = call.get("weight") is not None
    numbers = {"axes": len(call.get("normalized_shape")), "eps": call.get("eps", 1e-5)}
    return step("layer_norm", call.x, weights=_weights(call), affine=affine, **numbers)


@row("rms_norm", "input normalized_shape weight eps")
def _rms_norm(call: Call) -> Step:
    numbers = {"axes": len(call.get("normalized_shape")), "eps": call.get("eps")}
    return step("torch.rms_norm", call.x, weights={"weight": call.get("weight")}, **numbers)


@row("prelu", "input weight")
def _prelu(call: Call) -> Step:
    return step("prelu", call.x, weights={"weight": call.get("weight")}, parameters=call.get("weight").numel())
