"""Running a cell in one mode and leaving everything as it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import MethodType
from typing import Any

import mindspore
from mindspore import Parameter, nn, ops
from mindspore import dtype as mstype

from twinzoo.converters.live.mindspore.calls import Call, memory_of, writes
from twinzoo.converters.live.mindspore.parameters import Array, Entry, array_of, tensor_of, write
from twinzoo.converters.live.mindspore.rows.table import row_of

_JIT = "MS_JIT"
"""MindSpore's own switch: at 0, `@ms.jit` and graph mode run the Python code instead of a compiled graph."""


class Kept:
    """The tensors of a model as they were.

    Buffers and parameters without gradients, which running statistics are, are copied at once. Another parameter is
    copied just before the first call that may write to its memory, so that a run that only reads its parameters costs
    no copies of them. That is any call that a watch sees but those of the tables, which only read. A run without a
    watch needs them all copied at once.
    """

    def __init__(self, state: Sequence[Entry], *, at_once: bool) -> None:
        self._state = state
        self._values: dict[str, Array] = {}
        self._waiting: dict[str, Entry] = {}
        for entry in state:
            if at_once or not (isinstance(entry.tensor, Parameter) and entry.tensor.requires_grad):
                self._values[entry.key] = array_of(entry.tensor)
            else:
                self._waiting[entry.key] = entry

    def before(self, call: Call) -> None:
        """Copy what a call may write to."""
        only_reads = row_of(call) is not None and not writes(call) and not getattr(call.owner, "max_norm", None)
        if only_reads or not self._waiting:
            return
        places = {memory_of(tensor) for tensor in call.tensors}
        for entry in [e for e in self._waiting.values() if memory_of(e.tensor) in places]:
            del self._waiting[entry.key]
            self._values[entry.key] = array_of(entry.tensor)

    def changed(self) -> dict[str, Array]:
        """The tensors of the state that are not as they were, by key."""
        after = {entry.key: array_of(entry.tensor) for entry in self._state if entry.key in self._values}
        return {key: value for key, value in after.items() if value.tobytes() != self._values[key].tobytes()}

    def restore(self) -> None:
        """Give every tensor its values again, in the memory that `load_param_into_net` may have shared with others."""
        changed = self.changed()
        for key, tensor in ((entry.key, entry.tensor) for entry in self._state if entry.key in changed):
            value = self._values[key]
            if tuple(tensor.shape) == value.shape and tensor.dtype != mstype.bfloat16:  # which the kernel has not
                ops.assign(tensor, tensor_of(value, tensor.dtype))
            else:
                write(tensor, value)


@contextmanager
def undisturbed(
    model: nn.Cell, state: Sequence[Entry], *, train: bool = False, watched: bool = False, as_it_stands: bool = False
) -> Iterator[Kept]:
    """The model in eval mode or in training mode inside the block.

    In training mode already, it keeps the parts that are in eval mode (a frozen norm) as they are.

    After it all is as it was: parameters and buffers, what the cells hold, MindSpore's mode and its random numbers.
    A `nn.Dropout` draws the same in each run. What `ops.dropout` and the like draw without a seed can neither be
    repeated nor put back.

    Args:
        train: the mode.
        watched: whether every run in the block is watched, with `Kept.before` told of each call.
        as_it_stands: whether compiled cells run compiled, else as plain Python.
    """
    cells = [cell for _, cell in model.cells_and_names()]
    with ExitStack() as stack:
        stack.callback(mindspore.set_rng_state, mindspore.get_rng_state())
        if not as_it_stands:
            _without_graphs(stack)
        for cell in cells:
            stack.callback(_restore, cell, *_held(cell))
            if not as_it_stands:
                _unwrap(cell)
        _set_mode(cells, train, as_set=train and model.training)
        kept = Kept(state, at_once=not watched)
        stack.callback(kept.restore)
        yield kept


def _without_graphs(stack: ExitStack) -> None:
    mode = mindspore.get_context("mode")
    if mode != mindspore.PYNATIVE_MODE:
        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
        stack.callback(mindspore.set_context, mode=mode)
    before = os.environ.get(_JIT)
    os.environ[_JIT] = "0"
    if before is None:
        stack.callback(os.environ.pop, _JIT)
    else:
        stack.callback(os.environ.__setitem__, _JIT, before)


def _set_mode(cells: Sequence[nn.Cell], train: bool, *, as_set: bool) -> None:
    """The mode of each cell; MindSpore compiles another graph where the phase of a cell is another."""
    for place, cell in enumerate(cells):
        cell.requires_grad = False
        if not as_set:
            cell.training = train
            vars(cell)["_phase"] = "train" if train else "predict"
        if cell.training and isinstance(cell, nn.Dropout):
            kept = cell.keep_prob if cell.p is None else 1.0 - cell.p
            cell.dropout = ops.Dropout(kept, 1 + place, 1 + place)


def _unwrap(cell: nn.Cell) -> None:
    """The plain `construct`, where MindSpore wraps it in a way that its switch does not turn off."""
    construct = plain_construct(cell)
    if construct is not type(cell).construct:
        cell.construct = MethodType(construct, cell)


def plain_construct(cell: nn.Cell) -> Callable[..., Any]:
    """The `construct` of a cell's class as it was written."""
    construct: Callable[..., Any] = type(cell).construct
    while construct.__globals__["__name__"].startswith("mindspore.") and hasattr(construct, "__wrapped__"):
        construct = construct.__wrapped__
    return construct


_CONTENTS = ("_params", "_cells", "_buffers", "_primitives")
"""Where a cell has its parts."""


def _held(cell: nn.Cell) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The attributes of a cell by identity, and copies of those that have its parts."""
    return dict(vars(cell)), {name: dict(vars(cell)[name]) for name in _CONTENTS if vars(cell).get(name)}


def _restore(cell: nn.Cell, held: dict[str, Any], parts: dict[str, dict[str, Any]]) -> None:
    vars(cell).clear()
    vars(cell).update(held)
    for name, items in parts.items():
        held[name].clear()
        held[name].update(items)
