"""Dropouts in training mode: only how often side b drops and by what it multiplies can be wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from parity_tests.parity.graphs.made import Array, Side
from twinzoo.parity.graphs.dropouts import SIGMAS, dropout_findings
from twinzoo.parity.graphs.pairs import pair
from twinzoo.parity.graphs.run import How
from twinzoo.parity.results import Finding

N = 6400


def dropping(
    count: int, p: float = 0.5, factor: float | None = None, zeros: int = 0, dtype: str = "float32", said: float = 0.5
) -> Side:
    """A dropout of N values and so many zeros that drops so many of the values."""
    side = Side()
    x = np.random.default_rng(1).uniform(0.5, 2, N + zeros).astype(dtype)
    x[::2] *= -1
    x[N:] = 0
    y = x.astype(np.float64) * (1 / (1 - p) if factor is None else factor)
    y[:count] = 0
    place = side.op("dropout", side.input(x.reshape(1, -1)), name="drop", p=said)
    side.values[place] = y.astype(dtype).reshape(1, -1)
    side.output(place)
    return side


def found(b: Side, p: float = 0.5, train: bool = True, a: Side | None = None) -> list[tuple[int, Finding]]:
    runs = (replace(side.run(), how=How(train=train)) for side in (a or dropping(int(N * p), p, said=p), b))
    return dropout_findings(pair(*runs))


EDGE = int(SIGMAS * np.sqrt(N / 4)) + 1


@pytest.mark.parametrize("sign", [1, -1])
def test_how_many_are_dropped_is_held_to_its_deviation(sign: int) -> None:
    assert EDGE == 321
    assert not found(dropping(N // 2 + sign * EDGE))
    ((position, finding),) = found(dropping(N // 2 + sign * (EDGE + 1)))
    assert (position, finding.layer, finding.cause) == (1, "drop", "dropout")
    assert finding.evidence.startswith(f"side b dropped {N // 2 + sign * 322:,} of 6,400 elements, where 3,200 is")
    assert finding.fix == "drop a share of 0.5 in drop"


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_right_share_and_factor_pass(p: float, dtype: str) -> None:
    assert not found(dropping(round(N * p), p, dtype=dtype), p)


def test_another_share_is_found_in_side_b_alone() -> None:
    assert found(dropping(round(N * 0.2), 0.2)) and found(dropping(round(N * 0.8), 0.8))
    wrong, right = dropping(round(N * 0.2), 0.2), dropping(N // 2)
    assert not found(right, a=wrong)
    assert not found(wrong, train=False)


@pytest.mark.parametrize(("off", "ok"), [(1.007, True), (0.993, True), (1.0085, False), (0.9915, False), (-1, False)])
def test_the_factor_is_held_to_what_half_precision_rounds(off: float, ok: bool) -> None:
    told = found(dropping(N // 2, factor=2 * off))
    assert (not told) is ok
    assert ok or f"multiplies what it keeps by {2 * off:.6g}, where 2 is right" in told[0][1].evidence


def test_a_factor_that_is_forgotten_or_applied_twice() -> None:
    for factor in (1.0, 4 / 9, 16 / 9):
        assert found(dropping(N // 4, 0.25, factor), 0.25)


def test_zeros_cannot_be_seen_to_be_dropped() -> None:
    clean = dropping(N // 2, zeros=1000)
    assert not found(clean, a=clean)
    assert found(dropping(N // 2 + EDGE + 1, zeros=1000), a=clean)
    zeros = Side()
    place = zeros.op("dropout", zeros.input(np.zeros((1, N), np.float32)), name="drop", p=0.5)
    zeros.output(place)
    assert not found(zeros, a=zeros)


def test_all_and_nothing() -> None:
    nothing = dropping(0, 0.0, said=0.0)
    assert not found(nothing, 0.0) and found(dropping(2, 0.0), 0.0)
    whole = dropping(N, factor=1.0, said=1.0)
    assert not found(whole, a=whole) and found(dropping(N - 2, factor=1.0), a=whole)


def test_what_side_b_was_given_counts_and_not_what_side_a_was() -> None:
    b = dropping(N // 2)
    b.values[0], b.values[1] = b.values[0] * 3, b.values[1] * 3
    assert not found(b)


def test_a_side_without_the_dropout_is_told_elsewhere() -> None:
    b = Side()
    x: Array = np.ones((1, N), np.float32)
    b.output(b.op("relu", b.input(x)))
    a = Side()
    place = a.op("relu", a.input(x))
    a.output(a.op("dropout", place, name="drop", p=0.5))
    assert not found(b, a=a)


def test_one_element_may_be_kept_or_dropped_by_rounding_of_the_share() -> None:
    whole = dropping(N, factor=1.0, said=1.0)
    assert not found(dropping(N - 1, factor=1.0), a=whole)
    assert not found(dropping(1, 0.0), 0.0)
