"""Parity in somebody's own test suite: an assertion, and what the pytest plugin counts of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twinzoo.parity.compare import compare
from twinzoo.parity.report import ParityReport


@dataclass
class Tally:
    """What has been compared since it was last looked at.

    Attributes:
        comparisons: calls of `assert_parity`.
        compared: values that were judged.
        unmatched: operations or layers that only one side has.
    """

    comparisons: int = 0
    compared: int = 0
    unmatched: int = 0

    def add(self, compared: int, unmatched: int) -> None:
        """Count one comparison."""
        self.comparisons += 1
        self.compared += compared
        self.unmatched += unmatched

    def clear(self) -> None:
        """Start again at nothing."""
        self.comparisons = self.compared = self.unmatched = 0


tally = Tally()
"""Of the test that is running; the plugin empties it before each."""


def assert_parity(a: Any, b: Any, inputs: Any = None) -> ParityReport:
    """Compare two models as `twinzoo.compare` does, and fail with its report where they differ.

    Raises:
        AssertionError: they differ, or nothing was compared.
        ParityError: they cannot be compared.
    """
    report = compare(a, b, inputs)
    unmatched = sum(finding.cause in ("missing-op", "extra-op") for finding in report.findings)
    tally.add(len(report.layers), unmatched)
    if not report.ok:
        raise AssertionError(str(report))
    return report
