"""AdaIN: style transfer by moving the mean and deviation of features, between a fixed encoder and a trained decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from twinzoo.zoo.models.style import centred
from twinzoo.zoo.registry import model, spec
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Attr, Float, Floats, Int, Words

NAOTO = "naoto0804/pytorch-AdaIN"
PAPER = "Huang and Belongie 2017, arXiv:1703.06868"
TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
_BLOCKS = (2, 2, 4, 4, 4)
_DECODED = (4, 4, 4, 4, 2, 2, 1, 1)
"""Channels of the decoder's convolutions before the last, in widths."""
_DOUBLED = (1, 5, 7)


class _Layer(NamedTuple):
    kind: str
    name: str
    channels: int


def _encoder(width: int) -> list[_Layer]:
    """The layers in the order of the published Sequential."""
    layers = [_Layer("first", "bgr", 3)]
    for block, convs in enumerate(_BLOCKS, 1):
        channels = width * min(2 ** (block - 1), 8)
        kinds = [(kind, i) for i in range(1, convs + 1) for kind in ("pad", "conv", "relu")]
        layers += [_Layer(kind, f"{kind}{block}_{i}", channels) for kind, i in kinds]
        layers += [_Layer("pool", f"pool{block}", channels)] if block < len(_BLOCKS) else []
    return layers


def _decoder(width: int) -> list[_Layer]:
    """The layers in the order of the published Sequential."""
    layers: list[_Layer] = []
    for i, channels in enumerate((*(width * wide for wide in _DECODED), 3), 1):
        layers += [_Layer(kind, f"{kind}{i}", channels) for kind in ("pad", "conv", "relu")]
        layers += [_Layer("up", f"up{i}", channels)] if i in _DOUBLED else []
    return layers[:-1]


def _draw(s: Spec, layer: _Layer, x: Value) -> Value:
    if layer.kind == "pad":
        return s.pad2d(layer.name, x, (1, 1, 1, 1), mode="reflect")
    if layer.kind in ("first", "conv"):
        return s.conv2d(layer.name, x, layer.channels, kernel=1 if layer.kind == "first" else 3)
    if layer.kind == "pool":
        return s.max_pool2d(layer.name, x, 2, ceil_mode=True)
    return s.relu(layer.name, x) if layer.kind == "relu" else s.interpolate(layer.name, x, scale=2)


def _published(layers: Sequence[_Layer]) -> dict[str, str]:
    return {layer.name: str(i) for i, layer in enumerate(layers)}


@model(
    "vgg_normalised",
    paper=PAPER,
    task="style",
    namings={NAOTO: lambda **_: _published(_encoder(1))},
    small={"width": 2},
    allowed={
        "taps": Words(choices=tuple(layer.name for layer in _encoder(1)), minimum=1),
        "width": Int(minimum=1),
    },
)
def vgg_normalised(s: Spec, *, taps: tuple[str, ...] = TAPS, width: int = 64) -> dict[str, Value]:
    """The encoder of AdaIN: VGG-19 with reflected edges, behind a 1x1 convolution that makes its input.

    image: (N, 3, H, W) RGB in [0, 1] -> one output for each of `taps`, in the order given: relu1_1 (N, 64, H, W),
        relu2_1 (N, 128, H/2, W/2), relu3_1 (N, 256, H/4, W/4), relu4_1 (N, 512, H/8, W/8); pools round sizes up
    taps: names of layers; nothing behind the last one is drawn. relu5_4 draws all that the published file has.
    width: channels of the first block; 64 for published weights.

    Huang and Belongie 2017, as in the published PyTorch code. The 1x1 convolution belongs to the file: it
    makes of RGB the BGR less its mean that the Caffe network wants, so that images are not standardized before.
    """
    x = s.input("image", channels=3, example=64, span=(0, 1))
    tapped: dict[str, Value] = {}
    for layer in _encoder(width):
        x = _draw(s, layer, x)
        tapped |= {layer.name: x} if layer.name in taps else {}
        if len(tapped) == len(taps):
            break
    return {tap: tapped[tap] for tap in taps}


@model(
    "adain_decoder",
    paper=PAPER,
    task="style",
    namings={NAOTO: lambda **_: _published(_decoder(1))},
    small={"width": 2},
    allowed={"width": Int(minimum=1)},
)
def adain_decoder(s: Spec, *, width: int = 64) -> Value:
    """The decoder of AdaIN: the encoder mirrored up to relu4_1, with doublings in place of pools and without norms.

    features: (N, 8 width, H, W) -> image (N, 3, 8 H, 8 W), RGB around [0, 1], not held within it: clamp it to show it

    Huang and Belongie 2017: nearest doublings and reflected edges, against checkerboards and borders.
    """
    x = s.input("features", channels=8 * width, example=8, span=(0, 2))
    for layer in _decoder(width):
        x = _draw(s, layer, x)
    return x


