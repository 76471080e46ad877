"""An attribute of the op table as somebody writes it in a framework: `torch.nn.Conv2d(padding=(1, 1))`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CALLS: Mapping[str, Mapping[str, str]] = {
    "torch": {
        "conv1d": "torch.nn.Conv1d",
        "conv2d": "torch.nn.Conv2d",
        "conv_transpose2d": "torch.nn.ConvTranspose2d",
        "linear": "torch.nn.Linear",
        "batch_norm": "torch.nn.BatchNorm2d",
        "instance_norm": "torch.nn.InstanceNorm2d",
        "group_norm": "torch.nn.GroupNorm",
        "layer_norm": "torch.nn.LayerNorm",
        "l2_normalize": "torch.nn.functional.normalize",
        "prelu": "torch.nn.PReLU",
        "relu": "torch.nn.ReLU",
        "leaky_relu": "torch.nn.LeakyReLU",
        "elu": "torch.nn.ELU",
        "gelu": "torch.nn.GELU",
        "silu": "torch.nn.SiLU",
        "softplus": "torch.nn.Softplus",
        "dropout": "torch.nn.Dropout",
        "dropout1d": "torch.nn.Dropout1d",
        "dropout2d": "torch.nn.Dropout2d",
        "dropout3d": "torch.nn.Dropout3d",
        "pad2d": "torch.nn.functional.pad",
        "max_pool2d": "torch.nn.MaxPool2d",
        "avg_pool2d": "torch.nn.AvgPool2d",
        "adaptive_avg_pool2d": "torch.nn.AdaptiveAvgPool2d",
        "interpolate": "torch.nn.functional.interpolate",
        "concat": "torch.cat",
        "l1_loss": "torch.nn.L1Loss",
        "mse_loss": "torch.nn.MSELoss",
        "smooth_l1_loss": "torch.nn.SmoothL1Loss",
        "bce_with_logits": "torch.nn.BCEWithLogitsLoss",
        "cross_entropy": "torch.nn.CrossEntropyLoss",
    },
    "mindspore": {
        "conv1d": "nn.Conv1d",
        "conv2d": "nn.Conv2d",
        "conv_transpose2d": "nn.Conv2dTranspose",
        "linear": "nn.Dense",
        "batch_norm": "nn.BatchNorm2d",
        "instance_norm": "nn.InstanceNorm2d",
        "group_norm": "nn.GroupNorm",
        "layer_norm": "nn.LayerNorm",
        "l2_normalize": "ops.L2Normalize",
        "prelu": "nn.PReLU",
        "relu": "nn.ReLU",
        "leaky_relu": "nn.LeakyReLU",
        "elu": "nn.ELU",
        "gelu": "nn.GELU",
        "silu": "nn.SiLU",
        "dropout": "nn.Dropout",
        "dropout1d": "nn.Dropout1d",
        "dropout2d": "nn.Dropout2d",
        "dropout3d": "nn.Dropout3d",
        "pad2d": "ops.pad",
        "max_pool2d": "nn.MaxPool2d",
        "avg_pool2d": "nn.AvgPool2d",
        "adaptive_avg_pool2d": "nn.AdaptiveAvgPool2d",
        "concat": "ops.cat",
        "l1_loss": "nn.L1Loss",
        "mse_loss": "nn.MSELoss",
        "smooth_l1_loss": "nn.SmoothL1Loss",
        "bce_with_logits": "nn.BCEWithLogitsLoss",
        "cross_entropy": "nn.CrossEntropyLoss",
    },
}
"""Port -> kind -> what makes it; every other kind is a function of its own name."""

_FUNCTIONS = {"torch": "torch.", "mindspore": "ops."}

_ARGUMENTS: Mapping[str, Mapping[str, str]] = {
    "torch": {
        "kernel": "kernel_size",
        "slope": "negative_slope",
        "axis": "dim",
        "axes": "dim",
        "keepdims": "keepdim",
        "scale": "scale_factor",
        "channels": "out_channels",
        "group_norm.groups": "num_groups",
    },
    "mindspore": {
        "kernel": "kernel_size",
        "slope": "alpha",
        "axes": "axis",
        "correction": "ddof",
        "bias": "has_bias",
        "channels": "out_channels",
        "groups": "group",
        "group_norm.groups": "num_groups",
        "layer_norm.eps": "epsilon",
        "l2_normalize.eps": "epsilon",
        "scale": "scale_factor",
    },
}
"""Port -> attribute, with the kind before it where it is that kind's alone -> the argument's name."""

_PAD_MODES = {"zero": "constant"}


def written(port: str, kind: str, name: str, value: Any) -> str:
    """An attribute with its value as an argument of what makes the operation.

    Args:
        port: `torch` or `mindspore`.
        kind: a word of the op table, or a framework's own.
        name: the attribute, perhaps a framework's own.
        value: None where the operation is to have no such attribute.
    """
    plain = name.rpartition(".")[2]
    if kind == "affine":
        return f"x * {value}" if plain == "scale" else f"x + {value}"
    if plain in ("training", "batch_statistics"):
        return _statistics(port, bool(value))
    if port == "mindspore" and (special := _in_mindspore(kind, plain, value)):
        return special
    names = _ARGUMENTS.get(port, {})
    argument = names.get(f"{kind}.{plain}", names.get(plain, plain))
    shown = _PAD_MODES.get(value, value) if kind == "pad2d" else value
    return f"{called(port, kind)}({argument}={shown!r})"


def called(port: str, kind: str) -> str:
    """What makes an operation of this kind: a class where there is one, else a function."""
    word = kind.rpartition(".")[2]
    return _CALLS.get(port, {}).get(word, f"{_FUNCTIONS.get(port, '')}{word}")


def _statistics(port: str, of_the_batch: bool) -> str:
    if port == "torch":
        return f"model.train({of_the_batch}), and torch.nn.BatchNorm2d(track_running_stats={not of_the_batch})"
    return f"model.set_train({of_the_batch}), and nn.BatchNorm2d(use_batch_statistics={of_the_batch or None})"


def _in_mindspore(kind: str, name: str, value: Any) -> str:
    """Where MindSpore says it by other numbers, empty where it does not."""
    if kind == "batch_norm" and name == "momentum":
        return f"nn.BatchNorm2d(momentum={round(1 - value, 12)}), the complement of PyTorch's momentum={value}"
    if kind in ("conv1d", "conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d") and name == "padding":
        padding = value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value
        return f"{called('mindspore', kind)}(pad_mode='pad', padding={padding})"
    if kind in ("conv2d", "conv_transpose2d") and value is None:
        return f"{called('mindspore', kind)}(pad_mode='pad', padding=...) with the numbers of side a"
    if kind == "conv_transpose2d" and name == "output_padding" and any(value):
        return f"nn.Conv2dTranspose(output_padding={value}), or pad_mode='valid' and a slice where its edge is wrong"
    if kind == "gelu" and name == "approximate":
        return f"nn.GELU(approximate={value == 'tanh'}) or ops.gelu(approximate={value!r})"
    if kind == "interpolate" and name == "scale":
        return f"ops.interpolate(size=...) of {value} times the input's"
    return ""
