"""EPDN: a pix2pixHD generator that takes haze out, and two enhancers that refine what it made by a pyramid of means."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.naming import sequential
from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Int

_EPDN = "ErinChen1/EPDN"
_POOLS = (32, 16, 8, 4)
_REFINED = 20
_UNUSED = 100


def _block_names(block: str) -> list[str]:
    return [f"{block}_{layer}" for layer in ("pad1", "conv1", "norm1", "relu", "pad2", "conv2", "norm2")]


def _modules(path: str, names: list[str]) -> dict[str, str]:
    """A Sequential in which a name that ends in `_add` is a residual block with a Sequential of its own."""
    paths: dict[str, str] = {}
    for node, place in sequential(path, names).items():
        if node.endswith("_add"):
            paths |= sequential(f"{place}.conv_block", _block_names(node.removesuffix("_add")))
        paths[node] = place
    return paths


def _stage(name: str) -> list[str]:
    return [f"{name}_conv", f"{name}_norm", f"{name}_relu"]


def _published(halvings: int, blocks: int, local_blocks: int, **_: Any) -> dict[str, str]:
    whole = ["global_pad", *_stage("global_stem")]
    whole += [layer for i in range(1, halvings + 1) for layer in _stage(f"global_down{i}")]
    whole += [f"global_block{i}_add" for i in range(1, blocks + 1)]
    whole += [layer for i in range(1, halvings + 1) for layer in _stage(f"global_up{i}")]
    after = [f"local_block{i}_add" for i in range(1, local_blocks + 1)]
    after += [*_stage("local_up"), "head_pad", "head_conv", "head_tanh"]
    paths = _modules("model", whole) | _modules("model1_1", ["local_pad", *_stage("local_stem"), *_stage("local_down")])
    paths |= _modules("model1_2", after)
    for i, path in ((1, "dehaze"), (2, "dehaze2")):
        enhancer = {"refine1": "refine1", "refine2": "refine2", "refine3": "refine3", "unused": "batch1"}
        enhancer |= {f"pool{size}_conv": f"conv10{k}0" for k, size in enumerate(_POOLS, 1)}
        order = ("refine1", "refine2", *(f"pool{size}_conv" for size in _POOLS), "refine3", "unused")
        paths |= {f"enhancer{i}_{node}": f"{path}.{enhancer[node]}" for node in order}
    return paths


def _normed(s: Spec, name: str, convolved: Value) -> Value:
    return s.relu(f"{name}_relu", s.instance_norm(f"{name}_norm", convolved))


def _stem(s: Spec, name: str, x: Value, channels: int) -> Value:
    padded = s.pad2d(f"{name}_pad", x, (3, 3, 3, 3), mode="reflect")
    return _normed(s, f"{name}_stem", s.conv2d(f"{name}_stem_conv", padded, channels, kernel=7))


def _down(s: Spec, name: str, x: Value, channels: int) -> Value:
    return _normed(s, name, s.conv2d(f"{name}_conv", x, channels, kernel=3, stride=2, padding=1))


def _up(s: Spec, name: str, x: Value, channels: int) -> Value:
    x = s.conv_transpose2d(f"{name}_conv", x, channels, kernel=3, stride=2, padding=1, output_padding=1)
    return _normed(s, name, x)


def _block(s: Spec, name: str, x: Value, channels: int) -> Value:
    y = x
    for i in (1, 2):
        padded = s.pad2d(f"{name}_pad{i}", y, (1, 1, 1, 1), mode="reflect")
        y = s.instance_norm(f"{name}_norm{i}", s.conv2d(f"{name}_conv{i}", padded, channels, kernel=3))
        y = s.relu(f"{name}_relu", y) if i == 1 else y
    return s.add(f"{name}_add", x, y)


def _global(s: Spec, image: Value, width: int, halvings: int, blocks: int) -> Value:
    x = _stem(s, "global", image, width)
    for i in range(1, halvings + 1):
        x = _down(s, f"global_down{i}", x, width * 2**i)
    for i in range(1, blocks + 1):
        x = _block(s, f"global_block{i}", x, width * 2**halvings)
    for i in range(1, halvings + 1):
        x = _up(s, f"global_up{i}", x, width * 2 ** (halvings - i))
    return x


def _enhance(s: Spec, name: str, x: Value) -> Value:
    """Two convolutions, their means over squares of four sizes, each in one channel, and a last convolution."""
    for i in (1, 2):
        x = s.leaky_relu(f"{name}_act{i}", s.conv2d(f"{name}_refine{i}", x, _REFINED, kernel=3, padding=1), 0.2)
    parts = []
    for size in _POOLS:
        pooled = s.avg_pool2d(f"{name}_pool{size}", x, size)
        one = s.leaky_relu(f"{name}_pool{size}_act", s.conv2d(f"{name}_pool{size}_conv", pooled, 1, kernel=1), 0.2)
        parts.append(s.interpolate(f"{name}_pool{size}_wide", one, scale=size))
    # A norm that the published class has and never calls: nothing comes of it, but its tensors are in the files.
    s.instance_norm(f"{name}_unused", s.concat(f"{name}_idle", *[pooled] * (_UNUSED // _REFINED)), affine=True)
    return s.tanh(name, s.conv2d(f"{name}_refine3", s.concat(f"{name}_pyramid", *parts, x), 3, kernel=3, padding=1))


@model(
    "epdn_generator",
    paper="Qu et al. 2019, CVPR: Enhanced Pix2pix Dehazing Network",
    task="dehazing",
    init="pix2pixhd",
    namings={_EPDN: _published},
    small={"width": 2, "halvings": 2, "blocks": 1, "local_blocks": 1},
    allowed={
        "width": Int(minimum=1),
        "halvings": Int(minimum=1),
        "blocks": Int(minimum=0),
        "local_blocks": Int(minimum=0),
    },
)
def epdn_generator(
    s: Spec, *, width: int = 16, halvings: int = 4, blocks: int = 3, local_blocks: int = 3
) -> dict[str, Value]:
    """EPDN's generator: a global network at half the size, a local one around it, and two enhancers after them.

    image: (N, 3, H, W) RGB in [-1, 1], H and W multiples of 2**(halvings + 1) and of 32, and more than the first one
        -> image (N, 3, H, W) in [-1, 1], what the discriminator judges, and enhanced (N, 3, H, W) in [-1, 1], the
        dehazed image
    width: channels of the local network; the global one has twice as many. halvings, blocks: of the global network.
    local_blocks: of the local one.

    Qu et al. 2019, section 3, after Wang et al. 2018 (pix2pixHD), as in the authors' code: instance norm without
    parameters, every convolution with a bias. The first enhancer sees the generator's image and the hazy one, the
    second one the generator's image and what the first made. Each has a norm of 100 channels that leads nowhere.
    """
    image = s.input("image", channels=3, multiple_of=max(32, 2 ** (halvings + 1)), example=64)
    halved = s.avg_pool2d("halved", image, 3, stride=2, padding=1, count_include_pad=False)
    coarse = _global(s, halved, 2 * width, halvings, blocks)
    fine = _down(s, "local_down", _stem(s, "local", image, width), 2 * width)
    x = s.add("joined", fine, coarse)
    for i in range(1, local_blocks + 1):
        x = _block(s, f"local_block{i}", x, 2 * width)
    padded = s.pad2d("head_pad", _up(s, "local_up", x, width), (3, 3, 3, 3), mode="reflect")
    made = s.tanh("head_tanh", s.conv2d("head_conv", padded, 3, kernel=7))
    first = _enhance(s, "enhancer1", s.concat("beside_hazy", made, image))
    second = _enhance(s, "enhancer2", s.concat("beside_first", made, first))
    return {"image": made, "enhanced": second}
