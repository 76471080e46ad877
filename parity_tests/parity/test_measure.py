"""The numbers under the verdict, broken one at a time: ratio, place, NaN, infinity, overflow, cosine."""

import math

import numpy as np
import pytest

from twinzoo.parity.measure import difference, distances, judge

F32 = np.float32
ONE = np.ones(3)


def test_the_ratio_is_the_largest_error_over_what_is_allowed_there() -> None:
    judged = judge(np.array([1.5, 3.0, 2.0], F32), np.array([1.0, 1.0, 2.0]), np.array([1.0, 8.0, 0.0]))
    assert (judged.ratio, judged.error, judged.index, judged.problem) == (0.5, 0.5, (0,), "")


def test_the_place_is_that_of_the_ratio_in_every_axis() -> None:
    output = np.zeros((2, 3, 4), F32)
    output[1, 2, 3] = 1e-3
    assert judge(output, np.zeros((2, 3, 4)), np.full((2, 3, 4), 1e-4)).index == (1, 2, 3)


def test_where_nothing_is_allowed_a_difference_is_infinitely_too_large() -> None:
    judged = judge(np.array([0, 1e-30, 1e-20], F32), np.zeros(3), np.zeros(3))
    assert (judged.ratio, judged.index) == (math.inf, (2,))
    assert judge(np.zeros(3, F32), np.zeros(3), np.zeros(3)).ratio == 0


@pytest.mark.parametrize("limit", [math.nan, math.inf])
def test_an_allowance_that_is_no_number_allows_nothing(limit: float) -> None:
    assert judge(np.array([1, 1.1, 1], F32), ONE, np.full(3, limit)).ratio == math.inf


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_on_one_side_alone_is_wrong(wrong: float) -> None:
    judged = judge(np.array([1, wrong, 1], F32), ONE, np.full(3, 1e9))
    assert judged.ratio == math.inf
    assert str(wrong) in judged.problem
    assert "(1,)" in judged.problem
    assert judge(np.array([1, 1, 1], F32), np.array([1, wrong, 1]), np.full(3, 1e9)).ratio == math.inf


def test_the_same_nan_and_infinity_in_the_same_places_pass() -> None:
    both = [math.nan, math.inf, -math.inf, 1.0]
    assert judge(np.array(both, F32), np.array(both), np.zeros(4)).ratio == 0
    assert judge(np.array([math.inf], F32), np.array([-math.inf]), np.zeros(1)).ratio == math.inf


def test_infinity_is_right_for_what_float32_cannot_hold_and_nowhere_else() -> None:
    def ratio(output: float, reference: float) -> float:
        return judge(np.array([output], F32), np.array([reference]), np.array([1e30])).ratio

    assert ratio(math.inf, 1e39) == 0
    assert ratio(-math.inf, -1e39) == 0
    assert ratio(math.inf, -1e39) == math.inf
    assert ratio(math.inf, 1e38) == math.inf
    assert ratio(math.nan, 1e39) == math.inf


def test_nothing_to_compare_is_no_difference() -> None:
    empty = np.zeros((0, 3), F32)
    assert judge(empty, empty, empty).ratio == 0
    assert difference(empty, empty, empty).max_abs == 0


def test_distances_are_in_float64() -> None:
    assert distances(np.array([1], F32), np.array([1 + 1e-12]))[0] == pytest.approx(1e-12, rel=1e-3)


def test_difference_of_two_sides() -> None:
    apart = difference(np.array([3, 0], F32), np.array([0, 4], F32), np.array([0.0, -8.0]))
    assert (apart.max_abs, apart.mean_abs, apart.relative, apart.cosine) == (4, 3.5, 0.5, 0)


@pytest.mark.parametrize(
    ("a", "b", "cosine"),
    [([1, 2], [2, 4], 1), ([1, 2], [-1, -2], -1), ([0, 0], [0, 0], 1), ([0, 0], [1, 0], 0)],
)
def test_cosine(a: list[float], b: list[float], cosine: float) -> None:
    assert difference(np.array(a, F32), np.array(b, F32), np.array(a)).cosine == pytest.approx(cosine)


def test_relative_error_without_a_magnitude() -> None:
    zeros = np.zeros(2)
    assert difference(np.zeros(2, F32), np.zeros(2, F32), zeros).relative == 0
    assert difference(np.ones(2, F32), np.zeros(2, F32), zeros).relative == math.inf
