"""Rows of functions that move elements, and of those that hand on their input."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from math import prod
from typing import Any

import torch

from twinzoo.converters.graph import UNSEEN
from twinzoo.converters.live.torch.calls import Call, Effect, Single, Step, plain, step
from twinzoo.converters.live.torch.rows.table import row


@row("contiguous clone alias requires_grad cpu cuda positive", "input rest*")
def _identity(call: Call) -> Effect:
    return call.x


@row("detach get_data", "input rest*")
def _detach(call: Call) -> Step:
    return step("stop_gradient", call.x)


@row("to type float double half bfloat16 type_as", "input target* dtype other")
def _cast(call: Call) -> Effect:
    """Precision is no part of what a network computes; truth values as numbers are."""
    return call.x if call.x.is_floating_point() == call.results[0].is_floating_point() else step("torch.to", call.x)


_DROPOUTS = ("dropout", "dropout1d", "dropout2d", "dropout3d")
"""The op table's, which draws for each element, and those for channels, which have their own words."""


@row("dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout", "input p training")
def _dropout(call: Call) -> Step:
    p = call.get("p", 0.5)
    made = step(call.name if call.name in _DROPOUTS else f"torch.{call.name}", call.x, p=p)
    return replace(made, idle=not call.get("training", True) or not p)


@row("cat concat concatenate", "tensors dim")
def _concat(call: Call) -> Effect:
    tensors = tuple(call.get("tensors"))
    return step("concat", *tensors, axis=call.get("dim", 0) % call.results[0].ndim) if len(tensors) > 1 else tensors[0]


@row("stack", "tensors dim")
def _stack(call: Call) -> Step:
    return step("stack", *call.get("tensors"), axis=call.get("dim", 0) % call.results[0].ndim)


_SHAPES = "input shape* dim start_dim end_dim sizes other"


@row("reshape view flatten unflatten squeeze unsqueeze view_as reshape_as ravel", _SHAPES)
def _reshape(call: Call) -> Effect:
    """Told by the shapes. Leading sizes that stay are kept as 0, so that the batch's size is no attribute."""
    before, after = tuple(call.x.shape), tuple(call.results[0].shape)
    if before == after:
        return call.x
    start = len(after) - 1
    if 0 <= start < len(before) - 1 and after == (*before[:start], prod(before[start:])):
        return step("flatten", call.x, start=start)
    same = [a == b for a, b in zip(before, after, strict=False)]
    kept = same.index(False) if False in same else len(same)
    return step("reshape", call.x, shape=(0,) * kept + _with_open(after[kept:], call))


def _with_open(sizes: tuple[int, ...], call: Call) -> tuple[int, ...]:
    """The sizes with -1 for the one that the rest implies: the one that the caller left open, or a single one."""
    given = call.get("shape")
    if call.name in ("reshape", "view") and isinstance(given, (tuple, list)) and -1 in given:
        place = list(given).index(-1) - (len(given) - len(sizes))
        return tuple(-1 if i == place else size for i, size in enumerate(sizes))
    return (-1,) if len(sizes) == 1 else sizes


@row("permute", "input dims*")
def _permute(call: Call) -> Effect:
    return _reordered(call.x, [axis % call.x.ndim for axis in call.get("dims")])


def _reordered(x: torch.Tensor, order: list[int]) -> Effect:
    return x if order == sorted(order) else step("transpose", x, order=order)


@row("transpose swapaxes swapdims", "input dim0 dim1")
def _transpose(call: Call) -> Effect:
    order = list(range(call.x.ndim))
    one, two = call.axis("dim0"), call.axis("dim1")
    order[one], order[two] = two, one
    return _reordered(call.x, order)


@row("t get_T get_mT")
def _transposed(call: Call) -> Effect:
    """`T` turns all axes round, `mT` the last two, of which `t` has no others."""
    axes = list(range(call.x.ndim))
    return _reordered(call.x, axes[::-1] if call.name != "get_mT" else [*axes[:-2], axes[-1], axes[-2]])


@row("movedim moveaxis", "input source destination")
def _movedim(call: Call) -> Effect | None:
    if not isinstance(call.get("source"), int):
        return None
    order = list(range(call.x.ndim))
    moved = order.pop(call.axis("source"))
    order.insert(call.axis("destination"), moved)
    return _reordered(call.x, order)


@row("flip", "input dims*")
def _flip(call: Call) -> Step | None:
    axes = call.axes("dims")
    return step("flip", call.x, axis=axes[0]) if len(axes) == 1 else None


@row("index_select", "input dim index")
def _index_select(call: Call) -> Step:
    return step("gather", call.x, call.get("index"), axis=call.axis())


