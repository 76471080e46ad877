"""What a step is allowed, rule by rule, on distances made by hand: with the envelope of draws, and without one."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from twinzoo.parity.steps.deviation import BUFFER, LOSS, PARAMETER, Apart, Quantity
from twinzoo.parity.steps.judge import Judge, over

Found = dict[Quantity, Apart]


def many(kind: str, apart: Iterable[tuple[float, float]]) -> Found:
    """Quantities of one kind by number: (distance, size)."""
    return {Quantity(kind, str(i)): Apart(distance, size, 0.0) for i, (distance, size) in enumerate(apart)}


def limits(found: Found, reached: Iterable[float]) -> list[float]:
    """What is allowed of each, where draws reached so far."""
    _, allowed = Judge().with_envelope(found, dict(zip(found, reached, strict=True)))
    return [allowed[quantity] for quantity in found]


def test_sixteen_times_the_draws_and_no_more() -> None:
    (weight,) = found = many(PARAMETER, [(17.0, 1000.0)])
    ratios, allowed = Judge().with_envelope(found, {weight: 1.0})
    assert (ratios, allowed) == ({weight: 17 / 16}, {weight: 16.0})


def test_what_draws_reached_in_one_step_is_allowed_in_all_that_follow() -> None:
    (weight,) = found = many(PARAMETER, [(0.0, 1000.0)])
    judge = Judge()
    allowed = [judge.with_envelope(found, {weight: far})[1][weight] for far in (0.5, 2.0, 1.0)]
    assert allowed == [8.0, 32.0, 32.0]


def test_a_quantity_no_draw_moved_is_allowed_its_share_of_the_median_of_its_kind_alone() -> None:
    moments = many("m", [(0, 0.5), (0, 0.5), (0, 0.25)])
    losses = many(LOSS, [(0, 100)])
    assert limits(moments | losses, [2.0**-7, 3 * 2.0**-7, 0, 50]) == [2.0**-3, 3 * 2.0**-3, 2.0**-4, 800]


def test_what_is_0_has_no_share_and_is_rounding_alone() -> None:
    """One side's kernel may give 0 where the other's gives a rounding: a bias before a norm over one pixel."""
    moments = many("m", [(0, 100), (0, 100), (0, 0)])
    assert limits(moments, [2, 3, 0])[2] == 16 * 2
    assert limits(many("m", [(0, 100), (0, 0)]), [0, 0]) == [0, 0]


@pytest.mark.parametrize(("reached", "allowed"), [(0.2, 16 * 0.2), (0.25, 16 * 5), (0.3, 16 * 5)])
def test_what_is_rounding_alone_is_allowed_the_median_distance_of_its_kind(reached: float, allowed: float) -> None:
    """A quarter of its size: draws say nothing of how large it is, other quantities of its kind do."""
    found = many("m", [(0, 1), (0, 1000), (0, 1000)]) | many(LOSS, [(0, 1000)])
    assert limits(found, [reached, 5, 6, 200])[0] == pytest.approx(allowed)


def test_the_first_moment_has_no_share_in_what_float32_betas_make_of_the_second() -> None:
    found = many("m", [(0, 100)]) | many("v", [(0, 100)]) | many(PARAMETER, [(0, 100)])
    assert limits(found, [0, 0, 0]) == [0, 100 * 2.0**-14, 100 * 2.0**-15]
    assert limits(many(PARAMETER, [(0, 100)]), [0]) == [0]


def allowed_later(judge: Judge, *, adam: bool, reached: Iterable[float]) -> list[float]:
    """What is allowed of a parameter of size 1,000, step after step, over what its draws reached."""
    (weight,) = found = many(PARAMETER, [(0, 1000)])
    found |= many("v", [(0, 1000)]) if adam else {}
    return [judge.with_envelope(found, {weight: far})[1][weight] / far for far in reached]


@pytest.mark.parametrize(("loaded", "adam"), [(True, True), (True, False), (False, False)])
def test_draws_that_had_the_error_of_float32_betas_or_need_none_stand_for_themselves(loaded: bool, adam: bool) -> None:
    assert allowed_later(Judge(loaded), adam=adam, reached=[0.001, 0.1, 0.2])[1:] == pytest.approx([16, 16])
    assert allowed_later(Judge(), adam=adam, reached=[0.001, 0.1, 0.2])[1:] == pytest.approx([16, 16])


def test_how_far_draws_of_batches_fall_short_is_measured_in_the_first_step() -> None:
    """There they reached a millionth where float32 betas make 2^-15; training amplifies both alike after it."""
    found = allowed_later(Judge(loaded=False), adam=True, reached=[0.001, 1, 100])
    factor = 4 * 2.0**-15 / 1e-6
    assert found == pytest.approx([2.0**-15 * 1000 / 0.001, factor, factor])
    nothing = allowed_later(Judge(loaded=False), adam=True, reached=[1e-30, 1, 100])
    assert nothing[1:] == pytest.approx([4 * 2.0**9] * 2)  # it is a rounding at the least


def test_without_an_envelope_a_share_of_the_size_is_allowed_and_sixteen_roundings() -> None:
    found = many(LOSS, [(2.0**-12, 8), (2.0**-12, 1), (2.0**-12, 4)]) | many(BUFFER, [(2.0**-12, 1)])
    ratios, allowed = Judge.without(found, 1)
    quarter = 2.0**-16 * 8 / 4  # of the largest of a kind: no less is allowed of the others
    assert list(allowed.values()) == [2.0**-13, quarter, 2.0**-14, 2.0**-16]
    assert list(ratios.values()) == [2, 8, 4, 16]
    rough = {Quantity(LOSS, "l"): Apart(1.0, 1.0, 0.5)}
    assert Judge.without(rough, 1) == ({Quantity(LOSS, "l"): 0.125}, {Quantity(LOSS, "l"): 8.0})


@pytest.mark.parametrize(("step", "share"), [(1, 2.0**-9), (2, 2.0**-6), (3, 2.0**-3)])
def test_without_an_envelope_parameters_are_judged_in_three_steps(step: int, share: float) -> None:
    found = many(PARAMETER, [(1, 1)]) | many(LOSS, [(1, 1)])
    ratios, allowed = Judge.without(found, step)
    weight, loss = found
    assert allowed == {weight: share, loss: share / 2**7}
    assert ratios == ({weight: 1 / share, loss: 2.0**16} if step == 1 else {weight: 1 / share})
    assert Judge.without(found, 4) == ({}, {})


@pytest.mark.parametrize(
    ("far", "ratios"),
    [
        ([0.5, 0.75, 9], [0.5, 0.75, 0.75]),
        ([0.5, 1, 9], [0.5, 1, 1]),
        ([0.5, 1.25, 9], [0.5, 1.25, 9]),
    ],
)
def test_without_an_envelope_few_parameters_may_go_anywhere(far: list[float], ratios: list[float]) -> None:
    """Adam moves what is rounding alone by whole steps; only where most parameters are apart is it more than that."""
    found = many(PARAMETER, [(distance * 2.0**-9, 1) for distance in far])
    loss = many(LOSS, [(2.0**-14, 1)])
    assert list(Judge.without(found | loss, 1)[0].values()) == [*ratios, 4]
    assert list(Judge.without(loss, 1)[0].values()) == [4]


def test_a_distance_is_infinitely_much_where_none_is_allowed() -> None:
    assert (over(0.0, 0.0), over(3.0, 2.0), over(1e-30, 0.0)) == (0, 1.5, float("inf"))


def test_of_two_quantities_the_one_that_is_rounding_alone_says_nothing_of_the_other() -> None:
    """Behind a bias before a batch norm the running mean is lost in rounding, and the variance is not."""
    buffers = many(BUFFER, [(1.0, 1.0), (0.06, 0.96)])
    assert limits(buffers, [2.6, 1e-5])[1] == pytest.approx(16e-5)
    assert limits(many(BUFFER, [(0, 1.0), (0, 1.0)]), [0.2, 0.1])[1] == pytest.approx(16 * 0.15)
