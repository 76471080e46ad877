"""User-guided colorization: a U-Net that is given lightness and colour hints, and the PatchGAN that judges it."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.models.blocks import NORM, norm2d
from twinzoo.zoo.naming import sequential
from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Bool, Choice, Float, Int

PAPER = "after Isola et al. 2017, arXiv:1611.07004, and Zhang et al. 2017, arXiv:1705.02999"
_REPO = "wknn-bfb/MindSpore-Colorization-Project"
_DROPPED = 3


def _unet_published(depth: int, **_: Any) -> dict[str, str]:
    paths = {"down1_conv": "down1", "down1_act": "lrelu"}
    for level in range(2, depth + 1):
        names = [f"down{level}_{kind}" for kind in ("conv", "norm", "act")]
        paths |= sequential(f"down{level}.block", names)
    for step in range(1, depth):
        names = [f"up{step}_{kind}" for kind in ("conv", "norm", "act", "dropout")]
        paths |= sequential(f"up{step}.block", names)
    return paths | sequential("final", ["final_conv", "tanh"])


@model(
    "colorization_unet",
    paper=PAPER,
    task="colorization",
    init="normal",
    namings={_REPO: _unet_published},
    small={"width": 4, "depth": 5},
    allowed={
        "in_channels": Int(minimum=1),
        "out_channels": Int(minimum=1),
        "width": Int(minimum=1),
        "depth": Int(minimum=2),
        "norm": NORM,
        "bottleneck_norm": Bool(),
        "dropout": Float(minimum=0.0, maximum=1.0),
    },
    presets={
        "report": {"norm": "instance", "bottleneck_norm": False},
        "repo": {"norm": "batch", "bottleneck_norm": True},
    },
)
def colorization_unet(
    s: Spec,
    *,
    in_channels: int = 4,
    out_channels: int = 2,
    width: int = 64,
    depth: int = 8,
    norm: str = "instance",
    bottleneck_norm: bool = False,
    dropout: float = 0.5,
) -> Value:
    """Colorization U-Net: from lightness, colour hints and where they are to the colours.

    image: (N, in_channels, H, W): L*/50 - 1, a* and b* of the hints over 110, and the mask, 1 where there is a hint (0
        elsewhere, as the hints are), H and W multiples of 2**depth
        -> (N, out_channels, H, W): a* and b* over 110, in [-1, 1]
    depth: halvings, and doublings. width: channels of the first level; they double up to 8 * width.
    norm: instance without parameters (as the project's report has it), or batch (as its code has it).
    bottleneck_norm: normalise the deepest level too, as the code does. At 2**depth pixels that is one pixel a channel:
        an instance norm of it is 0, a batch norm of one image is its offset, whatever the image shows.
    dropout: its rate, in the first three doublings; 0 leaves it out.

    Differs from `unet`: norm comes before the activation, skips carry leaky ReLUs that no ReLU follows, the decoder
    comes first in each skip, and every convolution has a bias. Presets: `report` and `repo`.
    """
    channels = [width * min(2**i, 8) for i in range(depth)]
    x = s.input("image", channels=in_channels, multiple_of=2**depth, example=2**depth)
    x = s.leaky_relu("down1_act", s.conv2d("down1_conv", x, width, kernel=4, stride=2, padding=1), 0.2)
    skips = []
    for level in range(2, depth + 1):
        skips.append(x)
        x = s.conv2d(f"down{level}_conv", x, channels[level - 1], kernel=4, stride=2, padding=1)
        if level < depth or bottleneck_norm:
            x = norm2d(s, f"down{level}_norm", x, norm)
        x = s.leaky_relu(f"down{level}_act", x, 0.2)
    for step in range(1, depth):
        x = s.conv_transpose2d(f"up{step}_conv", x, channels[depth - 1 - step], kernel=4, stride=2, padding=1)
        x = s.relu(f"up{step}_act", norm2d(s, f"up{step}_norm", x, norm))
        if dropout and step <= _DROPPED:
            x = s.dropout(f"up{step}_dropout", x, dropout)
        x = s.concat(f"skip{step}", x, skips.pop())
    return s.tanh("tanh", s.conv_transpose2d("final_conv", x, out_channels, kernel=4, stride=2, padding=1))


_LAYERS = 3


def _patchgan_published(**_: Any) -> dict[str, str]:
    blocks = [f"block{layer}" for layer in range(2, _LAYERS + 2)]
    paths = sequential("model", ["conv1", "act1", *blocks, "logits"])
    for block in blocks:
        layer = block.removeprefix("block")
        paths |= sequential(f"{paths.pop(block)}.block", [f"{kind}{layer}" for kind in ("conv", "norm", "act")])
    return paths


@model(
    "colorization_patchgan",
    paper=PAPER,
    task="colorization",
    init="normal",
    namings={_REPO: _patchgan_published},
    small={"width": 4},
    allowed={"in_channels": Int(minimum=1), "width": Int(minimum=1), "norm": Choice(choices=("none", "batch"))},
    presets={"report": {"norm": "none"}, "repo": {"norm": "batch"}},
)
def colorization_patchgan(s: Spec, *, in_channels: int = 3, width: int = 64, norm: str = "none") -> Value:
    """Colorization's PatchGAN: one logit for each patch of 70x70 pixels, of lightness and colours together.

    image: (N, in_channels, H, W): L*/50 - 1, and a* and b* over 110 -> logits (N, 1, H', W'), 30x30 of them at 256x256
    width: channels of the first convolution; they double up to 8 * width.
    norm: none (the report), or batch in the three middle layers (the code). Every convolution has a bias.

    Isola et al. 2017, section 6.1.2: three halvings and two convolutions of stride 1 give the 70 pixels; the report's
    five halvings would give 94. Presets: `report` and `repo`.
    """
    x = s.input("image", channels=in_channels, example=64)
    for layer in range(1, _LAYERS + 2):
        stride = 2 if layer <= _LAYERS else 1
        x = s.conv2d(f"conv{layer}", x, width * 2 ** (layer - 1), kernel=4, stride=stride, padding=1)
        x = s.batch_norm(f"norm{layer}", x) if norm == "batch" and layer > 1 else x
        x = s.leaky_relu(f"act{layer}", x, 0.2)
    return s.conv2d("logits", x, 1, kernel=4, padding=1)
