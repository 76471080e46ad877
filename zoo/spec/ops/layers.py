"""Ops with parameters: convolutions, linear, embedding, normalisations, PReLU; and dropout, which has a draw."""

from __future__ import annotations

from twinzoo.zoo.spec.dims import Shape, Size
from twinzoo.zoo.spec.schema import (
    Attrs,
    Bool,
    Draw,
    Float,
    Int,
    Pair,
    Param,
    ShapeMismatch,
    channels_of,
    dims4,
    op,
    volume,
)


def _grouped(a: Attrs, channels_in: int) -> None:
    for name, channels in (("input", channels_in), ("output", a["channels"])):
        if channels % a["groups"]:
            raise ShapeMismatch(f"groups={a['groups']}: must divide the {channels} {name} channels")


def _positive(size: Size, what: str) -> Size:
    if isinstance(size, int) and size < 1:
        raise ShapeMismatch(f"{what} would be {size}: the input is too small for the kernel")
    return size


def convolved(size: Size, kernel: int, stride: int, padding: int, dilation: int = 1) -> Size:
    """Output size of a sliding window: floor((size + 2 p - d (k - 1) - 1) / s) + 1."""
    return _positive((size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1, "output size")


def _conv_params(a: Attrs, x: Shape) -> dict[str, Param]:
    kernel = a["kernel"] if isinstance(a["kernel"], tuple) else (a["kernel"],)
    weight = Param((a["channels"], channels_of(x) // a["groups"], *kernel), "weight")
    return {"weight": weight} | ({"bias": Param((a["channels"],), "bias")} if a["bias"] else {})


def _conv_flops(a: Attrs, y: tuple[int, ...], x: tuple[int, ...]) -> int:
    kernel = a["kernel"] if isinstance(a["kernel"], tuple) else (a["kernel"],)
    products: int = volume(y) * 2 * (x[1] // a["groups"]) * volume(kernel)
    return products + (volume(y) if a["bias"] else 0)


@op(
    "conv1d",
    positional=("channels",),
    attrs={
        "channels": Int(minimum=1),
        "kernel": Int(minimum=1),
        "stride": Int(1, minimum=1),
        "padding": Int(0, minimum=0),
        "dilation": Int(1, minimum=1),
        "groups": Int(1, minimum=1),
        "bias": Bool(True),
    },
    params=_conv_params,
    flops=_conv_flops,
)
def _conv1d(a: Attrs, x: Shape) -> Shape:
    """Cross-correlation with zero padding: x (N, C, L) -> (N, channels, L'); weight (channels, C/groups, kernel)."""
    if len(x) != 3:
        raise ShapeMismatch(f"needs an input (N, C, L), got {len(x)} dimensions")
    _grouped(a, channels_of(x))
    return x[0], a["channels"], convolved(x[2], a["kernel"], a["stride"], a["padding"], a["dilation"])


@op(
    "conv2d",
    positional=("channels",),
    attrs={
        "channels": Int(minimum=1),
        "kernel": Pair(minimum=1),
        "stride": Pair((1, 1), minimum=1),
        "padding": Pair((0, 0)),
        "dilation": Pair((1, 1), minimum=1),
        "groups": Int(1, minimum=1),
        "bias": Bool(True),
    },
    params=_conv_params,
    flops=_conv_flops,
)
def _conv2d(a: Attrs, x: Shape) -> Shape:
    """Cross-correlation with zero padding: x (N, C, H, W) -> (N, channels, H', W').

    weight (channels, C/groups, kernel height, kernel width)
    """
    n, _, *size = dims4(x)
    _grouped(a, channels_of(x))
    windows = zip(size, a["kernel"], a["stride"], a["padding"], a["dilation"], strict=True)
    return n, a["channels"], *(convolved(*window) for window in windows)


def _transposed_params(a: Attrs, x: Shape) -> dict[str, Param]:
    weight = Param((channels_of(x), a["channels"] // a["groups"], *a["kernel"]), "weight")
    return {"weight": weight} | ({"bias": Param((a["channels"],), "bias")} if a["bias"] else {})


def _transposed_flops(a: Attrs, y: tuple[int, ...], x: tuple[int, ...]) -> int:
    products: int = 2 * volume(x) * (a["channels"] // a["groups"]) * volume(a["kernel"])
    return products + (volume(y) if a["bias"] else 0)


@op(
    "conv_transpose2d",
    positional=("channels",),
    attrs={
        "channels": Int(minimum=1),
        "kernel": Pair(minimum=1),
        "stride": Pair((1, 1), minimum=1),
        "padding": Pair((0, 0)),
        "output_padding": Pair((0, 0)),
        "dilation": Pair((1, 1), minimum=1),
        "groups": Int(1, minimum=1),
        "bias": Bool(True),
    },
    params=_transposed_params,
    flops=_transposed_flops,
)
def _conv_transpose2d(a: Attrs, x: Shape) -> Shape:
    """The adjoint of conv2d: x (N, C, H, W) -> (N, channels, (H - 1) s - 2 p + d (k - 1) + output_padding + 1, ...).

    weight (C, channels/groups, kernel height, kernel width)
    """
    n, _, *size = dims4(x)
    _grouped(a, channels_of(x))
    for extra, stride, dilation in zip(a["output_padding"], a["stride"], a["dilation"], strict=True):
        if extra >= max(stride, dilation):
            raise ShapeMismatch(f"output_padding={extra}: must be below the stride {stride} or the dilation {dilation}")
    grown = (
        _positive((s - 1) * stride - 2 * p + d * (k - 1) + extra + 1, "output size")
        for s, stride, p, d, k, extra in zip(
            size, a["stride"], a["padding"], a["dilation"], a["kernel"], a["output_padding"], strict=True
        )
    )
    return n, a["channels"], *grown


def _linear_params(a: Attrs, x: Shape) -> dict[str, Param]:
    if not isinstance(x[-1], int):
        raise ShapeMismatch(f"needs a known last dimension, got {x[-1]}")
    weight = Param((a["features"], x[-1]), "weight")
    return {"weight": weight} | ({"bias": Param((a["features"],), "bias")} if a["bias"] else {})


@op(
    "linear",
    positional=("features",),
    attrs={"features": Int(minimum=1), "bias": Bool(True)},
    params=_linear_params,
    flops=lambda a, y, x: volume(y) * (2 * x[-1] + (1 if a["bias"] else 0)),
)
def _linear(a: Attrs, x: Shape) -> Shape:
    """x Wᵀ + b over the last dimension: x (..., F) -> (..., features); weight (features, F)."""
    return *x[:-1], a["features"]


@op(
    "embedding",
    inputs=("indices",),
    integer_inputs=("indices",),
    positional=("entries", "features"),
    attrs={"entries": Int(minimum=1), "features": Int(minimum=1)},
    params=lambda a, x: {"weight": Param((a["entries"], a["features"]), "weight")},
)
def _embedding(a: Attrs, indices: Shape) -> Shape:
    """Rows of a table: indices (...) of integers in [0, entries) -> (..., features); weight (entries, features)."""
    return *indices, a["features"]


def _affine(a: Attrs, channels: int) -> dict[str, Param]:
    return {"weight": Param((channels,), "scale"), "bias": Param((channels,), "constant")} if a["affine"] else {}


@op(
    "batch_norm",
    attrs={"eps": Float(1e-5, minimum=0.0), "momentum": Float(0.1, minimum=0.0, maximum=1.0), "affine": Bool(True)},
    params=lambda a, x: {
        **_affine(a, channels_of(x)),
        "running_mean": Param((channels_of(x),), "constant", buffer=True),
        "running_var": Param((channels_of(x),), "constant", 1.0, buffer=True),
    },
    flops=lambda a, y, x: 2 * volume(y),
)
def _batch_norm(a: Attrs, x: Shape) -> Shape:
    """Normalise each channel of x (N, C, ...): by the running statistics in eval mode, by the batch's in training.

    Training moves running = (1 - momentum) running + momentum batch, with the unbiased batch variance (PyTorch's rule).
    """
    channels_of(x)
    return x


@op(
    "instance_norm",
    attrs={"eps": Float(1e-5, minimum=0.0), "affine": Bool(False)},
    params=lambda a, x: _affine(a, channels_of(x)),
    flops=lambda a, y, x: 7 * volume(y),
)
def _instance_norm(a: Attrs, x: Shape) -> Shape:
    """Normalise each channel of each image of x (N, C, H, W) by its own mean and biased variance, always."""
    _, _, h, w = dims4(x)
    channels_of(x)
    if h == 1 and w == 1:
        raise ShapeMismatch("one pixel a channel has no variance: leave a 1x1 map un-normalised")
    return x


@op(
    "group_norm",
    positional=("groups",),
    attrs={"groups": Int(minimum=1), "eps": Float(1e-5, minimum=0.0), "affine": Bool(True)},
    params=lambda a, x: _affine(a, channels_of(x)),
    flops=lambda a, y, x: 7 * volume(y),
)
def _group_norm(a: Attrs, x: Shape) -> Shape:
    """Normalise groups of channels of x (N, C, ...) by their own mean and biased variance."""
    if channels_of(x) % a["groups"]:
        raise ShapeMismatch(f"groups={a['groups']}: must divide the {x[1]} channels")
    return x


@op(
    "layer_norm",
    positional=("axes",),
    attrs={"axes": Int(1, minimum=1), "eps": Float(1e-5, minimum=0.0), "affine": Bool(True)},
    params=lambda a, x: (
        {"weight": Param(_known(x[-a["axes"] :]), "scale"), "bias": Param(_known(x[-a["axes"] :]), "constant")}
        if a["affine"]
        else {}
    ),
    flops=lambda a, y, x: 7 * volume(y),
)
def _layer_norm(a: Attrs, x: Shape) -> Shape:
    """Normalise over the last `axes` dimensions by their mean and biased variance."""
    if a["axes"] >= len(x):
        raise ShapeMismatch(f"axes={a['axes']}: must be below the {len(x)} dimensions of the input")
    _known(x[-a["axes"] :])
    return x


def _known(shape: Shape) -> tuple[int, ...]:
    known = tuple(size for size in shape if isinstance(size, int))
    if len(known) != len(shape):
        raise ShapeMismatch("needs known sizes in the normalised dimensions")
    return known


@op(
    "prelu",
    attrs={"parameters": Int(1, minimum=1), "slope": Float(0.25)},
    params=lambda a, x: {"weight": Param((a["parameters"],), "constant", a["slope"])},
    flops=lambda a, y, x: volume(y),
)
def _prelu(a: Attrs, x: Shape) -> Shape:
    """max(0, x) + weight * min(0, x) with one learned slope, or one a channel; it starts at `slope`."""
    if a["parameters"] not in (1, channels_of(x)):
        raise ShapeMismatch(f"parameters={a['parameters']}: must be 1 or the {x[1]} channels")
    return x


@op(
    "learned_scale",
    attrs={"start": Float(1.0)},
    params=lambda a, x: {"weight": Param((1,), "constant", a["start"])},
    flops=lambda a, y, x: volume(y),
)
def _learned_scale(a: Attrs, x: Shape) -> Shape:
    """weight * x with one learned number, which starts at `start`."""
    return x


@op(
    "dropout",
    positional=("p",),
    attrs={"p": Float(0.5, minimum=0.0, maximum=1.0)},
    draws=lambda a, x: {"mask": Draw(x, "dropout mask")},
)
def _dropout(a: Attrs, x: Shape) -> Shape:
    """Identity in eval mode; in training x * mask / (1 - p) with a mask of zeros and ones.

    A mask that is fed is used in both modes.
    """
    return x
