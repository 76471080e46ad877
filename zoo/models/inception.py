"""Inception v3 as FID takes it: TensorFlow's network of 2015, whose poolings are not those of the paper."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Choice, Int, Words

_WIDTH = 32
_EPS = 1e-3
_SCALES = {"pytorch-fid": 2.0, "torch-fidelity": 255 / 128}


class _Conv(NamedTuple):
    """A convolution without bias, batch norm and ReLU; zeros around the image unless it is halved or `cut`."""

    name: str
    channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    cut: bool = False


class _Branch(NamedTuple):
    """What happens to a block's input, in this order: pooling (avg, max or halved), convolutions, two side by side."""

    convs: tuple[_Conv, ...] = ()
    pool: str = ""
    fork: tuple[_Conv, ...] = ()


_BEFORE_POOL1 = (
    _Conv("conv2d_1a_3x3", 32, (3, 3), stride=2),
    _Conv("conv2d_2a_3x3", 32, (3, 3), cut=True),
    _Conv("conv2d_2b_3x3", 64, (3, 3)),
)
_BEFORE_POOL2 = (_Conv("conv2d_3b_1x1", 80), _Conv("conv2d_4a_3x3", 192, (3, 3), cut=True))


def _tripled(*channels: int, stride: int = 1) -> _Branch:
    """Two 3x3 convolutions after a 1x1 one."""
    first, second, third = (f"branch3x3dbl_{i}" for i in (1, 2, 3))
    last = _Conv(third, channels[2], (3, 3), stride)
    return _Branch((_Conv(first, channels[0]), _Conv(second, channels[1], (3, 3)), last))


def _pooled(kind: str, channels: int) -> _Branch:
    return _Branch((_Conv("branch_pool", channels),), pool=kind)


def _a(pooled: int) -> tuple[_Branch, ...]:
    five = _Branch((_Conv("branch5x5_1", 48), _Conv("branch5x5_2", 64, (5, 5))))
    return _Branch((_Conv("branch1x1", 64),)), five, _tripled(64, 96, 96), _pooled("avg", pooled)


def _c(narrow: int) -> tuple[_Branch, ...]:
    row, column = (1, 7), (7, 1)
    once = [_Conv("branch7x7_1", narrow), _Conv("branch7x7_2", narrow, row), _Conv("branch7x7_3", 192, column)]
    twice = [_Conv("branch7x7dbl_1", narrow)]
    twice += [_Conv(f"branch7x7dbl_{i}", narrow, kernel) for i, kernel in ((2, column), (3, row), (4, column))]
    twice += [_Conv("branch7x7dbl_5", 192, row)]
    return _Branch((_Conv("branch1x1", 192),)), _Branch(tuple(once)), _Branch(tuple(twice)), _pooled("avg", 192)


def _e(kind: str) -> tuple[_Branch, ...]:
    def fork(name: str) -> tuple[_Conv, ...]:
        return _Conv(f"{name}a", 384, (1, 3)), _Conv(f"{name}b", 384, (3, 1))

    once = _Branch((_Conv("branch3x3_1", 384),), fork=fork("branch3x3_2"))
    before = (_Conv("branch3x3dbl_1", 448), _Conv("branch3x3dbl_2", 384, (3, 3)))
    twice = _Branch(before, fork=fork("branch3x3dbl_3"))
    return _Branch((_Conv("branch1x1", 320),)), once, twice, _pooled(kind, 192)


_HALVED = _Branch(pool="halved")
_B = (_Branch((_Conv("branch3x3", 384, (3, 3), stride=2),)), _tripled(64, 96, 96, stride=2), _HALVED)
_D = (
    _Branch((_Conv("branch3x3_1", 192), _Conv("branch3x3_2", 320, (3, 3), stride=2))),
    _Branch(
        (
            _Conv("branch7x7x3_1", 192),
            _Conv("branch7x7x3_2", 192, (1, 7)),
            _Conv("branch7x7x3_3", 192, (7, 1)),
            _Conv("branch7x7x3_4", 192, (3, 3), stride=2),
        )
    ),
    _HALVED,
)
_BLOCKS = {"mixed_5b": _a(32), "mixed_5c": _a(64), "mixed_5d": _a(64), "mixed_6a": _B}
_BLOCKS |= {"mixed_6b": _c(128), "mixed_6c": _c(160), "mixed_6d": _c(160), "mixed_6e": _c(192)}
_BLOCKS |= {"mixed_7a": _D, "mixed_7b": _e("avg"), "mixed_7c": _e("max")}


