"""Tensors that are not the same on both sides, and what became of them."""

from __future__ import annotations

from itertools import chain, combinations, permutations

import numpy as np

from twinzoo.parity.findings import differing_weights
from twinzoo.parity.graphs.computed_rows import computed_names
from twinzoo.parity.graphs.pairs import Paired
from twinzoo.parity.graphs.run import Array
from twinzoo.parity.graphs.words import written
from twinzoo.parity.results import Finding


def weight_findings(paired: Paired) -> dict[str, Finding]:
    """A finding for each tensor, by spec name, that side b has not as side a has it; computed weights aside."""
    ours, theirs, computed = paired.drawing.state, paired.state, computed_names(paired)
    alike = {name: _in_one_type(x, theirs[name]) for name, x in ours.items() if name not in computed}
    evidence = differing_weights({n: x for n, (x, _) in alike.items()}, {n: y for n, (_, y) in alike.items()})
    return {name: _finding(paired, name, text) for name, text in evidence.items()}


def _in_one_type(x: Array, y: Array) -> tuple[Array, Array]:
    """Two tensors in the element type with fewer digits: what only that rounds is the same."""
    narrow = x.dtype if x.itemsize < y.itemsize else y.dtype
    return x.astype(narrow, copy=False), y.astype(narrow, copy=False)


def _finding(paired: Paired, name: str, text: str) -> Finding:
    position = int(name.partition(".")[0].removeprefix("n"))
    key = paired.drawing.keys[name]
    for rule in (_without_affine, _without_bias, _other_order, _others):
        found = rule(paired, name, position)
        if found:
            break
    else:
        found = "weight-value", "", "load the same weights into both sides, as twinzoo.convert does"
    cause, words, fix = found
    return Finding(paired.name(position), cause, text.replace(name, key, 1) + words, fix)


Named = tuple[str, str, str] | None
"""A cause, what to add to the evidence, and a fix."""


def _without_affine(paired: Paired, name: str, position: int) -> Named:
    ours, theirs = paired.operations(position)
    if theirs is None or (ours.attrs.get("affine"), theirs.attrs.get("affine")) != (True, False):
        return None
    words = written(paired.b.info.port, ours.kind, "affine", True)
    return "affine", "; side b has none", f"give side b a gain and an offset of its own: {words}"


def _without_bias(paired: Paired, name: str, position: int) -> Named:
    if not name.endswith(".bias") or paired.state[name].any():
        return None
    key = paired.drawing.keys[name]
    return "bias", "; side b has zeros", f"side b has no {key}, or nobody has filled it: load side a's"


def _other_order(paired: Paired, name: str, position: int) -> Named:
    ours, theirs = paired.drawing.state[name], paired.state[name]
    if ours.ndim < 2 or not np.array_equal(np.sort(ours, axis=None), np.sort(theirs, axis=None)):
        return None
    axes = range(ours.ndim)
    for flipped in chain.from_iterable(combinations(axes, count) for count in range(1, ours.ndim + 1)):
        if np.array_equal(np.flip(ours, flipped), theirs):
            where = " and ".join(map(str, flipped))
            return "weight-layout", f"; it is flipped along axis {where}", f"flip it along axis {where}"
    for order in permutations(axes):
        if _equal(ours.transpose(order), theirs):
            return "weight-layout", f"; its axes are in the order {order}", f"transpose it by {_back(order)}"
    return "weight-layout", "; it has the same values in another order", "put its values in side a's order"


def _back(order: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(order.index(axis) for axis in range(len(order)))


def _others(paired: Paired, name: str, position: int) -> Named:
    """A tensor that side a has somewhere else."""
    theirs = paired.state[name]
    if not np.ptp(theirs):
        return None
    twin = next((n for n, x in paired.drawing.state.items() if n != name and _equal(x, theirs)), None)
    if twin is None:
        return None
    other = paired.drawing.keys[twin]
    words = f"; side b has {other} in its place"
    if _equal(paired.state[twin], theirs):
        return "weight-shared", f"{words}, as it has in the place of that", "give both layers weights of their own"
    return "weight-swapped", words, "put each tensor in its own layer"


def _equal(a: Array, b: Array) -> bool:
    return a.shape == b.shape and bool(np.array_equal(a, b))
