"""Rows of functions that combine elements along axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twinzoo.converters.live.mindspore.calls import Call, Step
from twinzoo.converters.live.mindspore.rows.table import Row, axis_of, function


def _axes(call: Call, at: int = 1) -> tuple[int, ...]:
    """The axes of a reduction, from the front and in order; none where it is over all of them."""
    given: Any = call.get("axis", "dim", at=at)
    axes: Sequence[int] = () if given is None else (given,) if isinstance(given, int) else tuple(given)
    return tuple(sorted(axis_of(call.x, axis) for axis in axes))


def _reduction(kind: str) -> Row:
    def row(call: Call) -> Step | None:
        if len(call.results) > 1 or any(call.get(name) is not None for name in ("initial", "where", "dtype")):
            return None
        keep = bool(call.get("keep_dims", "keepdim", "keepdims", at=2, default=False))
        return Step(kind, (call.x,), {"axes": _axes(call), "keepdims": keep})

    return row


for _name in ("sum", "mean", "amax", "amin", "logsumexp"):
    function(_name)(_reduction(_name))
for _name in ("sum", "mean"):
    function(f"Reduce{_name}")(_reduction(_name))
for _name in ("max", "min"):
    function(_name, f"Reduce{_name}")(_reduction(f"a{_name}"))


def _spread(kind: str) -> Row:
    def row(call: Call) -> Step:
        correction = call.get("ddof", "correction", at=2, default=0)
        keep = call.get("keepdims", "keepdim", at=3, default=False)
        attrs = {"axes": _axes(call), "correction": int(correction), "keepdims": bool(keep)}
        return Step(kind, (call.x,), attrs)

    return row


for _name in ("var", "std"):
    function(_name)(_spread(_name))


def _along(kind: str, default: int | None = None) -> Row:
    def row(call: Call) -> Step | None:
        axis = call.get("axis", "dim", at=1, default=default)
        axis = axis[0] if isinstance(axis, tuple) and len(axis) == 1 else axis
        if not isinstance(axis, int):
            return None
        return Step(kind, (call.x,), {"axis": axis_of(call.x, axis)})

    return row


function("softmax")(_along("softmax", -1))
function("log_softmax")(_along("log_softmax", -1))
function("cumsum")(_along("cumsum"))


@function("l2_normalize", "normalize")
def _l2_normalize(call: Call) -> Step | None:
    if call.get("p", default=2.0) != 2.0:
        return None
    axis = call.get("axis", "dim", default=1)
    axis = axis[0] if isinstance(axis, (tuple, list)) and len(axis) == 1 else axis
    attrs = {"axis": axis_of(call.x, axis), "eps": call.get("epsilon", "eps", default=1e-12)}
    return Step("l2_normalize", (call.x,), attrs)


@function("topk")
def _topk(call: Call) -> Step | None:
    axis = call.get("dim", at=2)
    if call.get("largest", at=3, default=True) is not True:
        return None
    return Step("topk", (call.x,), {"k": call.get("k", at=1), "axis": axis_of(call.x, -1 if axis is None else axis)})