def _published(**_: Any) -> dict[str, str]:
    paths = {conv.name: conv.name.capitalize() for conv in (*_BEFORE_POOL1, *_BEFORE_POOL2)}
    for block, branches in _BLOCKS.items():
        for branch in branches:
            paths |= {f"{block}_{c.name}": f"{block.capitalize()}.{c.name}" for c in (*branch.convs, *branch.fork)}
    parts = {"conv": "conv", "norm": "bn"}
    return {f"{node}_{part}": f"{path}.{word}" for node, path in paths.items() for part, word in parts.items()}


def _conv(s: Spec, prefix: str, x: Value, conv: _Conv, width: int) -> Value:
    name = f"{prefix}{conv.name}"
    padding = (0, 0) if conv.cut or conv.stride > 1 else (conv.kernel[0] // 2, conv.kernel[1] // 2)
    channels = conv.channels * width // _WIDTH
    window = {"kernel": conv.kernel, "stride": conv.stride, "padding": padding}
    x = s.conv2d(f"{name}_conv", x, channels, bias=False, **window)
    return s.relu(f"{name}_relu", s.batch_norm(f"{name}_norm", x, eps=_EPS))


def _branch(s: Spec, block: str, x: Value, branch: _Branch, width: int) -> Iterator[Value]:
    """What a branch adds to the channels of its block."""
    if branch.pool == "halved":
        x = s.max_pool2d(f"{block}_halved", x, 3, stride=2)
    elif branch.pool == "avg":
        x = s.avg_pool2d(f"{block}_pool", x, 3, stride=1, padding=1, count_include_pad=False)
    elif branch.pool == "max":
        x = s.max_pool2d(f"{block}_pool", x, 3, stride=1, padding=1)
    for conv in branch.convs:
        x = _conv(s, f"{block}_", x, conv, width)
    if not branch.fork:
        yield x
    for conv in branch.fork:
        yield _conv(s, f"{block}_", x, conv, width)


def _stages(s: Spec, x: Value, width: int) -> Iterator[tuple[str, Value]]:
    """The network, value by value, under the names of the taps."""
    for i, convs in enumerate((_BEFORE_POOL1, _BEFORE_POOL2), 1):
        for conv in convs:
            x = _conv(s, "", x, conv, width)
        x = s.max_pool2d(f"pool{i}", x, 3, stride=2)
        yield f"pool{i}", x
    for block, branches in _BLOCKS.items():
        parts = [part for branch in branches for part in _branch(s, block, x, branch, width)]
        x = s.concat(block, *parts)
        yield block, x


_TAPS = ("pool1", "pool2", "mixed_6e", "mixed_7c")


@model(
    "fid_inception",
    paper="Heusel et al. 2017, arXiv:1706.08500; Szegedy et al. 2016, arXiv:1512.00567",
    task="evaluation",
    namings={"mseitzer/pytorch-fid": _published},
    small={"width": 2, "resize": 107},
    allowed={
        "taps": Words(choices=_TAPS, minimum=1),
        "resize": Int(None, minimum=75),
        "scaling": Choice(choices=tuple(_SCALES)),
        "width": Int(minimum=1),
    },
)
def fid_inception(
    s: Spec,
    *,
    taps: tuple[str, ...] = ("mixed_7c",),
    resize: int | None = 299,
    scaling: str = "pytorch-fid",
    width: int = _WIDTH,
) -> dict[str, Value]:
    """FID's Inception v3: feature vectors of images, whose means and covariances FID compares.

    image: (N, 3, H, W) RGB in [0, 1], without `resize` H and W >= 75 -> <tap>_mean (N, C), its mean over pixels, for
        each of `taps`, in the order given
    taps: mixed_7c is the usual one, of 2048 features; pool1, pool2 and mixed_6e are those called 64, 192 and 768.
        Distances of different ones have nothing to do with each other. Nothing behind the last one is drawn.
    resize: to this height and width first, bilinear, without antialiasing, pixels sampled at their centres. None: not.
    scaling: pytorch-fid takes 2 x - 1, torch-fidelity and TensorFlow (255 x - 128) / 128.
    width: channels of the first convolution; 32 for published weights.

    Szegedy et al. 2016, table 1, as Heusel et al. 2017 use it, in pytorch-fid's form of TensorFlow's graph of 2015: its
    averages leave out the padding, and its last block takes a maximum where the paper takes an average. TensorFlow's
    own resizing samples at corners and is not offered. Of a published file `fc.*` has no place here: FID does not use
    it.
    """
    x = s.input("image", channels=3, example=299, span=(0, 1))
    if resize is not None:
        x = s.interpolate("resized", x, size=resize, mode="bilinear")
    x = s.affine("scaled", x, scale=_SCALES[scaling], shift=-1.0)
    made: dict[str, Value] = {}
    for name, value in _stages(s, x, width):
        if name in taps:
            made[name] = s.mean(f"{name}_mean", value, axes=(2, 3))
        if len(made) == len(taps):
            break
    return {f"{tap}_mean": made[tap] for tap in taps}
