"""What modules are by their class: the kinds of those with weights, and those that are one operation as a whole."""

from __future__ import annotations

from collections.abc import Hashable

from torch import nn
from torch.nn.utils import parametrize

WHOLE: dict[type[nn.Module], tuple[str, tuple[str, ...]]] = {
    nn.LSTM: ("lstm", ("hidden_size", "num_layers", "bidirectional", "batch_first")),
    nn.GRU: ("gru", ("hidden_size", "num_layers", "bidirectional", "batch_first")),
    nn.RNN: ("rnn", ("hidden_size", "num_layers", "bidirectional", "batch_first")),
    nn.LSTMCell: ("lstm_cell", ("hidden_size",)),
    nn.GRUCell: ("gru_cell", ("hidden_size",)),
    nn.RNNCell: ("rnn_cell", ("hidden_size",)),
    nn.MultiheadAttention: ("multihead_attention", ("num_heads", "batch_first")),
}
"""Classes whose modules are one operation, whatever they do inside: its kind, and the attributes that it has."""

_KINDS: dict[type[nn.Module], str] = {
    nn.Conv1d: "conv1d",
    nn.Conv2d: "conv2d",
    nn.Conv3d: "torch.conv3d",
    nn.ConvTranspose1d: "torch.conv_transpose1d",
    nn.ConvTranspose2d: "conv_transpose2d",
    nn.ConvTranspose3d: "torch.conv_transpose3d",
    nn.Linear: "linear",
    nn.Bilinear: "torch.bilinear",
    nn.Embedding: "embedding",
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm), "batch_norm"),
    **dict.fromkeys((nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d), "instance_norm"),
    nn.GroupNorm: "group_norm",
    nn.LayerNorm: "layer_norm",
    nn.RMSNorm: "torch.rms_norm",
    nn.PReLU: "prelu",
    **{made: kind for made, (kind, _) in WHOLE.items()},
}


def kind_of(module: nn.Module) -> str:
    """The kind of a module of a class that PyTorch has, empty for others."""
    return next((kind for made, kind in _KINDS.items() if isinstance(module, made)), "")


def is_whole(module: nn.Module) -> bool:
    """Whether a module is one operation."""
    return isinstance(module, tuple(WHOLE))


def attributes_of(module: nn.Module) -> dict[str, Hashable]:
    """The attributes of a module that is one operation."""
    names = next(names for made, (_, names) in WHOLE.items() if isinstance(module, made))
    return {name: getattr(module, name) for name in names}


def is_leaf(module: nn.Module) -> bool:
    """Whether there are no modules inside but those that PyTorch puts there to compute a weight."""
    inside = len(list(module.children()))
    return inside == 0 or (inside == 1 and parametrize.is_parametrized(module))
