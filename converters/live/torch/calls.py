"""A call of a torch function, and what it does in the words of the op table."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from twinzoo.zoo.spec.graph import normal_attrs
from twinzoo.zoo.spec.schema import OPS


@dataclass(frozen=True, eq=False)
class Step:
    """One operation in the making.

    Attributes:
        kind: the word of the op table, or the framework's own.
        inputs: in the order of the op's inputs.
        weights: role -> the tensor that the function was given for it.
        idle: whether it hands on its input, as a dropout in eval mode.
    """

    kind: str
    inputs: tuple[torch.Tensor, ...] = ()
    attrs: Mapping[str, Hashable] = field(default_factory=dict)
    weights: Mapping[str, torch.Tensor] = field(default_factory=dict)
    idle: bool = False


Single = Step | torch.Tensor
"""A step, or the tensor that the result equals."""

Effect = Single | list[Single]
"""What makes all results, or what makes each."""


def step(
    kind: str,
    *inputs: torch.Tensor,
    weights: Mapping[str, Any] | None = None,
    own: Mapping[str, Hashable] | None = None,
    **attrs: Any,
) -> Step:
    """A step with the attributes in normal form; weights that are None are left out.

    Args:
        own: attributes that the op table has not, which tell that it is not quite the op.

    Raises:
        SpecError: the op table has the kind, but not with these attributes.
    """
    made = normal_attrs(kind, OPS[kind], attrs) if kind in OPS else attrs
    return Step(
        kind, inputs, {**made, **(own or {})}, {role: w for role, w in (weights or {}).items() if w is not None}
    )


class Call:
    """A function that was called, with its arguments by the names that a row of the table gives them.

    Attributes:
        results: the tensors that it returned.
    """

    def __init__(
        self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], results: tuple[torch.Tensor, ...]
    ) -> None:
        self.name = name
        self.args = args
        self.kwargs = {_PLAIN_NAMES.get(key, key): value for key, value in kwargs.items() if key not in _IRRELEVANT}
        self.results = results
        self._named: dict[str, Any] = {}

    def bind(self, names: tuple[str, ...]) -> bool:
        """Name the arguments; returns whether the names cover all of them.

        A name that ends in `*` takes all positions from its own on; names behind it are given by name only.
        """
        stars = [place for place, name in enumerate(names) if name.endswith("*")]
        positions = stars[0] if stars else len(names)
        rest = self.args[positions:]
        if rest and not stars:
            return False
        self._named = dict(zip(names[:positions], self.args, strict=False)) | self.kwargs
        if rest:
            self._named[names[positions][:-1]] = rest[0] if len(rest) == 1 else rest
        known = {name.rstrip("*") for name in names}
        return all(name in known or value is None or value is False for name, value in self.kwargs.items())

    def get(self, name: str, default: Any = None) -> Any:
        """An argument, or the default where it was not given or is None."""
        value = self._named.get(name)
        return default if value is None else value

    @property
    def x(self) -> torch.Tensor:
        """The first argument.

        Raises:
            TypeError: it is not a tensor.
        """
        value = self.get("input")
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"{self.name}: the first argument is no tensor")
        return value

    def axis(self, name: str = "dim", default: int | None = None) -> int:
        """An axis of the first argument, counted from the front.

        Raises:
            TypeError: it is not given as one number.
        """
        given = self.get(name, default)
        if not isinstance(given, int):
            raise TypeError(f"{self.name}: {name} is no number")
        return given % max(self.x.ndim, 1)

    def axes(self, name: str = "dim") -> tuple[int, ...]:
        """Axes of the first argument, counted from the front and in order; none where none are given."""
        given = self.get(name, ())
        return tuple(sorted(axis % self.x.ndim for axis in ((given,) if isinstance(given, int) else given)))


_IRRELEVANT = frozenset(
    {"out", "inplace", "device", "layout", "memory_format", "non_blocking", "copy", "generator", "_stacklevel"}
)
"""Arguments that change nothing in what is computed."""

_PLAIN_NAMES = {"self": "input", "axis": "dim", "keepdims": "keepdim"}


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """The tensors of nested tuples, lists, mappings and dataclasses, in order."""
    return (tensor for _, tensor in named_tensors(value))


def named_tensors(value: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """The same with their positions, keys and field names, joined with dots; a tensor by itself is `0`."""
    if isinstance(value, torch.Tensor):
        yield name or "0", value
        return
    for key, item in _items(value):
        yield from named_tensors(item, f"{name}.{key}" if name else str(key))


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, tuple) and hasattr(value, "_asdict"):
        yield from value._asdict().items()
    elif isinstance(value, (tuple, list)):
        yield from enumerate(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))


def plain(value: Any) -> Hashable:
    """An argument as an attribute: numbers, texts and sequences of them; None for what says nothing by itself."""
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)):
        items = tuple(plain(item) for item in value)
        return items if None not in items else None
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    return None
