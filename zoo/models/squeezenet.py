"""SqueezeNet 1.1: few parameters, by convolutions that squeeze the channels before they expand them again."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.models.taps import tapped
from twinzoo.zoo.naming import sequential
from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Int, Words

_LAYERS: tuple[str, ...] = ("conv1", "relu1", "pool1", "fire2", "fire3", "pool3", "fire4", "fire5", "pool5")
_LAYERS += ("fire6", "fire7", "fire8", "fire9")
_SQUEEZED = {2: 1, 3: 1, 4: 2, 5: 2, 6: 3, 7: 3, 8: 4, 9: 4}
"""Fire module -> its squeezed channels in quarters of the width; each of its two halves has four times as many."""


def _torchvision(**_: Any) -> dict[str, str]:
    paths: dict[str, str] = {}
    for name, path in sequential("features", _LAYERS).items():
        if not name.startswith("fire"):
            paths[name] = path
            continue
        for part in ("squeeze", "expand1x1", "expand3x3"):
            paths |= {f"{name}_{part}": f"{path}.{part}", f"{name}_{part}_relu": f"{path}.{part}_activation"}
    return paths


def _fire(s: Spec, name: str, x: Value, squeezed: int) -> Value:
    """A 1x1 convolution to `squeezed` channels, then 1x1 and 3x3 ones to four times as many each, side by side."""

    def part(word: str, given: Value, channels: int, kernel: int) -> Value:
        made = s.conv2d(f"{name}_{word}", given, channels, kernel=kernel, padding=kernel // 2)
        return s.relu(f"{name}_{word}_relu", made)

    x = part("squeeze", x, squeezed, 1)
    return s.concat(name, part("expand1x1", x, 4 * squeezed, 1), part("expand3x3", x, 4 * squeezed, 3))


def _layer(s: Spec, name: str, x: Value, width: int) -> Value:
    kind, i = name[:-1], int(name[-1])
    if kind == "fire":
        return _fire(s, name, x, _SQUEEZED[i] * width // 4)
    if kind == "conv":
        return s.conv2d(name, x, width, kernel=3, stride=2)
    return s.relu(name, x) if kind == "relu" else s.max_pool2d(name, x, 3, stride=2, ceil_mode=True)


@model(
    "squeezenet1_1",
    paper="Iandola et al. 2016, arXiv:1602.07360",
    task="features",
    init="he_uniform",
    namings={"torchvision": _torchvision},
    small={"width": 4},
    allowed={"taps": Words(choices=_LAYERS), "width": Int(minimum=4)},
)
def squeezenet1_1(s: Spec, *, taps: tuple[str, ...] = (), width: int = 64) -> Value | dict[str, Value]:
    """SqueezeNet 1.1 without its classifier: one convolution and eight fire modules.

    image: (N, 3, H, W) RGB, standardized with ImageNet's mean and std, H and W >= 17 (224 in training)
        -> (N, 8 width, H', W'), fire9, or with `taps` one output for each, in the order given
    taps: names of layers (relu1, pool3, fire6 ...); nothing behind the last one is drawn.
    width: channels of the first convolution (64), four at least; others make reduced networks.

    Iandola et al. 2016, section 3, in the authors' version 1.1, as torchvision has it: a first kernel of 3 instead of
    7, and earlier poolings, whose last window may stick out. Of a whole checkpoint, `classifier.*` has no place here.
    """
    x = s.input("image", channels=3, example=224, span=(-2.1, 2.6))
    return tapped(x, _LAYERS, taps, lambda name, x: _layer(s, name, x, width))
