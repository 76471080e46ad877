"""Watching a cell run as plain Python: each call that its code makes of MindSpore is reported, nothing is patched.

Python's profiling hook sees every Python function that is entered, with its arguments, and what it returns: the
`construct` of cells, the functions of `mindspore.ops` and `mindspore.mint`, primitives. Operators and methods of
tensors are compiled code, which the hook does not see. So the tensors that come into a watched run, its parameters, and
the results of its calls become instances of a subclass that reports them, and get their own class back in the end.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import CodeType, FrameType, FunctionType, MethodDescriptorType, WrapperDescriptorType
from typing import Any

from mindspore import Tensor, nn, ops

from twinzoo.converters.live.mindspore.calls import Call, tensors_in
from twinzoo.zoo.errors import ConversionError

_MODULES = ("mindspore.ops.", "mindspore.mint", "mindspore.numpy")

_BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor")
_OTHERS = ("neg", "abs", "invert", "getitem", "setitem", "lt", "le", "gt", "ge", "eq", "ne")
_OPERATORS = frozenset(
    [f"__{prefix}{name}__" for name in _BINARY for prefix in ("", "r", "i")] + [f"__{name}__" for name in _OTHERS]
)

_METHODS = (FunctionType, MethodDescriptorType, WrapperDescriptorType)


class Watch:
    """Reports calls while it is active. One call at a time: what a reported call does inside is its own business."""

    def __init__(
        self,
        before: Callable[[Call], None],
        report: Callable[[Call], None],
        whole: Callable[[nn.Cell, CodeType], bool],
        path_of: Callable[[nn.Cell], str],
    ) -> None:
        """Get ready to watch.

        Args:
            before: is given each call before it runs.
            report: is given each call after it, with its results.
            whole: whether running this code as the `construct` of this cell is reported as one call.
            path_of: the path of a cell.
        """
        self._before = before
        self._report = report
        self._whole = whole
        self._path_of = path_of
        self._inside = False
        self._open: tuple[FrameType, Call] | None = None
        self._changed: list[tuple[Tensor, type]] = []
        self._classes: dict[type, type] = {}
        self._watched: set[type] = set()

    @contextmanager
    def __call__(self, tensors: Iterable[Tensor]) -> Iterator[None]:
        """Watch what is done in the block; `tensors` are those that come in from outside it."""
        before = sys.getprofile()
        if before is not None and not callable(before):
            raise ConversionError(
                "a profiler in C is running, and a trace of a cell needs its place: stop it meanwhile"
            )
        try:
            self._adopt(tensors)
            sys.setprofile(self._on_event)
            yield
        finally:
            sys.setprofile(before)
            for tensor, own in self._changed:
                tensor.__class__ = own

    def _adopt(self, tensors: Iterable[Tensor]) -> None:
        """Have the operators and methods of these tensors reported from now on."""
        for tensor in tensors:
            own = type(tensor)
            if own not in self._watched:
                if own not in self._classes:
                    self._classes[own] = self._watched_class(own)
                    self._watched.add(self._classes[own])
                tensor.__class__ = self._classes[own]
                self._changed.append((tensor, own))

    def _on_event(self, frame: FrameType, event: str, value: Any) -> None:
        if event == "call" and not self._inside:
            call = self._call_of(frame)
            if call is not None:
                self._inside, self._open = True, (frame, call)
                self._before(call)
        elif event == "return" and self._open is not None and frame is self._open[0]:
            call, self._open = self._open[1], None
            self._end(call, value)

    def _end(self, call: Call, value: Any) -> None:
        results = tuple(tensors_in(value))
        try:
            if results and call.tensors:
                self._adopt(results)
                self._report(replace(call, results=results))
        finally:
            self._inside = False

    def _call_of(self, frame: FrameType) -> Call | None:
        """The call that entering a frame is, where it is one to report."""
        code, module = frame.f_code, str(frame.f_globals.get("__name__", ""))
        if code.co_name == "construct":
            cell = _cell_of(frame)
            if cell is None or not self._whole(cell, code):
                return None
            name = type(cell).__name__
            return replace(_call(frame, name), owner=cell, place=self._path_of(cell) or name)
        if code.co_name == "__call__" and module.startswith("mindspore."):
            primitive = frame.f_locals.get("self")
            if not isinstance(primitive, ops.Primitive):
                return None
            call = _call(frame, primitive.name)
            return self._placed(replace(call, named=primitive.init_attrs | call.named, owner=primitive), frame)
        public_function = code.co_qualname == code.co_name and code.co_name.isidentifier() and code.co_name[0] != "_"
        if public_function and module.startswith(_MODULES):
            call = _call(frame, code.co_name)
            return self._placed(call, frame) if call.tensors else None
        return None

    def _placed(self, call: Call, frame: FrameType | None) -> Call:
        """The call with its place: the function in the innermost cell that is running.

        A cell of MindSpore without others inside has the name of its function already.
        """
        while frame is not None:
            cell = _cell_of(frame)
            if cell is not None:
                path = self._path_of(cell)
                if path and type(cell).__module__.startswith("mindspore.") and not cell.name_cells():
                    return replace(call, place=path)
                return replace(call, place=f"{path}.{call.word}" if path else call.word)
            frame = frame.f_back
        return replace(call, place=call.word)

    def _watched_class(self, own: type) -> type:
        """A subclass that reports operators and public methods, and passes for its base."""
        names = [name for name in dir(own) if name in _OPERATORS or not name.startswith("_")]
        methods = [name for name in names if isinstance(inspect.getattr_static(own, name), _METHODS)]
        members = {name: self._reporting(name, getattr(own, name)) for name in methods}
        return type(own.__name__, (own,), {"__module__": own.__module__, "__hash__": own.__hash__, **members})

    def _reporting(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def reporting(*values: Any, **named: Any) -> Any:
            if self._inside:
                return method(*values, **named)
            call = self._placed(Call(name, values, named, tuple(named)), inspect.currentframe())
            self._inside = True
            try:
                self._before(call)
                result = method(*values, **named)
            except BaseException:
                self._inside = False
                raise
            self._end(call, values[0] if name == "__setitem__" else result)
            return result

        return reporting


def _cell_of(frame: FrameType) -> nn.Cell | None:
    """The cell whose `construct` a frame is, whatever its code calls itself."""
    code = frame.f_code
    found = frame.f_locals.get(code.co_varnames[0]) if code.co_name == "construct" and code.co_argcount else None
    return found if isinstance(found, nn.Cell) else None


def _call(frame: FrameType, name: str) -> Call:
    """A call with its arguments as they are when it is entered."""
    found, cell = inspect.getargvalues(frame), _cell_of(frame)
    count = frame.f_code.co_argcount
    own = {"self"} if cell is None else {frame.f_code.co_varnames[0]}
    by_position = [argument for argument in found.args[:count] if argument not in own]
    values = [found.locals[argument] for argument in by_position]
    if found.varargs:
        values += found.locals[found.varargs]
    others = {argument: found.locals[argument] for argument in found.args[count:]}
    if found.keywords:
        others |= found.locals[found.keywords]
    named = {argument: found.locals[argument] for argument in by_position}
    return Call(name, tuple(values), named | others, tuple(others))
