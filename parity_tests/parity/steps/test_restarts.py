"""What a side is given when it is run again for the envelope, seen by a stepper that keeps all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.parity.steps.deviation import BUFFER, LOSS, PARAMETER, Quantity
from twinzoo.parity.steps.envelope import Draw, Restart, restarts
from twinzoo.parity.steps.stepper import Side

Array = NDArray[Any]

TENSORS = ("w", "norm.running_mean", "optimizer.m.w", "optimizer.v.w")
WHOLE = ("index", "optimizer.rows.index")
NUMBERS: dict[str, Array] = {"optimizer.lr": np.array(0.1, np.float32), "optimizer.step": np.array(3, np.int64)}


class Spy:
    """Each step adds to all it has: what it was fed and, under `load`, the states that were put back."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.fed: list[dict[str, Array]] = []
        self.arrays: dict[str, Array] = {key: rng.uniform(1, 2, 400).astype(np.float32) for key in TENSORS}
        self.arrays |= {**NUMBERS, **{key: np.arange(5) for key in WHOLE}}

    def step(self, batch: Mapping[str, Array]) -> dict[str, float]:
        self.fed.append(dict(batch))
        for i, key in enumerate(TENSORS):
            self.arrays[key] = (self.arrays[key] + np.float32(0.5 + i)).astype(np.float32)
        self.arrays |= {key: self.arrays[key] + 7 for key in WHOLE}
        return {"loss": float(self.arrays["w"].sum(dtype=np.float64) + batch["x"].sum(dtype=np.float64))}

    def state(self) -> dict[str, Array]:
        return self.arrays


class Loaded(Spy):
    """One that can be put back, and so serves all runs in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[dict[str, Array]] = []

    def load(self, state: Mapping[str, Array]) -> None:
        self.states.append(dict(state))
        self.arrays = dict(state)


BATCH = {"x": np.linspace(1.1, 1.9, 50, dtype=np.float32), "label": np.arange(5)}


def run(given: Any, steps: int = 2, draws: int = 3) -> tuple[dict[str, Array], list[Restart]]:
    """The start, and what came of every step."""
    side = Side("a", given)
    start = side.raw()
    return start, list(restarts(side, start, [BATCH] * steps, [Draw([5, i]) for i in range(draws)]))


def ulps(moved: Array, values: Array) -> Array:
    return np.asarray((moved.astype(np.float64) - values) / np.spacing(values))


def test_a_draw_begins_at_the_floats_beside_all_tensors_and_at_the_same_numbers() -> None:
    spy = Loaded()
    start, _ = run(spy, steps=1)
    plain, *drawn = spy.states
    assert all(np.array_equal(plain[key], start[key]) for key in start)
    for state in drawn:
        assert all(np.array_equal(state[key], start[key]) for key in (*NUMBERS, *WHOLE))
        for key in TENSORS:
            away = ulps(state[key], start[key])
            assert set(away) == {-1, 1} and 0.4 < (away > 0).mean() < 0.6
    assert any((drawn[0]["w"] != other["w"]).any() for other in drawn[1:])
    assert all(np.array_equal(fed[name], BATCH[name]) for fed in spy.fed for name in BATCH)


def test_between_steps_a_draw_is_moved_as_float32_betas_move_it() -> None:
    """A whole step by 2^-15 and the squares by 2^-14, all to one side; an ulp more is the draw's own."""
    spy = Loaded()
    _, found = run(spy, draws=6)
    first, second = spy.states[:7], spy.states[7:]
    assert all(np.array_equal(second[0][key], found[0].state.tensors[key]) for key in ("w", "norm.running_mean"))
    signs = set()
    for before, after in zip(first[1:], second[1:], strict=True):
        made = {key: (before[key] + np.float32(0.5 + i)).astype(np.float32) for i, key in enumerate(TENSORS)}
        for key in ("norm.running_mean", "optimizer.m.w"):
            assert set(ulps(after[key], made[key])) == {-1, 1}
        step = float((after["w"].astype(np.float64) - made["w"]).mean() / 0.5)
        square = float((after["optimizer.v.w"] / made["optimizer.v.w"] - 1.0).mean())
        assert abs(step) == pytest.approx(2.0**-15, rel=0.05) and square == pytest.approx(2 * step, rel=0.05)
        signs.add(step > 0)
        assert all(np.array_equal(after[key], np.arange(7, 12)) for key in WHOLE)
    assert signs == {True, False}


def test_where_nothing_can_be_put_back_the_batches_are_moved() -> None:
    made: list[Spy] = []

    def fresh() -> Spy:
        made.append(Spy())
        return made[-1]

    run(fresh)
    plain, *drawn = made[1:]  # the first gave the start
    assert all(np.array_equal(fed["x"], BATCH["x"]) for fed in plain.fed) and len(drawn) == 3
    for spy in drawn:
        for fed in spy.fed:
            assert set(ulps(fed["x"], BATCH["x"])) == {-1, 1}
            np.testing.assert_array_equal(fed["label"], BATCH["label"])
        assert (spy.fed[0]["x"] != spy.fed[1]["x"]).any()


class Moving(Loaded):
    """One with a step of its own for draws, which moves what is in it."""

    def __init__(self) -> None:
        super().__init__()
        self.ones: list[Array] = []

    def step_moved(self, batch: Mapping[str, Array], move: Callable[[Array], Array]) -> dict[str, float]:
        self.ones.append(move(np.ones(100, np.float32)))
        return self.step(batch)


def test_a_draw_moves_what_is_within_a_step_as_well_where_the_side_can() -> None:
    spy = Moving()
    run(spy)
    assert len(spy.ones) == 2 * 3
    assert all(set(ulps(ones, np.ones(100, np.float32))) == {-0.5, 1} for ones in spy.ones)


def test_the_spread_is_the_largest_distance_of_a_draw_from_the_run_as_it_was() -> None:
    _, (first, second) = run(Loaded())
    assert [len(found.drawn) for found in (first, second)] == [3, 3]
    for found in (first, second):
        far = max(abs(drawn["loss"] - found.losses["loss"]) for drawn in found.drawn)
        assert far > 0 and found.spread[Quantity(LOSS, "loss")] == far
    assert {quantity.kind for quantity in first.spread} == {LOSS, PARAMETER, BUFFER, "m", "v", "rows"}
    (alone, _), (three, _) = (run(Loaded(), draws=draws)[1] for draws in (1, 3))
    assert all(three.spread[quantity] >= far for quantity, far in alone.spread.items())
    assert three.spread != alone.spread
    moved = first.spread[Quantity(PARAMETER, "w")]
    assert 2.0**-24 < moved < 2.0**-22  # an ulp of numbers between 1 and 3


class Fragile(Loaded):
    """It gives no number unless everything is just as it was."""

    def step(self, batch: Mapping[str, Array]) -> dict[str, float]:
        super().step(batch)
        return {"loss": 3.0 if np.array_equal(self.states[-1]["w"], self.states[0]["w"]) else float("nan")}


def test_a_draw_that_gives_no_number_allows_as_much_as_there_is() -> None:
    _, (found,) = run(Fragile(), steps=1)
    assert found.spread[Quantity(LOSS, "loss")] == 3
