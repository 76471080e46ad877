"""What a dropout lets back where its input is 0: whether it kept a zero shows in the gradient alone.

Each gradient must be that of a kept or of a dropped element, and as many kept as the dropout says.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from twinzoo.parity.bounds.precision import FORMATS, SINGLE
from twinzoo.parity.graphs.drawing import node_name
from twinzoo.parity.graphs.dropouts import SIGMAS
from twinzoo.parity.graphs.pairs import Paired
from twinzoo.parity.graphs.run import Array, Run
from twinzoo.parity.measure import difference
from twinzoo.parity.results import Finding, LayerResult, SideResult

_ROUNDINGS = 4
"""1 / (1 - p) and the product with it, each rounded, and twice that."""

QUANTITY = "gradient of zeros"


def zero_gradients(paired: Paired) -> tuple[list[LayerResult], list[Finding]]:
    """A row for each dropout in training mode that is given zeros, and a finding for each side that is wrong there.

    Values that something else uses too are left out: what comes back to them is a sum.
    """
    rows, findings = [], []
    for position, other in sorted(paired.alignment.pairs.items()):
        sides = [_held(run, place) for run, place in ((paired.a, position), (paired.b, other))]
        if sides[0] is None and sides[1] is None:
            continue
        results = [SideResult(0.0, 0.0, (), 0.0) if held is None else held for held in sides]
        shape = paired.a.values[position].shape
        rows.append(_row(position, shape, results[0], results[1]))
        for label, result in zip("ab", results, strict=True):
            if not result.ok:
                findings.append(_finding(paired, position, label, result.problem))
    return rows, findings


def _row(position: int, shape: tuple[int, ...], a: SideResult, b: SideResult) -> LayerResult:
    nothing = difference(np.zeros(1), np.zeros(1), np.zeros(1))
    numbers = (nothing.max_abs, nothing.mean_abs, nothing.relative, nothing.cosine, 0.0)
    return LayerResult(node_name(position), "dropout", "", shape, *numbers, a, b, quantity=QUANTITY)


def _finding(paired: Paired, position: int, label: str, problem: str) -> Finding:
    fix = f"let back on side {label} what was kept, times 1 / (1 - p), and nothing of what was dropped, zeros too"
    return Finding(paired.name(position), "dropout", f"side {label}, where the input is 0: {problem}", fix)


def _held(run: Run, position: int) -> SideResult | None:
    """One side's verdict; None where it has no such dropout, or none that was given zeros."""
    operation = run.graph.operations[position]
    if operation.kind != "dropout" or not run.how.train:
        return None
    source, output = operation.operands[0]
    known = (run.values.get(source), run.gradients.values.get(source), run.gradients.values.get(position))
    x, back, given = known
    if output or x is None or back is None or given is None or list(_uses(run, source)) != [position]:
        return None
    zero = (x == 0) & (given != 0)
    return _judged(back[zero], given[zero], float(str(operation.attrs["p"]))) if zero.any() else None


def _uses(run: Run, source: int) -> Iterator[int]:
    for position, operation in enumerate(run.graph.operations):
        yield from (position for operand, _ in operation.operands if operand == source)


def _judged(back: Array, given: Array, p: float) -> SideResult:
    """What came back to zeros, of what the dropout was given."""
    form = FORMATS.get(str(back.dtype), SINGLE)
    wide = back.astype(np.float64)
    kept = given.astype(np.float64) / (1 - p) if p < 1 else np.zeros(given.shape)
    limit = _ROUNDINGS * form.unit * np.abs(kept) + form.least
    apart = np.minimum(np.abs(wide), np.abs(wide - kept))
    error = float(apart.max())
    ratio = float((apart / limit).max())
    if not ratio <= 1:
        wrong = int(np.count_nonzero(~(apart <= limit)))
        words = f"{wrong:,} of {back.size:,} gradients are neither 0 nor those of kept elements"
        return SideResult(ratio, error, (), error, words, str(back.dtype))
    clear = np.abs(kept) > 2 * limit
    count, found = int(np.count_nonzero(clear)), int(np.count_nonzero(clear & (np.abs(wide) > limit)))
    words = ""
    if abs(found - count * (1 - p)) > SIGMAS * np.sqrt(count * p * (1 - p)) + 1:
        words = f"{found:,} of {count:,} gradients come back, where p {p:g} keeps {count * (1 - p):,.0f}"
    return SideResult(ratio, error, (), error, words, str(back.dtype))
