"""Rows of cells: those that own tensors, and dropout. What such a cell does inside is not looked at."""

from __future__ import annotations

from typing import Any

from mindspore import mint, nn

from twinzoo.converters.live.mindspore.calls import Call, Step
from twinzoo.converters.live.mindspore.rows.layers import convolution, grouped
from twinzoo.converters.live.mindspore.rows.table import Row, cell, pair


@cell("conv2d", nn.Conv2d)
def _conv2d(call: Call) -> Step:
    made = call.owner
    attrs = {
        "channels": made.out_channels,
        "kernel": pair(made.kernel_size),
        "stride": pair(made.stride),
        "dilation": pair(made.dilation),
        "groups": made.group,
    }
    return _own(convolution("conv2d", call, attrs, made.pad_mode, made.padding), bias=made.has_bias)


def _own(step: Step, **attrs: Any) -> Step:
    """A step whose weights are those of the cell."""
    return Step(step.kind, step.inputs, {**step.attrs, **attrs}, own=step.own)


@cell("conv1d", nn.Conv1d)
def _conv1d(call: Call) -> Step | None:
    """The cell's numbers are of a convolution over maps of height 1."""
    made = call.owner
    kernel, stride, dilation = made.kernel_size[-1], made.stride[-1], made.dilation[-1]
    sides = made.padding if isinstance(made.padding, tuple) else (made.padding,) * 2
    total = dilation * (kernel - 1) + 1 - stride
    own: dict[str, Any] = {}
    if made.pad_mode == "same":
        if call.x.shape[-1] % stride or total < 0 or total % 2:
            own = {"pad_mode": "same"}
        padding = 0 if own else total // 2
    elif made.pad_mode == "pad" and sides[-2] != sides[-1]:
        padding, own = 0, {"padding_lr": sides[-2:]}
    else:
        padding = 0 if made.pad_mode == "valid" else sides[-1]
    attrs = {"channels": made.out_channels, "kernel": kernel, "stride": stride, "padding": padding}
    attrs |= {"dilation": dilation, "groups": made.group, "bias": made.has_bias}
    return Step("conv1d", (call.x,), attrs, own=own)


