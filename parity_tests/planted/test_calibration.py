"""Random networks: a clean twin is not accused, and a weight off by a thousandth is found; the benchmark has more."""

from __future__ import annotations

import pytest

from parity_tests.planted.calibration import trial


@pytest.mark.parametrize("seed", [3, 5, 9])
@pytest.mark.parametrize("framework", ["torch", "mindspore"])
def test_a_clean_twin_and_one_with_a_changed_weight(framework: str, seed: int) -> None:
    pytest.importorskip(framework)
    made = trial(seed, [framework])
    assert not made.alarm and not made.miss
