"""Feature matching: what a discriminator sees in the made image should be what it sees in the real one."""

from __future__ import annotations

from functools import reduce

from twinzoo.zoo.models.multiscale_discriminator import channels_of_layers
from twinzoo.zoo.registry import loss
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Int

_FOUR = 4.0
"""pix2pixHD's weight of a layer is 4 over the number of layers, features and logits without the first."""


def _declared(s: Spec, name: str, widths: tuple[int, ...], scales: int) -> dict[str, Value]:
    declared = {}
    for scale in range(scales):
        for i, channels in enumerate(widths):
            size = {f"H{scale}_{i}": 10 - i, f"W{scale}_{i}": 10 - i}
            place = f"{name}{scale}_{i}"
            declared[f"scale{scale}_layer{i}"] = s.input(
                place, shape=("N", channels, *size), example=size, span=(-1, 3)
            )
    return declared


@loss(
    "feature_matching",
    paper="Wang et al. 2018, arXiv:1711.11585",
    task="translation",
    small={"width": 4, "layers": 1},
    allowed={"width": Int(minimum=1), "layers": Int(minimum=1), "scales": Int(minimum=1)},
)
def feature_matching(s: Spec, *, width: int = 64, layers: int = 3, scales: int = 2) -> Value:
    """Feature matching: the mean |made - real| in each layer of each scale but the logits, weighted and added up.

    made<i>_<j>, real<i>_<j>: features of layer j of scale i of `multiscale_discriminator`, with its options
        -> a scalar, 4 / (layers + 1) / scales times the sum of the means; no gradient flows into the real ones

    Wang et al. 2018, equation 4, with the weights of the authors' code; multiplied by 10 there.
    """
    widths = channels_of_layers(width, layers)
    made, real = (_declared(s, name, widths, scales) for name in ("made", "real"))
    terms = [s.l1_loss(place, made[place], s.stop_gradient(f"{place}_target", real[place])) for place in made]
    totals = iter(range(1, len(terms)))
    total = reduce(lambda sum_, term: s.add(f"total{next(totals)}", sum_, term), terms)
    return s.affine("weighted", total, scale=_FOUR / (layers + 1) / scales)
