"""The equations of optimizers on records made by hand: each is the formula as it is published, and fits no other."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.parity.steps.identify import NONE
from twinzoo.parity.steps.rules import Rule, allowed, direction, fit, misses
from twinzoo.parity.steps.tracks import Track

Array = NDArray[Any]
U = 2.0**-24
BETAS = (0.5, 0.9)


def adam() -> Track:
    """Two steps of three elements, the fifth and sixth of their optimizer."""
    rng = np.random.default_rng(0)
    m, v, values = rng.normal(size=(3, 3)), rng.uniform(0.1, 1, (3, 3)), rng.normal(size=(3, 3))
    return Track(U, values, {"m": m, "v": v, "momentum": 2 * m}, 3 * m[1:], np.array([5.0, 6.0]), {})


def plain(moves: list[float], gradients: list[float], start: list[float] | None = None) -> Track:
    """One step of plain SGD: what it moved, and by which gradients."""
    values = np.array([start or [0.0] * len(moves)] * 2)
    values[1] += moves
    return Track(U, values, {}, np.array([gradients]), np.array([1.0]), {})


@pytest.mark.parametrize("counted", [0, None, 1])
@pytest.mark.parametrize("place", ["after", "before", "inside"])
def test_a_rule_of_adam_is_the_formula_of_its_place(place: str, counted: int | None) -> None:
    track, eps, decay = adam(), 0.03, 0.2
    found = direction(Rule("adam", eps, place, counted, decay), track, BETAS)
    for step, t in enumerate((5, 6)):
        first, second = (1.0, 1.0) if counted is None else (1 - beta ** (t + counted) for beta in BETAS)
        for i in range(3):
            m, v = track.slots["m"][step + 1, i], track.slots["v"][step + 1, i]
            root = {
                "after": sqrt(v / second) + eps,
                "before": (sqrt(v) + eps) / sqrt(second),
                "inside": sqrt(v / second + eps),
            }[place]
            assert found[step, i] == pytest.approx(m / first / root + decay * track.values[step, i])


def test_the_rules_without_second_moments_take_what_was_kept_or_given() -> None:
    track = adam()
    for kind, given in (("sgd", 3 * track.slots["m"][1:]), ("momentum", 2 * track.slots["m"][1:])):
        assert direction(Rule(kind, decay=0.2), track, NONE) == pytest.approx(given + 0.2 * track.values[:-1])


def test_where_a_second_moment_is_0_or_rounded_below_it_nothing_pushes() -> None:
    track = adam()
    track.slots["v"][1] = (0.0, -1e-12, 1.0)
    track.slots["m"][1, :2] = 0.0
    assert (direction(Rule("adam"), track, BETAS)[0] != 0).tolist() == [False, False, True]


def test_what_rounding_explains_counts_each_step_and_what_is_blurred() -> None:
    """1.01 u of the new parameter, 2 u of the old one where it is shrunk, and of the move 12 u and its blur."""
    track, blur = adam(), np.full((2, 3), 1e-3)
    old, new, moved = (np.abs(x) for x in (track.values[:-1], track.values[1:], track.moves))
    assert allowed(Rule("sgd"), track, NONE) == pytest.approx(U * (1.01 * new + 12 * moved))
    assert allowed(Rule("sgd", decay=0.1), track, NONE) == pytest.approx(U * (1.01 * (new + 2 * old) + 12 * moved))
    track.blur = blur
    assert allowed(Rule("sgd"), track, NONE) == pytest.approx(U * (1.01 * new + 12 * moved) + blur * moved)


def test_the_rate_is_in_the_middle_of_those_that_every_element_allows() -> None:
    track = plain([-0.1, -0.2, -0.4], [1.0, 2.0, 4.0], [3.0, 5.0, -7.0])
    limit = allowed(Rule("sgd"), track, NONE)[0]
    found = fit(Rule("sgd"), track, NONE)
    low, high = max(0.1 - limit / [1, 2, 4]), min(0.1 + limit / [1, 2, 4])
    assert found.possible and found.low[0] < found.high[0]
    assert (found.low[0], found.high[0]) == pytest.approx((low, high), rel=1e-9)
    assert found.rate[0] - 0.1 == pytest.approx((low + high) / 2 - 0.1, abs=1e-12)
    assert found.ratio[0] <= 1


def test_the_rate_of_a_rule_that_does_not_fit_is_the_nearest() -> None:
    """Least squares, each element weighed by what rounding explains of it."""
    track = plain([-0.1, -0.2, -0.8], [1.0, 2.0, 4.0], [3.0, 50.0, -700.0])
    limit = allowed(Rule("sgd"), track, NONE)[0]
    found = fit(Rule("sgd"), track, NONE)
    gradients, moves = np.array([1.0, 2.0, 4.0]) / limit, track.moves[0] / limit
    nearest = -float(gradients @ moves) / float(gradients @ gradients)
    assert not found.possible and found.low[0] > found.high[0]
    assert found.rate[0] == pytest.approx(nearest) and 0.1 < nearest < 0.101
    assert found.ratio[0] == pytest.approx(
        np.abs(track.moves[0] + nearest * np.array([1.0, 2.0, 4.0])).max() / limit[2]
    )
    assert misses(Rule("sgd"), track, NONE, found.rate) == pytest.approx(found.ratio)


def test_every_step_must_be_possible() -> None:
    values = np.array([[1.0, 2.0], [0.9, 1.9], [0.9, 1.5]])
    track = Track(U, values, {}, np.ones((2, 2)), np.array([1.0, 2.0]), {})
    found = fit(Rule("sgd"), track, NONE)
    assert (found.low <= found.high).tolist() == [True, False] and not found.possible


def test_what_nothing_pushed_stays() -> None:
    """A gradient of 0 fixes no rate, but what moves all the same is moved by something else."""
    still = fit(Rule("sgd"), plain([0.0, -0.1], [0.0, 1.0]), NONE)
    assert still.possible and still.rate == pytest.approx(0.1, rel=1e-6)
    assert not fit(Rule("sgd"), plain([-0.01, -0.1], [0.0, 1.0]), NONE).possible
    untouched = fit(Rule("sgd"), plain([0.0, 0.0], [0.0, 0.0], [1.0, 2.0]), NONE)
    assert untouched.possible and (untouched.rate[0], untouched.ratio[0]) == (0, 0)


def test_a_gradient_that_is_flushed_to_zero_fixes_no_rate() -> None:
    """Kernels may take what is below the least normal float32 for 0."""
    flushed = fit(Rule("sgd"), plain([0.0, -1.0], [1e-38, 1.0]), NONE)
    assert flushed.possible and flushed.rate == pytest.approx(1.0, rel=1e-6)
    assert not fit(Rule("sgd"), plain([0.0, -1.0], [1e-37, 1.0]), NONE).possible
