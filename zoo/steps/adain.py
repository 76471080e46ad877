"""AdaIN: a decoder learns to show features that were given another image's statistics."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.models.adain import PAPER, TAPS
from twinzoo.zoo.registry import spec, step
from twinzoo.zoo.spec import Value
from twinzoo.zoo.spec.schema import Float, Int, channels_of
from twinzoo.zoo.steps.schedule import Schedule
from twinzoo.zoo.steps.step import Step

_WEIGHT = Float(minimum=0.0)


@step(
    "adain",
    paper=PAPER,
    task="style",
    small={"width": 8},
    allowed={
        "width": Int(minimum=1),
        "lambda_content": _WEIGHT,
        "lambda_style": _WEIGHT,
        "lr": _WEIGHT,
        "beta1": Float(minimum=0.0, maximum=1.0),
        "half_after": Int(minimum=1),
    },
)
def adain(
    t: Step,
    *,
    width: int = 64,
    lambda_content: float = 1.0,
    lambda_style: float = 10.0,
    lr: float = 1e-4,
    beta1: float = 0.9,
    half_after: int = 20_000,
) -> dict[str, Value]:
    """AdaIN: the decoder's image should have the features it was decoded from, and the style's statistics.

    content: (N, 3, H, W), style: (N, 3, HS, WS), RGB in [0, 1], sizes multiples of 8 -> scalars, as they add up:
        content: the squared distance of relu4_1 from what was decoded, times `lambda_content`
        style: `style_statistics` of relu1_1 to relu4_1, times `lambda_style`
    width: of `vgg_normalised`, which is fixed and needs the published weights, and of `adain_decoder`, which learns.
    lr, beta1: of Adam. half_after: the rate is lr / (1 + steps / half_after).

    Huang and Belongie 2017, as in the published PyTorch code: content is compared with the features
    that AdaIN made, not with those of the content image.
    """
    encoder = t.network("encoder", spec("vgg_normalised", width=width), train=False)
    decoder = t.network("decoder", spec("adain_decoder", width=width))
    channels = tuple(channels_of(value.shape) for value in encoder.spec.outputs.values())
    mix = t.role("mix", spec("adaptive_instance_norm", channels=channels[-1]))
    distance = t.role("content_loss", spec("l2", channels=channels[-1]))
    statistics = t.role("style_loss", spec("style_statistics", channels=channels))
    adam = t.optimizer("adam", decoder, lr=lr, betas=(beta1, 0.999), schedule=Schedule("inverse", half_after))

    images: dict[str, Any] = {"multiple_of": 8, "example": 32, "span": (0.0, 1.0)}
    content = t.input("content", channels=3, **images)
    style = t.input("style", shape=("N", 3, "HS", "WS"), **images)
    *_, seen = t.call("seen_content", encoder, content)
    wanted = t.call("seen_style", encoder, style)
    (target,) = t.call("target", mix, seen, wanted[-1])
    (made,) = t.call("made", decoder, target)
    again = t.call("seen_made", encoder, made)
    (apart,) = t.call("apart", distance, again[-1], target)
    pairs = (value for i in range(len(TAPS)) for value in (again[i], wanted[i]))
    (unlike,) = t.call("unlike", statistics, *pairs)
    losses = {
        "content": t.affine("content_term", apart, scale=lambda_content),
        "style": t.affine("style_term", unlike, scale=lambda_style),
    }
    t.update(adam, t.total("total", *losses.values()))
    return losses
