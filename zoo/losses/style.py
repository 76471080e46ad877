"""What style transfer pays: content by features, style by Gram matrices or by means and deviations, total variation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from twinzoo.zoo.models.adain import PAPER as ADAIN
from twinzoo.zoo.models.adain import TAPS
from twinzoo.zoo.models.style import PAPER, centred
from twinzoo.zoo.models.style import gram as gram_of
from twinzoo.zoo.registry import checked, entry, loss, spec
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Bool, Float, Int, Ints, Words, channels_of

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_WEIGHT = Float(minimum=0.0)


def _sum(s: Spec, name: str, terms: Sequence[Value]) -> Value:
    numbers = iter(range(2, len(terms) + 1))
    return reduce(lambda total, term: s.add(f"{name}{next(numbers)}", total, term), terms)


def _variation(s: Spec, image: Value) -> Value:
    squares = []
    for name, axis in (("row", 2), ("column", 3)):
        behind = s.slice(f"{name}_next", image, axis=axis, start=1)
        step = s.sub(f"{name}_step", behind, s.slice(f"{name}_here", image, axis=axis, stop=-1))
        squares.append(s.sum(f"{name}_sum", s.square(f"{name}_square", step)))
    return s.add("variation", *squares)


@loss("total_variation", paper=PAPER, task="style", allowed={"channels": Int(minimum=1)})
def total_variation(s: Spec, *, channels: int = 3) -> Value:
    """Total variation: the sum of the squared differences of neighbouring pixels, along both axes.

    image: (N, channels, H, W) in any range -> a scalar, the sum over all elements and images

    Johnson et al. 2016, section 3.2, with squares as in their code.
    """
    return _variation(s, s.input("image", channels=channels))


@loss(
    "johnson_perceptual",
    paper=PAPER,
    task="style",
    small={"width": 2, "variation": 1e-6},
    allowed={
        "content_layer": Words(minimum=1),
        "style_layers": Words(minimum=1),
        "content": _WEIGHT,
        "style": _WEIGHT,
        "variation": _WEIGHT,
        "standardize": Bool(),
        "width": Int(minimum=1),
    },
)
def johnson_perceptual(
    s: Spec,
    *,
    content_layer: tuple[str, ...] = ("relu2_2",),
    style_layers: tuple[str, ...] = ("relu1_2", "relu2_2", "relu3_3", "relu4_3"),
    content: float = 1e5,
    style: float = 1e10,
    variation: float = 0.0,
    standardize: bool = True,
    width: int = 64,
) -> dict[str, Value]:
    """Johnson's losses: features of the photograph, Gram matrices of the style, and smoothness.

    made, photograph: (N, 3, H, W), painting: (1, 3, HS, WS), the same for every image, all RGB in [0, 255] -> scalars,
        to be added up:
        content: `content` times the mean squared distance of the features of `content_layer`, added up over layers
        style: `style` times the same of the Gram matrices of `style_layers`
        variation: `variation` times `total_variation` of what was made; 0 leaves it out
    standardize: with ImageNet's mean and std over 255. Without it images go into the network as they are: BGR less its
        mean, where the weights are Caffe's.
    width: of the VGG-16, the role `features`, to be left in eval mode; 64 for published weights.

    Johnson et al. 2016, section 3.2. Defaults are those of pytorch/examples (fast_neural_style). The authors' Lua code
    has relu3_3 for content and 1, 5 and 1e-6 as weights. No gradient flows into the photograph or the painting.
    """
    choices = entry("vgg16").allowed["taps"]
    layers = checked(s.name, "content_layer", content_layer, choices)
    style_layers = checked(s.name, "style_layers", style_layers, choices)
    features = s.role("features", spec("vgg16", taps=tuple(dict.fromkeys((*layers, *style_layers))), width=width))
    images = {
        "made": s.input("made", channels=3, span=(0, 255)),
        "photograph": s.input("photograph", channels=3, span=(0, 255)),
        "painting": s.input("painting", shape=(1, 3, "HS", "WS"), example=48, span=(0, 255)),
    }
    seen: dict[str, dict[str, Value]] = {}
    for name, image in images.items():
        x = image
        if standardize:
            mean, std = ([round(255 * value, 3) for value in values] for values in (_MEAN, _STD))
            x = s.standardize(f"{name}_standardized", x, mean=mean, std=std)
        values = s.call(f"{name}_features", features, x)
        seen[name] = dict(zip(features.spec.outputs, values, strict=True))
    apart = []
    for layer in layers:
        wanted = s.stop_gradient(f"{layer}_content", seen["photograph"][layer])
        apart.append(s.mse_loss(f"{layer}_distance", seen["made"][layer], wanted))
    losses = {"content": s.affine("content", _sum(s, "contents", apart), scale=content)}
    unlike = []
    for layer in style_layers:
        wanted = s.stop_gradient(f"{layer}_style", gram_of(s, f"{layer}_painting_gram", seen["painting"][layer]))
        difference = s.sub(f"{layer}_unlike", gram_of(s, f"{layer}_made_gram", seen["made"][layer]), wanted)
        unlike.append(s.mean(f"{layer}_gram_distance", s.square(f"{layer}_gram_square", difference)))
    losses["style"] = s.affine("style", _sum(s, "styles", unlike), scale=style)
    if variation:
        losses["variation"] = s.affine("smoothness", _variation(s, images["made"]), scale=variation)
    return losses


@loss(
    "style_statistics",
    paper=ADAIN,
    task="style",
    small={"channels": (4, 8)},
    allowed={"channels": Ints(minimum=1)},
)
def style_statistics(s: Spec, *, channels: tuple[int, ...] = (64, 128, 256, 512)) -> Value:
    """AdaIN's style loss: the squared distances of means and deviations, layer by layer.

    made<i>: (N, channels[i], H<i>, W<i>), style<i>: (N, channels[i], HS<i>, WS<i>), features -> a scalar, the sum over
        layers of mse(means) + mse(standard deviations); no gradient flows into the style's

    Li et al. 2017 (arXiv:1701.01036) as taken up by Huang and Belongie 2017; deviations as in
    `adaptive_instance_norm`, which is the published PyTorch code's way.
    """
    terms = []
    for i, count in enumerate(channels, 1):
        size = 20 - 4 * i if i < 4 else 4
        made = s.input(f"made{i}", shape=("N", count, f"H{i}", f"W{i}"), example=size, span=(0, 2))
        style = s.input(f"style{i}", shape=("N", count, f"HS{i}", f"WS{i}"), example=size, span=(0, 2))
        _, *given = centred(s, f"made{i}", made)
        _, *wanted = centred(s, f"style{i}", style)
        for kind, have, want in zip(("mean", "std"), given, wanted, strict=True):
            held = s.stop_gradient(f"{kind}{i}_wanted", want)
            terms.append(s.mse_loss(f"{kind}{i}_distance", have, held))
    return _sum(s, "distances", terms)


@loss(
    "stylization",
    paper=ADAIN,
    task="style",
    small={"width": 2},
    allowed={"content": _WEIGHT, "gram": _WEIGHT, "statistics": _WEIGHT, "width": Int(minimum=1)},
)
def stylization(
    s: Spec, *, content: float = 1.0, gram: float = 1.0, statistics: float = 1.0, width: int = 64
) -> dict[str, Value]:
    """What a painted photograph pays, with a style of its own for each image.

    made, photograph: (N, 3, H, W), style: (N, 3, HS, WS), RGB in [-1, 1] -> scalars, to be added up:
        content: `content` times the mean squared distance of relu4_1 from the photograph's
        gram: `gram` times the sum over relu1_1 to relu4_1 of the mean squared distances of their Gram matrices
        statistics: `statistics` times `style_statistics` of the same layers
    width: of the VGG-19, the role `features`, to be left in eval mode; 64 for published weights.

    Johnson et al. 2016, section 3.2, and the losses of Huang and Belongie 2017, side by side. No gradient flows
    into the photograph or the style.
    """
    features = s.role("features", spec("vgg19", taps=TAPS, width=width))
    images = {
        "made": s.input("made", channels=3),
        "photograph": s.input("photograph", channels=3),
        "style": s.input("style", shape=("N", 3, "HS", "WS"), example=48),
    }
    seen = {}
    for name, image in images.items():
        unit = s.affine(f"{name}_unit", image, scale=0.5, shift=0.5)
        seen[name] = s.call(
            f"{name}_features", features, s.standardize(f"{name}_standardized", unit, mean=_MEAN, std=_STD)
        )
    far = s.mse_loss("content_distance", seen["made"][-1], s.stop_gradient("content_wanted", seen["photograph"][-1]))
    grams = []
    for i, (made, style) in enumerate(zip(seen["made"], seen["style"], strict=True), 1):
        wanted = s.stop_gradient(f"gram{i}_wanted", gram_of(s, f"gram{i}_style", style))
        grams.append(s.mse_loss(f"gram{i}_distance", gram_of(s, f"gram{i}_made", made), wanted))
    channels = tuple(channels_of(value.shape) for value in features.spec.outputs.values())
    unlike = s.role("statistics_loss", spec("style_statistics", channels=channels))
    pairs = (value for pair in zip(seen["made"], seen["style"], strict=True) for value in pair)
    (apart,) = s.call("statistics_distance", unlike, *pairs)
    return {
        "content": s.affine("content", far, scale=content),
        "gram": s.affine("gram", _sum(s, "grams", grams), scale=gram),
        "statistics": s.affine("statistics", apart, scale=statistics),
    }