def adain(s: Spec, name: str, content: Value, style: Value) -> Value:
    """content (N, C, H, W) with the mean and standard deviation of each channel of style (N, C, H', W')."""
    around, _, std = centred(s, f"{name}_content", content)
    _, wanted_mean, wanted_std = centred(s, f"{name}_style", style)
    normalised = s.div(f"{name}_normalised", around, std)
    return s.add(name, s.mul(f"{name}_scaled", normalised, wanted_std), wanted_mean)


def _stylised(s: Spec, content: Value, styles: Sequence[Value], weights: Sequence[float], alpha: float) -> Value:
    made = adain(s, "styled1", content, styles[0])
    if len(styles) > 1:
        made = s.affine("share1", made, scale=weights[0])
        for i, (style, weight) in enumerate(zip(styles[1:], weights[1:], strict=True), 2):
            share = s.affine(f"share{i}", adain(s, f"styled{i}", content, style), scale=weight)
            made = s.add(f"shares{i}", made, share)
    if alpha == 1:
        return made
    return s.add("mixed", s.affine("more", made, scale=alpha), s.affine("less", content, scale=1 - alpha))


_MIXING: dict[str, Attr] = {"weights": Floats(), "alpha": Float(minimum=0.0, maximum=1.0)}


@model(
    "adaptive_instance_norm",
    paper=PAPER,
    task="style",
    small={"channels": 4, "weights": (0.25, 0.75), "alpha": 0.5},
    allowed={"channels": Int(minimum=1), **_MIXING},
)
def adaptive_instance_norm(
    s: Spec, *, channels: int = 512, weights: tuple[float, ...] = (1.0,), alpha: float = 1.0
) -> Value:
    """AdaIN itself: content features with the mean and deviation of style features, channel by channel.

    content: (N, channels, H, W), style<i>: (N, channels, H<i>, W<i>) -> (N, channels, H, W),
        alpha * (weighted sum over styles of std(style) (content - mean(content)) / std(content) + mean(style))
        + (1 - alpha) * content
    weights: one for each style, in all 1; one style alone has 1. alpha: 1 gives the style, 0 the content.

    Huang and Belongie 2017, with their trade-off and interpolation. Deviations are sqrt(variance + 1e-5) with the
    unbiased variance, as in the published PyTorch code; instance norm, whose variance is biased, makes another number
    of it.
    """
    content = s.input("content", channels=channels, example=16, span=(0, 2))
    styles = [
        s.input(f"style{i}", shape=("N", channels, f"H{i}", f"W{i}"), example=12, span=(0, 2))
        for i in range(1, len(weights) + 1)
    ]
    return _stylised(s, content, styles, weights, alpha)


@model(
    "adain_transfer",
    paper=PAPER,
    task="style",
    small={"width": 2},
    allowed={"width": Int(minimum=1), **_MIXING},
)
def adain_transfer(s: Spec, *, width: int = 64, weights: tuple[float, ...] = (1.0,), alpha: float = 1.0) -> Value:
    """Style transfer with AdaIN: encode both images, give one the statistics of the other, decode.

    content: (N, 3, H, W), style<i>: (N, 3, H<i>, W<i>), RGB in [0, 1], all sizes multiples of 8
        -> (N, 3, H, W), RGB around [0, 1]: clamp it to show it
    width: of `vgg_normalised` and `adain_decoder`, which are the roles `encoder` and `decoder`.
    weights, alpha: of `adaptive_instance_norm`.

    Huang and Belongie 2017, figure 2.
    """
    encoder = s.role("encoder", spec("vgg_normalised", width=width, taps=TAPS[-1:]))
    decoder = s.role("decoder", spec("adain_decoder", width=width))
    content = s.input("content", channels=3, multiple_of=8, example=64, span=(0, 1))
    styles = [
        s.input(f"style{i}", shape=("N", 3, f"H{i}", f"W{i}"), multiple_of=8, example=64, span=(0, 1))
        for i in range(1, len(weights) + 1)
    ]
    (seen,) = s.call("seen_content", encoder, content)
    known = [s.call(f"seen_style{i}", encoder, style)[0] for i, style in enumerate(styles, 1)]
    return s.call("decoded", decoder, _stylised(s, seen, known, weights, alpha))[0]
