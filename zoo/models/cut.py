"""CUT: the generator whose layers are compared, and the network (netF) that samples patches of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.models.blocks import NORM
from twinzoo.zoo.models.resnet_generator import resnet_generator
from twinzoo.zoo.naming import sequential
from twinzoo.zoo.registry import MODELS, model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Bool, Int, Ints

_CUT = "taesungp/contrastive-unpaired-translation"
_PAPER = "Park et al. 2020, arXiv:2007.15651"
_EPS = 1e-7
_TINY = 1e-30
"""A squared length below which the root is not asked for its slope; beside _EPS neither it nor its root shows."""


def _generator_published(**options: Any) -> dict[str, str]:
    known = MODELS["resnet_generator"]
    return known.namings[_CUT](**known.options | {name: o for name, o in options.items() if name in known.options})


def _tapped(s: Spec, layers: Sequence[int], paths: Mapping[str, str]) -> dict[str, Value]:
    """The value after each of the published Sequential's layers.

    The published ReLUs work in place: what was kept of the layer before one is its output in the end. Where features
    are taken the code stops behind the last layer, so that this one stays as it is.
    """
    nodes = {path: node for node, path in paths.items()}
    tapped = {}
    for layer in layers:
        node, behind = nodes.get(f"model.{layer}"), nodes.get(f"model.{layer + 1}")
        if node is None:
            raise SpecError(f"{s.name}: layers={tuple(layers)}: there is no layer {layer}")
        overwritten = layer != layers[-1] and behind is not None and s.nodes[behind].op == "relu"
        tapped[f"layer{layer}"] = s.nodes[behind if overwritten and behind else node].outputs[0]
    return tapped


@model(
    "cut_generator",
    paper=_PAPER,
    task="translation",
    init="xavier",
    namings={_CUT: _generator_published},
    small={"width": 3, "blocks": 2, "layers": (0, 4, 13)},
    allowed={
        "in_channels": Int(minimum=1),
        "out_channels": Int(minimum=1),
        "width": Int(minimum=1),
        "blocks": Int(minimum=0),
        "norm": NORM,
        "antialias": Bool(),
        "layers": Ints(minimum=0),
    },
)
def cut_generator(
    s: Spec,
    *,
    in_channels: int = 3,
    out_channels: int = 3,
    width: int = 64,
    blocks: int = 9,
    norm: str = "instance",
    antialias: bool = True,
    layers: tuple[int, ...] = (0, 4, 8, 12, 16),
) -> dict[str, Value]:
    """CUT's generator: the ResNet generator, with the features of some of its layers.

    image: (N, in_channels, H, W) in [-1, 1], H and W multiples of 4
        -> output (N, out_channels, H, W) in [-1, 1], and for each of `layers` layer<i> (N, C, H', W')
    layers: places in the published Sequential, rising: 0 the padded image, 4 and 8 the two convolutions that are
        halved, 12 and 16 the first and fifth block, with `antialias` and 9 blocks. A layer before a ReLU is the ReLU's
        output, which the published code writes over it, but for the last one.
    width, blocks, norm, antialias: as in `resnet_generator`, whose layers have the same names.

    Park et al. 2020, section 3 and appendix C.1; weights start by Xavier's rule with a gain of 0.02, as in their code.
    """
    output = resnet_generator(
        s,
        in_channels=in_channels,
        out_channels=out_channels,
        width=width,
        blocks=blocks,
        norm=norm,
        antialias=antialias,
    )
    paths = _generator_published(blocks=blocks, norm=norm, antialias=antialias)
    return {"output": output} | _tapped(s, layers, paths)


def sampled(s: Spec, name: str, features: Value, positions: Value) -> Value:
    """The vectors (N, P, C) of features (N, C, H, W) at positions (P,), counted along the rows of an image."""
    taken = s.gather(f"{name}_taken", s.flatten(f"{name}_flat", features, start=2), positions, axis=2)
    return s.transpose(f"{name}_rows", taken, (0, 2, 1))


def _unit(s: Spec, name: str, x: Value) -> Value:
    """x (N, P, C) over its length and 1e-7: not the maximum of both, as `l2_normalize` has it."""
    squares = s.sum(f"{name}_squares", s.square(f"{name}_square", x), axes=(2,), keepdims=True)
    held = s.clamp(f"{name}_held", squares, low=_TINY)
    return s.div(name, x, s.affine(f"{name}_length", s.sqrt(f"{name}_root", held), shift=_EPS))


def _sampler_published(channels: tuple[int, ...], **_: Any) -> dict[str, str]:
    paths: dict[str, str] = {}
    for i in range(len(channels)):
        paths |= sequential(f"mlp_{i}", [f"mlp{i}_linear1", f"mlp{i}_relu", f"mlp{i}_linear2"])
    return paths


@model(
    "patch_sampler",
    paper=_PAPER,
    task="translation",
    init="xavier",
    namings={_CUT: _sampler_published},
    small={"channels": (3, 8), "width": 32},
    allowed={"channels": Ints(minimum=1), "width": Int(minimum=1)},
)
def patch_sampler(
    s: Spec, *, channels: tuple[int, ...] = (3, 128, 256, 256, 256), width: int = 256
) -> dict[str, Value]:
    """CUT's netF: features at sampled positions, through two linear layers for each feature map, to length 1.

    features<i>: (N, channels[i], H, W); positions<i>: (P,) integers in [0, H W), the same for every image, row by row
        -> patches<i> (N, P, width), of Euclidean length 1
    channels: of the feature maps. width: of the patches.

    Park et al. 2020, section 3.2. 256 positions without repetition in training, drawn anew in every step for what is
    given and used again for what was made of it. The published network gets its layers when it first runs, so that its
    checkpoint fits no fresh one; here the channels are known. A vector of zeros stays one; its gradient is 1e7 times
    what comes in, where the published code has 0 / 0 and is lost from there on.
    """
    patches = {}
    for i, count in enumerate(channels):
        shape = ("N", count, f"H{i}", f"W{i}")
        features = s.input(f"features{i}", shape=shape, example={f"H{i}": 12 - i, f"W{i}": 12 - i})
        positions = s.input(f"positions{i}", shape=(f"P{i}",), dtype="int", example=16)
        x = s.linear(f"mlp{i}_linear1", sampled(s, f"features{i}", features, positions), width)
        x = s.linear(f"mlp{i}_linear2", s.relu(f"mlp{i}_relu", x), width)
        patches[f"patches{i}"] = _unit(s, f"unit{i}", x)
    return patches
