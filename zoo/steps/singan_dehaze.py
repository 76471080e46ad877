"""SinGAN-Dehaze: one generator and one judge learn to take haze out of photographs, without pairs."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.models.cut import sampled
from twinzoo.zoo.registry import spec, step
from twinzoo.zoo.spec import Role, Value
from twinzoo.zoo.spec.schema import Choice, Float, Int, Ints
from twinzoo.zoo.steps.cut import contrast, image_judge
from twinzoo.zoo.steps.schedule import Schedule
from twinzoo.zoo.steps.step import Step

_PERCEPTUAL: dict[str, dict[str, Any]] = {
    "paper": {
        "layers": ("conv1_2", "conv2_2", "conv3_3"),
        "weights": (1.0, 0.5, 0.25),
        "distance": "l1",
        "input_range": "-1..1",
    },
    # No standardization, and [-1, 1] as it is: the published port feeds what its generator gives.
    "code": {
        "layers": ("relu1_2", "relu2_2", "relu3_3"),
        "weights": (1 / 3, 1 / 3, 1 / 3),
        "distance": "l2",
        "normalize": False,
    },
}


def _edges(t: Step, name: str, high: Role, generator: Role, image: Value, positions: Value) -> Value:
    """The vectors of the generator's last tapped layer at some places of the image's high frequencies: (N, P, C)."""
    (detail,) = t.call(f"{name}_detail", high, image)
    return sampled(t, name, t.call(f"{name}_features", generator, detail)[-1], positions)


@step(
    "singan_dehaze",
    paper="Luo et al. 2025, Neurocomputing 636: SinGAN-Dehaze",
    task="dehazing",
    presets={"code": {"perceptual": "code", "beta1": 0.5}},
    small={
        "width": 4,
        "blocks": 2,
        "layers": 2,
        "nce_layers": (0, 4, 8, 11),
        "nce_width": 32,
        "features_width": 2,
    },
    allowed={
        "width": Int(minimum=1),
        "blocks": Int(minimum=0),
        "layers": Int(minimum=1),
        "nce_layers": Ints(minimum=0),
        "nce_width": Int(minimum=1),
        "temperature": Float(minimum=1e-6),
        "perceptual": Choice(choices=("paper", "code")),
        "features_width": Int(minimum=1),
        "real_label": Float(),
        "lambda_nce": Float(minimum=0.0),
        "lambda_perceptual": Float(minimum=0.0),
        "lambda_mmd": Float(minimum=0.0),
        "lambda_gan": Float(minimum=0.0),
        "lr": Float(minimum=0.0),
        "beta1": Float(minimum=0.0, maximum=1.0),
        "epochs": Int(minimum=0),
        "decay_epochs": Int(minimum=0),
        "epoch_steps": Int(minimum=1),
    },
)
def singan_dehaze(
    t: Step,
    *,
    width: int = 64,
    blocks: int = 9,
    layers: int = 3,
    nce_layers: tuple[int, ...] = (0, 4, 8, 12, 16),
    nce_width: int = 256,
    temperature: float = 0.07,
    perceptual: str = "paper",
    features_width: int = 64,
    real_label: float = 1.0,
    lambda_nce: float = 1.0,
    lambda_perceptual: float = 1.0,
    lambda_mmd: float = 1.0,
    lambda_gan: float = 1.0,
    lr: float = 2e-4,
    beta1: float = 0.9,
    epochs: int = 100,
    decay_epochs: int = 100,
    epoch_steps: int = 1000,
) -> dict[str, Value]:
    """SinGAN-Dehaze: contrastive dehazing with perturbed negatives, a perceptual term, and MMD on high frequencies.

    hazy, clear: (N, 3, H, W) in [-1, 1], H and W multiples of 4, of different places; positions<i>: (P,) integers, the
        places of the patches in the i-th of `nce_layers`, 256 of them; noise<i>: (P, P) in [-0.3, 0.3], drawn evenly,
        of `patch_nce`; mmd_positions: (Q,) integers, places in the last of these layers -> scalars:
        discriminator: 1/2 of what the clear and the dehazed images cost it
        adversarial, nce, perceptual, mmd: the generator's terms, as they add up
    perceptual: paper: |difference| before the ReLU, weights 1, 1/2, 1/4, on standardized images; code: squares after
        the ReLU, each a third, on images as they are. features_width: of its VGG-16, 64 for published weights.
    width, blocks: of the generator, which has no anti-aliasing; width, layers: of the PatchGAN.
    nce_width: of the patches in the sampler. lambda_...: what each term is multiplied by. lr, beta1: of Adam.

    Luo et al. 2025, equations 1 to 5. The published port trains a CycleGAN instead. Chosen where it and the text differ
    or the text is silent: LSGAN, which the text names, not the log loss of equation 5; beta1 0.9 as in the text, 0.5 in
    the port; the discriminator first and one optimizer for generator and sampler, as in CUT; MMD over patches, because
    over the one vector of an image it has no gradient within a set; 200 epochs outdoor (400 indoor), half of them
    decaying.
    """
    sizes = {"width": width, "blocks": blocks, "layers": nce_layers}
    generator = t.network("generator", spec("cut_generator", **sizes, antialias=False))
    patches = contrast(t, generator, nce_width, lambda_nce, temperature=temperature, perturbed=True)
    judge = image_judge(t, width, layers, antialias=False, real_label=real_label)
    high = t.network("high_frequency", spec("high_frequency"), train=False)
    seen = t.network("features", spec("perceptual", width=features_width, **_PERCEPTUAL[perceptual]), train=False)
    discrepancy = t.role("mmd_loss", spec("mmd", channels=list(generator.spec.outputs.values())[-1].shape[1]))
    schedule = Schedule("linear", epochs, decay_epochs, epoch_steps)
    settings: dict[str, Any] = {"lr": lr, "betas": (beta1, 0.999), "schedule": schedule}
    generator_adam = t.optimizer("generator_adam", generator, patches.sampler, **settings)
    discriminator_adam = t.optimizer("discriminator_adam", judge.network, **settings)

    hazy = t.input("hazy", channels=3, multiple_of=4, example=64)
    clear = t.input("clear", channels=3, multiple_of=4, example=64)
    positions = patches.positions(t, "positions")
    spots = range(len(positions))
    noises = [t.input(f"noise{i}", shape=(f"P{i}", f"P{i}"), example=16, span=(-0.3, 0.3)) for i in spots]
    mmd_positions = t.input("mmd_positions", shape=("Q",), dtype="int", example=16)
    fake, *given = t.call("fake", generator, hazy)

    losses = {"discriminator": judge.loss(t, fake, clear)}
    t.update(discriminator_adam, losses["discriminator"])

    losses["adversarial"] = judge.adversarial(t, fake, lambda_gan)
    _, *made = t.call("fake_features", generator, fake)
    losses["nce"] = patches.loss(t, "nce", made, given, positions, noises)
    losses["perceptual"] = t.affine("perceptual", *t.call("far", seen, fake, hazy), scale=lambda_perceptual)
    edges = [_edges(t, name, high, generator, x, mmd_positions) for name, x in (("made", fake), ("real", clear))]
    losses["mmd"] = t.affine("mmd", *t.call("apart", discrepancy, *edges), scale=lambda_mmd)
    t.update(generator_adam, t.total("generated", *list(losses.values())[1:]))
    return losses
