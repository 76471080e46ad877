"""What colorizers pay: the cross-entropy with a distribution over bins of ab, and a distance between ab."""

from __future__ import annotations

from twinzoo.zoo.models.ab_bins import TIE, bin_inputs, ramp, soft_encoding
from twinzoo.zoo.registry import loss
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Attr, Choice, Float, Int

_ENCODING: dict[str, Attr] = {"classes": Int(minimum=1), "neighbours": Int(minimum=1), "sigma": Float(minimum=1e-3)}


def _surprise(s: Spec, classes: int, neighbours: int, sigma: float) -> tuple[Value, Value, Value]:
    """Declare the inputs; returns the cross-entropy of each pixel (N, 1, H, W), how far bins are, and ab."""
    logits = s.input("logits", shape=("N", classes, "H", "W"), example=16, span=(-3, 3))
    ab = s.input("ab", channels=2, example=16, span=(-110, 110))
    target, beyond = soft_encoding(s, ab, bin_inputs(s, classes), neighbours, sigma)
    terms = s.mul("terms", target, s.log_softmax("log_share", logits, axis=1))
    return s.neg("surprise", s.sum("log_likelihood", terms, axes=(1,), keepdims=True)), beyond, ab


@loss(
    "bin_cross_entropy",
    paper="Zhang et al. 2017, arXiv:1705.02999",
    task="colorization",
    small={"classes": 12},
    allowed=_ENCODING,
)
def bin_cross_entropy(s: Spec, *, classes: int = 529, neighbours: int = 1, sigma: float = 5.0) -> Value:
    """Cross-entropy of a distribution over bins with the bins that colours are in.

    logits: (N, classes, H, W); ab: (N, 2, H, W), a* and b*; bins: (classes, 2) -> a scalar, the mean over pixels
    neighbours, sigma: of `soft_ab_encoding`; with 1 the nearest bin is the label.

    Zhang et al. 2017, section 3.2, as in the authors' PyTorch code, with the 529 bins of `square_ab_bins`.
    """
    surprise, _, _ = _surprise(s, classes, neighbours, sigma)
    return s.mean("loss", surprise)


@loss(
    "rebalanced_cross_entropy",
    paper="Zhang, Isola and Efros 2016, arXiv:1603.08511",
    task="colorization",
    small={"classes": 12},
    allowed={**_ENCODING, "gray": Float(minimum=0.0)},
)
def rebalanced_cross_entropy(
    s: Spec, *, classes: int = 313, neighbours: int = 5, sigma: float = 5.0, gray: float = 5.0
) -> Value:
    """Cross-entropy with softly encoded colours, in which rare colours count more and gray images not at all.

    logits: (N, classes, H, W); ab: (N, 2, H, W), a* and b*; bins: (classes, 2), of `ab_bins`; rarity: (classes,), what
        a pixel of each bin counts, of `rebalancing` -> a scalar, the mean over pixels
    neighbours, sigma: of `soft_ab_encoding`. gray: an image counts where |a*| or |b*| is above it somewhere.

    Zhang et al. 2016, equations 2 and 3; the paper adds up where this takes the mean. A pixel's weight is that of its
    most likely bin, as there; of several that are equally near, the mean. Gray images are left out by the authors'
    training code. That code weighs the gradient alone and reports the unweighted loss; gradients are the same.
    """
    surprise, beyond, ab = _surprise(s, classes, neighbours, sigma)
    weights = s.reshape("class_weights", s.input("rarity", shape=(classes,), span=(0, 2)), (1, classes, 1, 1))
    best = ramp(s, "best", beyond, TIE)
    weight = s.sum("weight_sum", s.mul("best_weights", best, weights), axes=(1,), keepdims=True)
    weight = s.div("pixel_weight", weight, s.sum("best_count", best, axes=(1,), keepdims=True))
    vivid = s.amax("vividness", s.abs("saturation", ab), axes=(1, 2, 3), keepdims=True)
    counts = s.clamp("counts", s.affine("over_gray", vivid, scale=1 / TIE, shift=-gray / TIE), low=0.0, high=1.0)
    return s.mean("loss", s.mul("weighted", surprise, s.mul("counted", weight, counts)))


@loss(
    "ab_distance",
    paper="Zhang et al. 2017, arXiv:1705.02999",
    task="colorization",
    allowed={"distance": Choice(choices=("l1", "huber")), "unit": Float(minimum=1e-3)},
)
def ab_distance(s: Spec, *, distance: str = "l1", unit: float = 110.0) -> Value:
    """The distance between colours: a* and b* added up, the mean over pixels.

    prediction, target: (N, 2, H, W), a* and b* -> a scalar, in multiples of `unit`
    distance: l1, or huber: d squared / 2 below 1 in a* or b*, d - 1/2 above.

    The paper's is Huber's with delta 1 (Zhang et al. 2017, equation 2). The authors' PyTorch code defines it, as here
    over 110, but trains with l1.
    """
    pair = [s.input(name, channels=2, span=(-110, 110)) for name in ("prediction", "target")]
    apart = s.l1_loss("apart", *pair) if distance == "l1" else s.smooth_l1_loss("apart", *pair, beta=1.0)
    return s.affine("both", apart, scale=2 / unit)
