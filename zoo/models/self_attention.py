"""The generators of improved CycleGAN: a U-Net and a ResNet in which one feature map attends to itself."""

from __future__ import annotations

from twinzoo.zoo.models.blocks import NORM, add_spectral_norm
from twinzoo.zoo.models.resnet_generator import draw_resnet
from twinzoo.zoo.models.unet import ATTENDED, PLACEMENT, draw_unet
from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Bool, Choice, Float, Int

PAPER = "after Zhu et al. 2017, arXiv:1703.10593, and Zhang et al. 2019, arXiv:1805.08318"
_SIZE = Int(minimum=1)
_RATE = Float(minimum=0.0, maximum=1.0)


@model(
    "self_attention_unet",
    paper=PAPER,
    task="translation",
    init="gan",
    small={"width": 4, "depth": 4},
    allowed={
        "in_channels": _SIZE,
        "out_channels": _SIZE,
        "width": _SIZE,
        "depth": Int(minimum=ATTENDED),
        "norm": NORM,
        "dropout": _RATE,
        "dropout_placement": PLACEMENT,
        "spectral_norm": Bool(),
    },
    presets={"spectral": {"spectral_norm": True}},
)
def self_attention_unet(
    s: Spec,
    *,
    in_channels: int = 3,
    out_channels: int = 3,
    width: int = 64,
    depth: int = 8,
    norm: str = "instance",
    dropout: float = 0.0,
    dropout_placement: str = "pytorch",
    spectral_norm: bool = False,
) -> Value:
    """U-Net generator with self-attention: `unet`, in which the last map of a quarter of the size attends to itself.

    image: (N, in_channels, H, W) in [-1, 1], H and W multiples of 2**depth -> (N, out_channels, H, W) in [-1, 1]
    spectral_norm: of every convolution, as SAGAN has it. Other options are those of `unet`, with instance norm and
        without dropout as in CycleGAN.

    Attention is that of SAGAN (Zhang et al. 2019, section 3; `gamma` starts at 0, so that at first this is the U-Net),
    in the form of heykeetae/Self-Attention-GAN: queries and keys have an eighth of the channels and values all of them,
    where the authors' code pools keys and values, and values have half of the channels.
    No source says where: here behind the skip of the third level, 4 * width channels of H/4 x W/4 places, so that
    attention costs 16.8 million numbers an image at 256x256. Preset: `spectral`, with spectral norm.
    """
    x = draw_unet(s, in_channels, out_channels, width, depth, norm, dropout, dropout_placement, attention=True)
    if spectral_norm:
        add_spectral_norm(s)
    return x


@model(
    "self_attention_resnet",
    paper=PAPER,
    task="translation",
    init="gan",
    small={"width": 4, "blocks": 1},
    allowed={
        "in_channels": _SIZE,
        "out_channels": _SIZE,
        "width": _SIZE,
        "blocks": Int(minimum=0),
        "norm": NORM,
        "padding": Choice(choices=("reflect", "replicate", "zero")),
        "dropout": _RATE,
        "spectral_norm": Bool(),
    },
    presets={"spectral": {"spectral_norm": True}},
)
def self_attention_resnet(
    s: Spec,
    *,
    in_channels: int = 3,
    out_channels: int = 3,
    width: int = 64,
    blocks: int = 9,
    norm: str = "instance",
    padding: str = "reflect",
    dropout: float = 0.0,
    spectral_norm: bool = False,
) -> Value:
    """ResNet generator with self-attention: `resnet_generator`, in which what the last block makes attends to itself.

    image: (N, in_channels, H, W) in [-1, 1], H and W multiples of 4 -> (N, out_channels, H, W) in [-1, 1]
    spectral_norm: as in `self_attention_unet`. Other options are those of `resnet_generator`.

    Zhu et al. 2017, section 7.2. Attention as in `self_attention_unet`, on 4 * width channels of H/4 x W/4 places.
    """
    channels = (in_channels, out_channels)
    x = draw_resnet(s, *channels, width, blocks, norm, padding, False, dropout, attention=True, example=64)
    if spectral_norm:
        add_spectral_norm(s)
    return x
