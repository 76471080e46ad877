"""The assertion and the pytest plugin, in a suite of their own: counts, failures, and a test that compared nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

SUITE = """
import sys; sys.path.insert(0, {root!r})
import numpy as np
import pytest
from parity_tests.planted.network import network, twin_of
from twinzoo.parity.testing import assert_parity

IMAGE = np.ones((1, 3, 16, 16), np.float32)

def test_good():
    assert assert_parity(network(), network(), IMAGE).ok

def test_bad():
    assert_parity(network(), twin_of(network(), slope=0.1), IMAGE)

@pytest.mark.parity
def test_that_forgot_to_compare():
    pass

@pytest.mark.parity
def test_that_was_skipped():
    pytest.skip("no GPU")

def test_of_something_else():
    pass
"""


def test_a_suite_with_the_plugin(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SUITE.format(root=str(Path(__file__).parents[2])))
    plugin = [] if _installed() else ["-p", "twinzoo.parity.plugin"]
    command = [sys.executable, "-m", "pytest", "-q", "--strict-markers", "--junitxml=r.xml", *plugin, "test_it.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout
    assert "2 failed, 2 passed, 1 skipped" in done.stdout
    assert "this test is meant to compare, and compared nothing" in done.stdout
    assert "with slope 0.1" in done.stdout
    assert "twinzoo: 2 comparisons, " in done.stdout
    assert "1 tests skipped" in done.stdout
    junit = (tmp_path / "r.xml").read_text()
    assert junit.count('name="twinzoo_comparisons" value="1"') == 2


def _installed() -> bool:
    from importlib.metadata import entry_points

    return any(point.value == "twinzoo.parity.plugin" for point in entry_points(group="pytest11"))
