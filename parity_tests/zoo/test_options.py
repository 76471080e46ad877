"""Options and drawing mistakes: each is one line that says where, what was given, and what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from twinzoo.zoo import registry
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.spec import Spec, Value

_SIZES = "must be an integer >= 1"
_VGG16 = "conv1_1, relu1_1, conv1_2, relu1_2, pool1, conv2_1, relu2_1, conv2_2, relu2_2, pool2, "
_VGG16 += "conv3_1, relu3_1, conv3_2, relu3_2, conv3_3, relu3_3, pool3, "
_VGG16 += "conv4_1, relu4_1, conv4_2, relu4_2, conv4_3, relu4_3, pool4, "
_VGG16 += "conv5_1, relu5_1, conv5_2, relu5_2, conv5_3, relu5_3, pool5"
_RESNET = "in_channels, out_channels, width, blocks, norm, padding, antialias, dropout"

BAD_OPTIONS: list[tuple[str, dict[str, Any], str]] = [
    ("unet", {"depth": 1}, "unet: depth=1: must be an integer >= 2"),
    ("unet", {"depth": "8"}, "unet: depth='8': must be an integer >= 2"),
    ("unet", {"width": True}, f"unet: width=True: {_SIZES}"),
    ("unet", {"norm": "group"}, "unet: norm='group': must be one of batch, instance"),
    ("unet", {"dropout": 1.5}, "unet: dropout=1.5: must be a number >= 0.0 and <= 1.0"),
    ("unet", {"in_channels": 0}, f"unet: in_channels=0: {_SIZES}"),
    (
        "unet",
        {"colour": 1},
        "unet: unknown option colour: takes in_channels, out_channels, width, depth, norm, dropout, dropout_placement",
    ),
    ("patchgan", {"layers": 0}, f"patchgan: layers=0: {_SIZES}"),
    ("patchgan", {"antialias": 1}, "patchgan: antialias=1: must be True or False"),
    ("pixelgan", {"norm": None}, "pixelgan: norm=None: must be one of batch, instance"),
    ("resnet_generator", {"blocks": -1}, "resnet_generator: blocks=-1: must be an integer >= 0"),
    (
        "resnet_generator",
        {"padding": "same"},
        "resnet_generator: padding='same': must be one of reflect, replicate, zero",
    ),
    (
        "resnet_generator",
        {"n_blocks": 6},
        f"resnet_generator: unknown option n_blocks: takes {_RESNET}; did you mean blocks?",
    ),
    ("vgg16", {"classes": 10.0}, f"vgg16: classes=10.0: {_SIZES}"),
    ("vgg16", {"taps": ["relu9_9"]}, f"vgg16: taps=['relu9_9']: must be a sequence of distinct names out of {_VGG16}"),
    ("vgg16", {"taps": "relu1_2"}, f"vgg16: taps='relu1_2': must be a sequence of distinct names out of {_VGG16}"),
    (
        "vgg16",
        {"taps": ("pool1", "pool1")},
        f"vgg16: taps=('pool1', 'pool1'): must be a sequence of distinct names out of {_VGG16}",
    ),
    ("aodnet", {"width": 3}, "aodnet: unknown option width: takes none"),
    ("l1", {"channels": 0}, f"l1: channels=0: {_SIZES}"),
    ("smooth_l1", {"beta": 0}, "smooth_l1: beta=0: must be a number >= 1e-12"),
    (
        "bce_adversarial",
        {"role": "critic"},
        "bce_adversarial: role='critic': must be one of discriminator, generator",
    ),
    ("bce_adversarial", {"real_label": 1.1}, "bce_adversarial: real_label=1.1: must be a number >= 0.0 and <= 1.0"),
    ("lsgan_adversarial", {"real_label": "1"}, "lsgan_adversarial: real_label='1': must be a number"),
    (
        "perceptual",
        {"network": "resnet"},
        "perceptual: network='resnet': must be one of vgg16, vgg16_bn, vgg19, vgg19_bn",
    ),
    ("perceptual", {"layers": []}, "perceptual: layers=[]: must be a sequence of at least 1 distinct names"),
    (
        "perceptual",
        {"layers": ["relu3_4"]},
        f"perceptual: layers=('relu3_4',): must be a sequence of distinct names out of {_VGG16}",
    ),
    (
        "perceptual",
        {"weights": (1, 2)},
        "perceptual: weights=(1.0, 2.0): must be 3 numbers, one for each of layers",
    ),
    ("perceptual", {"input_range": "0..255"}, "perceptual: input_range='0..255': must be one of 0..1, -1..1"),
    ("unte", {}, "no model or loss is called 'unte': did you mean unet?"),
    ("zzzz", {}, "no model or loss is called 'zzzz': `twinzoo models` lists them"),
]


@pytest.mark.parametrize(("name", "options", "message"), BAD_OPTIONS)
def test_bad_options(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        registry.spec(name, **options)
    assert str(caught.value) == message


def test_a_name_is_registered_once() -> None:
    registry.load()
    with pytest.raises(SpecError, match="^loss unet: the name is already registered$"):
        registry.loss("unet", paper="none")(lambda s: s)


def _inner() -> Spec:
    inner = Spec("inner")
    inner.output(y=inner.relu("relu", inner.input("image", channels=3, multiple_of=4)))
    return inner


def _foreign() -> Value:
    return Spec("other").input("elsewhere", channels=3)


Draw = Callable[[Spec, Value], object]
MISTAKES: list[tuple[Draw, str]] = [
    (
        lambda s, x: s.conv2d("c", x, 8, kernel=3, pad=1),
        "unknown attribute pad: takes channels, kernel, stride, padding, ",
    ),
    (lambda s, x: s.conv2d("c", x, 8), "m: c (conv2d): attribute kernel is missing: must be an integer >= 1 or a pair"),
    (lambda s, x: s.conv2d("c", x, 8, kernel=0), "m: c (conv2d): kernel=0: must be an integer >= 1 or a pair"),
    (lambda s, x: s.conv2d("c", x, 8, kernel=3, channels=8), "m: c (conv2d): channels is given twice"),
    (lambda s, x: s.conv2d("c", x, 8, 3), "m: c (conv2d): takes 1 attributes by place, got 2: name them"),
    (lambda s, x: s.conv2d("c", x, 8, kernel=3, groups=2), "m: c (conv2d): groups=2: must divide the 3 input channels"),
    (lambda s, x: s.relu("x", x), "m: x (relu): the name is already taken"),
    (lambda s, x: s.relu("Up", x), "m: relu 'Up': a name is lower-case letters, digits and _, and no keyword"),
    (lambda s, x: s.relu("class", x), "m: relu 'class': a name is lower-case letters"),
    (lambda s, x: s.relu("r", _foreign()), "m: r (relu): input elsewhere is not a value of this spec"),
    (lambda s, x: s.relu("r"), "m: r (relu): takes values x, got 0"),
    (
        lambda s, x: s.add("a", x, s.avg_pool2d("p", x, 2)),
        "m: a (add): cannot combine sizes H and H//2; input (N, 3, H",
    ),
    (lambda s, x: s.output(y=_foreign()), "m: output y: must be a value of this spec, got Value("),
    (lambda s, x: s.input("i"), "m: input i: give channels or shape"),
    (lambda s, x: s.input("i", channels=0), "m: input i: size 0: must be an integer >= 1"),
    (lambda s, x: s.input("i", shape=("K",), multiple_of=0), "m: input i: multiple_of=0: must be an integer >= 1"),
    (lambda s, x: s.input("i", shape=("K",), dtype="bool"), "m: input i: dtype='bool': must be float or int"),
    (lambda s, x: s.input("i", shape=("K",), span=(1, 0)), "m: input i: span=(1, 0): must be a smaller and a larger"),
    (
        lambda s, x: s.input("i", channels=3, multiple_of=8),
        "m: input i: multiple_of=8: must be an integer >= 1, as in the input before: 1",
    ),
    (lambda s, x: s.role("x", _inner()), "m: role x: the name is already taken"),
    (lambda s, x: s.call("c", s.role("net", _inner())), "m: c (call of net): takes 1 inputs (image), got 0"),
    (
        lambda s, x: s.call("c", s.role("net", _inner()), s.conv2d("w", x, 4, kernel=1)),
        "m: c (call of net): image must be (N, 3, H, W), got (N, 4, H, W)",
    ),
    (
        lambda s, x: s.call("c", s.role("net", _inner()), x),
        "m: c (call of net): image: H=H: must be a multiple of 4",
    ),
    (lambda s, x: s.instance_norm("n", s.adaptive_avg_pool2d("p", x, 1)), "one pixel a channel has no variance"),
    (lambda s, x: s.embedding("e", x, 4, 4), "m: e (embedding): indices must be integers, got float"),
]


@pytest.mark.parametrize(("draw", "message"), MISTAKES)
def test_mistakes_fail_while_drawing(draw: Draw, message: str) -> None:
    s = Spec("m")
    x = s.input("x", channels=3)
    with pytest.raises(SpecError) as caught:
        draw(s, x)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_shapes_that_do_not_fit_are_named() -> None:
    spec = registry.spec("unet", depth=3, width=4)
    with pytest.raises(SpecError, match="^unet: input: image: H=20: must be a multiple of 8$"):
        spec.sizes_of({"image": (1, 3, 20, 24)})
    with pytest.raises(SpecError, match=r"^unet: input: image must be \(N, 3, H, W\), got \(1, 4, 24, 24\)$"):
        spec.sizes_of({"image": (1, 4, 24, 24)})
    with pytest.raises(SpecError, match="^unet: takes inputs image; got picture$"):
        spec.sizes_of({"picture": (1, 3, 24, 24)})
    assert spec.sizes_of({"image": (2, 3, 24, 16)}) == {"N": 2, "H": 24, "W": 16}
