"""ResNet-18: residual blocks of two 3x3 convolutions, as a classifier and as a network of features."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Bool, Int, Ints, channels_of


def _published(blocks: tuple[int, ...], **_: Any) -> dict[str, str]:
    paths = {"stem_conv": "conv1", "stem_norm": "bn1", "stem_relu": "relu", "stem_pool": "maxpool"}
    for stage, count in enumerate(blocks, 1):
        for block in range(count):
            name, path = f"block{stage}_{block + 1}", f"layer{stage}.{block}"
            for i in (1, 2):
                paths |= {f"{name}_conv{i}": f"{path}.conv{i}", f"{name}_norm{i}": f"{path}.bn{i}"}
            paths |= {f"{name}_short": f"{path}.downsample.0", f"{name}_short_norm": f"{path}.downsample.1"}
    return paths | {"avgpool": "avgpool", "fc": "fc"}


def _block(s: Spec, name: str, x: Value, channels: int, stride: int) -> Value:
    y = s.conv2d(f"{name}_conv1", x, channels, kernel=3, stride=stride, padding=1, bias=False)
    y = s.relu(f"{name}_relu1", s.batch_norm(f"{name}_norm1", y))
    y = s.conv2d(f"{name}_conv2", y, channels, kernel=3, padding=1, bias=False)
    y = s.batch_norm(f"{name}_norm2", y)
    if stride > 1 or channels_of(x.shape) != channels:
        x = s.conv2d(f"{name}_short", x, channels, kernel=1, stride=stride, bias=False)
        x = s.batch_norm(f"{name}_short_norm", x)
    return s.relu(f"{name}_relu2", s.add(f"{name}_add", y, x))


@model(
    "resnet18",
    paper="He et al. 2016, arXiv:1512.03385",
    task="features",
    init="resnet",
    namings={"torchvision": _published},
    small={"classes": 10, "width": 4, "blocks": (2, 1, 1)},
    allowed={"classes": Int(minimum=1), "pooled": Bool(), "blocks": Ints(minimum=1), "width": Int(minimum=1)},
)
def resnet18(
    s: Spec,
    *,
    classes: int = 1000,
    pooled: bool = False,
    blocks: tuple[int, ...] = (2, 2, 2, 2),
    width: int = 64,
) -> Value:
    """ResNet-18: a 7x7 convolution, eight blocks of two 3x3 convolutions in four stages, the mean over all places.

    image: (N, 3, H, W) RGB, standardized with ImageNet's mean and std, 224 pixels in training
        -> (N, classes) logits, or with `pooled` the means that they are made of, (N, 8 width)
    blocks: of each stage; (3, 4, 6, 3) makes ResNet-34.
    width: channels of the first stage (64), doubled in each of the others; another one makes a reduced network.

    He et al. 2016, table 1, with projections where sizes change (option B), as in torchvision.
    """
    x = s.input("image", channels=3, example=224, span=(-2.1, 2.6))
    x = s.conv2d("stem_conv", x, width, kernel=7, stride=2, padding=3, bias=False)
    x = s.relu("stem_relu", s.batch_norm("stem_norm", x))
    x = s.max_pool2d("stem_pool", x, 3, stride=2, padding=1)
    for stage, count in enumerate(blocks, 1):
        for block in range(1, count + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            x = _block(s, f"block{stage}_{block}", x, width * 2 ** (stage - 1), stride)
    x = s.flatten("flatten", s.adaptive_avg_pool2d("avgpool", x, 1))
    return x if pooled else s.linear("fc", x, classes)
