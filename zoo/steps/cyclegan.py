"""CycleGAN: two generators that undo each other, and a judge of each domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.models.blocks import NORM
from twinzoo.zoo.registry import spec, step
from twinzoo.zoo.spec import Role, Spec, Value
from twinzoo.zoo.spec.schema import Attr, Choice, Float, Int
from twinzoo.zoo.steps.schedule import Schedule
from twinzoo.zoo.steps.step import Step

ALLOWED: dict[str, Attr] = {
    "a_channels": Int(minimum=1),
    "b_channels": Int(minimum=1),
    "width": Int(minimum=1),
    "blocks": Int(minimum=0),
    "layers": Int(minimum=1),
    "norm": NORM,
    "gan": Choice(choices=("lsgan", "bce")),
    "real_label": Float(),
    "lambda_a": Float(minimum=0.0),
    "lambda_b": Float(minimum=0.0),
    "lambda_identity": Float(minimum=0.0),
    "pool": Int(minimum=0),
    "lr": Float(minimum=0.0),
    "beta1": Float(minimum=0.0, maximum=1.0),
    "epochs": Int(minimum=0),
    "decay_epochs": Int(minimum=0),
    "epoch_steps": Int(minimum=1),
}
"""What the options accept that every form of CycleGAN has."""


@step(
    "cyclegan",
    paper="Zhu et al. 2017, arXiv:1703.10593",
    task="translation",
    small={"width": 4, "blocks": 2, "layers": 2, "pool": 4},
    allowed=ALLOWED,
)
def cyclegan(
    t: Step,
    *,
    a_channels: int = 3,
    b_channels: int = 3,
    width: int = 64,
    blocks: int = 9,
    layers: int = 3,
    norm: str = "instance",
    gan: str = "lsgan",
    real_label: float = 1.0,
    lambda_a: float = 10.0,
    lambda_b: float = 10.0,
    lambda_identity: float = 0.5,
    pool: int = 50,
    lr: float = 2e-4,
    beta1: float = 0.5,
    epochs: int = 100,
    decay_epochs: int = 100,
    epoch_steps: int = 1000,
) -> dict[str, Value]:
    """CycleGAN: translate between two sets of images without pairs, so that there and back is where it began.

    a: (N, a_channels, H, W), b: (N, b_channels, H, W), both in [-1, 1], H and W multiples of 4 -> scalars:
        adversarial_ab, adversarial_ba, cycle_a, cycle_b, identity_a, identity_b: the generators' terms, as they add up
        discriminator_a, discriminator_b: 1/2 of what real images and those from the history cost each
    width, blocks, norm: of the generators; width, layers and norm of the discriminators.
    lambda_a, lambda_b: weights of the cycles from a and from b. lambda_identity: of the identity terms, times these;
        0 leaves them out, and has to where a and b differ in channels.
    pool: images in the history of each discriminator; 0 for none. gan, real_label, lr, epochs ...: as in pix2pix.

    Zhu et al. 2017, sections 3 and 4, as in the authors' PyTorch code: one optimizer for both generators, which goes
    first, and one for both discriminators. `discriminator_b` judges images of b: the code calls it D_A, after the
    generator it stands against.
    """

    def generator(source: int, target: int) -> Spec:
        shape = {"width": width, "blocks": blocks, "norm": norm}
        return spec("resnet_generator", in_channels=source, out_channels=target, **shape)

    return cycle(t, generator)


def cycle(
    t: Step,
    generator: Callable[[int, int], Spec],
    *,
    multiple_of: int = 4,
    judgements: int = 1,
    clip: float | None = None,
    spectral_norm: bool = False,
) -> dict[str, Value]:
    """Draw the step of CycleGAN with the options of `cyclegan` that `t` has.

    Args:
        generator: the channels it is given and those it makes -> its spec.
        multiple_of: what the generators need height and width to be multiples of.
        judgements: updates of the discriminators, of which all see the same images.
        clip: the largest norm of the gradients of each optimizer.
        spectral_norm: of the discriminators.

    Raises:
        SpecError: an identity is asked for between domains that differ in channels.
    """
    o = t.options
    a_channels, b_channels, lambda_identity = o["a_channels"], o["b_channels"], o["lambda_identity"]
    if lambda_identity and a_channels != b_channels:
        raise SpecError(f"{t.name}: lambda_identity={lambda_identity}: must be 0 where channels differ")
    judge = t.role("judge_loss", spec(f"{o['gan']}_adversarial", role="discriminator", real_label=o["real_label"]))
    deceive = t.role("deceive_loss", spec(f"{o['gan']}_adversarial", role="generator"))
    distance_a = t.role("l1_loss_a", spec("l1", channels=a_channels))
    distance_b = t.role("l1_loss_b", spec("l1", channels=b_channels))

    def discriminator(name: str, channels: int) -> Role:
        shape = {option: o[option] for option in ("width", "layers", "norm")}
        return t.network(name, spec("patchgan", in_channels=channels, spectral_norm=spectral_norm, **shape))

    to_b = t.network("generator_ab", generator(a_channels, b_channels))
    to_a = t.network("generator_ba", generator(b_channels, a_channels))
    judge_a, judge_b = discriminator("discriminator_a", a_channels), discriminator("discriminator_b", b_channels)

    schedule = Schedule("linear", o["epochs"], o["decay_epochs"], o["epoch_steps"])
    settings: dict[str, Any] = {"lr": o["lr"], "betas": (o["beta1"], 0.999), "schedule": schedule, "clip": clip}
    generators_adam = t.optimizer("generators_adam", to_b, to_a, **settings)
    discriminators_adam = t.optimizer("discriminators_adam", judge_a, judge_b, **settings)

    a = t.input("a", channels=a_channels, multiple_of=multiple_of, example=max(64, multiple_of))
    b = t.input("b", channels=b_channels, multiple_of=multiple_of, example=max(64, multiple_of))
    (fake_b,) = t.call("fake_b", to_b, a)
    (back_a,) = t.call("back_a", to_a, fake_b)
    (fake_a,) = t.call("fake_a", to_a, b)
    (back_b,) = t.call("back_b", to_b, fake_a)

    def distance(name: str, role: Role, image: Value, target: Value, weight: float) -> Value:
        return t.affine(name, t.call(f"{name}_distance", role, image, target)[0], scale=weight)

    losses: dict[str, Value] = {}
    (losses["adversarial_ab"],) = t.call("adversarial_ab", deceive, *t.call("seen_fake_b", judge_b, fake_b))
    (losses["adversarial_ba"],) = t.call("adversarial_ba", deceive, *t.call("seen_fake_a", judge_a, fake_a))
    losses["cycle_a"] = distance("cycle_a", distance_a, back_a, a, o["lambda_a"])
    losses["cycle_b"] = distance("cycle_b", distance_b, back_b, b, o["lambda_b"])
    if lambda_identity:
        (same_b,), (same_a,) = t.call("same_b", to_b, b), t.call("same_a", to_a, a)
        losses["identity_b"] = distance("identity_b", distance_b, same_b, b, o["lambda_b"] * lambda_identity)
        losses["identity_a"] = distance("identity_a", distance_a, same_a, a, o["lambda_a"] * lambda_identity)
    t.update(generators_adam, t.total("generated", *losses.values()))

    given_b = t.pool("history_b", t.stop_gradient("given_b", fake_b), o["pool"])
    given_a = t.pool("history_a", t.stop_gradient("given_a", fake_a), o["pool"])

    def judged(domain: str, nth: str, role: Role, real: Value, fake: Value) -> Value:
        (seen_real,) = t.call(f"judged_real_{domain}{nth}", role, real)
        (seen_fake,) = t.call(f"judged_fake_{domain}{nth}", role, fake)
        return t.call(f"judged_{domain}{nth}", judge, seen_real, seen_fake)[0]

    for count in range(1, judgements + 1):
        nth = f"_{count}" if count > 1 else ""
        losses["discriminator_b"] = judged("b", nth, judge_b, b, given_b)
        losses["discriminator_a"] = judged("a", nth, judge_a, a, given_a)
        t.update(discriminators_adam, t.add(f"judged{nth}", losses["discriminator_b"], losses["discriminator_a"]))
    return losses
