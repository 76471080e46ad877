"""AlexNet's convolutions, in the one-tower form that LPIPS looks through."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.models.taps import tapped
from twinzoo.zoo.naming import sequential
from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Int, Words

_LAYERS: tuple[str, ...] = ("conv1", "relu1", "pool1", "conv2", "relu2", "pool2")
_LAYERS += ("conv3", "relu3", "conv4", "relu4", "conv5", "relu5")
_WIDTHS = {1: 1, 2: 3, 3: 6, 4: 4, 5: 4}
_WINDOWS = {1: {"kernel": 11, "stride": 4, "padding": 2}, 2: {"kernel": 5, "padding": 2}}


def _torchvision(**_: Any) -> dict[str, str]:
    return sequential("features", _LAYERS)


def _layer(s: Spec, name: str, x: Value, width: int) -> Value:
    kind, i = name[:-1], int(name[-1])
    if kind == "conv":
        return s.conv2d(name, x, width * _WIDTHS[i], **_WINDOWS.get(i, {"kernel": 3, "padding": 1}))
    return s.relu(name, x) if kind == "relu" else s.max_pool2d(name, x, 3, stride=2)


@model(
    "alexnet",
    paper="Krizhevsky 2014, arXiv:1404.5997",
    task="features",
    namings={"torchvision": _torchvision},
    small={"width": 4},
    allowed={"taps": Words(choices=_LAYERS), "width": Int(minimum=1)},
)
def alexnet(s: Spec, *, taps: tuple[str, ...] = (), width: int = 64) -> Value | dict[str, Value]:
    """AlexNet up to its fifth convolution: what is left of the network as a feature network.

    image: (N, 3, H, W) RGB, standardized with ImageNet's mean and std, H and W >= 31 (224 in training)
        -> (N, 4 width, H', W'), relu5, or with `taps` one output for each, in the order given
    taps: names of layers (relu1, pool2, conv5 ...); nothing behind the last one is drawn.
    width: channels of the first convolution (64); others make reduced networks.

    Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks", footnote 1, as torchvision has
    it: one tower, no local response normalisation. The last pooling and the classifier are left out; of a whole
    checkpoint, `classifier.*` has no place here.
    """
    x = s.input("image", channels=3, example=224, span=(-2.1, 2.6))
    return tapped(x, _LAYERS, taps, lambda name, x: _layer(s, name, x, width))
