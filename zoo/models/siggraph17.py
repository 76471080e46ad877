"""SIGGRAPH17: the colorizer that is guided by hints, with a head of colours and one of distributions over 529 bins."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.models.eccv16 import block_names, draw_block
from twinzoo.zoo.naming import sequential
from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Choice, Float, Int

CLASSES = 529
STAGE = Choice(choices=("classification", "regression"))
_SKIPS = {8: 3, 9: 2, 10: 1}


def _published(**_: Any) -> dict[str, str]:
    paths: dict[str, str] = {}
    for block, convs in enumerate((2, 2, 3, 3, 3, 3, 3), 1):
        paths |= sequential(f"model{block}", block_names(block, convs))
    paths |= {"up8": "model8up.0"} | sequential("model8", ["relu8_1", *block_names(8, 3)[2:]])
    paths |= {"up9": "model9up.0"} | sequential("model9", ["relu9_1", *block_names(9, 2)[2:]])
    paths |= {"up10": "model10up.0"} | sequential("model10", ["relu10_1", "conv10_2", "act10_2"])
    paths |= {f"skip{block}": f"model{source}short{block}.0" for block, source in _SKIPS.items()}
    return paths | {"logits": "model_class.0"} | sequential("model_out", ["colours", "tanh"])


def _conv(s: Spec, name: str, x: Value, channels: int) -> Value:
    return s.conv2d(name, x, channels, kernel=3, padding=1)


def _doubled(s: Spec, block: int, below: Value, skip: Value, channels: int) -> Value:
    """The start of a block of the decoder: what is below, doubled, and a convolution of the skip, added."""
    up = s.conv_transpose2d(f"up{block}", below, channels, kernel=4, stride=2, padding=1)
    return s.relu(f"relu{block}_1", s.add(f"sum{block}", up, _conv(s, f"skip{block}", skip, channels)))


def _encoded(s: Spec, x: Value, width: int) -> dict[int, Value]:
    """What blocks 1 to 7 give."""
    made = {}
    for block in range(1, 8):
        # A window of one pixel takes every second one: the published x[:, :, ::2, ::2] as one op.
        x = s.max_pool2d(f"half{block}", x, 1, stride=2) if 2 <= block <= 4 else x
        x = made[block] = draw_block(s, block, x, width * min(2 ** (block - 1), 8))
    return made


def _ended(s: Spec, *values: Value) -> list[Value]:
    return [s.stop_gradient(f"{value.node}_ended", value) for value in values]


@model(
    "siggraph17",
    paper="Zhang et al. 2017, arXiv:1705.02999",
    task="colorization",
    init="gan",
    namings={"richzhang/colorization": _published, "richzhang/colorization-pytorch": _published},
    small={"width": 2},
    presets={"retrained": {"mask_centre": 0.5}},
    allowed={"width": Int(minimum=1), "mask_centre": Float(), "stage": STAGE},
)
def siggraph17(s: Spec, *, width: int = 64, mask_centre: float = 0.0, stage: str = "regression") -> dict[str, Value]:
    """SIGGRAPH17: a U-Net with added skips that colours a picture from its lightness and a user's hints.

    lightness: (N, 1, H, W), L* in [0, 100]; hint: (N, 2, H, W), a* and b*, 0 where there is none; mask: (N, 1, H, W), 1
        where there is a hint, 0 elsewhere; H and W multiples of 8
        -> ab (N, 2, H, W), a* and b* in (-110, 110), and logits (N, 529, H/4, W/4) over the bins of `square_ab_bins`
    width: channels of the first block; blocks 4 to 7 have 8 times as many.
    mask_centre: what is taken from the mask: 0 for weights that come from Caffe, 0.5 (preset `retrained`) for those
        that were trained by the authors' PyTorch code.
    stage: which of the heads trains the blocks that they share: classification (no gradient from the colours goes
        beyond their own decoder) or regression (none from the logits goes beyond their own layer). Values are the same.

    Zhang et al. 2017, section 3.2, as in the authors' PyTorch code: (L* - 50) / 100, hints over 110, skips that are
    convolved and added, batch norm after the ReLUs, every second pixel taken where others have a stride.
    """
    lightness = s.input("lightness", channels=1, multiple_of=8, example=256, span=(0, 100))
    hint = s.input("hint", channels=2, multiple_of=8, example=256, span=(-110, 110))
    mask = s.input("mask", channels=1, multiple_of=8, example=256, span=(0, 1))
    given = [s.affine("normalized", lightness, scale=1 / 100, shift=-0.5), s.affine("hint_scaled", hint, scale=1 / 110)]
    blocks = _encoded(s, s.concat("given", *given, s.affine("mask_centred", mask, shift=-mask_centre)), width)
    x = _doubled(s, 8, blocks[7], blocks[3], 4 * width)
    for i in (2, 3):
        x = s.relu(f"relu8_{i}", _conv(s, f"conv8_{i}", x, 4 * width))
    x = classified = s.batch_norm("norm8", x)
    skip9, skip10 = blocks[2], blocks[1]
    if stage == "classification":
        x, skip9, skip10 = _ended(s, x, skip9, skip10)
    else:
        (classified,) = _ended(s, x)
    logits = s.conv2d("logits", classified, CLASSES, kernel=1)
    x = s.relu("relu9_2", _conv(s, "conv9_2", _doubled(s, 9, x, skip9, 2 * width), 2 * width))
    x = _doubled(s, 10, s.batch_norm("norm9", x), skip10, 2 * width)
    x = s.leaky_relu("act10_2", _conv(s, "conv10_2", x, 2 * width), 0.2)
    x = s.tanh("tanh", s.conv2d("colours", x, 2, kernel=1))
    return {"ab": s.affine("ab", x, scale=110.0), "logits": logits}
