"""The pytest plugin: counts what was compared, and fails a test that was meant to compare and compared nothing.

Installed with twinzoo. A test that calls `twinzoo.parity.testing.assert_parity`, or is marked `parity`, is counted; the
numbers stand in the terminal's summary and as properties of the test in a JUnit file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

_TOTAL = pytest.StashKey[dict[str, int]]()
_NAMES = ("comparisons", "compared", "unmatched")


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", "parity: the test must compare something with assert_parity")
    config.stash[_TOTAL] = dict.fromkeys(_NAMES, 0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Count what one test compares."""
    _clear()
    try:
        result = yield
    finally:
        counted = _counted()
        total = item.config.stash[_TOTAL]
        for name, number in counted.items():
            total[name] += number
            if counted["comparisons"]:
                item.user_properties.append((f"twinzoo_{name}", number))
    if item.get_closest_marker("parity") and not counted["compared"]:
        pytest.fail("this test is meant to compare, and compared nothing", pytrace=False)
    return result


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line, where anything was compared or should have been."""
    skipped = sum("parity" in report.keywords for report in terminalreporter.stats.get("skipped", []))
    total = config.stash[_TOTAL]
    if total["comparisons"] or skipped:
        terminalreporter.write_line(
            f"twinzoo: {total['comparisons']} comparisons, {total['compared']} values compared, "
            f"{total['unmatched']} unmatched, {skipped} tests skipped"
        )


def _clear() -> None:
    if "twinzoo.parity.testing" in sys.modules:
        from twinzoo.parity.testing import tally

        tally.clear()


def _counted() -> dict[str, int]:
    """The running test's numbers; nothing where it never imported the assertion."""
    testing = sys.modules.get("twinzoo.parity.testing")
    return {name: getattr(testing.tally, name) if testing else 0 for name in _NAMES}
