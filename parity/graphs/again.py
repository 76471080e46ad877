"""Whether a side that is wrong gives the same when it is run again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from twinzoo.parity.graphs.run import Run
from twinzoo.parity.measure import difference
from twinzoo.parity.report import ParityReport
from twinzoo.parity.results import Finding


def held_again(
    report: ParityReport, runs: tuple[Run, Run], again: tuple[Callable[[], Run] | None, ...]
) -> ParityReport:
    """The report with the operations that give something else each time, where what they give explains nothing else.

    Args:
        again: what runs each side once more, from the same random numbers; None where it cannot be.
    """
    if report.ok:
        return report
    unsteady = [
        finding
        for label, run, repeat in zip("ab", runs, again, strict=True)
        if repeat is not None and (finding := _first_unsteady(label, run, repeat())) is not None
    ]
    layers = {finding.layer for finding in unsteady}
    kept = [f for f in report.findings if f.cause != "unexplained" or layers.isdisjoint(f.layer.split(" ~ "))]
    return replace(report, findings=[*unsteady, *kept])


def _first_unsteady(label: str, run: Run, repeat: Run) -> Finding | None:
    """The first operation of a side whose output is not the same in a second run."""
    for position, operation in enumerate(run.graph.operations):
        if position not in run.values or position not in repeat.values:
            continue
        first, second = run.values[position], repeat.values[position]
        if not np.array_equal(first, second, equal_nan=first.dtype.kind == "f"):
            apart = difference(first, second, first).max_abs if first.shape == second.shape else float("inf")
            name = operation.name or operation.kind
            evidence = (
                f"two runs of side {label} on the same inputs from the same seeds are up to {apart:.3g} apart there"
            )
            fix = f"make side {label} deterministic: its framework's own generators, and its deterministic kernels"
            source = (operation.source, "") if label == "a" else ("", operation.source)
            return Finding(name, "nondeterminism", evidence, fix, source)
    return None