def _part(x: torch.Tensor, axis: int, start: int, stop: int | None, every: int = 1) -> Single:
    """A slice, where it takes anything away."""
    stop = None if stop is None or stop >= x.shape[axis] else stop
    return (
        x if (start, stop, every) == (0, None, 1) else step("slice", x, axis=axis, start=start, stop=stop, step=every)
    )


@row("narrow", "input dim start length")
def _narrow(call: Call) -> Effect:
    axis = call.axis()
    start = call.get("start") % call.x.shape[axis]
    return _part(call.x, axis, start, start + call.get("length"))


@row("chunk tensor_split split split_with_sizes", "input sections dim")
def _pieces(call: Call) -> Effect:
    """Slices of the sizes that came out."""
    axis, start = call.axis(default=0), 0
    pieces = []
    for result in call.results:
        pieces.append(_part(call.x, axis, start, start + result.shape[axis]))
        start += result.shape[axis]
    return pieces


@row("select", "input dim index")
def _select(call: Call) -> Step:
    return _taken(call.x, call.axis(), call.get("index"))


def _taken(x: torch.Tensor, axis: int, index: int) -> Step:
    """One element along an axis, as a subscript."""
    return _subscript(x, (*(slice(None),) * axis, index))


@row("unbind", "input dim")
def _unbind(call: Call) -> Effect:
    axis = call.axis(default=0)
    return [_taken(call.x, axis, index) for index in range(len(call.results))]


@row("getitem", "input index")
def _getitem(call: Call) -> Effect:
    """A slice along one axis is the table's `slice`, a list of indices its `gather`; the rest stays as written."""
    x, index = call.x, call.get("index")
    items = index if isinstance(index, tuple) else (index,)
    cuts = [(axis, item) for axis, item in enumerate(_for_each_axis(items, x.ndim)) if not _is_all(item)]
    if len(cuts) > 1 or any(item is None for item in items):
        return _subscript(x, items)
    if not cuts:
        return x
    ((axis, item),) = cuts
    if isinstance(item, slice):
        start, _, every = item.indices(x.shape[axis])
        return _part(x, axis, start, None if item.stop is None else int(item.stop), every)
    if isinstance(item, torch.Tensor) and item.ndim == 1 and item.dtype in (torch.int32, torch.int64):
        return step("gather", x, item, axis=axis)
    return _subscript(x, items)


def _for_each_axis(items: tuple[Any, ...], rank: int) -> tuple[Any, ...]:
    place = next((i for i, item in enumerate(items) if item is Ellipsis), len(items))
    rest = items[place + 1 :]
    return (*items[:place], *(slice(None),) * (rank - place - len(rest)), *rest)


def _is_all(item: Any) -> bool:
    return isinstance(item, slice) and item == slice(None)


def _subscript(x: torch.Tensor, items: tuple[Any, ...]) -> Step:
    tensors = [item for item in items if isinstance(item, torch.Tensor)]
    return step("torch.getitem", x, *tensors, index=tuple(map(_written, items)))


def _written(item: Any) -> Hashable:
    if isinstance(item, slice):
        return ("slice", item.start, item.stop, item.step)
    return "tensor" if isinstance(item, torch.Tensor) else str(item)


@row("setitem", "input index value")
def _setitem(call: Call) -> Step:
    """The tensor with new elements takes the place of the old one."""
    index, value = call.get("index"), call.get("value")
    items = index if isinstance(index, tuple) else (index,)
    tensors = [item for item in (*items, value) if isinstance(item, torch.Tensor)]
    return step("torch.setitem", call.x, *tensors, index=tuple(map(_written, items)))


@row("copy set_data", "input value")
def _copy(call: Call) -> Effect | None:
    """The old elements are gone."""
    value = call.get("value")
    return value if isinstance(value, torch.Tensor) and value.shape == call.x.shape else None


_MADE = "input size* fill_value dtype requires_grad pin_memory mean std"


@row("zeros_like ones_like full_like empty_like rand_like randn_like", _MADE)
def _unrelated(call: Call) -> Step:
    """A tensor of which the first argument only says shape or type."""
    return step(f"torch.{call.name}")


row("new_zeros new_ones new_full new_empty new_tensor zero fill normal uniform", _MADE)(_unrelated)


@row("tensor as_tensor asarray", "data dtype requires_grad")
def _from_outside(call: Call) -> Effect | None:
    """Of numbers that are written down it is a constant, of others the trace does not see where they are from."""
    data = call.get("data")
    if isinstance(data, torch.Tensor):
        return data
    return None if plain(data) is not None else Step(UNSEEN)
