"""EPDN: a generator judged with the hazy image beside it, and enhancers that learn from the clear one."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.registry import spec, step
from twinzoo.zoo.spec import Role, Value
from twinzoo.zoo.spec.schema import Float, Int
from twinzoo.zoo.steps.schedule import Schedule
from twinzoo.zoo.steps.step import Step

_VGG_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
_VGG_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)


def _over_scales(t: Step, name: str, loss: Role, *seen: tuple[Value, ...], scales: int) -> Value:
    """The sum over scales of a loss on logits, which are the last value of each scale."""
    each = len(seen[0]) // scales
    terms: list[Value] = []
    for i in range(scales):
        terms += t.call(f"{name}_scale{i}", loss, *(values[(i + 1) * each - 1] for values in seen))
    return t.total(name, *terms)


def _features(seen: tuple[Value, ...], scales: int) -> list[Value]:
    """What each scale saw, without its logits."""
    each = len(seen) // scales
    return [value for i, value in enumerate(seen) if i % each != each - 1]


@step(
    "epdn",
    paper="Qu et al. 2019, CVPR: Enhanced Pix2pix Dehazing Network",
    task="dehazing",
    small={
        "width": 2,
        "halvings": 2,
        "blocks": 1,
        "local_blocks": 1,
        "judge_width": 4,
        "layers": 2,
        "features_width": 2,
    },
    allowed={
        "width": Int(minimum=1),
        "halvings": Int(minimum=1),
        "blocks": Int(minimum=0),
        "local_blocks": Int(minimum=0),
        "judge_width": Int(minimum=1),
        "layers": Int(minimum=1),
        "scales": Int(minimum=1),
        "features_width": Int(minimum=1),
        "real_label": Float(),
        "lambda_features": Float(minimum=0.0),
        "lambda_perceptual": Float(minimum=0.0),
        "lr": Float(minimum=0.0),
        "beta1": Float(minimum=0.0, maximum=1.0),
        "epochs": Int(minimum=0),
        "decay_epochs": Int(minimum=1),
        "epoch_steps": Int(minimum=1),
    },
)
def epdn(
    t: Step,
    *,
    width: int = 16,
    halvings: int = 4,
    blocks: int = 3,
    local_blocks: int = 3,
    judge_width: int = 64,
    layers: int = 3,
    scales: int = 2,
    features_width: int = 64,
    real_label: float = 1.0,
    lambda_features: float = 10.0,
    lambda_perceptual: float = 10.0,
    lr: float = 2e-4,
    beta1: float = 0.6,
    epochs: int = 100,
    decay_epochs: int = 100,
    epoch_steps: int = 1000,
) -> dict[str, Value]:
    """EPDN: dehaze with a conditional GAN and refine what it made, from pairs.

    hazy, clear: (N, 3, H, W) in [-1, 1], H and W multiples of 32 and of 2**(halvings + 1) -> scalars:
        discriminator: 1/2 of what the real and the false pair cost it, added up over scales
        adversarial, features: of the generator's image; perceptual, l2: of the enhanced one; as they add up
    width, halvings, blocks, local_blocks: of `epdn_generator`. judge_width, layers, scales: of
        `multiscale_discriminator`. features_width: of the VGG-19, 64 for published weights.
    real_label: of the discriminator's target. lambda_...: what each term is multiplied by. lr, beta1: of Adam.
    epochs, decay_epochs: at the full rate, and going down by as many equal steps, the last of which would be 0.

    Qu et al. 2019, section 3.4, as in the authors' code, which is pix2pixHD's: images in [-1, 1] go into the VGG
    without standardization, and the rate falls from the second epoch after `epochs` on. The real pair is judged once
    for either network. One thing is not as published: the code moves the discriminator between the generator's forward
    and backward pass, so that gradients belong to no parameters in particular (PyTorch refuses that since 1.5). Here,
    as in pix2pixHD, both are at the parameters of the forward pass: the generator goes first.
    """
    sizes = {"width": judge_width, "layers": layers, "scales": scales}
    shape = {"width": width, "halvings": halvings, "blocks": blocks, "local_blocks": local_blocks}
    generator = t.network("generator", spec("epdn_generator", **shape))
    discriminator = t.network("discriminator", spec("multiscale_discriminator", **sizes))
    vgg = {"network": "vgg19", "layers": _VGG_LAYERS, "weights": _VGG_WEIGHTS, "normalize": False}
    seen = t.network("vgg", spec("perceptual", **vgg, width=features_width), train=False)
    judge = t.role("judge_loss", spec("lsgan_adversarial", role="discriminator", real_label=real_label))
    deceive = t.role("deceive_loss", spec("lsgan_adversarial", role="generator"))
    matching = t.role("matching_loss", spec("feature_matching", **sizes))
    squares = t.role("l2_loss", spec("l2"))
    schedule = Schedule("linear", epochs + 1, decay_epochs - 1, epoch_steps)
    settings: dict[str, Any] = {"lr": lr, "betas": (beta1, 0.999), "schedule": schedule}
    generator_adam = t.optimizer("generator_adam", generator, **settings)
    discriminator_adam = t.optimizer("discriminator_adam", discriminator, **settings)

    multiple = max(32, 2 ** (halvings + 1))
    hazy = t.input("hazy", channels=3, multiple_of=multiple, example=2 * multiple)
    clear = t.input("clear", channels=3, multiple_of=multiple, example=2 * multiple)
    fake, enhanced = t.call("fake", generator, hazy)
    pair = t.concat("fake_pair", hazy, fake)
    real_pair = t.concat("real_pair", hazy, clear)
    seen_fake = t.call("seen_fake", discriminator, pair)
    target = t.call("target", discriminator, real_pair)

    losses = {"adversarial": _over_scales(t, "adversarial", deceive, seen_fake, scales=scales)}
    held = [t.stop_gradient(f"held{i}", value) for i, value in enumerate(_features(target, scales))]
    matched = t.call("matched", matching, *_features(seen_fake, scales), *held)
    losses["features"] = t.affine("features", *matched, scale=lambda_features)
    losses["perceptual"] = t.affine("perceptual", *t.call("far", seen, enhanced, clear), scale=lambda_perceptual)
    (losses["l2"],) = t.call("l2", squares, enhanced, clear)
    t.update(generator_adam, t.total("generated", *losses.values()))

    seen_real = t.call("seen_real", discriminator, real_pair)
    seen_given = t.call("seen_given", discriminator, t.stop_gradient("given_pair", pair))
    both = _over_scales(t, "judged", judge, seen_real, seen_given, scales=scales)
    t.update(discriminator_adam, both)
    return {"discriminator": both} | losses
