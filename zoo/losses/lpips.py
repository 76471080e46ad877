"""LPIPS: the distance between two images as a network sees them, its channels weighed by what people judged."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, NamedTuple

from twinzoo.zoo.registry import MODELS, loss, spec
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Choice, Int, channels_of

_AUTHORS = "richzhang/PerceptualSimilarity"
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_EPS = 1e-10
_TINY = 1e-30


class _Backbone(NamedTuple):
    """A feature network: its model, the layers whose output counts, and their places in torchvision's `features`."""

    model: str
    taps: tuple[str, ...]
    ends: tuple[int, ...]


_BACKBONES = {
    "alex": _Backbone("alexnet", ("relu1", "relu2", "relu3", "relu4", "relu5"), (1, 4, 7, 9, 11)),
    "vgg": _Backbone("vgg16", ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"), (3, 8, 15, 22, 29)),
    "squeeze": _Backbone(
        "squeezenet1_1", ("relu1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9"), (1, 4, 7, 9, 10, 11, 12)
    ),
}


def _published(network: str, **_: Any) -> dict[str, str]:
    """The published module cuts torchvision's `features` into slices, whose modules keep their numbers."""
    backbone = _BACKBONES[network]
    paths = {}
    for node, path in MODELS[backbone.model].namings["torchvision"]().items():
        folder, number, *rest = path.split(".")
        if folder == "features" and int(number) <= backbone.ends[-1]:
            stage = bisect_left(backbone.ends, int(number)) + 1
            paths[f"features.{node}"] = ".".join((f"net.slice{stage}", number, *rest))
    heads = MODELS["lpips_heads"].namings[_AUTHORS](channels=backbone.taps)
    return paths | {f"heads.{node}": path for node, path in heads.items()}


def _unit(s: Spec, name: str, x: Value) -> Value:
    """x (N, C, H, W) over its length along C plus eps.

    The square of the length is held above a number that changes no result, since the root has no gradient at 0, where
    all channels of a pixel are: the published code gets NaN there, which the ReLU before it drops.
    """
    squares = s.sum(f"{name}_squares", s.square(f"{name}_square", x), axes=(1,), keepdims=True)
    length = s.sqrt(f"{name}_root", s.clamp(f"{name}_held", squares, low=_TINY))
    return s.div(f"{name}_unit", x, s.affine(f"{name}_length", length, shift=_EPS))


@loss(
    "lpips",
    paper="Zhang et al. 2018, arXiv:1801.03924",
    task="evaluation",
    namings={_AUTHORS: _published},
    small={"width": 4},
    allowed={
        "network": Choice(choices=tuple(_BACKBONES)),
        "input_range": Choice(choices=("-1..1", "0..1")),
        "width": Int(minimum=4),
    },
)
def lpips(s: Spec, *, network: str = "alex", input_range: str = "-1..1", width: int = 64) -> Value:
    """LPIPS v0.1: how different two images look, from the features of a classifier.

    prediction, target: (N, 3, H, W) RGB in `input_range`, H and W >= 31 -> (N,), one distance for each pair
    network: alex (the paper's default for evaluation), vgg (closest to a perceptual loss) or squeeze.
    width: of the network; 64 for published weights.

    Calls the roles `features` on both images and `heads` (`lpips_heads`) on the squared differences of their features,
    each of which is divided by its length over channels plus 1e-10. Gradients flow into both images. The network is to
    be left in eval mode.

    Zhang et al. 2018, equation 1, as in version 0.1 of the authors' package; version 0.0 does not scale its input. The
    network's weights are torchvision's, and published files hold the heads alone. In a file of the whole module
    `scaling_layer.*` are constants here, and `lins.*` names the heads again.
    """
    backbone = _BACKBONES[network]
    features = s.role("features", spec(backbone.model, taps=backbone.taps, width=width))
    widths = tuple(channels_of(stage.shape) for stage in features.spec.outputs.values())
    heads = s.role("heads", spec("lpips_heads", channels=widths))
    span = (0, 1) if input_range == "0..1" else (-1, 1)
    seen = []
    for name in ("prediction", "target"):
        x = s.input(name, channels=3, span=span)
        x = s.affine(f"{name}_signed", x, scale=2.0, shift=-1.0) if input_range == "0..1" else x
        x = s.standardize(f"{name}_scaled", x, mean=_SHIFT, std=_SCALE)
        stages = s.call(f"{name}_features", features, x)
        seen.append([_unit(s, f"{name}{i}", stage) for i, stage in enumerate(stages)])
    pairs = enumerate(zip(*seen, strict=True))
    squares = [s.square(f"squared{i}", s.sub(f"difference{i}", one, other)) for i, (one, other) in pairs]
    (distance,) = s.call("distance", heads, *squares)
    return distance
