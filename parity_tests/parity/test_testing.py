"""The assertion and the pytest plugin, in a suite of their own: counts, failures, and a test that compared nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from twinzoo.parity import testing
from twinzoo.parity.report import ParityReport
from twinzoo.parity.results import Finding, LayerResult, SideInfo, SideResult

pytest.importorskip("torch")

SUITE = """
import numpy as np
import pytest
import torch
from torch import nn
from twinzoo.parity.testing import assert_parity

IMAGE = np.ones((1, 3, 16, 16), np.float32)

def network(slope=0.01):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 3, 3), nn.LeakyReLU(slope), nn.Conv2d(3, 3, 3), nn.LeakyReLU(slope), nn.Conv2d(3, 3, 3)]
    return nn.Sequential(*layers)

def test_good():
    assert assert_parity(network(), network(), IMAGE).ok

def test_bad():
    assert_parity(network(), network(slope=0.1), IMAGE)

@pytest.mark.parity
def test_that_forgot_to_compare():
    pass

@pytest.mark.parity
def test_that_was_skipped():
    pytest.skip("no GPU")

@pytest.mark.parity
@pytest.mark.skipif(True, reason="never")
def test_that_is_never_run():
    pass

@pytest.fixture
def compared():
    return assert_parity(network(), network(), IMAGE)

@pytest.mark.parity
def test_that_compares_in_a_fixture(compared):
    assert compared.ok

@pytest.mark.parity
def test_that_compares_nothing_after_one_that_did():
    pass

@pytest.mark.parity
@pytest.mark.xfail(strict=True)
def test_that_is_known_to_differ():
    assert_parity(network(), network(slope=0.1), IMAGE)

def test_of_something_else():
    pass
"""


def test_a_suite_with_the_plugin(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SUITE)
    plugin = [] if _installed() else ["-p", "twinzoo.parity.plugin"]
    command = [sys.executable, "-m", "pytest", "-q", "--strict-markers", "--junitxml=r.xml", *plugin, "test_it.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout
    assert "3 failed, 3 passed, 2 skipped, 1 xfailed" in done.stdout
    assert len(re.findall("^this test is meant to compare, and compared nothing", done.stdout, re.MULTILINE)) == 2
    assert "with slope 0.1" in done.stdout
    found = properties(tmp_path / "r.xml")
    comparing = ["test_good", "test_bad", "test_that_compares_in_a_fixture", "test_that_is_known_to_differ"]
    assert [name for name, numbers in found.items() if "twinzoo_comparisons" in numbers] == comparing
    values = {name: int(found[name]["twinzoo_compared"]) for name in comparing}
    assert values["test_good"] == values["test_that_compares_in_a_fixture"] > 5
    assert [name for name, numbers in found.items() if numbers.get("twinzoo_skipped") == "1"] == [
        "test_that_was_skipped", "test_that_is_never_run"
    ]  # fmt: skip
    total = f"twinzoo: 4 comparisons, {sum(values.values())} values compared, 0 unmatched, 0 notes, 2 tests skipped"
    assert total in done.stdout


def properties(path: Path) -> dict[str, dict[str, str]]:
    """The properties of each test of a JUnit file."""
    cases = ElementTree.parse(path).getroot().iter("testcase")
    return {case.attrib["name"]: {p.attrib["name"]: p.attrib["value"] for p in case.iter("property")} for case in cases}


def report(**changes: Any) -> ParityReport:
    side = SideResult(0.5, 0.0, (), 0.0)
    layer = LayerResult("x", "relu", "", (2,), 0.0, 0.0, 0.0, 1.0, 0.0, side, side)
    info = SideInfo("p", "f", "1", "cpu", "seeded")
    return replace(ParityReport("s", "h", 1, {}, info, info, [layer], [], [], 0.1), **changes)


def test_arguments_go_on_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[Any, Any]] = []

    def compare(*args: Any, **options: Any) -> ParityReport:
        given.append((args, options))
        return report()

    monkeypatch.setattr(testing, "compare", compare)
    monkeypatch.setattr(testing, "tally", testing.Tally())
    testing.assert_parity("a", "b", "x", grad=True, train=True, loss="l")
    assert given == [(("a", "b", "x"), {"grad": True, "train": True, "loss": "l"})]


@pytest.mark.parametrize(
    ("found", "unmatched"),
    [
        (report(), 0),
        (report(unmatched=(2, 3)), 5),
        (report(findings=[Finding("x", "missing-op", "", ""), Finding("x", "eps", "", "")]), 1),
        (report(unmatched=(2, 0), findings=[Finding("x", "extra-op", "", "")]), 2),
    ],
)
def test_what_is_counted(found: ParityReport, unmatched: int) -> None:
    tally = testing.Tally()
    tally.add(found)
    tally.add(report(notes=["drop"]))
    assert (tally.comparisons, tally.compared, tally.unmatched, tally.notes) == (2, 2, unmatched, ["drop"])
    tally.clear()
    assert tally == testing.Tally()


def test_nothing_compared_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "compare", lambda *args, **options: report(layers=[]))
    monkeypatch.setattr(testing, "tally", testing.Tally())
    with pytest.raises(AssertionError, match="nothing was compared"):
        testing.assert_parity("a", "b")


def _installed() -> bool:
    from importlib.metadata import entry_points

    return any(point.value == "twinzoo.parity.plugin" for point in entry_points(group="pytest11"))
