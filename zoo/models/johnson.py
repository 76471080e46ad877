"""Johnson's transform net: one pass of a residual network gives a photograph the style that it was trained for."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.models.style import PAPER
from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Choice, Int, channels_of

EXAMPLES = "pytorch/examples"
FORM = Choice(choices=("examples", "lua"))
_REACH = 150.0
_LOST = 8
"""What a block of the Lua form takes off each side, in pixels of the image: two at a quarter of the size."""


def _published(blocks: int, **_: Any) -> dict[str, str]:
    """In the order in which the published class makes its layers."""
    paths: dict[str, str] = {}
    for i in (1, 2, 3):
        path = f"conv{i}"
        paths |= {
            f"down{i}_pad": f"{path}.reflection_pad",
            f"down{i}_conv": f"{path}.conv2d",
            f"down{i}_norm": f"in{i}",
        }
    for block in range(1, blocks + 1):
        for i in (1, 2):
            name, path = f"block{block}_conv{i}", f"res{block}.conv{i}"
            paths |= {f"block{block}_pad{i}": f"{path}.reflection_pad", name: f"{path}.conv2d"}
            paths[f"block{block}_norm{i}"] = f"res{block}.in{i}"
        paths[f"block{block}_relu1"] = f"res{block}.relu"
    for i in (1, 2):
        path = f"deconv{i}"
        paths |= {f"up{i}_pad": f"{path}.reflection_pad", f"up{i}_conv": f"{path}.conv2d", f"up{i}_norm": f"in{i + 3}"}
    return paths | {"head_pad": "deconv3.reflection_pad", "head_conv": "deconv3.conv2d"}


def _conv(s: Spec, name: str, x: Value, channels: int, kernel: int, stride: int, form: str) -> Value:
    half = kernel // 2
    if form == "lua":
        return s.conv2d(f"{name}_conv", x, channels, kernel=kernel, stride=stride, padding=half)
    padded = s.pad2d(f"{name}_pad", x, (half,) * 4, mode="reflect")
    return s.conv2d(f"{name}_conv", padded, channels, kernel=kernel, stride=stride)


def _activated(s: Spec, name: str, x: Value) -> Value:
    return s.relu(f"{name}_relu", s.instance_norm(f"{name}_norm", x, affine=True))


def _block(s: Spec, name: str, x: Value, form: str) -> Value:
    y = x
    for i in (1, 2):
        if form == "examples":
            y = s.pad2d(f"{name}_pad{i}", y, (1, 1, 1, 1), mode="reflect")
        y = s.conv2d(f"{name}_conv{i}", y, channels_of(x.shape), kernel=3)
        y = s.instance_norm(f"{name}_norm{i}", y, affine=True)
        y = s.relu(f"{name}_relu{i}", y) if i == 1 else y
    if form == "lua":
        x = s.slice(f"{name}_rows", x, axis=2, start=2, stop=-2)
        x = s.slice(f"{name}_middle", x, axis=3, start=2, stop=-2)
    return s.add(f"{name}_add", x, y)


def _up(s: Spec, name: str, x: Value, channels: int, form: str) -> Value:
    if form == "lua":
        return s.conv_transpose2d(f"{name}_conv", x, channels, kernel=3, stride=2, padding=1, output_padding=1)
    return _conv(s, name, s.interpolate(f"{name}_double", x, scale=2), channels, 3, 1, form)


@model(
    "johnson_transformer",
    paper=PAPER,
    task="style",
    namings={EXAMPLES: _published},
    small={"width": 4, "blocks": 1},
    allowed={"width": Int(minimum=1), "blocks": Int(minimum=0), "form": FORM},
    presets={"examples": {}, "lua": {"form": "lua"}},
)
def johnson_transformer(s: Spec, *, width: int = 32, blocks: int = 5, form: str = "examples") -> Value:
    """Johnson's transform net: two halvings, `blocks` residual blocks, two doublings, instance norms with gains.

    image: (N, 3, H, W), H and W multiples of 4 -> (N, 3, H, W)
        form examples: RGB in [0, 255], and out around it, not held within: clamp it to show it
        form lua: BGR in [0, 255] less its mean (103.939, 116.779, 123.68), and out in [-150, 150]: add the mean to it
    width: channels of the 9x9 convolution at the start; a halving doubles them.
    form: examples reflects edges everywhere and doubles by repeating pixels before a convolution. lua reflects 8 pixels
        a block at the start, pads with zeros in front of and behind the blocks and not at all in them, so that each
        cuts what it adds to, doubles by transposed convolutions and ends in 150 tanh.

    Johnson et al. 2016, section 3.1 and table 1 of its supplement, which is form lua but for its batch norms: the
    authors' code has instance norms (Ulyanov et al. 2016). Form examples is the PyTorch code of pytorch/examples
    (fast_neural_style). No ReLU follows the sum of a block in either.
    """
    span = (0, 255) if form == "examples" else (-124, 151)
    x = s.input("image", channels=3, multiple_of=4, example=64, span=span)
    if form == "lua" and blocks:
        x = s.pad2d("start_pad", x, (_LOST * blocks,) * 4, mode="reflect")
    for i, kernel, stride in ((1, 9, 1), (2, 3, 2), (3, 3, 2)):
        x = _activated(s, f"down{i}", _conv(s, f"down{i}", x, width * 2 ** (i - 1), kernel, stride, form))
    for block in range(1, blocks + 1):
        x = _block(s, f"block{block}", x, form)
    for i in (1, 2):
        x = _activated(s, f"up{i}", _up(s, f"up{i}", x, width * 2 ** (2 - i), form))
    x = _conv(s, "head", x, 3, 9, 1, form)
    return s.affine("image_out", s.tanh("tanh", x), scale=_REACH) if form == "lua" else x
