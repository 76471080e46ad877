"""Functions of one element, and of pairs of elements with broadcasting."""

from __future__ import annotations

from twinzoo.zoo.spec.dims import Shape, Size
from twinzoo.zoo.spec.schema import Attrs, Choice, Float, Floats, ShapeMismatch, channels_of, define, op, volume


def same_shape(a: Attrs, x: Shape) -> Shape:
    """The shape rule of every function that works element by element."""
    return x


def flop_each(a: Attrs, y: tuple[int, ...], *inputs: tuple[int, ...]) -> int:
    """One operation for each element of the output."""
    return volume(y)


for _name, _doc in {
    "relu": "max(0, x)",
    "tanh": "Hyperbolic tangent.",
    "sigmoid": "1 / (1 + exp(-x))",
    "softplus": "log(1 + exp(x))",
    "silu": "x * sigmoid(x)",
    "exp": "e to the power of x.",
    "log": "Natural logarithm, x > 0.",
    "sqrt": "Square root, x >= 0.",
    "abs": "Absolute value.",
    "square": "x * x",
    "neg": "-x",
}.items():
    define(_name, same_shape, _doc, flops=flop_each)

define("stop_gradient", same_shape, "x, through which no gradient flows.")


@op("leaky_relu", positional=("slope",), attrs={"slope": Float(0.01)}, flops=flop_each)
def _leaky_relu(a: Attrs, x: Shape) -> Shape:
    """max(0, x) + slope * min(0, x)"""
    return x


@op("elu", attrs={"alpha": Float(1.0, minimum=0.0)}, flops=flop_each)
def _elu(a: Attrs, x: Shape) -> Shape:
    """x above zero, alpha * (exp(x) - 1) below."""
    return x


@op("gelu", attrs={"approximate": Choice("none", choices=("none", "tanh"))}, flops=flop_each)
def _gelu(a: Attrs, x: Shape) -> Shape:
    """x * Phi(x) with the normal distribution function, or its tanh approximation."""
    return x


@op("pow", positional=("exponent",), attrs={"exponent": Float()}, flops=flop_each)
def _pow(a: Attrs, x: Shape) -> Shape:
    """x to a constant exponent; x > 0 where the exponent is no integer."""
    return x


@op("clamp", positional=("low", "high"), attrs={"low": Float(None), "high": Float(None)}, flops=flop_each)
def _clamp(a: Attrs, x: Shape) -> Shape:
    """x held within [low, high]; either may be left open."""
    if a["low"] is None and a["high"] is None:
        raise ShapeMismatch("low and high: give at least one of them")
    if a["low"] is not None and a["high"] is not None and a["low"] > a["high"]:
        raise ShapeMismatch(f"low={a['low']}: must not be above high={a['high']}")
    return x


@op("affine", attrs={"scale": Float(1.0), "shift": Float(0.0)}, flops=lambda a, y, x: 2 * volume(y))
def _affine(a: Attrs, x: Shape) -> Shape:
    """scale * x + shift with two constants."""
    return x


@op("standardize", attrs={"mean": Floats(), "std": Floats()}, flops=lambda a, y, x: 2 * volume(y))
def _standardize(a: Attrs, x: Shape) -> Shape:
    """(x - mean) / std with one constant a channel: x (N, C, ...)."""
    for name in ("mean", "std"):
        if len(a[name]) != channels_of(x):
            raise ShapeMismatch(f"{name}: needs {x[1]} numbers, one a channel, got {len(a[name])}")
    if 0.0 in a["std"]:
        raise ShapeMismatch("std: must not be zero")
    return x


def broadcast(x: Shape, y: Shape) -> Shape:
    """NumPy's broadcasting, for sizes that may be symbols.

    Raises:
        ShapeMismatch: two sizes differ and neither is 1.
    """
    wide: list[Size] = []
    for left, right in zip(*((1,) * (max(len(x), len(y)) - len(s)) + s for s in (x, y)), strict=True):
        if left != right and 1 not in (left, right):
            raise ShapeMismatch(f"cannot combine sizes {left} and {right}")
        wide.append(right if left == 1 else left)
    return tuple(wide)


def _pairwise(a: Attrs, x: Shape, y: Shape) -> Shape:
    return broadcast(x, y)


for _name, _doc in {"add": "x + y", "sub": "x - y", "mul": "x * y", "div": "x / y", "maximum": "max(x, y)"}.items():
    define(_name, _pairwise, _doc, inputs=("x", "y"), flops=flop_each)
