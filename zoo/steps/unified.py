"""Unified colorization and style transfer: one generator learns to colour and to paint."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.models.unified import PAPER
from twinzoo.zoo.registry import spec, step
from twinzoo.zoo.spec import Value
from twinzoo.zoo.spec.schema import Float, Int
from twinzoo.zoo.steps.step import Step

_SIZE = Int(minimum=1)
_WEIGHT = Float(minimum=0.0)


@step(
    "unified",
    paper=PAPER,
    task="colorization",
    small={"width": 4, "blocks": 1, "layers": 2, "features_width": 2},
    allowed={
        "width": _SIZE,
        "blocks": Int(minimum=0),
        "layers": _SIZE,
        "features_width": _SIZE,
        "real_label": Float(),
        "lambda_l1": _WEIGHT,
        "lambda_gan": _WEIGHT,
        "lambda_perceptual": _WEIGHT,
        "lambda_content": _WEIGHT,
        "lambda_gram": _WEIGHT,
        "lambda_statistics": _WEIGHT,
        "lr": _WEIGHT,
        "beta1": Float(minimum=0.0, maximum=1.0),
    },
)
def unified(
    t: Step,
    *,
    width: int = 64,
    blocks: int = 4,
    layers: int = 3,
    features_width: int = 64,
    real_label: float = 1.0,
    lambda_l1: float = 100.0,
    lambda_gan: float = 1.0,
    lambda_perceptual: float = 1.0,
    lambda_content: float = 1.0,
    lambda_gram: float = 100.0,
    lambda_statistics: float = 10.0,
    lr: float = 2e-4,
    beta1: float = 0.5,
) -> dict[str, Value]:
    """Unified colorization and style transfer: the discriminator's step, then the generator's, from one forward pass.

    lightness: (N, 1, H, W), L*/50 - 1, ab: (N, 2, H, W), a* and b* over 110, style: (N, 3, HS, WS) RGB in [-1, 1],
        sizes multiples of 4 -> scalars, as they add up:
        discriminator: 1/2 of what the real and the false colours, each beside the lightness, cost it
        l1, adversarial, perceptual: of the colours; perceptual is `colorization_perceptual`
        content, gram, statistics: of the painting, of `stylization`, with the gray photograph as content
    width, blocks: of `unified_generator`; width, layers: of the PatchGAN. features_width: of the VGGs, 64 for published
        weights. real_label: the discriminator's target. lambda_...: what each term is multiplied by. lr, beta1: of
        Adam.

    The project's document has L = L_colour + L_style, each with a perceptual and a style part, takes turns with a
    discriminator, and gives no style image to its network. Chosen here: least squares for the discriminator; a style
    image; style for the painting alone, since it would pull the colours away from the photograph's own.
    """
    generator = t.network("generator", spec("unified_generator", width=width, blocks=blocks))
    discriminator = t.network(
        "discriminator", spec("patchgan", in_channels=3, width=width, layers=layers, norm="instance")
    )
    watched = t.network("perceptual", spec("colorization_perceptual", width=features_width), train=False)
    weights = {"content": lambda_content, "gram": lambda_gram, "statistics": lambda_statistics}
    painting = t.network("painting", spec("stylization", **weights, width=features_width), train=False)
    judge = t.role("judge_loss", spec("lsgan_adversarial", role="discriminator", real_label=real_label))
    deceive = t.role("deceive_loss", spec("lsgan_adversarial", role="generator"))
    distance = t.role("l1_loss", spec("l1", channels=2))
    settings: dict[str, Any] = {"lr": lr, "betas": (beta1, 0.999)}
    generator_adam = t.optimizer("generator_adam", generator, **settings)
    discriminator_adam = t.optimizer("discriminator_adam", discriminator, **settings)

    lightness = t.input("lightness", channels=1, multiple_of=4, example=32)
    ab = t.input("ab", channels=2, multiple_of=4, example=32)
    style = t.input("style", shape=("N", 3, "HS", "WS"), multiple_of=4, example=32)
    fake, painted = t.call("fake", generator, lightness, style)
    image = t.concat("fake_image", lightness, fake)

    (seen_real,) = t.call("seen_real", discriminator, t.concat("real_image", lightness, ab))
    (seen_fake,) = t.call("seen_fake", discriminator, t.stop_gradient("given_image", image))
    (judged,) = t.call("judged", judge, seen_real, seen_fake)
    t.update(discriminator_adam, judged)

    (deceived,) = t.call("deceived", deceive, *t.call("seen_again", discriminator, image))
    gray = t.concat("gray", lightness, lightness, lightness)
    losses = {
        "l1": t.affine("l1", *t.call("far", distance, fake, ab), scale=lambda_l1),
        "adversarial": t.affine("adversarial", deceived, scale=lambda_gan),
        "perceptual": t.affine("unlike", *t.call("seen_unlike", watched, lightness, fake, ab), scale=lambda_perceptual),
    }
    losses |= zip(painting.spec.outputs, t.call("painted_badly", painting, painted, gray, style), strict=True)
    t.update(generator_adam, t.total("generated", *losses.values()))
    return {"discriminator": judged, **losses}
