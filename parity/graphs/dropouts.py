"""Dropouts in training mode: each side drops by its own draws, as often as it says."""

from __future__ import annotations

import numpy as np

from twinzoo.parity.graphs.pairs import Paired
from twinzoo.parity.graphs.run import Array
from twinzoo.parity.results import Finding

_SCALE = 2.0**-7
"""How far, relative, the factor may be off: half precision rounds it."""

SIGMAS = 8.0
"""How many standard deviations the number of dropped elements may be from its mean."""


def dropout_findings(paired: Paired) -> list[tuple[int, Finding]]:
    """The dropouts of side b that do something else than side a's p says, by position."""
    found = []
    for node in paired.drawing.spec.nodes.values():
        position = int(node.name.removeprefix("n"))
        theirs = paired.operations(position)[1]
        if node.op == "dropout" and node.name in paired.drawing.training and theirs is not None:
            x, y = paired.given(position)[0], paired.values[position]
            words = _off(x, y, float(node.attrs["p"]))
            if words:
                fix = f"drop a share of {node.attrs['p']:g} in {theirs.name}"
                found.append((position, Finding(paired.name(position), "dropout", words, fix)))
    return found


def _off(x: Array, y: Array, p: float) -> str:
    """What is wrong with how much was dropped, empty where nothing is."""
    seen = x != 0
    count, dropped = int(np.count_nonzero(seen)), int(np.count_nonzero(seen & (y == 0)))
    if abs(dropped - count * p) > SIGMAS * np.sqrt(count * p * (1 - p)) + 1:
        return f"side b dropped {dropped:,} of {count:,} elements, where {count * p:,.0f} is what p {p:g} drops"
    kept = seen & (y != 0)
    if p == 1 or not kept.any():
        return ""
    factor = float(np.median(y[kept].astype(np.float64) / x[kept]))
    if abs(factor * (1 - p) - 1) > _SCALE:
        return f"side b multiplies what it keeps by {factor:.6g}, where {1 / (1 - p):.6g} is right"
    return ""
