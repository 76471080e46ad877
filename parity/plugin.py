"""The pytest plugin: counts what was compared, and fails a test that was meant to compare and compared nothing.

Installed with twinzoo. A test that calls `twinzoo.parity.testing.assert_parity`, itself or in a fixture of its own, or
is marked `parity`, is counted; the numbers stand in the terminal's summary and as properties of the test in a JUnit
file: `twinzoo_comparisons`, `twinzoo_compared`, `twinzoo_unmatched`, `twinzoo_skipped`, and a `twinzoo_note` for each
note of its reports.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator

import pytest

_COUNTS = ("comparisons", "compared", "unmatched")


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", "parity: the test must compare something with assert_parity")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Forget what the test before compared."""
    if "twinzoo.parity.testing" in sys.modules:
        from twinzoo.parity.testing import tally

        tally.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Write down what one test compared."""
    try:
        result = yield
    finally:
        found = _found()
        item.user_properties += found
    if item.get_closest_marker("parity") and not dict(found).get("twinzoo_compared"):
        pytest.fail("this test is meant to compare, and compared nothing", pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Write down that a test that was meant to compare was skipped, in whatever way."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    if report.skipped and not hasattr(report, "wasxfail") and item.get_closest_marker("parity"):
        item.user_properties.append(("twinzoo_skipped", 1))
        report.user_properties.append(("twinzoo_skipped", 1))
    return report  # type: ignore[return-value]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line, where anything was compared or should have been.

    It is made from the tests' reports, which reach this process from those of pytest-xdist too.
    """
    total: Counter[str] = Counter()
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        if isinstance(report, pytest.TestReport) and (report.when == "call" or report.skipped):
            total.update({name: value for name, value in report.user_properties if isinstance(value, int)})
            total["notes"] += sum(name == "twinzoo_note" for name, _ in report.user_properties)
    if total["twinzoo_comparisons"] or total["twinzoo_skipped"]:
        terminalreporter.write_line(
            f"twinzoo: {total['twinzoo_comparisons']} comparisons, {total['twinzoo_compared']} values compared, "
            f"{total['twinzoo_unmatched']} unmatched, {total['notes']} notes, {total['twinzoo_skipped']} tests skipped"
        )


def _found() -> list[tuple[str, object]]:
    """The running test's properties; none where it did not compare."""
    testing = sys.modules.get("twinzoo.parity.testing")
    if testing is None or not testing.tally.comparisons:
        return []
    counts: list[tuple[str, object]] = [(f"twinzoo_{name}", getattr(testing.tally, name)) for name in _COUNTS]
    return [*counts, *(("twinzoo_note", note) for note in testing.tally.notes)]
