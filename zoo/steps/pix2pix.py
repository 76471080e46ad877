"""pix2pix: a U-Net and a PatchGAN that judges input and output together."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.models.blocks import NORM
from twinzoo.zoo.models.unet import PLACEMENT
from twinzoo.zoo.registry import spec, step
from twinzoo.zoo.spec import Value
from twinzoo.zoo.spec.schema import Attr, Choice, Float, Int, channels_of
from twinzoo.zoo.steps.schedule import Schedule
from twinzoo.zoo.steps.step import Step

ALLOWED: dict[str, Attr] = {
    "width": Int(minimum=1),
    "depth": Int(minimum=2),
    "discriminator": Choice(choices=("patchgan", "pixelgan")),
    "layers": Int(minimum=1),
    "norm": NORM,
    "dropout": Float(minimum=0.0, maximum=1.0),
    "dropout_placement": PLACEMENT,
    "gan": Choice(choices=("bce", "lsgan")),
    "real_label": Float(),
    "lambda_l1": Float(minimum=0.0),
    "lr": Float(minimum=0.0),
    "beta1": Float(minimum=0.0, maximum=1.0),
    "epochs": Int(minimum=0),
    "decay_epochs": Int(minimum=0),
    "epoch_steps": Int(minimum=1),
}
"""What the options accept that every form of pix2pix has."""


@step(
    "pix2pix",
    paper="Isola et al. 2017, arXiv:1611.07004",
    task="translation",
    small={"width": 4, "depth": 6, "layers": 2},
    allowed={"in_channels": Int(minimum=1), "out_channels": Int(minimum=1), **ALLOWED},
    presets={"pixel": {"discriminator": "pixelgan"}, "u128": {"depth": 7}, "u256": {}},
)
def pix2pix(
    t: Step,
    *,
    in_channels: int = 3,
    out_channels: int = 3,
    width: int = 64,
    depth: int = 8,
    discriminator: str = "patchgan",
    layers: int = 3,
    norm: str = "batch",
    dropout: float = 0.5,
    dropout_placement: str = "pytorch",
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
    width, depth, norm, dropout, dropout_placement: of the U-Net.
    discriminator: patchgan, which has width, layers and norm, or pixelgan, which has width and norm.
    gan: bce (with logits) or lsgan. real_label: 0.9 smooths the discriminator's target; the generator's stays 1.
    lr, beta1: of Adam. epochs, decay_epochs: at the full rate, and going down to 0. epoch_steps: images over batch
        size.

    Isola et al. 2017, sections 3.3 and 6.2, as in the authors' PyTorch code: the discriminator goes first and sees the
    false pair before the real one, in training mode, so that its running statistics move three times a step; the
    generator runs once, and its update goes through the discriminator as it is after its own.
    Presets: `u256` and `u128` for images of these sizes, `pixel` with a PixelGAN.
    """
    source = t.input("source", channels=in_channels, multiple_of=2**depth, example=2**depth)
    target = t.input("target", channels=out_channels, multiple_of=2**depth, example=2**depth)
    return translate(t, source, target)


def translate(t: Step, source: Value, target: Value) -> dict[str, Value]:
    """Draw the step between two images, with the options of `pix2pix` that `t` has."""
    o = t.options
    made, wanted = channels_of(source.shape), channels_of(target.shape)
    shape = {name: o[name] for name in ("width", "depth", "norm", "dropout", "dropout_placement")}
    generator = t.network("generator", spec("unet", in_channels=made, out_channels=wanted, **shape))
    seen = {"in_channels": made + wanted, "width": o["width"], "norm": o["norm"]}
    seen |= {"layers": o["layers"]} if o["discriminator"] == "patchgan" else {}
    discriminator = t.network("discriminator", spec(o["discriminator"], **seen))
    judge = t.role("judge_loss", spec(f"{o['gan']}_adversarial", role="discriminator", real_label=o["real_label"]))
    deceive = t.role("deceive_loss", spec(f"{o['gan']}_adversarial", role="generator"))
    distance = t.role("l1_loss", spec("l1", channels=wanted))

    schedule = Schedule("linear", o["epochs"], o["decay_epochs"], o["epoch_steps"])
    settings: dict[str, Any] = {"lr": o["lr"], "betas": (o["beta1"], 0.999), "schedule": schedule}
    generator_adam = t.optimizer("generator_adam", generator, **settings)
    discriminator_adam = t.optimizer("discriminator_adam", discriminator, **settings)

    (fake,) = t.call("fake", generator, source)
    pair = t.concat("fake_pair", source, fake)

    (seen_fake,) = t.call("seen_fake", discriminator, t.stop_gradient("given_pair", pair))
    (seen_real,) = t.call("seen_real", discriminator, t.concat("real_pair", source, target))
    (judged,) = t.call("judged", judge, seen_real, seen_fake)
    t.update(discriminator_adam, judged)

    (seen_again,) = t.call("seen_again", discriminator, pair)
    (adversarial,) = t.call("adversarial", deceive, seen_again)
    (far,) = t.call("far", distance, fake, target)
    l1 = t.affine("l1", far, scale=o["lambda_l1"])
    t.update(generator_adam, t.add("generated", adversarial, l1))
    return {"discriminator": judged, "adversarial": adversarial, "l1": l1}
