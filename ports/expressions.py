"""Pieces of source that every port writes alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from twinzoo.ports.source import Code, Row, call, differing, literal
from twinzoo.zoo.spec import Node, Shape

Inputs = Sequence[str]


class Table(dict[str, Row]):
    """A port's rows by op; a decorator adds one."""

    def row(self, *ops: str) -> Callable[[Row], Row]:
        """Register the decorated function for these ops."""

        def add(row: Row) -> Row:
            self.update(dict.fromkeys(ops, row))
            return row

        return add

    def functions(self, functions: Mapping[str, str]) -> None:
        """Register ops that are one function of their inputs, without attributes: op -> the function's name."""
        for op, function in functions.items():
            self[op] = partial(_function, function)

    def operators(self, signs: Mapping[str, str]) -> None:
        """Register ops of two inputs that are written with a sign: op -> sign."""
        for op, sign in signs.items():
            self[op] = partial(_operator, sign)


def _function(function: str, node: Node, x: Inputs) -> Code:
    return Code(call(function, *x))


def _operator(sign: str, node: Node, x: Inputs) -> Code:
    return Code(f"{x[0]} {sign} {x[1]}")


def layer(node: Node, x: Inputs, constructor: str) -> Code:
    """A layer called with all inputs of its node."""
    return Code(f"self.{node.name}({', '.join(x)})", constructor)


def dropout(node: Node, x: Inputs, constructor: str) -> Code:
    """The framework's dropout, or the mask where one is fed."""
    value, mask = x
    fed = f"{value} * {mask} / (1 - {literal(node.attrs['p'])})"
    return Code(f"self.{node.name}({value}) if {mask} is None else {fed}", constructor)


def plain_tuple(sizes: Shape | tuple[int, ...]) -> str:
    """Sizes as a tuple, also where there are two equal ones."""
    return "(" + ", ".join(map(str, sizes)) + ("," if len(sizes) == 1 else "") + ")"


def scaled_and_shifted(x: str, scale: float, shift: float) -> str:
    """scale * x + shift without what changes nothing."""
    text = f"{literal(scale)} * {x}" if scale != 1.0 or shift == 0.0 else x
    if shift == 0.0:
        return text
    return f"{text} {'-' if shift < 0 else '+'} {literal(abs(shift))}"


def slice_text(node: Node) -> str:
    """The subscript of a slice along one axis: `:, 1:3`, or `..., ::2` from behind."""
    a = node.attrs
    axis: int = a["axis"]
    start, stop = a["start"] or "", "" if a["stop"] is None else a["stop"]
    part = f"{start}:{stop}" + (f":{a['step']}" if a["step"] != 1 else "")
    return ":, " * axis + part if axis >= 0 else "..., " + part + ", :" * (-1 - axis)


def shape_args(node: Node, x: str) -> str:
    """The sizes of a reshape, with 0 as the size of the input at that place."""
    return ", ".join(f"{x}.shape[{i}]" if size == 0 else str(size) for i, size in enumerate(node.attrs["shape"]))


def over(node: Node, name: str, *, everything: bool = False) -> list[str]:
    """The axes of a reduction as an argument; none for all of them, unless the function asks for `everything`."""
    rank = len(node.inputs[0].shape)
    axes = node.attrs["axes"] or (tuple(range(rank)) if everything or node.attrs["keepdims"] else ())
    if not axes:
        return []
    return [f"{name}={axes[0]}" if len(axes) == 1 else f"{name}=({', '.join(map(str, axes))})"]


def kept(node: Node, name: str) -> dict[str, Any]:
    """`keepdims` under the framework's name, where it is asked for."""
    return differing(**{name: (node.attrs["keepdims"], False)})
