"""Running a cell as plain Python in eval mode, and leaving everything as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import MethodType
from typing import Any

import mindspore
from mindspore import nn

from twinzoo.converters.live.mindspore.parameters import Entry, array_of, write

_JIT = "MS_JIT"
"""MindSpore's own switch: at 0, `@ms.jit` and graph mode run the Python code instead of a compiled graph."""


@contextmanager
def undisturbed(model: nn.Cell, state: Sequence[Entry]) -> Iterator[None]:
    """Eval mode, no gradients, no compiled graphs inside the block.

    After it all is as it was: parameters and buffers, what the cells hold, MindSpore's mode and its random numbers.
    """
    cells = [cell for _, cell in model.cells_and_names()]
    with ExitStack() as stack:
        stack.callback(mindspore.set_rng_state, mindspore.get_rng_state())
        _without_graphs(stack)
        for cell in cells:
            stack.callback(_restore, cell, dict(vars(cell)))
            _prepare(cell)
        before = [array_of(entry.tensor) for entry in state]
        try:
            yield
        finally:
            for entry, value in zip(state, before, strict=True):
                if array_of(entry.tensor).tobytes() != value.tobytes():
                    write(entry.tensor, value)


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


def _prepare(cell: nn.Cell) -> None:
    """Eval mode; and the plain `construct`, where MindSpore wraps it in a way that its switch does not turn off."""
    cell.training = cell.requires_grad = False
    construct = type(cell).construct
    while construct.__globals__["__name__"].startswith("mindspore.") and hasattr(construct, "__wrapped__"):
        construct = construct.__wrapped__
    if construct is not type(cell).construct:
        cell.construct = MethodType(construct, cell)


def _restore(cell: nn.Cell, held: dict[str, Any]) -> None:
    """Give a cell the attributes that it had, by identity."""
    vars(cell).clear()
    vars(cell).update(held)
