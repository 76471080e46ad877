"""What a whole run shows: parameters that never move, a side that does not repeat itself, settings as stated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from parity_tests.parity.steps.hand_made import Told, record, recorder
from twinzoo.parity.steps.causes.cause import Cause, cause
from twinzoo.parity.steps.deviation import BUFFER, LOSS, PARAMETER, POOL, Quantity
from twinzoo.parity.steps.record import Record
from twinzoo.parity.steps.whole_run import not_itself, stated_settings, still_parameters


def moving(**far: float) -> list[Told]:
    """Two steps in which each of these goes so far."""
    return [{key: np.full(4, 8 + step * size) for key, size in far.items()} for step in range(3)]


@pytest.mark.parametrize("side", ["a", "b"])
def test_a_parameter_that_one_side_never_moves(side: str) -> None:
    still, other = moving(u=1, v=1, w=0), moving(u=1, v=1, w=0.5)
    found = still_parameters(record(still, other) if side == "a" else record(other, still))
    assert [(item.keys, item.finding.cause, item.stage, item.step) for item in found] == [
        (("w",), "grad-missing", "backward or optimizer", 1)
    ]
    assert found[0].finding.evidence == f"{side} never changes it, the other side does"


def test_each_side_is_told_what_it_never_moves() -> None:
    a, b = moving(u=1, v=0, w=0, x=2, y=2, z=0), moving(u=0, v=1, w=1, x=2, y=2, z=0)
    found = still_parameters(record(a, b, {"w": "own"}))
    assert [(item.keys, item.finding.evidence[0]) for item in found] == [(("v", "w ~ own"), "a"), (("u",), "b")]


@pytest.mark.parametrize(("far", "told"), [(2.0**-9, True), (2.0**-10, False), (2.0**-12, False)])
def test_a_thousandth_of_the_usual_way_is_no_move(far: float, told: bool) -> None:
    """The gradient of a bias before a norm is 0 on one side and a rounding on the other."""
    a, b = moving(u=4, v=4, w=4 * far), moving(u=4, v=4, w=0)
    assert bool(still_parameters(record(a, b))) is told
    assert bool(still_parameters(record(b, a))) is told


@pytest.mark.filterwarnings("error")
def test_nothing_that_both_sides_leave_alone_is_told() -> None:
    assert still_parameters(record(moving(u=1, v=0), moving(u=1, v=0))) == []
    assert still_parameters(record(moving(), moving())) == []


STEPS = 6


def repeated(anchor: str = "a", key: str = "w", at: int = 0, by: float = 0.0, loss: float = 0.0) -> Record:
    """A record whose anchor, when it is run again, is off in one step: a tensor by so much, or its loss.

    Everything is 1 and moves by 1 a step, and is allowed to be 0.5 away; the other side has three times as much.
    """
    keys = ("w", "u", "n.running_mean", "pool.h.images", "optimizer.m.w", "optimizer.m.u")
    states, others = ([{key: np.full(4, times * (1.0 + step)) for key in keys} for step in range(STEPS + 1)]
                      for times in (1, 3))  # fmt: skip
    made = record(states, others) if anchor == "a" else record(others, states)
    kinds = (PARAMETER, PARAMETER, BUFFER, POOL, "m", "m")
    names = (key.removeprefix("optimizer.m.") for key in keys)
    quantities = [Quantity(LOSS, "l"), *map(Quantity, kinds, names)]
    made.allowed = [dict.fromkeys(quantities, 0.5) for _ in range(STEPS)]
    for label, losses in zip("ab", made.losses, strict=True):
        losses += [{"l": step * (2.0 if label == anchor else 5.0)} for step in range(1, STEPS + 1)]
    again = [{name: value + by * (name == key and step == at) for name, value in told.items()}
             for step, told in enumerate(states)]  # fmt: skip
    made.anchor = anchor
    made.rerun = recorder(again), [{"l": 2.0 * step + loss * (step == at)} for step in range(1, STEPS + 1)]
    return made


def found(made: Record) -> tuple[int, tuple[str, ...]] | None:
    what = not_itself(made)
    return None if what is None else (what.step, what.keys)


@pytest.mark.parametrize("anchor", ["a", "b"])
def test_a_side_that_repeats_itself(anchor: str) -> None:
    assert not_itself(repeated(anchor)) is None
    made = repeated(anchor, at=2, by=1.0)
    made.rerun = None
    assert not_itself(made) is None


KEYS = {"w": "w", "n.running_mean": "n.running_mean", "pool.h.images": "pool.h.images", "optimizer.m.w": "w"}


@pytest.mark.parametrize("anchor", ["a", "b"])
@pytest.mark.parametrize("key", KEYS)
def test_after_three_steps_a_side_is_held_to_the_envelope_of_its_draws(key: str, anchor: str) -> None:
    assert found(repeated(anchor, key, at=4, by=0.5)) is None
    assert found(repeated(anchor, key, at=4, by=0.51)) == (4, (KEYS[key],))
    assert found(repeated(anchor, key, at=6, by=0.51)) == (6, (KEYS[key],))
    made = repeated(anchor, key, at=4, by=0.51)
    made.allowed[3].clear()
    assert found(made) is None  # what is not judged


@pytest.mark.parametrize("anchor", ["a", "b"])
def test_the_losses_of_a_side_that_is_run_again_are_asked_as_well(anchor: str) -> None:
    assert found(repeated(anchor, at=5, loss=0.51)) == (5, ("l",))
    assert found(repeated(anchor, at=5, loss=0.49)) is None
    assert found(repeated(anchor, at=1, loss=2.0**-14)) == (1, ("l",))
    assert found(repeated(anchor, at=1, loss=2.0**-16)) is None


@pytest.mark.parametrize(("key", "size"), [("optimizer.m.w", 2.0), ("n.running_mean", 2.0), ("pool.h.images", 2.0)])
def test_in_the_first_step_a_side_is_held_to_what_needs_no_draws(key: str, size: float) -> None:
    """2^-16 of its size, however far draws went: of a side that draws numbers they are no measure."""
    assert found(repeated(key=key, at=1, by=0.9 * 2.0**-16 * size)) is None
    made = repeated(key=key, at=1, by=2.0**-14 * size)
    assert found(made) == (1, (KEYS[key],))
    made.allowed[0] = dict.fromkeys(made.allowed[0], 100.0)
    assert found(made) == (1, (KEYS[key],))


@pytest.mark.parametrize(("step", "share"), [(1, 2.0**-9), (2, 2.0**-6), (3, 2.0**-3)])
def test_in_the_next_two_steps_parameters_alone_are_held_to_it(step: int, share: float) -> None:
    """Their sizes are how far they have come."""
    far = share * step
    for by, expected in ((0.9 * far, None), (1.1 * far, (step, ("u",)))):
        made = repeated(key="u", at=step, by=by)
        assert made.rerun is not None
        made.rerun = recorder([{"u": told} for told in made.rerun[0].values("u")]), made.rerun[1]
        only = record([{"u": x} for x in made.tracks[0].values("u")], [{"u": x} for x in made.tracks[1].values("u")])
        made.pairs, made.tracks = only.pairs, only.tracks
        assert found(made) == expected
    assert found(repeated(key="n.running_mean", at=3, by=0.4)) is None


@pytest.mark.parametrize(("roundings", "told"), [(8, False), (24, True)])
def test_a_side_may_be_16_roundings_from_itself(roundings: int, told: bool) -> None:
    """In float16 that is more than a share of the size."""
    values = [np.full(4, value, np.float16) for value in (4, 4, 4 + roundings * 4 * 2.0**-11)]
    made = repeated()
    only = record([{"n.running_mean": value} for value in values[:2]], [{"n.running_mean": values[0]}] * 2)
    made.pairs, made.tracks, made.allowed = only.pairs, only.tracks, made.allowed[:1]
    made.rerun = recorder([{"n.running_mean": value} for value in values[::2]]), made.losses[0]
    assert (found(made) is not None) is told


def test_what_an_optimizer_does_not_keep_the_second_time_is_not_asked() -> None:
    made = repeated()
    assert made.rerun is not None
    made.rerun = recorder([{"w": value, "u": value} for value in made.tracks[0].values("w")]), made.rerun[1]
    made.pairs = record([{"w": np.ones(4), "u": np.ones(4)}] * 2, [{"w": np.ones(4), "u": np.ones(4)}] * 2).pairs
    assert found(made) is None


def test_the_worst_is_told_with_how_far_it_is() -> None:
    made = repeated(key="u", at=4, by=4.0, loss=1.0)
    (what,) = (item for item in [not_itself(made)] if item is not None)
    assert what.keys == ("u",) and what.finding.evidence.endswith("u after step 4 is 4 away on average")
    assert what.finding.cause == "nondeterminism" and what.finding.evidence.startswith("a, run again")


Numbers = dict[str, float]


def stated(*steps: tuple[Numbers, Numbers], known: Sequence[Cause] = ()) -> list[Cause]:
    made = record([{}] * (len(steps) + 1), [{}] * (len(steps) + 1))
    made.numbers = list(steps)
    return stated_settings(made, list(known))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("lr", "lr"),
        ("lr.1", "lr"),
        ("beta1", "betas"),
        ("beta2", "betas"),
        ("eps", "optimizer-eps"),
        ("weight_decay", "weight-decay"),
    ],
)
def test_a_setting_that_is_stated_otherwise_is_told_once(name: str, kind: str) -> None:
    same: tuple[Numbers, Numbers] = ({name: 0.25, "odd": 1, "step": 1}, {name: 0.25, "odd": 2, "step": 2})
    other: tuple[Numbers, Numbers] = ({name: 0.25}, {name: 0.125})
    (item,) = stated(same, other, other)
    assert (item.step, item.stage, item.keys, item.finding.cause) == (2, "optimizer", (name,), kind)
    assert item.finding.evidence == f"a's optimizer states {name} 0.25 at step 2, b's 0.125"
    assert item.finding.fix == f"b: set {name} to 0.25"
    assert stated(same) == [] and stated(({name: 0.25}, {})) == []
    assert stated(other, known=[cause(1, "optimizer", kind, ["w"], "", "")]) == []


@pytest.mark.parametrize("flipped", [False, True])
def test_a_setting_that_is_kept_in_float32_is_the_same(flipped: bool) -> None:
    for share, count in ((2.0**-24, 0), (0.9e-6, 0), (1.1e-6, 1)):
        pair = {"lr": 0.001}, {"lr": 0.001 * (1 + share)}
        assert len(stated(pair[::-1] if flipped else pair)) == count
    assert stated(({"lr": 0.0}, {"lr": 0.0})) == [] and len(stated(({"lr": 0.0}, {"lr": 1e-9}))) == 1


def test_several_settings_are_told_in_the_order_in_which_they_are_stated() -> None:
    names = ("weight_decay", "eps", "beta2", "lr")
    a, b = (dict.fromkeys([*names, "lr.1", "lr.2"], value) for value in (1.0, 2.0))
    assert [item.keys for item in stated((a, b))] == [(name,) for name in names]


def test_a_schedule_that_is_told_is_not_told_as_a_rate_again() -> None:
    other: tuple[Numbers, Numbers] = ({"lr": 1.0, "eps": 1.0}, {"lr": 2.0, "eps": 2.0})
    schedule = cause(2, "schedule", "schedule", ["w"], "", "")
    assert [item.finding.cause for item in stated(other, known=[schedule])] == ["optimizer-eps"]
    assert {item.finding.cause for item in stated(other)} == {"lr", "optimizer-eps"}
