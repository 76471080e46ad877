"""Colorization and style transfer in one: a shared encoder, a head that colours, and a decoder that paints with AdaIN.

The document that this follows describes the idea, and its code cannot run; what is drawn here is a system in its
spirit.
"""

from __future__ import annotations

from twinzoo.zoo.models.adain import adain
from twinzoo.zoo.registry import model, spec
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Int, channels_of

PAPER = "after Huang and Belongie 2017, arXiv:1703.06868, and Isola et al. 2017, arXiv:1611.07004"
_SIZE = Int(minimum=1)


def _conv(s: Spec, name: str, x: Value, channels: int, *, stride: int = 1) -> Value:
    padded = s.pad2d(f"{name}_pad", x, (1, 1, 1, 1), mode="reflect")
    return s.conv2d(f"{name}_conv", padded, channels, kernel=3, stride=stride)


def _activated(s: Spec, name: str, x: Value, channels: int, *, stride: int = 1) -> Value:
    return s.relu(f"{name}_relu", _conv(s, name, x, channels, stride=stride))


def _doubled(s: Spec, name: str, x: Value, channels: int) -> Value:
    return _activated(s, name, s.interpolate(f"{name}_double", x, scale=2), channels)


@model(
    "unified_encoder",
    paper=PAPER,
    task="colorization",
    init="vgg",
    small={"width": 4, "blocks": 1},
    allowed={"width": _SIZE, "blocks": Int(minimum=0)},
)
def unified_encoder(s: Spec, *, width: int = 64, blocks: int = 4) -> dict[str, Value]:
    """What colour head and style decoder share: two halvings and `blocks` residual blocks, without norms.

    image: (N, 3, H, W) RGB in [-1, 1], H and W multiples of 4
        -> features (N, 4 width, H/4, W/4), half (N, 2 width, H/2, W/2), whole (N, width, H, W), all >= 0

    Instance norms would take away the means and deviations that are an image's style to AdaIN, so there are none; Huang
    and Belongie 2017 leave them out of their decoder for the same reason.
    """
    x = s.input("image", channels=3, multiple_of=4, example=32)
    whole = x = _activated(s, "whole", x, width)
    half = x = _activated(s, "half", x, 2 * width, stride=2)
    x = _activated(s, "quarter", x, 4 * width, stride=2)
    for i in range(1, blocks + 1):
        y = _conv(
            s, f"block{i}_second", _activated(s, f"block{i}_first", x, channels_of(x.shape)), channels_of(x.shape)
        )
        x = s.relu(f"block{i}_relu", s.add(f"block{i}_add", x, y))
    return {"features": x, "half": half, "whole": whole}


@model(
    "unified_generator",
    paper=PAPER,
    task="colorization",
    init="vgg",
    small={"width": 4, "blocks": 1},
    allowed={"width": _SIZE, "blocks": Int(minimum=0)},
)
def unified_generator(s: Spec, *, width: int = 64, blocks: int = 4) -> dict[str, Value]:
    """Colours for a gray photograph, and the photograph as a painting: one encoder, which both images go through.

    lightness: (N, 1, H, W), L*/50 - 1, style: (N, 3, HS, WS) RGB in [-1, 1], sizes multiples of 4
        -> ab (N, 2, H, W), a* and b* over 110, in [-1, 1]; painted (N, 3, H, W) RGB in [-1, 1]
    width, blocks: of `unified_encoder`, which is the role `encoder`; it sees the lightness in three channels.

    The colour head takes what the encoder had at each size, added, since colours keep to the photograph's edges. The
    style decoder takes the features alone, with the style's means and deviations (AdaIN): what went past these would
    carry the photograph's own style.

    The project's document has no such network: chosen here, after the encoder and decoder of Huang and Belongie 2017.
    """
    encoder = s.role("encoder", spec("unified_encoder", width=width, blocks=blocks))
    lightness = s.input("lightness", channels=1, multiple_of=4, example=32)
    style = s.input("style", shape=("N", 3, "HS", "WS"), multiple_of=4, example=32)
    features, half, whole = s.call("seen", encoder, s.concat("gray", lightness, lightness, lightness))
    wanted, _, _ = s.call("seen_style", encoder, style)

    x = s.add("colour_half_sum", _doubled(s, "colour_half", features, 2 * width), half)
    x = s.add("colour_whole_sum", _doubled(s, "colour_whole", x, width), whole)
    ab = s.tanh("ab", _conv(s, "colours", x, 2))

    x = _doubled(s, "paint_half", adain(s, "styled", features, wanted), 2 * width)
    x = _doubled(s, "paint_whole", x, width)
    return {"ab": ab, "painted": s.tanh("painted", _conv(s, "paint", x, 3))}
