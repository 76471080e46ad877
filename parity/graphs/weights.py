"""Tensors that are not the same on both sides, and what became of them."""

from __future__ import annotations

import numpy as np

from twinzoo.parity.findings import differing_weights
from twinzoo.parity.graphs.pairs import Paired
from twinzoo.parity.graphs.run import Array
from twinzoo.parity.results import Finding


def weight_findings(paired: Paired) -> dict[str, Finding]:
    """A finding for each tensor, by spec name, that side b has not as side a has it."""
    ours, theirs = paired.drawing.state, paired.state
    evidence = differing_weights(ours, theirs)
    return {name: _finding(paired, name, text) for name, text in evidence.items()}


def _finding(paired: Paired, name: str, text: str) -> Finding:
    position = int(name.partition(".")[0].removeprefix("n"))
    ours, theirs = paired.drawing.state[name], paired.state[name]
    key = paired.drawing.keys[name]
    text = text.replace(name, key, 1)
    cause, words, fix = "weight-value", "", "load the same weights into both sides, as twinzoo.convert does"
    twin = next((n for n, x in paired.drawing.state.items() if n != name and _equal(x, theirs)), None)
    if _layout(ours, theirs):
        cause, words, fix = (
            "weight-layout",
            "; it has the same values in another order",
            "transpose it",
        )
    elif twin is not None and theirs.size > 1 and np.ptp(theirs):
        other = paired.drawing.keys[twin]
        shared = _equal(paired.state[twin], theirs)
        cause = "weight-shared" if shared else "weight-swapped"
        words = f"; side b has {other} in its place" + (", as it has in the place of that" if shared else "")
        fix = "give both layers weights of their own" if shared else "put each tensor in its own layer"
    return Finding(paired.name(position), cause, text + words, fix)


def _equal(a: Array, b: Array) -> bool:
    return a.shape == b.shape and bool(np.array_equal(a, b))


def _layout(a: Array, b: Array) -> bool:
    return a.size > 1 and a.ndim > 1 and bool(np.array_equal(np.sort(a, axis=None), np.sort(b, axis=None)))
