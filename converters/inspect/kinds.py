"""What a layer is, as far as the names, roles and shapes of its tensors tell."""

from __future__ import annotations

import re
from typing import NamedTuple

from twinzoo.converters.layers import STATISTICS, Layer

_GATES = {1: "RNN", 3: "GRU", 4: "LSTM"}
_EMBEDDING = re.compile(r"emb|wte|wpe", re.IGNORECASE)
_ACTIVATION = re.compile(r"relu|act", re.IGNORECASE)
_RECURRENT = re.compile(r"^(weight|bias)_(ih|hh|hr)(_l\d+)?(_reverse)?$")
_OWN = re.compile(r"^(weight|bias|(weight|bias)_(g|v|u|orig)|(in|q|k|v)_proj_(weight|bias)|bias_[kv])$")
_NORMED = {"weight_v": ("weight_g", "weight-normed"), "weight_orig": ("weight_u", "spectral-normed")}
"""The role that has the weight's shape -> the role that tells which wrapper it is, and its word."""


class Kind(NamedTuple):
    """A layer's kind and sizes in words.

    Attributes:
        name: conv2d, conv_transpose2d, linear, embedding, batch norm, LSTM, ...
        sizes: `64->128 k4 bias`: channels in (of one group: groups do not show) and out, kernel, what else there is.
        main: the role of the tensor whose numbers stand for the layer.
        outputs: the axis of the main tensor that counts the output channels, None where there is no such axis.
    """

    name: str
    sizes: str
    main: str = "weight"
    outputs: int | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.sizes}".rstrip()


def belongs(role: str) -> bool:
    """Whether a tensor of this role is a part of the layer whose prefix it has, and not one of its own beside it."""
    return role in STATISTICS or bool(_OWN.match(role) or _RECURRENT.match(role))


def kind_of(layer: Layer, following: Layer | None = None) -> Kind | None:
    """The layer's kind, None where it is none that is known here.

    Where its `kind` is not given, only a bias or the norm behind it shows whether a convolution is a transposed one.

    Args:
        following: the next layer of the file.
    """
    roles = layer.tensors
    if any(_RECURRENT.match(role) for role in roles):
        return _recurrent(layer)
    if "in_proj_weight" in roles and len(roles["in_proj_weight"].shape) == 2:
        sizes = f"{roles['in_proj_weight'].shape[1]}" + (" bias" if "in_proj_bias" in roles else "")
        return Kind("attention", sizes, "in_proj_weight", 0)
    if "running_mean" in roles:
        return _batch_norm(layer)
    for main, (sign, word) in _NORMED.items():
        if main in roles and sign in roles:
            kind = _with_weight(layer, main, following)
            return kind and kind._replace(sizes=f"{kind.sizes} {word}")
    return _with_weight(layer, "weight", following) if "weight" in roles else None


def _with_weight(layer: Layer, main: str, following: Layer | None) -> Kind | None:
    shape, word = layer.tensors[main].shape, layer.tensors[main].key.rpartition(".")[2]
    rank, last = len(shape), layer.prefix.rpartition(".")[2]
    bias = " bias" if "bias" in layer.tensors else ""
    if rank > 2 and (word == "filt" or layer.kind.startswith("blur")):
        return Kind("blur", f"{shape[0]} k{_kernel(*shape[2:])}", main)
    if rank == 1:
        if bias:
            return Kind("norm", f"{shape[0]}", main)
        slopes = word == "w" or (word == "weight" and (shape == (1,) or _ACTIVATION.search(last)))
        return Kind("PReLU" if slopes else "scale", f"{shape[0]}", main)
    if rank == 2 and (word == "embedding_table" or (not bias and _EMBEDDING.search(last))):
        return Kind("embedding", f"{shape[0]}x{shape[1]}", main)
    if rank == 2:
        return Kind("linear", f"{shape[1]}->{shape[0]}{bias}", main, 0)
    return _convolution(layer, main, bias, following) if 3 <= rank <= 5 else None


def _convolution(layer: Layer, main: str, bias: str, following: Layer | None) -> Kind:
    first, second, *kernel = layer.tensors[main].shape
    channels = sum(layer.tensors["bias"].shape) if bias else _channels_behind(layer, following)
    seen = channels not in (0, first) and second > 0 and channels % second == 0
    if layer.kind.startswith("conv_transpose") or (seen and not layer.kind):
        return Kind(
            f"conv_transpose{len(kernel)}d", f"{first}->{channels or second} k{_kernel(*kernel)}{bias}", main, 1
        )
    return Kind(f"conv{len(kernel)}d", f"{second}->{first} k{_kernel(*kernel)}{bias}", main, 0)


def _channels_behind(layer: Layer, following: Layer | None) -> int:
    """The channels of the norm that belongs to a convolution by its name (`up2_conv`, `up2_norm`; `5`, `6`), else 0."""
    if following is None:
        return 0
    (parent, _, name), (other, _, behind) = layer.prefix.rpartition("."), following.prefix.rpartition(".")
    alike = re.findall(r"\d+", name) == re.findall(r"\d+", behind) or (name.isdigit() and behind.isdigit())
    sizes = {tensor.shape for role, tensor in following.tensors.items() if role != "num_batches_tracked"}
    if parent != other or not alike or len(sizes) != 1:
        return 0
    (size,) = sizes
    return size[0] if len(size) == 1 and size[0] > 1 else 0


def _batch_norm(layer: Layer) -> Kind:
    channels = layer.tensors["running_mean"].shape[0] if layer.tensors["running_mean"].shape else 1
    if layer.only_statistics:
        return Kind("norm statistics", f"{channels}", "running_mean")
    return Kind("batch norm", f"{channels}", "weight" if "weight" in layer.tensors else "running_mean")


def _recurrent(layer: Layer) -> Kind | None:
    matches = {role: found for role in layer.tensors if (found := _RECURRENT.match(role))}
    first = {f"{m[1]}_{m[2]}": layer.tensors[role] for role, m in reversed(matches.items()) if m[1] == "weight"}
    if not {"weight_ih", "weight_hh"} <= first.keys() or any(len(tensor.shape) != 2 for tensor in first.values()):
        return None
    hidden = first.get("weight_hr", first["weight_hh"]).shape[1]
    rows, inputs = first["weight_ih"].shape
    depth = len({m[3] for m in matches.values()})
    words = [f"{inputs}->{hidden}"] + ([f"x{depth}"] if depth > 1 else [])
    words += ["bidirectional"] if any(m[4] for m in matches.values()) else []
    words += ["bias"] if any(m[1] == "bias" for m in matches.values()) else []
    name = _GATES.get(rows // hidden if hidden else 0, "recurrent")
    return Kind(name, " ".join(words), next(role for role in matches if role.startswith("weight_ih")), 0)


def _kernel(*sizes: int) -> str:
    return str(sizes[0]) if len(set(sizes)) == 1 else "x".join(map(str, sizes))
