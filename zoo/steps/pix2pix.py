"""pix2pix: a U-Net and a PatchGAN that judges input and output together."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.models.blocks import NORM
from twinzoo.zoo.registry import spec, step
from twinzoo.zoo.spec import Value
from twinzoo.zoo.spec.schema import Choice, Float, Int
from twinzoo.zoo.steps.optimizer import Schedule
from twinzoo.zoo.steps.step import Step


@step(
    "pix2pix",
    paper="Isola et al. 2017, arXiv:1611.07004",
    small={"width": 4, "depth": 6, "layers": 2},
    allowed={
        "in_channels": Int(minimum=1),
        "out_channels": Int(minimum=1),
        "width": Int(minimum=1),
        "depth": Int(minimum=2),
        "layers": Int(minimum=1),
        "norm": NORM,
        "dropout": Float(minimum=0.0, maximum=1.0),
        "gan": Choice(choices=("bce", "lsgan")),
        "real_label": Float(),
        "lambda_l1": Float(minimum=0.0),
        "lr": Float(minimum=0.0),
        "beta1": Float(minimum=0.0, maximum=1.0),
        "epochs": Int(minimum=0),
        "decay_epochs": Int(minimum=0),
        "epoch_steps": Int(minimum=1),
    },
)
def pix2pix(
    t: Step,
    *,
    in_channels: int = 3,
    out_channels: int = 3,
    width: int = 64,
    depth: int = 8,
    layers: int = 3,
    norm: str = "batch",
    dropout: float = 0.5,
    gan: str = "bce",
    real_label: float = 1.0,
    lambda_l1: float = 100.0,
    lr: float = 2e-4,
    beta1: float = 0.5,
    epochs: int = 100,
    decay_epochs: int = 100,
    epoch_steps: int = 1000,
) -> dict[str, Value]:
    """pix2pix: translate images with a conditional GAN and an L1 distance, from pairs.

    source: (N, in_channels, H, W), target: (N, out_channels, H, W), both in [-1, 1] -> scalars:
        discriminator: 1/2 of what the real and the false pair cost it
        adversarial, l1: the two terms of the generator's loss; l1 is multiplied by `lambda_l1`
    width, depth, norm, dropout: of the U-Net; width, layers and norm of the PatchGAN.
    gan: bce (with logits) or lsgan. real_label: 0.9 smooths the discriminator's target; the generator's stays 1.
    epochs, decay_epochs: at the full learning rate, and going down to 0. epoch_steps: images over batch size.

    Isola et al. 2017, sections 3.3 and 6.2, as in the authors' PyTorch code: the discriminator goes first and sees the
    false pair before the real one, in training mode, so that its running statistics move three times a step; the
    generator runs once, and its update goes through the discriminator as it is after its own.
    """
    channels = {"in_channels": in_channels, "out_channels": out_channels}
    unet = spec("unet", **channels, width=width, depth=depth, norm=norm, dropout=dropout)
    patchgan = spec("patchgan", in_channels=in_channels + out_channels, width=width, layers=layers, norm=norm)
    generator, discriminator = t.network("generator", unet), t.network("discriminator", patchgan)
    judge = t.role("judge_loss", spec(f"{gan}_adversarial", role="discriminator", real_label=real_label))
    deceive = t.role("deceive_loss", spec(f"{gan}_adversarial", role="generator"))
    distance = t.role("l1_loss", spec("l1", channels=out_channels))

    schedule = Schedule("linear", epochs, decay_epochs, epoch_steps)
    settings: dict[str, Any] = {"lr": lr, "betas": (beta1, 0.999), "schedule": schedule}
    generator_adam = t.optimizer("generator_adam", generator, **settings)
    discriminator_adam = t.optimizer("discriminator_adam", discriminator, **settings)

    source = t.input("source", channels=in_channels, multiple_of=2**depth, example=2**depth)
    target = t.input("target", channels=out_channels, multiple_of=2**depth, example=2**depth)
    (fake,) = t.call("fake", generator, source)
    pair = t.concat("fake_pair", source, fake)

    (seen_fake,) = t.call("seen_fake", discriminator, t.stop_gradient("given_pair", pair))
    (seen_real,) = t.call("seen_real", discriminator, t.concat("real_pair", source, target))
    (judged,) = t.call("judged", judge, seen_real, seen_fake)
    t.update(discriminator_adam, judged)

    (seen_again,) = t.call("seen_again", discriminator, pair)
    (adversarial,) = t.call("adversarial", deceive, seen_again)
    (far,) = t.call("far", distance, fake, target)
    l1 = t.affine("l1", far, scale=lambda_l1)
    t.update(generator_adam, t.add("generated", adversarial, l1))
    return {"discriminator": judged, "adversarial": adversarial, "l1": l1}
