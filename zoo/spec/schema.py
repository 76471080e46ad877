"""What an op is: attributes with types and defaults, parameters, output shape and cost. One table for all ports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.spec.dims import Shape, Size

Attrs = Mapping[str, Any]


class Attr(Protocol):
    """A type of attribute: what it accepts, in words, and the normal form of a value."""

    @property
    def required(self) -> bool: ...

    @property
    def default(self) -> Any: ...

    @property
    def allowed(self) -> str: ...

    def normal(self, value: Any) -> Any:
        """The value in its one form (a kernel of 3 becomes (3, 3)).

        Raises:
            ValueError: the value is not allowed.
        """


_REQUIRED: Any = object()


@dataclass(frozen=True)
class _Attr:
    default: Any = _REQUIRED

    @property
    def required(self) -> bool:
        return self.default is _REQUIRED


@dataclass(frozen=True)
class Bool(_Attr):
    """True or False."""

    allowed = "True or False"

    def normal(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError
        return value


@dataclass(frozen=True)
class Int(_Attr):
    """An integer, `None` allowed where it is the default."""

    minimum: int | None = None

    @property
    def allowed(self) -> str:
        return "an integer" + ("" if self.minimum is None else f" >= {self.minimum}")

    def normal(self, value: Any) -> int | None:
        if value is None and self.default is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or (self.minimum is not None and value < self.minimum):
            raise ValueError
        return value


@dataclass(frozen=True)
class Float(_Attr):
    """A finite number in [minimum, maximum], `None` allowed where it is the default."""

    minimum: float | None = None
    maximum: float | None = None

    @property
    def allowed(self) -> str:
        limits = ((">=", self.minimum), ("<=", self.maximum))
        return "a number" + " and".join(f" {sign} {limit}" for sign, limit in limits if limit is not None)

    def normal(self, value: Any) -> float | None:
        if value is None and self.default is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < float("inf"):
            raise ValueError
        if (self.minimum is not None and value < self.minimum) or (self.maximum is not None and value > self.maximum):
            raise ValueError
        return float(value)


@dataclass(frozen=True)
class Pair(_Attr):
    """A size along H and W: one integer for both, or two; `None` allowed where it is the default."""

    minimum: int = 0

    @property
    def allowed(self) -> str:
        return f"an integer >= {self.minimum} or a pair (height, width) of them"

    def normal(self, value: Any) -> tuple[int, int] | None:
        if value is None and self.default is None:
            return None
        pair = (value, value) if isinstance(value, int) else tuple(value) if isinstance(value, (list, tuple)) else ()
        if len(pair) != 2 or any(isinstance(v, bool) or not isinstance(v, int) or v < self.minimum for v in pair):
            raise ValueError
        return pair[0], pair[1]


@dataclass(frozen=True)
class Ints(_Attr):
    """A sequence of integers, of a given length where one is asked for."""

    length: int | None = None
    minimum: int | None = None

    @property
    def allowed(self) -> str:
        count = "" if self.length is None else f"{self.length} "
        return f"a sequence of {count}integers" + ("" if self.minimum is None else f" >= {self.minimum}")

    def normal(self, value: Any) -> tuple[int, ...]:
        if not isinstance(value, (list, tuple)) or (self.length is not None and len(value) != self.length):
            raise ValueError
        if any(isinstance(v, bool) or not isinstance(v, int) for v in value):
            raise ValueError
        if self.minimum is not None and any(v < self.minimum for v in value):
            raise ValueError
        return tuple(value)


@dataclass(frozen=True)
class Floats(_Attr):
    """A sequence of finite numbers, `None` allowed where it is the default."""

    allowed = "a sequence of numbers"

    def normal(self, value: Any) -> tuple[float, ...] | None:
        if value is None and self.default is None:
            return None
        if not isinstance(value, (list, tuple)) or not value:
            raise ValueError
        if any(isinstance(v, bool) or not isinstance(v, (int, float)) or not abs(v) < float("inf") for v in value):
            raise ValueError
        return tuple(float(v) for v in value)


@dataclass(frozen=True)
class Choice(_Attr):
    """One of a few words."""

    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        return "one of " + ", ".join(self.choices)

    def normal(self, value: Any) -> str:
        if value not in self.choices:
            raise ValueError
        return str(value)


@dataclass(frozen=True)
class Words(_Attr):
    """A sequence of distinct words, out of `choices` where there are any."""

    choices: tuple[str, ...] = ()
    minimum: int = 0

    @property
    def allowed(self) -> str:
        count = f"at least {self.minimum} " if self.minimum else ""
        return f"a sequence of {count}distinct names" + (f" out of {', '.join(self.choices)}" if self.choices else "")

    def normal(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value, (list, tuple)) or len(value) < self.minimum:
            raise ValueError
        if any(not isinstance(v, str) or (self.choices and v not in self.choices) for v in value):
            raise ValueError
        if len(set(value)) < len(value):
            raise ValueError
        return tuple(value)


@dataclass(frozen=True)
class Param:
    """A tensor that a layer owns.

    Attributes:
        shape: always in numbers.
        fill: `weight`, `bias`, `scale` (a norm's gain), `singular` (a singular vector of the weight), or `constant`.
        value: the elements of a constant, in C order, or one number for all.
        buffer: part of the state, not trained (running statistics, fixed filters).
    """

    shape: tuple[int, ...]
    fill: str
    value: float | tuple[float, ...] = 0.0
    buffer: bool = False


@dataclass(frozen=True)
class Draw:
    """A random tensor that a node uses; an optional input, so that twins can be fed the same numbers."""

    shape: Shape
    distribution: str


class ShapeMismatch(ValueError):
    """Raised by a shape rule with what is wrong in words; the spec adds model and node."""


Infer = Callable[..., Any]


@dataclass(frozen=True)
class OpSchema:
    """One row of the op table.

    Attributes:
        inputs: names of the tensor inputs; the last one ends in `*` where any number >= 1 is taken.
        positional: attributes that may follow the inputs without their name.
        infer: (attrs, *input shapes) -> output shape, or a tuple of shapes where `outputs` names several.
        params: (attrs, *input shapes) -> role -> Param; roles are PyTorch's names.
        flops: (attrs, output shape, *input shapes), all in numbers -> floating-point operations (a multiply-add is 2).
        draws: (attrs, *input shapes) -> suffix -> Draw.
        integer_inputs, integer_outputs: which of them hold indices; all others are floating point.
    """

    name: str
    infer: Infer
    doc: str
    inputs: tuple[str, ...] = ("x",)
    attrs: Mapping[str, Attr] = field(default_factory=dict)
    positional: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("y",)
    params: Callable[..., dict[str, Param]] | None = None
    flops: Callable[..., int] | None = None
    draws: Callable[..., dict[str, Draw]] | None = None
    integer_inputs: tuple[str, ...] = ()
    integer_outputs: tuple[str, ...] = ()

    @property
    def variadic(self) -> bool:
        """Whether the last input stands for any number of tensors."""
        return bool(self.inputs) and self.inputs[-1].endswith("*")


OPS: dict[str, OpSchema] = {}


def define(name: str, infer: Infer, doc: str, **columns: Any) -> None:
    """Add a row to the op table."""
    if name in OPS:
        raise SpecError(f"op {name}: defined twice")
    OPS[name] = OpSchema(name, infer, doc, **columns)


def op(name: str, **columns: Any) -> Callable[[Infer], Infer]:
    """Add a row to the op table; the decorated function is its shape rule and its docstring the row's."""

    def add(infer: Infer) -> Infer:
        define(name, infer, infer.__doc__ or "", **columns)
        return infer

    return add


def dims4(shape: Shape) -> tuple[Size, Size, Size, Size]:
    """(N, C, H, W) of a four-dimensional shape."""
    if len(shape) != 4:
        raise ShapeMismatch(f"needs an input (N, C, H, W), got {len(shape)} dimensions")
    return shape[0], shape[1], shape[2], shape[3]


def channels_of(shape: Shape) -> int:
    """The channel count of (N, C, ...), which parameters need in numbers."""
    if len(shape) < 2:
        raise ShapeMismatch("needs an input (N, C, ...)")
    if not isinstance(shape[1], int):
        raise ShapeMismatch(f"needs a known channel count, got {shape[1]}")
    return shape[1]


def volume(shape: Sequence[int]) -> int:
    """The number of elements."""
    count = 1
    for size in shape:
        count *= size
    return count
