"""Cycle-Dehaze: CycleGAN between hazy and clear photographs, whose way there and back also keeps what a VGG sees."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.registry import spec, step
from twinzoo.zoo.spec import Role, Value
from twinzoo.zoo.spec.schema import Float, Int
from twinzoo.zoo.steps.schedule import Schedule
from twinzoo.zoo.steps.step import Step


@step(
    "cycle_dehaze",
    paper="Engin, Genc and Ekenel 2018, arXiv:1805.05308",
    task="dehazing",
    small={"width": 4, "blocks": 2, "pool": 4, "features_width": 2, "features_size": 32},
    allowed={
        "width": Int(minimum=1),
        "blocks": Int(minimum=0),
        "real_label": Float(),
        "lambda_a": Float(minimum=0.0),
        "lambda_b": Float(minimum=0.0),
        "lambda_perceptual": Float(minimum=0.0),
        "features_width": Int(minimum=1),
        "features_size": Int(minimum=32),
        "pool": Int(minimum=0),
        "lr": Float(minimum=0.0),
        "beta1": Float(minimum=0.0, maximum=1.0),
        "epochs": Int(minimum=0),
        "decay_epochs": Int(minimum=1),
        "epoch_steps": Int(minimum=1),
    },
)
def cycle_dehaze(
    t: Step,
    *,
    width: int = 64,
    blocks: int = 9,
    real_label: float = 0.9,
    lambda_a: float = 10.0,
    lambda_b: float = 10.0,
    lambda_perceptual: float = 0.5e-5,
    features_width: int = 64,
    features_size: int = 224,
    pool: int = 50,
    lr: float = 1e-4,
    beta1: float = 0.5,
    epochs: int = 100_000,
    decay_epochs: int = 100_000,
    epoch_steps: int = 1,
) -> dict[str, Value]:
    """Cycle-Dehaze: dehaze without pairs, by CycleGAN and a cyclic perceptual loss.

    hazy, clear: (N, 3, H, W) in [-1, 1], H and W multiples of 16 -> scalars:
        adversarial_clear, adversarial_hazy, cycle_hazy, cycle_clear, perceptual: the generators' terms, as they add up
        discriminator_clear, discriminator_hazy: 1/2 of what real images and those from the history cost each
    real_label: the generators' target too, as published. lambda_a, lambda_b: of the cycles from hazy and from clear.
    lambda_perceptual: of the squared distances at pool2 and pool5 of a VGG-16, from images of `features_size` pixels.
        0.5e-5 is for the published network, which takes 0 ... 255 less the mean; the role `features` standardizes by
        ImageNet's mean and std, for torchvision's weights, whose features are smaller.
    width, blocks: of the generators; width of the discriminators too. features_width: of the VGG-16, 64 for published
        weights. pool: images in the history of each discriminator. lr, beta1: of Adam.
    epochs, decay_epochs: steps at the full rate and going down to 0, while `epoch_steps` is 1.

    Engin et al. 2018, section 3, as in the authors' TensorFlow code: all four networks move by gradients at the
    parameters of one forward pass, which one optimizer for both generators and one for both discriminators give too.
    The code feeds its VGG [-1, 1] as if it were [0, 1]; here it becomes [0, 1].
    """
    to_clear = t.network("generator_clear", spec("cycle_dehaze_generator", width=width, blocks=blocks))
    to_hazy = t.network("generator_hazy", spec("cycle_dehaze_generator", width=width, blocks=blocks))
    judge_clear = t.network("discriminator_clear", spec("cycle_dehaze_discriminator", width=width))
    judge_hazy = t.network("discriminator_hazy", spec("cycle_dehaze_discriminator", width=width))
    vgg = {"layers": ("pool2", "pool5"), "distance": "l2", "input_range": "-1..1", "width": features_width}
    seen = t.network("features", spec("perceptual", **vgg), train=False)
    judge = t.role("judge_loss", spec("lsgan_adversarial", role="discriminator", real_label=real_label))
    deceive = t.role("deceive_loss", spec("lsgan_adversarial", role="generator", generator_label=real_label))
    distance = t.role("l1_loss", spec("l1"))
    schedule = Schedule("linear", epochs + 1, decay_epochs - 1, epoch_steps)
    settings: dict[str, Any] = {"lr": lr, "betas": (beta1, 0.999), "schedule": schedule}
    generators_adam = t.optimizer("generators_adam", to_clear, to_hazy, **settings)
    discriminators_adam = t.optimizer("discriminators_adam", judge_clear, judge_hazy, **settings)

    hazy = t.input("hazy", channels=3, multiple_of=16, example=32)
    clear = t.input("clear", channels=3, multiple_of=16, example=32)
    (fake_clear,) = t.call("fake_clear", to_clear, hazy)
    (back_hazy,) = t.call("back_hazy", to_hazy, fake_clear)
    (fake_hazy,) = t.call("fake_hazy", to_hazy, clear)
    (back_clear,) = t.call("back_clear", to_clear, fake_hazy)

    def resized(name: str, image: Value) -> Value:
        return t.interpolate(f"{name}_resized", image, size=features_size, mode="bilinear")

    losses: dict[str, Value] = {}
    (losses["adversarial_clear"],) = t.call(
        "adversarial_clear", deceive, *t.call("seen_clear", judge_clear, fake_clear)
    )
    (losses["adversarial_hazy"],) = t.call("adversarial_hazy", deceive, *t.call("seen_hazy", judge_hazy, fake_hazy))
    far: list[Value] = []
    for name, back, image, weight in (("hazy", back_hazy, hazy, lambda_a), ("clear", back_clear, clear, lambda_b)):
        losses[f"cycle_{name}"] = t.affine(
            f"cycle_{name}", *t.call(f"distance_{name}", distance, back, image), scale=weight
        )
        far += t.call(f"far_{name}", seen, resized(f"back_{name}", back), resized(name, image))
    losses["perceptual"] = t.affine("perceptual", t.add("far", *far), scale=lambda_perceptual)
    t.update(generators_adam, t.total("generated", *losses.values()))

    def judged(name: str, role: Role, real: Value, fake: Value) -> Value:
        given = t.pool(f"history_{name}", t.stop_gradient(f"given_{name}", fake), pool)
        (seen_real,) = t.call(f"judged_real_{name}", role, real)
        (seen_fake,) = t.call(f"judged_fake_{name}", role, given)
        return t.call(f"judged_{name}", judge, seen_real, seen_fake)[0]

    losses["discriminator_clear"] = judged("clear", judge_clear, clear, fake_clear)
    losses["discriminator_hazy"] = judged("hazy", judge_hazy, hazy, fake_hazy)
    t.update(discriminators_adam, t.add("judged", losses["discriminator_clear"], losses["discriminator_hazy"]))
    return losses
