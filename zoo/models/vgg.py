"""VGG: stacks of 3x3 convolutions, as classifiers and as feature networks with named taps."""

from __future__ import annotations

from typing import Any, NamedTuple

from twinzoo.zoo.models.taps import tapped
from twinzoo.zoo.naming import sequential
from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Int, Words

_BLOCKS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_CONFIGURATION = {16: "D", 19: "E"}
_CLASSIFIER = ("fc6", "relu6", "dropout6", "fc7", "relu7", "dropout7", "fc8")
_DOC = """VGG-{depth}{title}: {convs} 3x3 convolutions in five blocks, then three fully connected layers.

    image: (N, 3, H, W) RGB, standardized with ImageNet's mean and std, H and W >= 32 (224 in training)
        -> (N, classes) logits, or with `taps` one output for each, in the order given
    taps: names of layers (relu1_2, conv5_4, pool3 ...); nothing behind the last one is drawn.
    width, hidden: channels of the first block (64) and units of fc6 and fc7 (4096); others make reduced networks.

    Simonyan and Zisserman 2015, table 1, configuration {letter}. From torchvision, where it goes beyond the paper:
    adaptive pooling to 7x7 lets other sizes in, and batch-normalised variants keep the biases of the convolutions.
    """


class _Layer(NamedTuple):
    kind: str
    name: str
    block: int


def _features(depth: int, norm: bool) -> list[_Layer]:
    """The layers before the classifier, in order, which is also the order of torchvision's `features`."""
    kinds = ("conv", "norm", "relu") if norm else ("conv", "relu")
    layers = []
    for block, convs in enumerate(_BLOCKS[depth], 1):
        for i in range(1, convs + 1):
            layers += [_Layer(kind, f"{kind}{block}_{i}", block) for kind in kinds]
        layers.append(_Layer("pool", f"pool{block}", block))
    return layers


def _draw_layer(s: Spec, layer: _Layer, x: Value, width: int) -> Value:
    if layer.kind == "conv":
        return s.conv2d(layer.name, x, width * min(2 ** (layer.block - 1), 8), kernel=3, padding=1)
    if layer.kind == "norm":
        return s.batch_norm(layer.name, x)
    return s.relu(layer.name, x) if layer.kind == "relu" else s.max_pool2d(layer.name, x, 2)


def _draw_classifier(s: Spec, x: Value, classes: int, hidden: int) -> Value:
    x = s.flatten("flatten", s.adaptive_avg_pool2d("avgpool", x, 7))
    for i in (6, 7):
        x = s.dropout(f"dropout{i}", s.relu(f"relu{i}", s.linear(f"fc{i}", x, hidden)), 0.5)
    return s.linear("fc8", x, classes)


def _register(name: str, depth: int, norm: bool) -> None:
    layers = {layer.name: layer for layer in _features(depth, norm)}

    def torchvision(**_: Any) -> dict[str, str]:
        return sequential("features", layers) | sequential("classifier", _CLASSIFIER)

    def draw(
        s: Spec, *, classes: int = 1000, taps: tuple[str, ...] = (), width: int = 64, hidden: int = 4096
    ) -> Value | dict[str, Value]:
        x = s.input("image", channels=3, example=224, span=(-2.1, 2.6))
        made = tapped(x, layers, taps, lambda name, x: _draw_layer(s, layers[name], x, width))
        return made if isinstance(made, dict) else _draw_classifier(s, made, classes, hidden)

    convs = sum(_BLOCKS[depth])
    title = " with batch norm" if norm else ""
    draw.__doc__ = _DOC.format(depth=depth, convs=convs, letter=_CONFIGURATION[depth], title=title)
    size = Int(minimum=1)
    model(
        name,
        paper="Simonyan and Zisserman 2015, arXiv:1409.1556",
        task="features",
        init="vgg",
        namings={"torchvision": torchvision},
        small={"classes": 10, "width": 4, "hidden": 16},
        allowed={
            "classes": size,
            "taps": Words(choices=tuple(layers)),
            "width": size,
            "hidden": size,
        },
    )(draw)


_register("vgg16", 16, norm=False)
_register("vgg16_bn", 16, norm=True)
_register("vgg19", 19, norm=False)
_register("vgg19_bn", 19, norm=True)
