"""PatchGAN and PixelGAN: discriminators that judge every patch, or every pixel, for itself."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.models.blocks import NORM, add_spectral_norm, downsample, norm2d, norm_bias
from twinzoo.zoo.naming import sequential
from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Bool, Int

_JUNYANZ = "junyanz/pytorch-CycleGAN-and-pix2pix"
_CUT = "taesungp/contrastive-unpaired-translation"


def _patchgan_published(layers: int, antialias: bool, **_: Any) -> dict[str, str]:
    modules = ["conv1", "act1", *(["blur1"] if antialias else [])]
    for layer in range(2, layers + 2):
        modules += [f"conv{layer}", f"norm{layer}", f"act{layer}"]
        modules += [f"blur{layer}"] if antialias and layer <= layers else []
    return sequential("model", [*modules, "logits"])


@model(
    "patchgan",
    paper="Isola et al. 2017, arXiv:1611.07004",
    task="translation",
    init="gan",
    namings={_JUNYANZ: _patchgan_published, _CUT: _patchgan_published},
    small={"width": 4, "layers": 2},
    allowed={
        "in_channels": Int(minimum=1),
        "width": Int(minimum=1),
        "layers": Int(minimum=1),
        "norm": NORM,
        "antialias": Bool(),
        "spectral_norm": Bool(),
    },
    presets={"spectral": {"spectral_norm": True}},
)
def patchgan(
    s: Spec,
    *,
    in_channels: int = 3,
    width: int = 64,
    layers: int = 3,
    norm: str = "batch",
    antialias: bool = False,
    spectral_norm: bool = False,
) -> Value:
    """PatchGAN discriminator: one logit for each overlapping patch, of 70x70 pixels with three layers.

    image: (N, in_channels, H, W) in [-1, 1] -> logits (N, 1, H', W'), without sigmoid; 30x30 of them at 256x256
    in_channels: 3 in CycleGAN; 6 in pix2pix, which judges input and output together.
    layers: halvings; a patch is 16, 34, 70, 142 or 286 pixels wide with 1 to 5 of them.
    width: channels of the first convolution; they double up to 8 * width.
    norm: batch (pix2pix) or instance without parameters (CycleGAN); none on the first and last convolution, which have
        a bias always, the others with instance norm alone.
    antialias: convolve with stride 1 and halve after a blur (CUT; Zhang 2019).
    spectral_norm: of every convolution (Miyato et al. 2018), beside `norm`; not in the published code.

    Isola et al. 2017, section 6.1.2. The paper's sigmoid is part of the loss here, as in the authors' PyTorch code.
    Preset: `spectral`, with spectral norm.
    """
    x = s.input("image", channels=in_channels, example=32 * 2**layers)
    for layer in range(1, layers + 2):
        halves = layer <= layers
        stride = 2 if halves and not antialias else 1
        channels = width * min(2 ** (layer - 1), 8)
        bias = layer == 1 or norm_bias(norm)
        x = s.conv2d(f"conv{layer}", x, channels, kernel=4, stride=stride, padding=1, bias=bias)
        x = x if layer == 1 else norm2d(s, f"norm{layer}", x, norm)
        x = s.leaky_relu(f"act{layer}", x, 0.2)
        x = downsample(s, f"blur{layer}", x) if halves and antialias else x
    x = s.conv2d("logits", x, 1, kernel=4, padding=1)
    if spectral_norm:
        add_spectral_norm(s)
    return x


def _pixelgan_published(**_: Any) -> dict[str, str]:
    return sequential("net", ["conv1", "act1", "conv2", "norm2", "act2", "logits"])


@model(
    "pixelgan",
    paper="Isola et al. 2017, arXiv:1611.07004",
    task="translation",
    init="gan",
    namings={_JUNYANZ: _pixelgan_published, _CUT: _pixelgan_published},
    small={"width": 4},
    allowed={"in_channels": Int(minimum=1), "width": Int(minimum=1), "norm": NORM},
)
def pixelgan(s: Spec, *, in_channels: int = 3, width: int = 64, norm: str = "batch") -> Value:
    """PixelGAN discriminator: one logit for each pixel, from 1x1 convolutions.

    image: (N, in_channels, H, W) in [-1, 1] -> logits (N, 1, H, W), without sigmoid
    width: channels of the first convolution, doubled by the second.
    norm: as in `patchgan`; the last convolution, too, has a bias with instance norm alone, as in the authors' code.

    Isola et al. 2017, section 6.1.2.
    """
    bias = norm_bias(norm)
    x = s.input("image", channels=in_channels, example=256)
    x = s.leaky_relu("act1", s.conv2d("conv1", x, width, kernel=1), 0.2)
    x = norm2d(s, "norm2", s.conv2d("conv2", x, 2 * width, kernel=1, bias=bias), norm)
    return s.conv2d("logits", s.leaky_relu("act2", x, 0.2), 1, kernel=1, bias=bias)
