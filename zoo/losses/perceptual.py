"""Distance between what a VGG sees in two images."""

from __future__ import annotations

from functools import reduce

from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.registry import checked, entry, loss, spec
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Bool, Choice, Floats, Int, Words

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _prepared(s: Spec, name: str, image: Value, input_range: str, normalize: bool) -> Value:
    if input_range == "-1..1":
        image = s.affine(f"{name}_unit", image, scale=0.5, shift=0.5)
    return s.standardize(f"{name}_standardized", image, mean=_MEAN, std=_STD) if normalize else image


@loss(
    "perceptual",
    paper="Johnson et al. 2016, arXiv:1603.08155",
    small={"width": 4},
    allowed={
        "network": Choice(choices=("vgg16", "vgg16_bn", "vgg19", "vgg19_bn")),
        "layers": Words(minimum=1),
        "weights": Floats(None),
        "distance": Choice(choices=("l1", "l2")),
        "normalize": Bool(),
        "input_range": Choice(choices=("0..1", "-1..1")),
        "width": Int(minimum=1),
    },
)
def perceptual(
    s: Spec,
    *,
    network: str = "vgg16",
    layers: tuple[str, ...] = ("relu1_2", "relu2_2", "relu3_3"),
    weights: tuple[float, ...] | None = None,
    distance: str = "l1",
    normalize: bool = True,
    input_range: str = "0..1",
    width: int = 64,
) -> Value:
    """Perceptual loss: the weighted sum of the distances between the features of two images.

    prediction, target: (N, 3, H, W) RGB in `input_range` -> a scalar; each distance is a mean over all its elements
    weights: one for each of `layers`; 1 each where none are given.
    distance: l1 or l2 (squared).
    normalize: standardize with ImageNet's mean and std, after `input_range` became [0, 1].
    width: of the network; 64 for published weights.

    Calls the role `features`; no gradient flows into the target's features. The network is to be left in eval mode.

    Johnson et al. 2016, section 3.2, take the squared distance at relu3_3 of VGG-16; later work takes l1 over several
    layers (Wang et al. 2018, pix2pixHD).
    """
    layers = checked("perceptual", "layers", layers, entry(network).allowed["taps"])
    scales = weights or (1.0,) * len(layers)
    if len(scales) != len(layers):
        raise SpecError(f"perceptual: weights={scales!r}: must be {len(layers)} numbers, one for each of layers")
    features = s.role("features", spec(network, taps=layers, width=width))
    span = (0, 1) if input_range == "0..1" else (-1, 1)
    images = {name: s.input(name, channels=3, span=span) for name in ("prediction", "target")}
    seen = {
        name: s.call(f"{name}_features", features, _prepared(s, name, image, input_range, normalize))
        for name, image in images.items()
    }
    terms = []
    measure = s.l1_loss if distance == "l1" else s.mse_loss
    for layer, scale, prediction, target in zip(layers, scales, seen["prediction"], seen["target"], strict=True):
        term = measure(f"{layer}_distance", prediction, s.stop_gradient(f"{layer}_target", target))
        terms.append(s.affine(f"{layer}_weighted", term, scale=scale))
    totals = iter(layers[1:])
    return reduce(lambda total, term: s.add(f"{next(totals)}_total", total, term), terms)
