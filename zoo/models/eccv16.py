"""ECCV16: the colorizer that gives every pixel a distribution over 313 colours."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.naming import sequential
from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Bool, Int

CLASSES = 313
_CONVS = (2, 2, 3, 3, 3, 3, 3)
_HALVED = 3
_DILATED = (5, 6)


def block_names(block: int, convs: int) -> list[str]:
    """The nodes of a block in their order: convolutions with a ReLU each, and a norm after the last of them."""
    layers = [f"{kind}{block}_{i}" for i in range(1, convs + 1) for kind in ("conv", "relu")]
    return [*layers, f"norm{block}"]


def draw_block(s: Spec, block: int, x: Value, channels: int, *, stride: int = 1) -> Value:
    """A block of 3x3 convolutions, the last one with `stride`; batch norm comes after the last ReLU, not before it."""
    convs = _CONVS[block - 1]
    spread = 2 if block in _DILATED else 1
    for i in range(1, convs + 1):
        step = stride if i == convs else 1
        name = f"conv{block}_{i}"
        x = s.conv2d(name, x, channels, kernel=3, stride=step, padding=spread, dilation=spread)
        x = s.relu(f"relu{block}_{i}", x)
    return s.batch_norm(f"norm{block}", x)


def _published(**_: Any) -> dict[str, str]:
    paths: dict[str, str] = {}
    for block, convs in enumerate(_CONVS, 1):
        paths |= sequential(f"model{block}", block_names(block, convs))
    head = ["up8", "relu8_1", "conv8_2", "relu8_2", "conv8_3", "relu8_3", "logits"]
    return paths | sequential("model8", head) | {"share": "softmax", "decoder": "model_out", "upsampled": "upsample4"}


@model(
    "eccv16",
    paper="Zhang, Isola and Efros 2016, arXiv:1603.08511",
    task="colorization",
    namings={"richzhang/colorization": _published},
    small={"width": 2},
    allowed={"width": Int(minimum=1), "decode": Bool()},
)
def eccv16(s: Spec, *, width: int = 64, decode: bool = True) -> dict[str, Value]:
    """ECCV16: eight blocks of 3x3 convolutions, two of them dilated, from lightness to a distribution over 313 bins.

    lightness: (N, 1, H, W), L* in [0, 100], H and W multiples of 8
        -> logits (N, 313, H/4, W/4) over the bins of `ab_bins`, and with `decode` ab (N, 2, H, W), a* and b*
    width: channels of the first block; blocks 4 to 7 have 8 times as many.
    decode: add the published end: softmax, a 1x1 convolution without bias to a* and b* over 110, bilinear to H and W.
        Training has no use for it: the loss is on the logits. `annealed_mean` decodes as in the paper.

    Zhang et al. 2016, section 3 and its table 4, as in the authors' PyTorch code, where norms have gains and biases.
    Lightness becomes (L* - 50) / 100 inside, which is half of what other colorizers take. The weight of the last
    convolution holds the bins over 110 in the paper's terms; it starts at random here, as in the published class.
    """
    lightness = s.input("lightness", channels=1, multiple_of=8, example=256, span=(0, 100))
    x = s.affine("normalized", lightness, scale=1 / 100, shift=-0.5)
    for block in range(1, len(_CONVS) + 1):
        x = draw_block(s, block, x, width * min(2 ** (block - 1), 8), stride=2 if block <= _HALVED else 1)
    x = s.relu("relu8_1", s.conv_transpose2d("up8", x, 4 * width, kernel=4, stride=2, padding=1))
    for i in (2, 3):
        x = s.relu(f"relu8_{i}", s.conv2d(f"conv8_{i}", x, 4 * width, kernel=3, padding=1))
    logits = s.conv2d("logits", x, CLASSES, kernel=1)
    if not decode:
        return {"logits": logits}
    x = s.conv2d("decoder", s.softmax("share", logits, axis=1), 2, kernel=1, bias=False)
    x = s.interpolate("upsampled", x, scale=4, mode="bilinear")
    return {"logits": logits, "ab": s.affine("ab", x, scale=110.0)}
