"""Lab pix2pix: colorization as a translation of lightness into colours."""

from __future__ import annotations

from twinzoo.zoo.registry import spec, step
from twinzoo.zoo.spec import Value
from twinzoo.zoo.steps.pix2pix import ALLOWED, translate
from twinzoo.zoo.steps.step import Step


@step(
    "lab_pix2pix",
    paper="Isola et al. 2017, arXiv:1611.07004",
    task="colorization",
    small={"width": 4, "depth": 6, "layers": 2},
    allowed=ALLOWED,
)
def lab_pix2pix(
    t: Step,
    *,
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
    """Lab pix2pix: pix2pix from L*/50 - 1 to a* and b* over 110, of colour images.

    image: (N, 3, H, W) RGB in [0, 1], H and W multiples of 2**depth -> scalars, as in `pix2pix`
    Options are those of `pix2pix`, of which the U-Net has one channel in and two out (preset `lab` of `unet`).

    Isola et al. 2017, section 4 (colorization), as in the authors' PyTorch code, whose dataset converts the images:
    here `rgb_to_lab` does, so that both frameworks are given the same. ECCV16 and SIGGRAPH17 halve the lightness.
    """
    image = t.input("image", channels=3, multiple_of=2**depth, example=2**depth, span=(0, 1))
    lightness, ab = t.call("lab", t.role("to_lab", spec("rgb_to_lab")), image)
    source = t.affine("lightness", lightness, scale=1 / 50, shift=-1.0)
    return translate(t, source, t.affine("ab", ab, scale=1 / 110))
