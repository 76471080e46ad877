"""pix2pixHD's discriminator: the same PatchGAN at several sizes of the image, with what each layer of it saw."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Int

_WIDEST = 512


def channels_of_layers(width: int, layers: int) -> tuple[int, ...]:
    """The channels of one scale's layers but the last, which has one."""
    return width, *(min(width * 2**i, _WIDEST) for i in range(1, layers + 1))


def _published(scales: int, layers: int, **_: Any) -> dict[str, str]:
    paths: dict[str, str] = {}
    for scale in range(scales):
        path = f"scale{scales - 1 - scale}"
        for i in range(layers + 2):
            modules = ["conv", *(["norm"] if 0 < i <= layers else []), "act"]
            paths |= {f"scale{scale}_{m}{i}": f"{path}_layer{i}.{k}" for k, m in enumerate(modules)}
    return dict(sorted(paths.items(), key=lambda item: item[1]))


@model(
    "multiscale_discriminator",
    paper="Wang et al. 2018, arXiv:1711.11585",
    task="translation",
    init="pix2pixhd",
    namings={"ErinChen1/EPDN": _published, "NVIDIA/pix2pixHD": _published},
    small={"width": 4, "layers": 2},
    allowed={
        "in_channels": Int(minimum=1),
        "width": Int(minimum=1),
        "layers": Int(minimum=1),
        "scales": Int(minimum=1),
    },
)
def multiscale_discriminator(
    s: Spec, *, in_channels: int = 6, width: int = 64, layers: int = 3, scales: int = 2
) -> dict[str, Value]:
    """Multi-scale discriminator: PatchGANs on the image, on its half, and so on, with all their features.

    image: (N, in_channels, H, W) in [-1, 1] -> for each scale, the full size first, scale<i>_layer<j>: j from 0 to
        `layers` features (N, C, H', W') after their activation, j = layers + 1 logits (N, 1, H', W') without sigmoid
    in_channels: 6: the given image and the one to judge. width: of the first convolution. layers: halvings in each
        PatchGAN. scales: 3 in pix2pixHD.

    Wang et al. 2018, section 3.2, as in the authors' code: a padding of 2, and instance norm after convolutions with a
    bias. Their names count scales from the smallest image up: its last one is the first here.
    """
    x = s.input("image", channels=in_channels, multiple_of=2 ** (scales - 1), example=64)
    widths = channels_of_layers(width, layers)
    tapped = {}
    for scale in range(scales):
        if scale:
            x = s.avg_pool2d(f"halved{scale}", x, 3, stride=2, padding=1, count_include_pad=False)
        y = x
        for i, channels in enumerate(widths):
            stride = 2 if i < layers else 1
            y = s.conv2d(f"scale{scale}_conv{i}", y, channels, kernel=4, stride=stride, padding=2)
            y = s.instance_norm(f"scale{scale}_norm{i}", y) if i else y
            y = tapped[f"scale{scale}_layer{i}"] = s.leaky_relu(f"scale{scale}_act{i}", y, 0.2)
        last = layers + 1
        tapped[f"scale{scale}_layer{last}"] = s.conv2d(f"scale{scale}_conv{last}", y, 1, kernel=4, padding=2)
    return tapped
