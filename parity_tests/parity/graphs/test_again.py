"""Running a wrong side again: what gives something else each time is told, and what it explains is not told twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from parity_tests.parity.graphs.made import Array, Side, convolution
from parity_tests.parity.graphs.made import report as compared
from twinzoo.parity.graphs.again import held_again
from twinzoo.parity.graphs.run import Run
from twinzoo.parity.report import ParityReport
from twinzoo.parity.results import Finding


def run(shift: float = 0.0, place: int = 2) -> Run:
    """conv -> tanh -> square, with one value of one of them moved."""
    side = Side()
    x = convolution(side, side.input())
    side.output(side.op("square", side.op("tanh", x)))
    side.operations[1] = replace(side.operations[1], source="net.py:7")
    side.values[place] = side.values[place].copy()
    side.values[place][0, 0, 0, 0] += np.float32(shift)
    return side.run()


def wrong(*findings: tuple[str, str]) -> ParityReport:
    """A report with a wrong layer and these findings."""
    sides = Side(), Side()
    for factor, side in enumerate(sides, 1):
        place = side.op("tanh", side.input())
        side.values[place] = side.values[place] * np.float32(factor)
        side.output(place)
    found = compared(*sides)
    assert not found.ok
    return replace(found, findings=[Finding(layer, cause, "it is", "mend it") for layer, cause in findings])


def again(report: ParityReport, a: Run | None, b: Run | None) -> list[tuple[str, str]]:
    repeats = tuple(None if repeat is None else lambda repeat=repeat: repeat for repeat in (a, b))
    return [(f.layer, f.cause) for f in held_again(report, (run(), run()), repeats).findings]


def test_a_side_that_repeats_itself_changes_nothing() -> None:
    report = wrong(("tanh", "unexplained"))
    assert again(report, run(), run()) == again(report, None, None) == [("tanh", "unexplained")]


def test_a_report_without_faults_is_not_looked_at_again() -> None:
    side = Side()
    side.output(side.op("tanh", side.input()))
    clean = compared(side, side)

    def never() -> Run:
        raise AssertionError

    assert held_again(clean, (run(), run()), (never, never)) is clean


@pytest.mark.parametrize("label", ["a", "b"])
def test_the_first_operation_that_does_not_repeat_is_told_of_its_side(label: str) -> None:
    sides = {
        "a": run(),
        "b": run(),
        label: replace(run(0.5, 1), values={**run(0.5, 1).values, 3: run(0.5, 3).values[3]}),
    }
    found = held_again(wrong(), (run(), run()), (lambda: sides["a"], lambda: sides["b"])).findings
    assert [(f.layer, f.cause) for f in found] == [("conv", "nondeterminism")]
    assert found[0].evidence.startswith(
        f"two runs of side {label} on the same inputs from the same seeds are up to 0.5 "
    )
    assert found[0].fix.startswith(f"make side {label} deterministic")
    assert found[0].source == (("net.py:7", "") if label == "a" else ("", "net.py:7"))


def test_the_smallest_change_counts() -> None:
    value = run().values[2][0, 0, 0, 0]
    assert again(wrong(), None, run(float(np.spacing(value)))) == [("tanh", "nondeterminism")]


def test_only_what_it_explains_is_left_out() -> None:
    findings = [("tanh", "unexplained"), ("tanh", "eps"), ("tanh2", "unexplained"), ("a ~ tanh", "unexplained")]
    assert again(wrong(*findings), None, run(0.5)) == [("tanh", "nondeterminism"), findings[1], findings[2]]
    assert again(wrong(*findings), None, run(0.5, 3))[1:] == findings


def test_values_that_are_not_there_or_no_numbers() -> None:
    def told(first: Array | None, second: Array | None) -> list[Finding]:
        runs = []
        for value in (first, second):
            values = dict(run().values)
            del values[2]
            runs.append(replace(run(), values=values if value is None else {**values, 2: value}))
        return held_again(wrong(), (runs[0], runs[0]), (lambda: runs[1], None)).findings

    nan, value = np.full((2, 2), np.nan, np.float32), np.ones((2, 2), np.float32)
    assert not told(nan, nan) and not told(None, value) and not told(value, None)
    assert told(nan, value) and told(value, np.ones((2, 3), np.float32))
    assert "inf apart" in told(value, np.ones((2, 3), np.float32))[0].evidence
    numbers = np.arange(4)
    assert not told(numbers, numbers) and told(numbers, numbers + 1)
