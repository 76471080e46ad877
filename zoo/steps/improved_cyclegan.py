"""Improved CycleGAN: CycleGAN whose generators attend to what they make."""

from __future__ import annotations

from twinzoo.zoo.models.self_attention import PAPER
from twinzoo.zoo.models.unet import ATTENDED
from twinzoo.zoo.registry import spec, step
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Choice, Float, Int
from twinzoo.zoo.steps.cyclegan import ALLOWED, cycle
from twinzoo.zoo.steps.step import Step


@step(
    "improved_cyclegan",
    paper=PAPER,
    task="translation",
    small={"width": 4, "depth": 4, "blocks": 1, "layers": 2, "pool": 4},
    allowed={
        "backbone": Choice(choices=("unet", "resnet")),
        "depth": Int(minimum=ATTENDED),
        "dropout": Float(minimum=0.0, maximum=1.0),
        "n_critic": Int(minimum=1),
        "clip": Float(None, minimum=1e-12),
        "spectral_norm": Choice(choices=("none", "discriminators", "all")),
        **ALLOWED,
    },
    presets={"unet": {}, "resnet": {"backbone": "resnet"}, "spectral": {"spectral_norm": "all"}},
)
def improved_cyclegan(
    t: Step,
    *,
    backbone: str = "unet",
    a_channels: int = 3,
    b_channels: int = 3,
    width: int = 64,
    depth: int = 8,
    blocks: int = 9,
    layers: int = 3,
    norm: str = "instance",
    dropout: float = 0.0,
    gan: str = "lsgan",
    real_label: float = 1.0,
    lambda_a: float = 10.0,
    lambda_b: float = 10.0,
    lambda_identity: float = 0.5,
    pool: int = 50,
    n_critic: int = 1,
    clip: float | None = None,
    spectral_norm: str = "none",
    lr: float = 2e-4,
    beta1: float = 0.5,
    epochs: int = 100,
    decay_epochs: int = 100,
    epoch_steps: int = 1000,
) -> dict[str, Value]:
    """Improved CycleGAN: CycleGAN with self-attention in its generators, U-Nets or ResNets.

    a: (N, a_channels, H, W), b: (N, b_channels, H, W), both in [-1, 1], H and W multiples of 2**depth with U-Nets, of 4
        with ResNets -> scalars, as in `cyclegan`
    backbone: unet, with `depth`, or resnet, with `blocks`: `self_attention_unet` or `self_attention_resnet`.
    n_critic: updates of the discriminators in each step, all on the same images. 5 of them are advice for WGAN.
    clip: the largest norm of the gradients of each optimizer; None leaves them. Other options are those of `cyclegan`.
    spectral_norm: of no network, of the discriminators (Miyato et al. 2018), or of all (SAGAN), beside their norms.

    The project's text names instance norm (which CycleGAN has: that it has batch norm is an error of the text),
    self-attention, a U-Net and, where wanted, spectral norm, and gives no numbers: they are CycleGAN's. Presets:
    `unet`, `resnet`, and `spectral`, U-Nets with spectral norm in all networks.
    """
    shape = {"width": width, "norm": norm, "dropout": dropout, "spectral_norm": spectral_norm == "all"}
    shape |= {"depth": depth} if backbone == "unet" else {"blocks": blocks}

    def generator(source: int, target: int) -> Spec:
        return spec(f"self_attention_{backbone}", in_channels=source, out_channels=target, **shape)

    return cycle(
        t,
        generator,
        multiple_of=2**depth if backbone == "unet" else 4,
        judgements=n_critic,
        clip=clip,
        spectral_norm=spectral_norm != "none",
    )
