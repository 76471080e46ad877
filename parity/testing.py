"""Parity in somebody's own test suite: an assertion, and what the pytest plugin counts of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from twinzoo.parity.compare import compare
from twinzoo.parity.report import ParityReport


@dataclass
class Tally:
    """What has been compared since it was last looked at.

    Attributes:
        comparisons: calls of `assert_parity`.
        compared: values that were judged.
        unmatched: operations that only one side has.
        notes: those of the reports.
    """

    comparisons: int = 0
    compared: int = 0
    unmatched: int = 0
    notes: list[str] = field(default_factory=list)

    def add(self, report: ParityReport) -> None:
        """Count one comparison.

        Twins of one spec are not aligned, so that what one of them lacks is a finding alone.
        """
        lacking = sum(finding.cause in ("missing-op", "extra-op") for finding in report.findings)
        self.comparisons += 1
        self.compared += len(report.layers)
        self.unmatched += max(sum(report.unmatched), lacking)
        self.notes += report.notes

    def clear(self) -> None:
        """Start again at nothing."""
        self.comparisons = self.compared = self.unmatched = 0
        self.notes = []


tally = Tally()
"""Of the test that is running; the plugin empties it before each."""


def assert_parity(
    a: Any, b: Any, inputs: Any = None, *, grad: bool = False, train: bool = False, loss: Any = None
) -> ParityReport:
    """Compare two models as `twinzoo.compare` does, and fail with its report where they differ.

    Raises:
        AssertionError: they differ, or nothing was compared.
        ParityError: they cannot be compared.
    """
    report = compare(a, b, inputs, grad=grad, train=train, loss=loss)
    tally.add(report)
    if not report.ok:
        raise AssertionError(str(report))
    return report