@cell("conv_transpose2d", nn.Conv2dTranspose)
def _conv_transpose2d(call: Call) -> Step:
    """Less padding behind than before is `output_padding` in the op table's words."""
    made = call.owner
    kernel, stride, dilation = pair(made.kernel_size), pair(made.stride), pair(made.dilation)
    more = pair(made.output_padding)
    cropped = [d * (k - 1) + 1 - s for k, s, d in zip(kernel, stride, dilation, strict=True)]
    if made.pad_mode == "same":
        before = tuple(c // 2 for c in cropped)
        behind = tuple(c - c // 2 for c in cropped)
    elif made.pad_mode == "valid":
        before = behind = (0, 0)
    else:
        before, behind = (made.padding_top, made.padding_left), (made.padding_bottom, made.padding_right)
    output_padding = tuple(b - a + m for b, a, m in zip(before, behind, more, strict=True))
    attrs = {"channels": made.out_channels, "kernel": kernel, "stride": stride, "dilation": dilation}
    attrs |= {"groups": made.group, "bias": made.has_bias}
    if min(*before, *output_padding) < 0:
        return Step("conv_transpose2d", (call.x,), attrs, own={"before": before, "behind": behind})
    return Step("conv_transpose2d", (call.x,), attrs | {"padding": before, "output_padding": output_padding})


@cell("conv2d", mint.nn.Conv2d)
def _mint_conv2d(call: Call) -> Step:
    made = call.owner
    named = isinstance(made.padding, str)
    attrs = {
        "channels": made.out_channels,
        "kernel": pair(made.kernel_size),
        "stride": pair(made.stride),
        "dilation": pair(made.dilation),
        "groups": made.groups,
    }
    mode, padding = (made.padding, 0) if named else ("pad", made.padding)
    step = _own(convolution("conv2d", call, attrs, mode, padding), bias=made.bias is not None)
    if made.padding_mode == "zeros":
        return step
    return Step(step.kind, step.inputs, step.attrs, own={**step.own, "padding_mode": made.padding_mode})


@cell("conv_transpose2d", mint.nn.ConvTranspose2d)
def _mint_conv_transpose2d(call: Call) -> Step | None:
    made = call.owner
    if call.get("output_size", at=1) is not None:
        return None
    names = {"stride": made.stride, "padding": made.padding, "output_padding": made.output_padding}
    attrs = {name: pair(value) for name, value in names.items()} | {"dilation": pair(made.dilation)}
    attrs |= {"channels": made.out_channels, "kernel": pair(made.kernel_size)}
    return Step("conv_transpose2d", (call.x,), attrs | {"groups": made.groups, "bias": made.bias is not None})


@cell("linear", nn.Dense, unless=lambda made: made.activation_flag)
def _dense(call: Call) -> Step:
    """With an activation it is two steps, which are found inside."""
    made = call.owner
    return Step("linear", (call.x,), {"features": made.out_channels, "bias": made.has_bias})


@cell("linear", mint.nn.Linear)
def _linear(call: Call) -> Step:
    made = call.owner
    return Step("linear", (call.x,), {"features": made.out_features, "bias": made.bias is not None})


@cell("embedding", nn.Embedding, mint.nn.Embedding)
def _embedding(call: Call) -> Step:
    table = call.owner.embedding_table if isinstance(call.owner, nn.Embedding) else call.owner.weight
    return Step("embedding", (call.x,), {"entries": table.shape[0], "features": table.shape[1]})


@cell("batch_norm", nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
def _batch_norm(call: Call) -> Step:
    """The cell keeps the complement of its momentum, and frozen gamma and beta where it is not affine."""
    made = call.owner.bn2d if isinstance(call.owner, nn.BatchNorm3d) else call.owner
    attrs = {"eps": made.eps, "momentum": round(made.momentum, 12), "affine": made.gamma.requires_grad}
    told = made.use_batch_statistics
    return Step("batch_norm", (call.x,), attrs, own=_statistics(made.training if told is None else told))


def _statistics(of_the_batch: bool) -> dict[str, bool]:
    return {"batch_statistics": True} if of_the_batch else {}


@cell("batch_norm", mint.nn.BatchNorm1d, mint.nn.BatchNorm2d, mint.nn.BatchNorm3d)
def _mint_batch_norm(call: Call) -> Step:
    made = call.owner
    attrs = {"eps": made.eps, "momentum": made.momentum or 0.0, "affine": made.affine}
    return Step("batch_norm", (call.x,), attrs, own=_statistics(made.training or made.running_mean is None))


@cell("group_norm", nn.GroupNorm, mint.nn.GroupNorm)
def _group_norm(call: Call) -> Step:
    made = call.owner
    return _own(grouped(call.x, made.num_groups, made.eps, None, None), affine=made.affine)


@cell("instance_norm", nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
def _instance_norm(call: Call) -> Step:
    return Step("instance_norm", (call.x,), {"eps": call.owner.eps, "affine": call.owner.gamma.requires_grad})


@cell("layer_norm", nn.LayerNorm)
def _layer_norm(call: Call) -> Step:
    begin = call.owner.begin_norm_axis
    axes = -begin if begin < 0 else call.x.ndim - begin
    return Step("layer_norm", (call.x,), {"axes": axes, "eps": call.owner.epsilon})


@cell("layer_norm", mint.nn.LayerNorm)
def _mint_layer_norm(call: Call) -> Step:
    made = call.owner
    attrs = {"axes": len(made.normalized_shape), "eps": made.eps, "affine": made.weight is not None}
    return Step("layer_norm", (call.x,), attrs)


@cell("prelu", nn.PReLU, mint.nn.PReLU)
def _prelu(call: Call) -> Step:
    slopes = call.owner.w if isinstance(call.owner, nn.PReLU) else call.owner.weight
    return Step("prelu", (call.x,), {"parameters": slopes.size})


def _dropping(kind: str) -> Row:
    """In eval mode it calls nothing that a watch would see."""

    def row(call: Call) -> Step:
        p = _dropped(call.owner)
        return Step(kind, (call.x,), {"p": p}, idle=not (p and call.owner.training))

    return row


def _dropped(made: nn.Cell) -> float:
    """The share that a cell drops, by whichever name it has it, or the share that it keeps."""
    p = next((value for name in ("p", "prob") if (value := getattr(made, name, None)) is not None), None)
    return round(1.0 - made.keep_prob, 12) if p is None else float(p)


cell("dropout", nn.Dropout, mint.nn.Dropout)(_dropping("dropout"))
cell("dropout1d", nn.Dropout1d)(_dropping("dropout1d"))
cell("dropout2d", nn.Dropout2d, mint.nn.Dropout2d)(_dropping("dropout2d"))
cell("dropout3d", nn.Dropout3d)(_dropping("dropout3d"))


def _recurrent(kind: str) -> Row:
    def row(call: Call) -> Step:
        names = ("hidden_size", "num_layers", "bidirectional", "batch_first")
        return Step(kind, call.tensors, own={name: getattr(call.owner, name) for name in names})

    return row


cell("lstm", nn.LSTM)(_recurrent("lstm"))
cell("gru", nn.GRU)(_recurrent("gru"))
cell("rnn", nn.RNN)(_recurrent("rnn"))


def _recurrent_cell(kind: str) -> Row:
    return lambda call: Step(kind, call.tensors, own={"hidden_size": call.owner.hidden_size})


cell("lstm_cell", nn.LSTMCell)(_recurrent_cell("lstm_cell"))
cell("gru_cell", nn.GRUCell)(_recurrent_cell("gru_cell"))
cell("rnn_cell", nn.RNNCell)(_recurrent_cell("rnn_cell"))


@cell("multihead_attention", nn.MultiheadAttention)
def _multihead_attention(call: Call) -> Step:
    names = ("num_heads", "batch_first")
    return Step("multihead_attention", call.tensors, own={name: getattr(call.owner, name) for name in names})
