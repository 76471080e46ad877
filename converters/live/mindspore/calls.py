"""What a watch reports, calls with their arguments and results, and what a row of the tables makes of one, a step."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mindspore import Tensor, ops


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors of nested tuples, lists and mappings, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)


@dataclass(frozen=True)
class Call:
    """One call from the user's code.

    Attributes:
        name: of the function, the method (`__add__`), the primitive or the cell's class, as MindSpore has it.
        values: the arguments by position; a method's tensor is the first.
        named: the arguments by name, as far as their names are known, and the attributes of a primitive.
        keywords: the names of those that `values` has not.
        owner: the cell or the primitive that is called.
        place: the path of the cell that is called; or of the one whose code makes the call, and what it calls.
        results: the tensors that it returned.
    """

    name: str
    values: tuple[Any, ...]
    named: Mapping[str, Any]
    keywords: tuple[str, ...] = ()
    owner: Any = None
    place: str = ""
    results: tuple[Tensor, ...] = ()

    @property
    def word(self) -> str:
        """The name without what marks variants: `add` for `__add__`, `relu` for `relu_`, `tile` for `ops.Tile`."""
        word = self.name.strip("_").removesuffix("_ext").removesuffix("Ext")
        return word.lower() if isinstance(self.owner, ops.Primitive) else word

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors among the arguments, in order."""
        return tuple(tensors_in([self.values, [self.named[name] for name in self.keywords]]))

    @property
    def x(self) -> Tensor:
        """The first tensor among the arguments."""
        return self.tensors[0]

    def get(self, *names: str, at: int | None = None, default: Any = None) -> Any:
        """An argument by the first of its names that is known, else by its position."""
        for name in names:
            if name in self.named:
                return self.named[name]
        return self.values[at] if at is not None and at < len(self.values) else default

    def rest(self) -> tuple[Any, ...]:
        """What follows the first argument, one by one or in a sequence: `transpose(1, 0)` and `transpose((1, 0))`."""
        rest = self.values[1:]
        return tuple(rest[0]) if len(rest) == 1 and isinstance(rest[0], (tuple, list)) else rest


@dataclass(frozen=True)
class Step:
    """What a call does.

    Attributes:
        kind: a word of the op table, or a framework's own after its name, or `IDENTITY`.
        inputs: the tensors it works on, in the order of the op's inputs.
        attrs: of the op, in any form that its schema takes.
        weights: role -> the parameter that plays it; those of a cell are known without.
        own: what the op table has no attribute for.
        given: role -> the tensor among the inputs that plays it, and is no parameter.
        idle: whether it hands on its input, as a dropout in eval mode.
    """

    kind: str
    inputs: tuple[Tensor, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    own: Mapping[str, Hashable] = field(default_factory=dict)
    given: Mapping[str, Tensor] = field(default_factory=dict)
    idle: bool = False


Effect = Step | list[Step]
"""A step that makes all results, or a step for each of them."""

IDENTITY = "identity"
"""The kind of a step whose result is its input."""


def writes(call: Call) -> bool:
    """Whether a call sets elements of its first tensor by its name: `x[i] = y`, `x.add_(y)`; `x += y` may."""
    name = call.name
    return name == "__setitem__" or name.startswith("__i") or (name.endswith("_") and not name.endswith("__"))


def memory_of(tensor: Tensor) -> int:
    """The memory that a tensor has a part of, the same for views of one another."""
    return int(tensor.untyped_storage().data_ptr())
