"""Distances between colours (a*, b*) where a user gave hints: weighted L1, and what a VGG sees once they are RGB."""

from __future__ import annotations

import warnings

from twinzoo.zoo.registry import loss, spec
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Bool, Choice, Float, Int

_PAPER = "after Isola et al. 2017, arXiv:1611.07004, and Zhang et al. 2017, arXiv:1705.02999"
LAB_WARNING = (
    "space='lab' feeds Lab values to a network that learned from RGB, as published code does: "
    "take space='rgb' unless its results are to be reproduced"
)


@loss(
    "hinted_l1",
    paper=_PAPER,
    task="colorization",
    allowed={"saturation": Float(minimum=0.0), "hint": Float(minimum=0.0), "normalize": Bool()},
)
def hinted_l1(s: Spec, *, saturation: float = 2.0, hint: float = 50.0, normalize: bool = False) -> Value:
    """L1 of colours, in which saturated colours and those that a hint gave away count more.

    prediction, target: (N, 2, H, W), a* and b* over 110; mask: (N, 1, H, W), 1 where there is a hint
        -> a scalar, the mean over all elements and images of |prediction - target| times their weight
    saturation, hint: the weight is (1 + saturation * sqrt(a^2 + b^2)) * (1 + hint * mask), a and b those of the target.
    normalize: divide by the mean weight. Without it, as published, ten hints of 41 pixels make the loss of an image of
        256x256 pixels a third larger, and of a smaller image far more.

    The project's report has both factors, 2 and 50; its code has the second alone (saturation=0).
    """
    prediction = s.input("prediction", channels=2, example=32)
    target = s.input("target", channels=2, example=32)
    weight = s.affine("hint_weight", s.input("mask", channels=1, example=32, span=(0, 1)), scale=hint, shift=1.0)
    if saturation:
        chroma = s.sqrt("chroma", s.sum("chroma_square", s.square("squares", target), axes=(1,), keepdims=True))
        chroma = s.stop_gradient("known", chroma)  # the root has no gradient where it is 0
        weight = s.mul("weight", s.affine("saturation_weight", chroma, scale=saturation, shift=1.0), weight)
    apart = s.l1_loss("apart", prediction, target, reduction="none")
    distance = s.mean("distance", s.mul("weighted", apart, weight))
    return s.div("per_weight", distance, s.mean("mean_weight", weight)) if normalize else distance


@loss(
    "colorization_perceptual",
    paper="Johnson et al. 2016, arXiv:1603.08155",
    task="colorization",
    small={"width": 4},
    allowed={"space": Choice(choices=("rgb", "lab")), "width": Int(minimum=1)},
)
def colorization_perceptual(s: Spec, *, space: str = "rgb", width: int = 64) -> Value:
    """Perceptual distance of two colourings of one image: the mean of three squared distances in VGG16 with batch norm.

    lightness: (N, 1, H, W), L*/50 - 1; prediction, target: (N, 2, H, W), a* and b* over 110 -> a scalar
    space: rgb converts both colourings to RGB in [0, 1] (colours that RGB has not are not clipped) for the network,
        which learned from that. lab joins L*/50 - 1, a*/110 and b*/110 to the three channels that it is given, as the
        project's published code does, and warns: no figure of a network that learned from RGB means anything there.
    width: of the network; 64 for published weights.

    Calls the role `perceptual`, whose role `features` is the network: relu1_2, relu2_2 and relu3_3, in eval mode.
    The published network has no biases in its convolutions, which is this one with biases of 0.
    """
    lightness = s.input("lightness", channels=1, example=32)
    colours = {name: s.input(name, channels=2, example=32) for name in ("prediction", "target")}
    distance = s.role(
        "perceptual", spec("perceptual", network="vgg16_bn", weights=(1 / 3,) * 3, distance="l2", width=width)
    )
    if space == "lab":
        warnings.warn(f"{s.name}: {LAB_WARNING}", stacklevel=2)
        images = [s.concat(f"{name}_image", lightness, ab) for name, ab in colours.items()]
    else:
        convert = s.role("to_rgb", spec("lab_to_rgb"))
        star = s.affine("star_lightness", lightness, scale=50.0, shift=50.0)
        images = [
            s.call(f"{name}_image", convert, star, s.affine(f"star_{name}", ab, scale=110.0))[0]
            for name, ab in colours.items()
        ]
    return s.call("distance", distance, *images)[0]
