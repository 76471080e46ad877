"""Rows of functions that move elements: joining, slicing, reshaping, transposition, gathering."""

from __future__ import annotations

from collections.abc import Hashable
from math import prod
from typing import Any

from mindspore import Tensor
from mindspore import dtype as mstype

from twinzoo.converters.live.mindspore.calls import IDENTITY, Call, Step
from twinzoo.converters.live.mindspore.rows.table import Row, axis_of, function


def _joined(kind: str) -> Row:
    def row(call: Call) -> Step:
        if len(call.tensors) == 1 and kind == "concat":
            return Step(IDENTITY, call.tensors)
        axis = call.get("axis", "dim", at=1, default=0)
        return Step(kind, call.tensors, {"axis": axis % call.results[0].ndim})

    return row


function("cat", "concat", "concatenate")(_joined("concat"))
function("stack")(_joined("stack"))


@function("reshape", "view", "flatten", "squeeze", "unsqueeze", "expand_dims", "view_as", "reshape_as", "ravel")
def _reshape(call: Call) -> Step:
    """Told by the shapes. Leading sizes that stay are 0, so that the batch's size is not among the attributes."""
    before, after = tuple(call.x.shape), tuple(call.results[0].shape)
    if before == after:
        return Step(IDENTITY, (call.x,))
    kept = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )
    start = len(after) - 1
    if 0 <= start < len(before) - 1 and after == (*before[:start], prod(before[start:])):
        return Step("flatten", (call.x,), {"start": start})
    return Step("reshape", (call.x,), {"shape": (0,) * kept + _open(after[kept:], call)})


def _open(sizes: tuple[int, ...], call: Call) -> tuple[int, ...]:
    """The sizes with -1 for the one that the rest implies: the one that the caller left open, or a single one."""
    given = call.get("shape", default=call.rest())
    if isinstance(given, (tuple, list)) and -1 in given and len(given) >= len(sizes):
        place = list(given).index(-1) - (len(given) - len(sizes))
        return tuple(-1 if i == place else size for i, size in enumerate(sizes))
    return (-1,) if len(sizes) == 1 else sizes


@function("transpose", "permute", "swapaxes", "swapdims", "t")
def _transpose(call: Call) -> Step | None:
    rank = call.x.ndim
    swapped = [call.get(*names) for names in (("axis0", "dim0"), ("axis1", "dim1"))]
    order = call.get("input_perm", "axis", "dims", default=call.rest())
    if None not in swapped or (len(order) == 2 and (rank > 2 or call.name.startswith("swap"))):
        one, two = (axis_of(call.x, axis) for axis in (order if None in swapped else swapped))
        axes = list(range(rank))
        axes[one], axes[two] = two, one
        order = axes
    if not order:
        order = range(rank)[::-1]
    order = tuple(axis_of(call.x, axis) for axis in order)
    if len(order) != rank:
        return None
    return Step(IDENTITY if order == tuple(range(rank)) else "transpose", (call.x,), {"order": order})


@function("flip")
def _flip(call: Call) -> Step | None:
    axes = call.get("dims", "axis", default=call.rest())
    axes = (axes,) if isinstance(axes, int) else tuple(axes)
    return Step("flip", (call.x,), {"axis": axis_of(call.x, axes[0])}) if len(axes) == 1 else None


@function("gather")
def _gather(call: Call) -> Step | None:
    """A list of indices; a table of indices picks something else for each element."""
    x, indices, axis = call.values[0], call.values[1], call.get("axis", at=2)
    if not isinstance(axis, int) or indices.ndim != 1 or call.get("batch_dims", default=0):
        return None
    return Step("gather", (x, indices), {"axis": axis_of(x, axis)})


@function("index_select")
def _index_select(call: Call) -> Step:
    x, indices = call.tensors
    return Step("gather", (x, indices), {"axis": axis_of(x, call.get("axis", "dim", at=1))})


def _part(x: Tensor, axis: int, start: int, stop: int | None, step: int = 1) -> Step:
    """A slice, where it takes anything away."""
    stop = None if stop is None or stop >= x.shape[axis] else stop
    if (start, stop, step) == (0, None, 1):
        return Step(IDENTITY, (x,))
    return Step("slice", (x,), {"axis": axis, "start": start, "stop": stop, "step": step})


@function("narrow")
def _narrow(call: Call) -> Step:
    axis = axis_of(call.x, call.get("axis", "dim", at=1))
    start = call.get("start", at=2) % call.x.shape[axis]
    return _part(call.x, axis, start, start + call.get("length", at=3))


@function("split", "chunk", "tensor_split")
def _pieces(call: Call) -> list[Step]:
    """Slices of the sizes that came out."""
    sizes = [tuple(result.shape) for result in call.results]
    axis = axis_of(call.x, call.get("axis", "dim", at=2, default=0))
    starts = [sum(size[axis] for size in sizes[:place]) for place in range(len(sizes))]
    return [_part(call.x, axis, start, start + size[axis]) for start, size in zip(starts, sizes, strict=True)]


@function("unbind", "unstack")
def _unbind(call: Call) -> list[Step]:
    axis = axis_of(call.x, call.get("axis", "dim", at=1, default=0))
    indices = range(len(call.results))
    return [_subscript(call.x, (*(slice(None),) * axis, index)) for index in indices]


@function("getitem")
def _getitem(call: Call) -> Step:
    """A slice along one axis is the table's `slice`, a list of indices its `gather`; the rest stays as written."""
    x, index = call.values
    items = index if isinstance(index, tuple) else (index,)
    cuts = [(axis, item) for axis, item in enumerate(_for_each_axis(items, x.ndim)) if not _is_all(item)]
    if len(cuts) > 1 or any(item is None for item in items):
        return _subscript(x, items)
    if not cuts:
        return Step(IDENTITY, (x,))
    ((axis, item),) = cuts
    if isinstance(item, slice):
        start, _, step = item.indices(x.shape[axis])
        return _part(x, axis, start, item.stop, step)
    if isinstance(item, Tensor) and item.ndim == 1 and item.dtype in mstype.int_type:
        return Step("gather", (x, item), {"axis": axis})
    return _subscript(x, items)


def _for_each_axis(items: tuple[Any, ...], rank: int) -> tuple[Any, ...]:
    place = next((i for i, item in enumerate(items) if item is Ellipsis), len(items))
    rest = items[place + 1 :]
    return (*items[:place], *(slice(None),) * (rank - place - len(rest)), *rest)


def _is_all(item: Any) -> bool:
    return isinstance(item, slice) and item == slice(None)


def _subscript(x: Tensor, items: tuple[Any, ...]) -> Step:
    tensors = [item for item in items if isinstance(item, Tensor)]
    return Step("mindspore.getitem", (x, *tensors), {"index": tuple(map(_written, items))})


def _written(item: Any) -> Hashable:
    if isinstance(item, slice):
        return ("slice", item.start, item.stop, item.step)
    return "tensor" if isinstance(item, Tensor) else str(item)


@function("setitem")
def _setitem(call: Call) -> Step:
    """The tensor with new elements takes the place of the old one."""
    index = call.values[1]
    items = index if isinstance(index, tuple) else (index,)
    return Step("mindspore.setitem", call.tensors, {"index": tuple(map(_written, items))})


@function("zeros_like", "ones_like", "full_like", "rand_like", "randn_like", "new_zeros", "new_ones")
def _unrelated(call: Call) -> Step:
    """A tensor of which the first argument only says shape or type."""
    return Step(f"mindspore.{call.word}", ())
