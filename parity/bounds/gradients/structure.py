"""Bounds of the gradients of ops that move, choose or add up elements: what meets in one place is a sum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from twinzoo.parity.bounds.precision import FLOAT32, Precision
from twinzoo.parity.bounds.sums import Array, cumsum_bound, sum_bound
from twinzoo.ports.reference.backward.rule import Pulled
from twinzoo.ports.reference.rule import Attrs, Params


def moved(
    a: Attrs, p: Params, g: Array, y: Array, off: Array | float, pulled: Pulled, *inputs: Array, r: Precision
) -> Pulled:
    """Elements that go back to places of their own are not rounded."""
    return Pulled(tuple(None if x is None else np.zeros(x.shape) for x in pulled.inputs), {})


def scatter_bound(terms: Array, places: Array, count: int, r: Precision = FLOAT32) -> Array:
    """The bound of what is added up at each place: terms (..., M), places (M,) in [0, count) -> (..., count).

    Places with about as many terms, up to a power of two, are taken together; those with one are exact.
    """
    bound = np.zeros((*terms.shape[:-1], count))
    order = np.argsort(places, kind="stable")
    used, starts, meeting = np.unique(places[order], return_index=True, return_counts=True)
    sizes = np.exp2(np.ceil(np.log2(meeting))).astype(np.int64)
    for size in np.unique(sizes[meeting > 1]):
        some = sizes == size
        at = starts[some, None] + np.arange(size)
        there = np.arange(size) < meeting[some, None]
        taken = np.where(there, terms[..., order[np.minimum(at, order.size - 1)]], 0.0)
        bound[..., used[some]] = sum_bound(taken, (-1,), unit=r.summed.unit)
    return bound


def _gather(
    a: Attrs, p: Params, g: Array, y: Array, off: Array | float, pulled: Pulled, x: Array, indices: Array, r: Precision
) -> Pulled:
    last = scatter_bound(np.moveaxis(g, a["axis"], -1), indices, x.shape[a["axis"]], r)
    return Pulled((np.moveaxis(last, -1, a["axis"]), None), {})


def _cumsum(
    a: Attrs, p: Params, g: Array, y: Array, off: Array | float, pulled: Pulled, x: Array, r: Precision
) -> Pulled:
    return Pulled((np.flip(cumsum_bound(np.flip(g, a["axis"]), a["axis"], r.u), a["axis"]),), {})


def _topk(
    a: Attrs, p: Params, g: Array, y: Array, off: Array | float, pulled: Pulled, x: Array, r: Precision
) -> Pulled:
    """Of equal numbers any may be the one that was taken, and in any order."""
    axis = a["axis"]
    by_input = pulled.inputs[0]
    assert by_input is not None
    wide, best, given = (np.moveaxis(array, axis, -1) for array in (x, y, g))
    largest, tied = np.zeros(wide.shape), np.zeros(wide.shape, bool)
    for slot in range(a["k"]):
        equal = wide == best[..., slot, None]
        equal &= equal.sum(-1, keepdims=True) > 1
        largest = np.maximum(largest, np.where(equal, np.abs(given[..., slot, None]), 0.0))
        tied |= equal
    jump = np.moveaxis(largest, -1, axis) + np.where(np.moveaxis(tied, -1, axis), np.abs(by_input), 0.0)
    return Pulled((jump,), {})


RULES: dict[str, Callable[..., Pulled]] = {
    **dict.fromkeys(("concat", "stack", "slice", "reshape", "reshape_like", "flatten", "transpose", "flip"), moved),
    "gather": _gather,
    "cumsum": _cumsum,
    "topk": _topk,
}
"""(attributes, parameters, gradient, float64 output, how far that may be off, pulled, *inputs) -> the bounds."""
