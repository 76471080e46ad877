"""The U-Net generator of pix2pix."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.models.blocks import NORM, norm2d, norm_bias, self_attention
from twinzoo.zoo.naming import sequential
from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Choice, Float, Int

PLACEMENT = Choice(choices=("pytorch", "paper"))
ATTENDED = 3
"""The level at whose skip a U-Net attends to itself: a quarter of the image's height and width."""


def _published(depth: int, **_: Any) -> dict[str, str]:
    return _level(1, depth, "model")


def _level(level: int, depth: int, path: str) -> dict[str, str]:
    """A level's module: a Sequential of the way down, the level below (which ends in its skip), and the way up."""
    outermost, deepest, below = level == 1, level == depth, f"skip{level + 1}"
    down = [*([] if outermost else [f"down{level}_act"]), f"down{level}_conv"]
    down += [] if outermost or deepest else [f"down{level}_norm"]
    up = [f"up{level}_act", f"up{level}_conv", *(["tanh"] if outermost else [f"up{level}_norm", f"up{level}_dropout"])]
    prefixes: dict[str, str] = {}
    for node, place in sequential(f"{path}.model", [*down, *([] if deepest else [below]), *up]).items():
        prefixes |= _level(level + 1, depth, place) if node == below else {}
        prefixes[node] = place
    return prefixes


def draw_unet(
    s: Spec,
    in_channels: int,
    out_channels: int,
    width: int,
    depth: int,
    norm: str,
    dropout: float,
    dropout_placement: str,
    *,
    attention: bool = False,
) -> Value:
    """The nodes of `unet`; with `attention` what the skip of the third level makes attends to itself."""
    channels = [width * min(2**i, 8) for i in range(depth)]
    dropped = range(5, depth) if dropout_placement == "pytorch" else range(depth - 2, depth + 1)
    bias = norm_bias(norm)
    x = s.input("image", channels=in_channels, multiple_of=2**depth, example=2**depth)
    x = s.conv2d("down1_conv", x, width, kernel=4, stride=2, padding=1, bias=bias)
    skips = []
    for level in range(2, depth + 1):
        skips.append(s.leaky_relu(f"down{level}_act", x, 0.2))
        x = s.conv2d(f"down{level}_conv", skips[-1], channels[level - 1], kernel=4, stride=2, padding=1, bias=bias)
        if level < depth:
            x = norm2d(s, f"down{level}_norm", x, norm)
    for level in range(depth, 1, -1):
        x = s.relu(f"up{level}_act", x)
        x = s.conv_transpose2d(f"up{level}_conv", x, channels[level - 2], kernel=4, stride=2, padding=1, bias=bias)
        x = norm2d(s, f"up{level}_norm", x, norm)
        if dropout and level in dropped:
            x = s.dropout(f"up{level}_dropout", x, dropout)
        x = s.concat(f"skip{level}", skips.pop(), x)
        if attention and level == ATTENDED:
            x = self_attention(s, "attention", x)
    x = s.conv_transpose2d("up1_conv", s.relu("up1_act", x), out_channels, kernel=4, stride=2, padding=1)
    return s.tanh("tanh", x)


@model(
    "unet",
    paper="Isola et al. 2017, arXiv:1611.07004",
    task="translation",
    init="gan",
    namings={"junyanz/pytorch-CycleGAN-and-pix2pix": _published},
    small={"width": 4, "depth": 6},
    allowed={
        "in_channels": Int(minimum=1),
        "out_channels": Int(minimum=1),
        "width": Int(minimum=1),
        "depth": Int(minimum=2),
        "norm": NORM,
        "dropout": Float(minimum=0.0, maximum=1.0),
        "dropout_placement": PLACEMENT,
    },
    presets={"u256": {}, "u128": {"depth": 7}, "lab": {"in_channels": 1, "out_channels": 2}},
)
def unet(
    s: Spec,
    *,
    in_channels: int = 3,
    out_channels: int = 3,
    width: int = 64,
    depth: int = 8,
    norm: str = "batch",
    dropout: float = 0.5,
    dropout_placement: str = "pytorch",
) -> Value:
    """U-Net generator: `depth` halvings, `depth` doublings, a skip from each level to its mirror image.

    image: (N, in_channels, H, W) in [-1, 1], H and W multiples of 2**depth -> (N, out_channels, H, W) in [-1, 1]
    depth: 8 for U-Net-256, 7 for U-Net-128. width: channels of the first level; they double up to 8 * width.
    norm: batch, or instance without parameters; convolutions have a bias with instance norm, the last one always.
    dropout: its rate; 0 leaves it out.
    dropout_placement: pytorch, on the levels from 5 on but the deepest; or paper, on the three deepest, as in the Lua
        code too. It changes training alone.

    Isola et al. 2017, section 6.1.1, as in the authors' PyTorch code. That code has in-place leaky ReLUs, so the skips
    hold activations, as here; a ReLU follows, which makes either the same. It also keeps dropout on when testing.
    Presets: `u256` and `u128` for images of these sizes, and `lab`, which makes colours (a*, b*) of lightness.
    """
    return draw_unet(s, in_channels, out_channels, width, depth, norm, dropout, dropout_placement)
