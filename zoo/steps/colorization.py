"""User-guided colorization: a U-Net that learns colours from hints, with a PatchGAN and a VGG that look at them."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.models.blocks import NORM
from twinzoo.zoo.models.colorization_unet import PAPER
from twinzoo.zoo.registry import spec, step
from twinzoo.zoo.spec import Value
from twinzoo.zoo.spec.schema import Bool, Choice, Float, Int
from twinzoo.zoo.steps.schedule import Schedule
from twinzoo.zoo.steps.step import Step

_WEIGHT = Float(minimum=0.0)
_LABEL = Float(minimum=0.0, maximum=1.0)


@step(
    "colorization",
    paper=PAPER,
    task="colorization",
    small={"width": 4, "depth": 5, "vgg_width": 2},
    allowed={
        "width": Int(minimum=1),
        "depth": Int(minimum=5),
        "norm": NORM,
        "bottleneck_norm": Bool(),
        "dropout": Float(minimum=0.0, maximum=1.0),
        "discriminator_norm": Choice(choices=("none", "batch")),
        "real_label": _LABEL,
        "fake_label": _LABEL,
        "generator_label": _LABEL,
        "saturation": _WEIGHT,
        "hint": _WEIGHT,
        "normalize": Bool(),
        "lambda_l1": _WEIGHT,
        "lambda_gan": _WEIGHT,
        "lambda_perceptual": _WEIGHT,
        "perceptual_space": Choice(choices=("rgb", "lab")),
        "vgg_width": Int(minimum=1),
        "lr": _WEIGHT,
        "beta1": Float(minimum=0.0, maximum=1.0),
        "schedule": Choice(choices=("cosine", "linear", "constant")),
        "epochs": Int(minimum=1),
        "epoch_steps": Int(minimum=1),
    },
    presets={
        "report": {},
        "repo": {
            "norm": "batch",
            "bottleneck_norm": True,
            "discriminator_norm": "batch",
            "real_label": 1.0,
            "fake_label": 0.0,
            "generator_label": 1.0,
            "saturation": 0.0,
            "lambda_gan": 1.0,
            "lambda_perceptual": 10.0,
            "perceptual_space": "lab",
            "schedule": "linear",
            "epochs": 50,
        },
    },
)
def colorization(
    t: Step,
    *,
    width: int = 64,
    depth: int = 8,
    norm: str = "instance",
    bottleneck_norm: bool = False,
    dropout: float = 0.5,
    discriminator_norm: str = "none",
    real_label: float = 0.9,
    fake_label: float = 0.1,
    generator_label: float = 0.9,
    saturation: float = 2.0,
    hint: float = 50.0,
    normalize: bool = False,
    lambda_l1: float = 100.0,
    lambda_gan: float = 5.0,
    lambda_perceptual: float = 50.0,
    perceptual_space: str = "rgb",
    vgg_width: int = 64,
    lr: float = 2e-4,
    beta1: float = 0.5,
    schedule: str = "cosine",
    epochs: int = 80,
    epoch_steps: int = 1000,
) -> dict[str, Value]:
    """User-guided colorization: learn colours from lightness and hints, with a conditional GAN.

    lightness: (N, 1, H, W), L*/50 - 1; ab and hints: (N, 2, H, W), a* and b* over 110, hints 0 where there is none;
        mask: (N, 1, H, W), 1 where there is a hint, H and W multiples of 2**depth -> scalars:
        discriminator: 1/2 of what the real and the false image cost it
        adversarial, l1, perceptual: the terms of the generator's loss, times `lambda_gan`, `lambda_l1` (of `hinted_l1`,
            with `saturation`, `hint`, `normalize`) and `lambda_perceptual` (0 leaves it out)
    width, depth, norm, bottleneck_norm, dropout: of `colorization_unet`; width of the discriminator too.
    discriminator_norm: of `colorization_patchgan`. lr, beta1: of Adam.
    real_label, fake_label: what the discriminator is to say of each; generator_label: what the generator wants it to.
    perceptual_space, vgg_width: of `colorization_perceptual`; lab, which the published code has, warns.
    schedule: cosine in `epochs`, linear from half of them on, or constant. epoch_steps: images over batch size.

    Preset `report` (the defaults) is the project's report, whose appendix smooths the generator's label as well. `repo`
    is the published code, which runs the generator five times a step where this runs it once. The discriminator goes
    first and sees the real image before the false one; the generator's update goes through it as it is after its own.
    """
    shape = {"width": width, "depth": depth, "norm": norm, "bottleneck_norm": bottleneck_norm, "dropout": dropout}
    generator = t.network("generator", spec("colorization_unet", **shape))
    patchgan = spec("colorization_patchgan", width=width, norm=discriminator_norm)
    discriminator = t.network("discriminator", patchgan)
    labels = {"real_label": real_label, "fake_label": fake_label}
    judge = t.role("judge_loss", spec("bce_adversarial", role="discriminator", **labels))
    deceive = t.role("deceive_loss", spec("bce_adversarial", role="generator", generator_label=generator_label))
    distance = t.role("hinted_loss", spec("hinted_l1", saturation=saturation, hint=hint, normalize=normalize))

    settings: dict[str, Any] = {
        "lr": lr,
        "betas": (beta1, 0.999),
        "schedule": _schedule(schedule, epochs, epoch_steps),
    }
    generator_adam = t.optimizer("generator_adam", generator, **settings)
    discriminator_adam = t.optimizer("discriminator_adam", discriminator, **settings)

    size = {"multiple_of": 2**depth, "example": 2**depth}
    lightness, ab = t.input("lightness", channels=1, **size), t.input("ab", channels=2, **size)
    hints = t.input("hints", channels=2, **size)
    mask = t.input("mask", channels=1, span=(0, 1), **size)
    (fake,) = t.call("fake", generator, t.concat("given", lightness, hints, mask))
    image = t.concat("fake_image", lightness, fake)

    (seen_real,) = t.call("seen_real", discriminator, t.concat("real_image", lightness, ab))
    (seen_fake,) = t.call("seen_fake", discriminator, t.stop_gradient("given_image", image))
    (judged,) = t.call("judged", judge, seen_real, seen_fake)
    t.update(discriminator_adam, judged)

    (deceived,) = t.call("deceived", deceive, *t.call("seen_again", discriminator, image))
    (far,) = t.call("far", distance, fake, ab, mask)
    losses = {
        "adversarial": t.affine("adversarial", deceived, scale=lambda_gan),
        "l1": t.affine("l1", far, scale=lambda_l1),
    }
    if lambda_perceptual:
        watched = spec("colorization_perceptual", space=perceptual_space, width=vgg_width)
        watch = t.network("perceptual_loss", watched, train=False)
        (unlike,) = t.call("unlike", watch, lightness, fake, ab)
        losses["perceptual"] = t.affine("perceptual", unlike, scale=lambda_perceptual)
    t.update(generator_adam, t.total("generated", *losses.values()))
    return {"discriminator": judged, **losses}


def _schedule(kind: str, epochs: int, epoch_steps: int) -> Schedule:
    """Linear is 1 for half of the epochs, then 1 - (e - half) / (epochs - half) in epoch e, so once more 1."""
    if kind == "linear":
        half = epochs // 2
        return Schedule("linear", half + 1, epochs - half - 1, epoch_steps)
    return Schedule(kind, epochs if kind == "cosine" else 0, 0, epoch_steps)
