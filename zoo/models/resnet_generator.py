"""The ResNet generator of CycleGAN, and its anti-aliased form of CUT."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.models.blocks import NORM, downsample, norm2d, norm_bias, self_attention, upsample
from twinzoo.zoo.naming import sequential
from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Bool, Choice, Float, Int

_JUNYANZ = "junyanz/pytorch-CycleGAN-and-pix2pix"
_CUT = "taesungp/contrastive-unpaired-translation"
_HALVINGS = 2


def _published(blocks: int, padding: str, antialias: bool, dropout: float, **_: Any) -> dict[str, str]:
    modules = ["stem_pad", "stem_conv", "stem_norm", "stem_relu"]
    for i in range(1, _HALVINGS + 1):
        modules += [f"down{i}_conv", f"down{i}_norm", f"down{i}_relu", *([f"down{i}_blur"] if antialias else [])]
    modules += [f"block{i}_add" for i in range(1, blocks + 1)]
    for i in range(1, _HALVINGS + 1):
        modules += [*([f"up{i}_blur"] if antialias else []), f"up{i}_conv", f"up{i}_norm", f"up{i}_relu"]
    prefixes: dict[str, str] = {}
    for node, path in sequential("model", [*modules, "head_pad", "head_conv", "tanh"]).items():
        if node.startswith("block"):
            prefixes |= sequential(f"{path}.conv_block", _block_modules(node.removesuffix("_add"), padding, dropout))
        prefixes[node] = path
    return prefixes


def _block_modules(block: str, padding: str, dropout: float) -> list[str]:
    pads = padding != "zero"
    first = [*([f"{block}_pad1"] if pads else []), f"{block}_conv1", f"{block}_norm1", f"{block}_relu"]
    first += [f"{block}_dropout"] if dropout else []
    return [*first, *([f"{block}_pad2"] if pads else []), f"{block}_conv2", f"{block}_norm2"]


def _block_conv(s: Spec, block: str, i: int, x: Value, padding: str, norm: str) -> Value:
    channels = x.shape[1]
    if padding != "zero":
        x = s.pad2d(f"{block}_pad{i}", x, (1, 1, 1, 1), mode=padding)
    own = 1 if padding == "zero" else 0
    x = s.conv2d(f"{block}_conv{i}", x, channels, kernel=3, padding=own, bias=norm_bias(norm))
    return norm2d(s, f"{block}_norm{i}", x, norm)


def _block(s: Spec, block: str, x: Value, padding: str, norm: str, dropout: float) -> Value:
    y = s.relu(f"{block}_relu", _block_conv(s, block, 1, x, padding, norm))
    y = s.dropout(f"{block}_dropout", y, dropout) if dropout else y
    return s.add(f"{block}_add", x, _block_conv(s, block, 2, y, padding, norm))


def _down(s: Spec, name: str, x: Value, channels: int, norm: str, antialias: bool) -> Value:
    stride = 1 if antialias else 2
    x = s.conv2d(f"{name}_conv", x, channels, kernel=3, stride=stride, padding=1, bias=norm_bias(norm))
    x = s.relu(f"{name}_relu", norm2d(s, f"{name}_norm", x, norm))
    return downsample(s, f"{name}_blur", x) if antialias else x


def _up(s: Spec, name: str, x: Value, channels: int, norm: str, antialias: bool) -> Value:
    bias = norm_bias(norm)
    if antialias:
        x = s.conv2d(f"{name}_conv", upsample(s, f"{name}_blur", x), channels, kernel=3, padding=1, bias=bias)
    else:
        x = s.conv_transpose2d(f"{name}_conv", x, channels, kernel=3, stride=2, padding=1, output_padding=1, bias=bias)
    return s.relu(f"{name}_relu", norm2d(s, f"{name}_norm", x, norm))


def draw_resnet(
    s: Spec,
    in_channels: int,
    out_channels: int,
    width: int,
    blocks: int,
    norm: str,
    padding: str,
    antialias: bool,
    dropout: float,
    *,
    attention: bool = False,
    example: int = 256,
) -> Value:
    """The nodes of `resnet_generator`; with `attention` what the last block makes attends to itself."""
    x = s.input("image", channels=in_channels, multiple_of=4, example=example)
    x = s.conv2d("stem_conv", s.pad2d("stem_pad", x, (3,) * 4, mode="reflect"), width, kernel=7, bias=norm_bias(norm))
    x = s.relu("stem_relu", norm2d(s, "stem_norm", x, norm))
    for i in range(1, _HALVINGS + 1):
        x = _down(s, f"down{i}", x, width * 2**i, norm, antialias)
    for i in range(1, blocks + 1):
        x = _block(s, f"block{i}", x, padding, norm, dropout)
    x = self_attention(s, "attention", x) if attention else x
    for i in range(1, _HALVINGS + 1):
        x = _up(s, f"up{i}", x, width * 2 ** (_HALVINGS - i), norm, antialias)
    x = s.conv2d("head_conv", s.pad2d("head_pad", x, (3,) * 4, mode="reflect"), out_channels, kernel=7)
    return s.tanh("tanh", x)


@model(
    "resnet_generator",
    paper="Zhu et al. 2017, arXiv:1703.10593",
    task="translation",
    init="gan",
    namings={_JUNYANZ: _published, _CUT: _published},
    small={"width": 4, "blocks": 2},
    allowed={
        "in_channels": Int(minimum=1),
        "out_channels": Int(minimum=1),
        "width": Int(minimum=1),
        "blocks": Int(minimum=0),
        "norm": NORM,
        "padding": Choice(choices=("reflect", "replicate", "zero")),
        "antialias": Bool(),
        "dropout": Float(minimum=0.0, maximum=1.0),
    },
    presets={"blocks9": {}, "blocks6": {"blocks": 6}, "cut": {"antialias": True}},
)
def resnet_generator(
    s: Spec,
    *,
    in_channels: int = 3,
    out_channels: int = 3,
    width: int = 64,
    blocks: int = 9,
    norm: str = "instance",
    padding: str = "reflect",
    antialias: bool = False,
    dropout: float = 0.0,
) -> Value:
    """ResNet generator: a 7x7 convolution, two halvings, `blocks` residual blocks, two doublings, a 7x7 convolution.

    image: (N, in_channels, H, W) in [-1, 1], H and W multiples of 4 -> (N, out_channels, H, W) in [-1, 1]
    blocks: 9 at 256 pixels and more, 6 at 128. width: channels of the first convolution; a halving doubles them.
    norm: instance without parameters, or batch; convolutions have a bias with instance norm, the last one always.
    padding: of the residual blocks; the two 7x7 convolutions reflect always, as in the authors' code.
    antialias: halve after a blur and double by one, in place of strides (CUT, Park et al. 2020; Zhang 2019).
    dropout: its rate, between the two convolutions of each block; 0 leaves it out.

    Zhu et al. 2017, section 7.2, after Johnson et al. 2016. No ReLU follows the sum of a block. The authors' code
    decides where the paper is silent: output_padding 1 in the doublings, tanh and no norm after the last convolution.
    Presets: `blocks9` and `blocks6` of CycleGAN, and `cut`.
    """
    return draw_resnet(s, in_channels, out_channels, width, blocks, norm, padding, antialias, dropout)
