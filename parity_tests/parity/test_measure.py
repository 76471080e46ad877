"""The numbers under the verdict, broken one at a time: ratio, place, NaN, infinity, overflow, cosine."""

import math
from dataclasses import astuple
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinzoo.parity import measure
from twinzoo.parity.measure import difference, distances, drift, heat, judge, pieces, side_result
from twinzoo.parity.results import SideResult

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


def ulps(a: list[float], b: list[float], a_type: Any = F32, b_type: Any = F32) -> float:
    x, y = np.array(a, a_type), np.array(b, b_type)
    return difference(x, y, np.ones(x.shape)).max_ulp


@pytest.mark.parametrize("value", [1.0, 1.5, -300.0, 1e-30, 1e-42, 0.0])
@pytest.mark.parametrize("kind", [F32, np.float16, ml_dtypes.bfloat16])
def test_the_next_number_is_an_ulp_away(value: float, kind: Any) -> None:
    start = np.array([value], kind)
    following = np.nextafter(start, np.array([1e4], kind))
    assert difference(start, following, np.ones(1)).max_ulp in (0.5, 1.0)  # 0.5 where the other is a power of 2
    assert ulps([1.0], [1 + 8 * float(np.spacing(kind(1)))], kind, kind) == 8


def test_the_unit_is_that_of_the_coarser_type_and_of_float32_at_least() -> None:
    assert ulps([1.0], [1 + 2.0**-23], np.float64, np.float64) == 1
    assert ulps([1.0], [1 + 2.0**-23], F32, np.float64) == 1
    assert ulps([1.0], [1 + 2.0**-10], np.float16, F32) == 1
    assert ulps([5], [8], np.int64, np.int64) == 3


def test_ulps_of_what_is_no_number() -> None:
    assert ulps([math.nan, math.inf, 1.0], [math.nan, math.inf, 1.0]) == 0
    assert ulps([math.nan, 1.0], [1.0, 1.0]) == math.inf
    assert ulps([math.inf, 1.0], [-math.inf, 1.0]) == math.inf


SIZES = st.tuples(st.integers(1, 2), st.integers(1, 20), st.integers(1, 40), st.integers(1, 40))


@settings(deadline=None, max_examples=50)
@given(size=SIZES, data=st.data())
def test_heat_is_at_the_place_of_the_error(size: tuple[int, ...], data: st.DataObject) -> None:
    place = tuple(data.draw(st.integers(0, length - 1)) for length in size)
    ratios = np.full(size, 0.25)
    ratios[place] = 1234.5
    found = heat(ratios)
    assert found is not None
    grid = np.array(found.grid)
    parts = tuple(min(16, length) for length in size[2:])
    assert grid.shape == parts
    assert [tuple(hit) for hit in np.argwhere(grid > 1)] == [
        tuple(
            max(part for part in range(count) if part * length // count <= index)
            for count, length, index in zip(parts, size[2:], place[2:], strict=True)
        )
    ]
    assert grid.max() == 1230
    assert found.channels[0] == (place[1], 1230)
    assert [share for _, share in found.channels[1:]] == [0.25] * (min(16, size[1]) - 1)


def test_heat_of_other_shapes_is_along_the_last_axis() -> None:
    ratios = np.zeros((3, 32))
    ratios[1, 5] = 2
    found = heat(ratios)
    assert found is not None
    assert found.grid == ((0, 0, 2, *[0] * 13),)
    assert found.channels == ()
    assert heat(np.float64(3.0) * np.ones(())) is None
    assert heat(np.zeros((1, 2, 3, 3))) is None
    assert heat(np.zeros((0, 2, 3, 3))) is None


def test_a_side_has_the_judgement_the_drift_and_the_counts() -> None:
    output = np.array([[1.0, math.nan, 2.0, math.inf, -math.inf]], F32)
    judged = judge(output, np.ones((1, 5)), np.full((1, 5), 0.5))
    side = side_result(judged, output, np.array([[1.0, 1, 1.5, 1, 1]]))
    assert (side.ratio, side.drift, side.nans, side.infs) == (math.inf, math.inf, 1, 2)
    assert (side.problem, side.index, side.heat) == (judged.problem, judged.index, heat(judged.ratios))
    fine = judge(output[:, :1], np.ones((1, 1)), np.ones((1, 1)))
    assert side_result(fine, output[:, :1], np.full((1, 1), 3.0), "dtype x", "x") == SideResult(
        0.0, 0.0, (0, 0), 2.0, "dtype x", "x"
    )


@pytest.mark.parametrize("shape", [(7,), (1, 5, 3, 4), (2, 1, 30), ()])
def test_measures_of_pieces_are_those_of_the_whole(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    a, b = (np.asarray(random.standard_normal(shape), F32) for _ in range(2))
    whole = difference(a, b, a), drift(a, b)
    monkeypatch.setattr(measure, "PIECE", 4)
    parts = [part for (part,) in pieces(a)]
    assert sum(part.size for part in parts) == a.size and (len(parts) > 1) is (a.size > 4)
    in_parts = difference(a, b, a), drift(a, b)
    assert in_parts[1] == whole[1]
    assert astuple(in_parts[0]) == pytest.approx(astuple(whole[0]), rel=1e-12)


def test_the_cosine_of_no_number_is_that_of_nothing_in_common() -> None:
    for value in (np.nan, np.inf):
        assert difference(np.array([value, 1], F32), np.ones(2, F32), np.ones(2)).cosine == 0
