"""The cases that every port is judged by, op by op: ours and those that plug-ins bring.

A case is one op with its attributes and the shapes of its inputs. `case_spec` draws it as a spec of one node, and
`case_state` and `case_inputs` give it numbers from a seed, the same for every port.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.zoo.spec import OPS, Spec
from twinzoo.zoo.spec.dims import concrete

Array = NDArray[Any]
Sizes = tuple[int | str, ...]

NODE = "op"
"""The name of the one node in the spec of a case."""


@dataclass(frozen=True)
class Tensor:
    """An input: numbers drawn evenly from [low, high), whole ones for dtype `int`."""

    shape: Sizes
    dtype: str = "float"
    low: float = -2.0
    high: float = 2.0


@dataclass(frozen=True)
class OpCase:
    """One op with its attributes and inputs.

    Attributes:
        inputs: one for each input of the op; a size may be a symbol (`"H"`), whose value is in `sizes`.
        train: run it in training mode (batch normalisation).
        fed: the op's draws are fed (dropout's mask).
        multiple_of: what the symbols other than N are declared multiples of.
    """

    op: str
    attrs: Mapping[str, Any]
    inputs: tuple[Tensor, ...]
    label: str = ""
    train: bool = False
    fed: bool = False
    sizes: Mapping[str, int] = field(default_factory=dict)
    multiple_of: int = 1

    @property
    def id(self) -> str:
        """The case in one word, as pytest shows it."""
        return f"{self.op}-{self.label}" if self.label else self.op


def _case(op: str, *inputs: Sizes | Tensor, label: str = "", **attrs: Any) -> OpCase:
    flags = {name: attrs.pop(name) for name in ("train", "fed", "sizes", "multiple_of") if name in attrs}
    tensors = tuple(given if isinstance(given, Tensor) else Tensor(given) for given in inputs)
    return OpCase(op, attrs, tensors, label, **flags)


_IMAGE = (2, 4, 9, 8)
_ANY: dict[str, Any] = {"sizes": {"N": 2, "H": 8, "W": 6}}
_SYMBOLIC = ("N", 4, "H", "W")

_CONVOLUTIONS = [
    _case("conv1d", (2, 4, 11), channels=6, kernel=3),
    _case("conv1d", (2, 4, 11), channels=6, kernel=3, stride=2, padding=2, dilation=2, groups=2, label="all"),
    _case("conv1d", (2, 4, 11), channels=6, kernel=4, bias=False, label="no_bias"),
    _case("conv2d", _IMAGE, channels=6, kernel=3, padding=1),
    _case("conv2d", _IMAGE, channels=6, kernel=1, label="k1"),
    _case("conv2d", _IMAGE, channels=6, kernel=4, stride=2, padding=1, bias=False, label="k4s2"),
    _case("conv2d", _IMAGE, channels=6, kernel=3, stride=2, padding=1, label="odd_s2"),
    _case("conv2d", _IMAGE, channels=6, kernel=3, dilation=2, padding=2, groups=2, label="dilated_grouped"),
    _case("conv2d", _IMAGE, channels=4, kernel=3, groups=4, label="depthwise"),
    _case("conv2d", _IMAGE, channels=8, kernel=3, groups=4, label="depthwise_multiplier"),
    _case("conv2d", _IMAGE, channels=3, kernel=(5, 2), stride=(1, 2), padding=(2, 0), label="uneven"),
    _case("conv2d", _IMAGE, channels=3, kernel=3, dilation=(1, 2), stride=(2, 1), label="uneven_dilation"),
    _case("conv2d", _SYMBOLIC, channels=6, kernel=3, padding=1, label="symbolic", **_ANY),
    _case("conv_transpose2d", _IMAGE, channels=6, kernel=4, stride=2, padding=1),
    _case("conv_transpose2d", _IMAGE, channels=6, kernel=4, stride=2, padding=1, bias=False, label="no_bias"),
    _case("conv_transpose2d", _IMAGE, channels=6, kernel=3, label="plain"),
    _case("conv_transpose2d", _IMAGE, channels=6, kernel=3, stride=2, padding=1, output_padding=1, label="k3s2op1"),
    _case("conv_transpose2d", _IMAGE, channels=6, kernel=3, stride=2, output_padding=1, label="p0op1"),
    _case("conv_transpose2d", _IMAGE, channels=6, kernel=5, stride=3, padding=1, output_padding=2, label="op_over_p"),
    _case("conv_transpose2d", _IMAGE, channels=6, kernel=2, stride=3, output_padding=2, label="gaps"),
    _case(
        "conv_transpose2d",
        _IMAGE,
        channels=6,
        kernel=(3, 4),
        stride=(2, 1),
        padding=(1, 2),
        output_padding=(1, 0),
        label="uneven",
    ),
    _case("conv_transpose2d", _IMAGE, channels=6, kernel=3, stride=2, dilation=2, padding=1, label="dilated"),
    _case("conv_transpose2d", _IMAGE, channels=6, kernel=4, stride=2, padding=1, groups=2, label="grouped"),
    _case(
        "conv_transpose2d",
        _SYMBOLIC,
        channels=6,
        kernel=3,
        stride=2,
        padding=1,
        output_padding=1,
        label="symbolic",
        **_ANY,
    ),
    _case("blur2d", _IMAGE, taps=(1, 2, 1)),
    _case("blur2d", _IMAGE, taps=(1, 3, 3, 1), stride=2, label="s2"),
    _case("blur_transpose2d", _IMAGE, taps=(1, 3, 3, 1), padding=2),
    _case("blur_transpose2d", _IMAGE, taps=(1, 2, 1), padding=0, label="p0"),
    _case("blur_transpose2d", _IMAGE, taps=(1, 3, 3, 1), stride=1, padding=1, label="s1"),
]

_SPECTRAL = [
    _case("spectral_conv2d", _IMAGE, channels=6, kernel=3, padding=1),
    _case("spectral_conv2d", _IMAGE, channels=6, kernel=3, padding=1, train=True, label="train"),
    _case("spectral_conv2d", _IMAGE, channels=6, kernel=4, stride=2, groups=2, bias=False, train=True, label="grouped"),
    _case("spectral_conv2d", _IMAGE, channels=6, kernel=3, eps=9.0, train=True, label="eps"),
    _case("spectral_conv2d", _SYMBOLIC, channels=6, kernel=3, stride=2, padding=1, label="symbolic", **_ANY),
    _case("spectral_conv_transpose2d", _IMAGE, channels=6, kernel=4, stride=2, padding=1),
    _case("spectral_conv_transpose2d", _IMAGE, channels=6, kernel=4, stride=2, padding=1, train=True, label="train"),
    _case(
        "spectral_conv_transpose2d",
        _IMAGE,
        channels=6,
        kernel=3,
        stride=2,
        padding=1,
        output_padding=1,
        groups=2,
        train=True,
        label="grouped",
    ),
    _case("spectral_linear", (3, 5), features=7),
    _case("spectral_linear", (3, 5), features=7, train=True, label="train"),
    _case("spectral_linear", (2, 3, 5), features=4, bias=False, train=True, label="3d_no_bias"),
]

_OTHER_LAYERS = [
    _case("linear", (3, 5), features=7),
    _case("linear", (2, 3, 5), features=4, bias=False, label="3d_no_bias"),
    _case("embedding", Tensor((2, 3), "int", 0, 6), entries=6, features=4),
    _case("embedding", Tensor((7,), "int", 0, 3), entries=3, features=2, label="repeated"),
    _case("batch_norm", _IMAGE),
    _case("batch_norm", _IMAGE, train=True, label="train"),
    _case("batch_norm", _IMAGE, eps=1e-3, momentum=0.3, train=True, label="train_eps_momentum"),
    _case("batch_norm", _IMAGE, affine=False, label="no_affine"),
    _case("batch_norm", _IMAGE, affine=False, train=True, label="no_affine_train"),
    _case("batch_norm", (6, 5), label="2d"),
    _case("batch_norm", (6, 5), train=True, label="2d_train"),
    _case("batch_norm", (3, 5, 7), label="3d"),
    _case("batch_norm", (3, 5, 7), train=True, label="3d_train"),
    _case("instance_norm", _IMAGE),
    _case("instance_norm", _IMAGE, affine=True, eps=1e-3, label="affine"),
    _case("instance_norm", _SYMBOLIC, label="symbolic", **_ANY),
    _case("instance_norm", _IMAGE, train=True, label="train"),
    _case("group_norm", _IMAGE, groups=2),
    _case("group_norm", _IMAGE, groups=4, affine=False, eps=1e-3, label="no_affine"),
    _case("group_norm", (3, 6, 5), groups=3, label="3d"),
    _case("group_norm", _SYMBOLIC, groups=1, label="symbolic", **_ANY),
    _case("layer_norm", (3, 5, 6)),
    _case("layer_norm", (3, 5, 6), axes=2, eps=1e-3, label="two_axes"),
    _case("layer_norm", (3, 5, 6), affine=False, label="no_affine"),
    _case("prelu", _IMAGE),
    _case("prelu", _IMAGE, parameters=4, slope=0.1, label="channels"),
    _case("learned_scale", _IMAGE),
    _case("learned_scale", (7,), start=-0.3, label="vector"),
    _case("dropout", _IMAGE, p=0.4),
    _case("dropout", _IMAGE, p=0.4, fed=True, label="fed"),
    _case("dropout", _IMAGE, p=0.4, fed=True, train=True, label="fed_train"),
    _case("dropout", _IMAGE, p=0.0, train=True, label="p0_train"),
]

_POSITIVE = Tensor((2, 3, 5), low=0.05, high=4.0)
_WIDE = Tensor((2, 3, 40), low=-30.0, high=30.0)
_TARGET = Tensor(_IMAGE, low=0.0, high=1.0)

_POINTWISE = [
    *(_case(op, _IMAGE) for op in ("relu", "tanh", "sigmoid", "softplus", "silu", "exp", "abs", "square", "neg")),
    *(_case(op, _WIDE, label="wide") for op in ("tanh", "sigmoid", "softplus", "silu", "elu", "gelu")),
    *(_case(op, _POSITIVE) for op in ("log", "sqrt")),
    _case("stop_gradient", _IMAGE),
    _case("leaky_relu", _IMAGE),
    _case("leaky_relu", _IMAGE, slope=0.2, label="slope"),
    _case("leaky_relu", _IMAGE, slope=-0.5, label="negative_slope"),
    _case("elu", _IMAGE),
    _case("elu", _IMAGE, alpha=0.5, label="alpha"),
    _case("gelu", _IMAGE),
    _case("gelu", _IMAGE, approximate="tanh", label="tanh"),
    _case("gelu", _WIDE, approximate="tanh", label="tanh_wide"),
    _case("pow", _POSITIVE, exponent=0.3),
    _case("pow", _IMAGE, exponent=3.0, label="cube"),
    _case("pow", _POSITIVE, exponent=-1.5, label="negative"),
    _case("clamp", _IMAGE, low=-0.5, high=1.0),
    _case("clamp", _IMAGE, low=0.1, label="low"),
    _case("clamp", _IMAGE, high=0.1, label="high"),
    _case("affine", _IMAGE, scale=0.5, shift=-1.0),
    _case("affine", _IMAGE, scale=3.0, label="scale"),
    _case("affine", _IMAGE, shift=1.0, label="shift"),
    _case("affine", _IMAGE, label="identity"),
    _case("standardize", (2, 3, 5, 4), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    _case("standardize", (2, 3), mean=(0.5, 0.1, 0.0), std=(2.0, 1.0, 0.5), label="2d"),
    *(_case(op, _IMAGE, _IMAGE) for op in ("add", "sub", "mul", "maximum")),
    *(_case(op, _IMAGE, (4, 1, 8), label="broadcast") for op in ("add", "sub", "mul", "maximum")),
    _case("div", _IMAGE, Tensor(_IMAGE, low=0.5, high=2.0)),
    _case("div", (4, 1, 8), Tensor(_IMAGE, low=-2.0, high=-0.5), label="broadcast"),
]

_LOSSES = [
    *(
        _case(op, _IMAGE, _TARGET, reduction=reduction, label=reduction)
        for op in ("l1_loss", "mse_loss", "smooth_l1_loss", "bce_with_logits")
        for reduction in ("none", "mean", "sum")
    ),
    _case("smooth_l1_loss", _IMAGE, _TARGET, beta=0.3, label="beta"),
    *(
        _case("cross_entropy", _IMAGE, Tensor((2, 9, 8), "int", 0, 4), reduction=reduction, label=reduction)
        for reduction in ("none", "mean", "sum")
    ),
    _case("cross_entropy", (5, 3), Tensor((5,), "int", 0, 3), label="2d"),
]

_STRUCTURE = [
    _case("concat", _IMAGE, (2, 3, 9, 8), (2, 1, 9, 8)),
    _case("concat", _IMAGE, _IMAGE, axis=-1, label="last"),
    _case("concat", _IMAGE, label="one"),
    _case("stack", (2, 3), (2, 3), (2, 3)),
    _case("stack", (2, 3), (2, 3), axis=-1, label="last"),
    _case("slice", _IMAGE, axis=1, start=1, stop=3),
    _case("slice", _IMAGE, axis=-1, step=2, label="step"),
    _case("slice", _IMAGE, axis=2, start=1, stop=-1, step=3, label="negative_stop"),
    _case("slice", _SYMBOLIC, axis=3, start=1, step=2, label="symbolic", **_ANY),
    _case("reshape", _IMAGE, shape=(0, 2, -1)),
    _case("reshape", _SYMBOLIC, shape=(0, 2, 2, -1), label="symbolic", **_ANY),
    _case("reshape", _IMAGE, shape=(-1,), label="flat"),
    _case("reshape_like", (2, 9, 3, 4), (2, 4, 3, 9)),
    _case("reshape_like", ("N", "W", "H", 4), _SYMBOLIC, label="symbolic", **_ANY),
    _case("flatten", _IMAGE),
    _case("flatten", _IMAGE, start=2, label="start"),
    _case("flatten", _SYMBOLIC, start=2, label="symbolic", **_ANY),
    _case("transpose", _IMAGE, order=(0, 2, 3, 1)),
    _case("flip", _IMAGE, axis=-1),
    _case("flip", _IMAGE, axis=1, label="channels"),
    _case("gather", _IMAGE, Tensor((5,), "int", 0, 4), axis=1),
    _case("gather", (3, 7), Tensor((4,), "int", 0, 3), axis=0, label="rows"),
    _case("gather", (3, 7), Tensor((4,), "int", 0, 7), axis=-1, label="last"),
]

_REDUCTIONS = [
    *(
        _case(op, _IMAGE, **attrs, label=label)
        for op in ("sum", "mean", "amax", "amin", "logsumexp", "var", "std")
        for label, attrs in (
            ("all", {}),
            ("axes", {"axes": (2, 3)}),
            ("keepdims", {"axes": (-3,), "keepdims": True}),
        )
    ),
    _case("mean", _SYMBOLIC, axes=(2, 3), label="symbolic", **_ANY),
    _case("var", _SYMBOLIC, axes=(2, 3), label="symbolic", **_ANY),
    _case("var", _IMAGE, axes=(2, 3), correction=0, label="biased"),
    _case("std", _IMAGE, axes=(1,), correction=0, label="biased"),
    _case("logsumexp", Tensor((3, 40), low=-90.0, high=90.0), axes=(1,), label="wide"),
    *(
        _case(op, _IMAGE, **attrs, label=label)
        for op in ("softmax", "log_softmax", "l2_normalize")
        for label, attrs in (("", {}), ("last", {"axis": -1}))
    ),
    _case("l2_normalize", _IMAGE, eps=3.0, label="eps"),
    _case("cumsum", _IMAGE, axis=1),
    _case("cumsum", _IMAGE, axis=-1, label="last"),
    _case("matmul", (2, 3, 4), (2, 4, 5)),
    _case("matmul", (3, 4), (4, 5), label="2d"),
    _case("matmul", (2, 1, 3, 4), (6, 4, 5), label="broadcast"),
    _case("topk", (3, 8), k=3),
    _case("topk", (3, 8, 2), k=2, axis=1, label="axis"),
]

_IMAGES = [
    *(_case("pad2d", _IMAGE, padding=(1, 2, 3, 0), mode=m, label=m) for m in ("zero", "reflect", "replicate")),
    _case("pad2d", _IMAGE, padding=(3, 3, 3, 3), mode="reflect", label="even"),
    _case("pad2d", _SYMBOLIC, padding=(1, 1, 1, 1), mode="reflect", label="symbolic", **_ANY),
    _case("max_pool2d", _IMAGE, kernel=2),
    _case("max_pool2d", Tensor(_IMAGE, low=-3.0, high=-1.0), kernel=3, stride=2, padding=1, label="padded"),
    _case("max_pool2d", _IMAGE, kernel=2, ceil_mode=True, label="ceil"),
    _case("max_pool2d", _IMAGE, kernel=3, stride=2, ceil_mode=True, label="ceil_k3"),
    _case("max_pool2d", _IMAGE, kernel=(3, 2), stride=(1, 2), padding=(1, 0), label="uneven"),
    _case("max_pool2d", (2, 4, 6, 6), kernel=2, stride=3, padding=1, ceil_mode=True, label="ceil_dropped"),
    _case("avg_pool2d", _IMAGE, kernel=2),
    _case("avg_pool2d", _IMAGE, kernel=3, stride=2, padding=1, label="padded"),
    _case("avg_pool2d", _IMAGE, kernel=3, stride=2, padding=1, count_include_pad=False, label="uncounted"),
    _case("avg_pool2d", _IMAGE, kernel=2, ceil_mode=True, label="ceil"),
    _case("avg_pool2d", _IMAGE, kernel=3, stride=2, padding=1, ceil_mode=True, label="ceil_padded"),
    _case(
        "avg_pool2d",
        _IMAGE,
        kernel=3,
        stride=2,
        padding=1,
        ceil_mode=True,
        count_include_pad=False,
        label="ceil_uncounted",
    ),
    _case("avg_pool2d", _IMAGE, kernel=(3, 2), stride=(1, 2), padding=(1, 0), label="uneven"),
    _case("avg_pool2d", (2, 4, 6, 6), kernel=2, stride=3, padding=1, ceil_mode=True, label="ceil_dropped"),
    _case("adaptive_avg_pool2d", _IMAGE, size=1),
    _case("adaptive_avg_pool2d", _IMAGE, size=(3, 4), label="divides"),
    _case("adaptive_avg_pool2d", _IMAGE, size=(4, 5), label="uneven"),
    _case("adaptive_avg_pool2d", (2, 3, 2, 3), size=(7, 7), label="grows"),
    _case("adaptive_avg_pool2d", _SYMBOLIC, size=7, label="symbolic", **_ANY),
    _case("interpolate", _IMAGE, scale=2),
    _case("interpolate", _IMAGE, size=(5, 13), label="nearest_size"),
    _case("interpolate", _IMAGE, scale=2, mode="bilinear", label="bilinear"),
    _case("interpolate", _IMAGE, size=(5, 13), mode="bilinear", label="bilinear_size"),
    _case("interpolate", _IMAGE, size=(5, 13), mode="bilinear", align_corners=True, label="corners_size"),
    _case("interpolate", _SYMBOLIC, scale=2, mode="bilinear", align_corners=True, label="corners", **_ANY),
    _case("interpolate", _SYMBOLIC, scale=0.5, label="half", multiple_of=2, **_ANY),
    _case("interpolate", _SYMBOLIC, scale=0.5, mode="bilinear", label="bilinear_half", multiple_of=2, **_ANY),
    _case("interpolate", _SYMBOLIC, scale=3, label="symbolic", **_ANY),
    _case("interpolate", _IMAGE, size=(1, 1), mode="bilinear", align_corners=True, label="corners_one"),
    _case("pixel_shuffle", (2, 8, 3, 4), factor=2),
    _case("pixel_shuffle", ("N", 18, "H", "W"), factor=3, label="symbolic", **_ANY),
]

CASES: tuple[OpCase, ...] = (
    *_CONVOLUTIONS,
    *_SPECTRAL,
    *_OTHER_LAYERS,
    *_POINTWISE,
    *_LOSSES,
    *_STRUCTURE,
    *_REDUCTIONS,
    *_IMAGES,
)
"""Every op at least once, and once more for each attribute that changes what is computed."""


def case_spec(case: OpCase) -> Spec:
    """The case as a spec: its inputs under the op's names for them, one node `op`, and its outputs.

    The inputs of an op that takes any number are x1, x2 ...
    """
    schema = OPS[case.op]
    spec = Spec("case", doc=schema.doc)
    names = [f"x{i + 1}" for i in range(len(case.inputs))] if schema.variadic else schema.inputs
    values = [
        spec.input(name, shape=given.shape, dtype=given.dtype, multiple_of=case.multiple_of, example=case.sizes)
        for name, given in zip(names, case.inputs, strict=True)
    ]
    getattr(spec, case.op)(NODE, *values, **case.attrs)
    spec.output(**dict(zip(schema.outputs, spec.values(NODE), strict=True)))
    return spec


def case_inputs(case: OpCase, seed: int = 0) -> dict[str, Array]:
    """Inputs by name, float32 or int64, and draws where the case feeds them."""
    generator = np.random.default_rng([seed, zlib.crc32(case.id.encode())])
    spec = case_spec(case)
    made: dict[str, Array] = {}
    for name, given in zip(spec.inputs, case.inputs, strict=True):
        shape = spec.concrete(spec.inputs[name].value, case.sizes)
        if given.dtype == "int":
            made[name] = generator.integers(int(given.low), int(given.high), shape)
        else:
            made[name] = generator.uniform(given.low, given.high, shape).astype(np.float32)
    if case.fed:
        for name, draw in spec.draws.items():
            made[name] = (generator.random(concrete(draw.shape, case.sizes)) < 0.6).astype(np.float32)
    return made


def case_state(case: OpCase, seed: int = 0) -> dict[str, Array]:
    """Every parameter at random, so that a gain or a bias that is ignored shows; fixed filters keep their values."""
    generator = np.random.default_rng([seed, zlib.crc32(case.id.encode()), 1])
    state: dict[str, Array] = {}
    for name, param in case_spec(case).params.items():
        if isinstance(param.value, tuple):
            state[name] = np.array(param.value, np.float32).reshape(param.shape)
        elif name.endswith("running_var"):
            state[name] = generator.uniform(0.5, 2.0, param.shape).astype(np.float32)
        elif param.fill == "singular":  # any direction but one that the weight turns by a right angle
            direction = generator.uniform(0.2, 1.0, param.shape)
            state[name] = (direction / np.linalg.norm(direction)).astype(np.float32)
        else:
            state[name] = generator.uniform(-1.0, 1.0, param.shape).astype(np.float32)
    return state
