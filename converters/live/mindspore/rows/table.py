"""The tables that the rows fill, and what the rows share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping
from types import CodeType
from typing import Any, NamedTuple

from mindspore import Parameter, Tensor, nn

from twinzoo.converters.live.mindspore.calls import Call, Effect, Step

Row = Callable[[Call], Effect | None]
"""What a call does, or None where the op table has no words for it."""

SingleRow = Callable[[Call], Step | None]
"""A row of one step for all results."""

FUNCTIONS: dict[str, Row] = {}
"""By the plain name of a function, primitive or method."""


class CellRow(NamedTuple):
    """What cells of one class do; `unless` says which of them have their insides looked at instead."""

    kind: str
    made: type[nn.Cell]
    row: Row
    unless: Callable[[nn.Cell], bool]


CELLS: dict[CodeType, list[CellRow]] = {}
"""By the code of a cell's `construct`, which classes may share."""


def cell_row(cell: nn.Cell, code: CodeType | None = None) -> CellRow | None:
    """The row of a cell for a `construct` with this code, else for that of its class or nearest base with one."""
    bases = [vars(base)["construct"] for base in type(cell).__mro__ if "construct" in vars(base)]
    codes = [getattr(inspect.unwrap(base), "__code__", None) for base in bases] if code is None else [code]
    rows = (row for code in codes for row in (CELLS.get(code, ()) if code else ()) if isinstance(cell, row.made))
    return next((row for row in rows if not row.unless(cell)), None)


def row_of(call: Call) -> Row | None:
    """The row of a call."""
    if isinstance(call.owner, nn.Cell):
        found = cell_row(call.owner)
        return found.row if found else None
    return FUNCTIONS.get(plain_name(call.name))


def kind_of(cell: nn.Cell) -> str:
    """The kind of a cell that has a row, empty for any other."""
    row = cell_row(cell)
    return row.kind if row else ""


def plain_name(name: str) -> str:
    """One name for all spellings: `log_softmax`, `LogSoftmax` and `log_softmax_ext` are `logsoftmax`."""
    return name.removesuffix("_ext").removesuffix("Ext").replace("_", "").lower()


def function(*names: str) -> Callable[[Row], Row]:
    """Add a row for functions, primitives and methods of these names."""

    def add(row: Row) -> Row:
        FUNCTIONS.update(dict.fromkeys(map(plain_name, names), row))
        return row

    return add


def cell(
    kind: str, *classes: type[nn.Cell], unless: Callable[[nn.Cell], bool] = lambda cell: False
) -> Callable[[Row], Row]:
    """Add a row for cells of these classes, most of which are of this kind."""

    def add(row: Row) -> Row:
        for made in classes:
            code = inspect.unwrap(made.construct).__code__
            CELLS.setdefault(code, []).append(CellRow(kind, made, row, unless))
        return row

    return add


def pair(value: Any) -> tuple[int, int]:
    """A size along H and W from one number or two."""
    height, width = (value, value) if isinstance(value, int) else value
    return height, width


def axis_of(x: Tensor, axis: int) -> int:
    """An axis of a tensor counted from the front."""
    return int(axis % max(x.ndim, 1))


def holds(tensor: Tensor | None, value: float) -> bool:
    """Whether a tensor is not given, or is a constant with one value everywhere."""
    return tensor is None or (type(tensor) is Tensor and bool((tensor.asnumpy() == value).all()))


def weighted(
    kind: str,
    inputs: tuple[Tensor, ...],
    attrs: Mapping[str, Any],
    own: Mapping[str, Hashable] | None = None,
    **roles: Any,
) -> Step:
    """A step that uses tensors by role: parameters are its weights, others are inputs that follow the first ones."""
    given = {role: tensor for role, tensor in roles.items() if isinstance(tensor, Tensor)}
    weights = {role: tensor for role, tensor in given.items() if isinstance(tensor, Parameter)}
    others = {role: tensor for role, tensor in given.items() if role not in weights}
    return Step(kind, (*inputs, *others.values()), attrs, weights, own or {}, others)
