"""The betas behind Adam's moments, found from records made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import DTypeLike, NDArray

from twinzoo.parity.steps.deviation import roundoff
from twinzoo.parity.steps.moments import USUAL, Betas, gradients, has_moments, misfit, possible_betas
from twinzoo.parity.steps.tracks import Track

Array = NDArray[Any]

U = 2.0**-24


def track(m: Any, v: Any, unit: float = U, **numbers: float) -> Track:
    """What was recorded of the moments, the start first."""
    slots = {"m": np.asarray(m, np.float64), "v": np.asarray(v, np.float64)}
    return Track(unit, np.zeros_like(slots["m"]), slots, None, np.arange(1.0, len(m)), numbers)


def adam(betas: Betas, steps: int = 3, kind: DTypeLike = np.float32, scale: float = 1.0) -> Track:
    """The moments of random gradients as a framework makes them, each operation rounded."""
    rng = np.random.default_rng(4)
    first, second, one = np.array([*betas, 1.0], kind)
    m, v = [np.zeros(50, kind)], [np.zeros(50, kind)]
    for _ in range(steps):
        g = rng.normal(0, scale, 50).astype(kind)
        m.append((first * m[-1] + (one - first) * g).astype(kind))
        v.append((second * v[-1] + (one - second) * (g * g)).astype(kind))
    return track(m, v, roundoff(m[0]))


def test_a_gradient_is_what_the_first_moment_was_fed_with() -> None:
    np.testing.assert_array_equal(gradients(track([[0, 8], [1, 8], [3, 0]], np.zeros((3, 2))), 0.5), [[2, 8], [5, -8]])


@pytest.mark.parametrize(("slots", "known"), [("mv", True), ("mvx", True), ("m", False), ("v", False), ("", False)])
def test_both_moments_are_needed(slots: str, known: bool) -> None:
    none = np.zeros((2, 1))
    assert has_moments(Track(U, none, dict.fromkeys(slots, none), None, np.ones(1), {})) is known


@pytest.mark.parametrize("betas", USUAL)
def test_usual_betas_are_found_and_no_others(betas: Betas) -> None:
    assert possible_betas(adam(betas)) == [betas]


@pytest.mark.parametrize("scale", [1e-6, 1e4])
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_betas_are_found_in_every_type_at_every_scale(kind: DTypeLike, scale: float) -> None:
    assert possible_betas(adam((0.5, 0.999), kind=kind, scale=scale)) == [(0.5, 0.999)]


def test_after_one_step_the_most_usual_betas_come_first_and_a_second_settles_it() -> None:
    """A tenth and a thousandth of a gradient of 1, or all of one of 1/10 and a tenth of its square."""
    assert possible_betas(track([[0.0], [0.1]], [[0.0], [0.001]])) == [(0.9, 0.999), (0.0, 0.9)]
    assert possible_betas(track([[0.0], [0.1], [0.19]], [[0.0], [0.001], [0.001999]])) == [(0.9, 0.999)]


def test_what_an_optimizer_says_comes_before_what_is_usual() -> None:
    same: Any = [[1.0], [1.0]]  # a gradient of 1 in moments of 1 fits all
    assert possible_betas(track(same, same)) == list(USUAL)
    assert possible_betas(track(same, same, beta1=0.3, beta2=0.7)) == [(0.3, 0.7), *USUAL]
    stated = possible_betas(track(same, same, beta1=0.5, beta2=0.999))
    assert stated == [(0.5, 0.999), *(pair for pair in USUAL if pair != (0.5, 0.999))]
    for half in ({"beta1": 0.3}, {"beta2": 0.7}):
        assert possible_betas(track(same, same, **half)) == list(USUAL)
    assert possible_betas(adam((0.5, 0.999))) == [(0.5, 0.999)]


def test_betas_that_are_stated_and_not_used_are_not_believed() -> None:
    made = adam((0.5, 0.999))
    made.numbers.update(beta1=0.9, beta2=0.99)
    assert possible_betas(made) == [(0.5, 0.999)]


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e4])
@pytest.mark.parametrize("second", [0.9985, 0.97, 0.6, 0.123, 1 - 8.77e-5, 1 - 2.3e-6, 1 - 4e-7])
@pytest.mark.parametrize("first", [0.9, 0.5, 0.0])
def test_an_unusual_second_beta_is_written_as_short_as_it_fits(first: float, second: float, scale: float) -> None:
    """In float32 the last three are 8.768e-5, 2.32e-6 and 4.2e-7 away from 1."""
    found = possible_betas(adam((first, second), steps=4, scale=scale))
    assert found[0] == pytest.approx((first, second), abs=1e-12)


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.9, 0.9985)])
def test_betas_that_do_not_quite_fit_are_not_believed(betas: Betas) -> None:
    made = adam(betas, steps=4, kind=np.float64)
    made.unit = U
    v, exact = made.slots["v"], made.slots["v"][-1, 0]
    v[-1, 0] = 1.01 * exact
    off = 0.01 / misfit(made, betas)  # of one bound
    for times, fits in ((0.5, True), (1.5, False)):
        v[-1, 0] = exact * (1 + times * off)
        assert misfit(made, betas) == pytest.approx(times, rel=1e-3)
        assert bool(possible_betas(made)) is fits


def test_where_no_gradient_comes_the_squares_shrink_by_beta2_alone() -> None:
    """0.7 of them is left after a step; what made them was one gradient before it."""
    assert possible_betas(track([[0.0], [0.5], [0.0]], [[0.0], [0.25 * 0.3], [0.25 * 0.3 * 0.7]]))[0] == (0.0, 0.7)


def test_what_float32_flushes_to_zero_is_no_misfit() -> None:
    """Below 2^-126."""
    for size, fits in ((0.99, True), (1.01, False)):
        made = track([[0.0], [(2 * size * 2.0**-126) ** 0.5]], [[0.0], [0.0]])
        assert (misfit(made, (0.0, 0.5)) <= 1) is fits


def test_a_second_beta_of_many_digits_is_found_as_it_is() -> None:
    (found,) = possible_betas(adam((0.9, 0.98765432), steps=4, kind=np.float64))
    assert found == pytest.approx((0.9, 0.98765432), rel=1e-12)


@given(st.sampled_from(USUAL), st.integers(0, 149), st.sampled_from([("m", 1.5), ("v", 1.001)]))
def test_one_number_that_is_off_is_no_adams(betas: Betas, place: int, fault: tuple[str, float]) -> None:
    """A first moment may be further off: where the gradient is nearly 0, its square says little of it."""
    made = adam(betas)
    assert misfit(made, betas) <= 1
    slot, factor = fault
    made.slots[slot][1 + place // 50, place % 50] *= factor
    assert misfit(made, betas) > 1
    assert betas not in possible_betas(made)


def test_moments_that_no_betas_make() -> None:
    assert possible_betas(track([[0.0], [1.0]], [[0.0], [-1.0]])) == []  # a square that is negative
    assert possible_betas(track([[0.0], [0.0]], [[0.0], [1.0]])) == []  # and one of nothing
    rng = np.random.default_rng(0)
    assert possible_betas(track(rng.normal(size=(4, 20)), rng.uniform(size=(4, 20)))) == []


def test_nothing_in_nothing_out_fits_everything() -> None:
    still = np.zeros((3, 4))
    assert misfit(track(still, still), (0.9, 0.999)) == 0
    assert misfit(track(still[:, :0], still[:, :0]), (0.9, 0.999)) == 0


@pytest.mark.parametrize("unit", [2.0**-53, U, 2.0**-11])
def test_what_rounding_explains_of_moments(unit: float) -> None:
    """Four of each moment, before and after, and one of the gradient, all divided by 1 - b1; no finer than float32.

    m from 2 to 3 is a gradient of 4 at b1 = 1/2; v from 8 is 2 + 12 at b2 = 1/4, and 17 is 3 too much.
    """
    u = max(unit, U)
    noise = u * (4 * 0.5 * 2 + 4 * 3 + 4) / 0.5
    explained = u * (4 * 0.25 * 8 + 4 * 17 + 16) + 0.75 * (2 * 4 * noise + noise**2)
    made = track([[2.0], [3.0]], [[8.0], [17.0]], unit)
    assert misfit(made, (0.5, 0.25)) == pytest.approx(3 / explained, rel=1e-9)
