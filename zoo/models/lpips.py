"""The learned part of LPIPS: how much each channel of each stage of a network counts."""

from __future__ import annotations

from functools import reduce
from typing import Any

from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Ints


def _published(channels: tuple[int, ...], **_: Any) -> dict[str, str]:
    return {f"lin{i}": f"lin{i}.model.1" for i in range(len(channels))}


@model(
    "lpips_heads",
    paper="Zhang et al. 2018, arXiv:1801.03924",
    task="evaluation",
    namings={"richzhang/PerceptualSimilarity": _published},
    small={"channels": (4, 6)},
    allowed={"channels": Ints(minimum=1)},
    presets={
        "vgg": {"channels": (64, 128, 256, 512, 512)},
        "squeeze": {"channels": (64, 128, 256, 384, 384, 512, 512)},
    },
)
def lpips_heads(s: Spec, *, channels: tuple[int, ...] = (64, 192, 384, 256, 256)) -> Value:
    """The heads of LPIPS: a 1x1 convolution to one channel for each stage, without bias; means over pixels, added up.

    stage<i>: (N, channels[i], H, W), squared differences of unit features -> (N,), one distance for each pair of images
    channels: of the stages; by default those of AlexNet, as presets those of VGG-16 and SqueezeNet.

    Zhang et al. 2018, equation 1, as in version 0.1 of the authors' package, whose files have these weights alone, all
    >= 0. Before training they are PyTorch's, of both signs, and the distance is none yet. The package's dropout before
    each head, for training the heads alone, is left out.
    """
    terms = []
    for i, count in enumerate(channels):
        stage = s.input(f"stage{i}", shape=("N", count, f"H{i}", f"W{i}"), example=8, span=(0, 1))
        terms.append(s.mean(f"mean{i}", s.conv2d(f"lin{i}", stage, 1, kernel=1, bias=False), axes=(1, 2, 3)))
    numbers = iter(range(1, len(terms)))
    return reduce(lambda total, term: s.add(f"total{next(numbers)}", total, term), terms)
