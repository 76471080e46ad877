"""How far two states are apart, and what one parameter went through: on arrays made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import DTypeLike, NDArray

from parity_tests.parity.steps.numpy_run import batches
from twinzoo.parity.steps.compare import compare_steps
from twinzoo.parity.steps.deviation import (
    BUFFER,
    LOSS,
    PARAMETER,
    POOL,
    Apart,
    Quantity,
    losses_apart,
    roundoff,
    states_apart,
)
from twinzoo.parity.steps.envelope import Draw
from twinzoo.parity.steps.state import GRADIENT, State
from twinzoo.parity.steps.tracks import SAMPLE, Recorder

Array = NDArray[Any]

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("kind", "unit"),
    [
        (np.float64, 2.0**-53),
        (np.float32, 2.0**-24),
        (np.float16, 2.0**-11),
        (ml_dtypes.bfloat16, 2.0**-8),
        (np.int64, 2.0**-24),
    ],
)
def test_the_unit_roundoff_is_half_the_distance_to_the_number_after_1(kind: DTypeLike, unit: float) -> None:
    one = np.ones(1, kind)
    assert roundoff(one) == unit
    if one.dtype.kind != "i":
        assert float(np.nextafter(one, np.full_like(one, 2))[0]) == 1 + 2 * unit


@pytest.mark.parametrize(("a", "b", "distance", "size"), [(NAN, 2, INF, 0), (2, INF, INF, 2), (NAN, NAN, 0, 0)])
def test_a_loss_that_is_no_number_is_infinitely_far_from_one_that_is(
    a: float, b: float, distance: float, size: float
) -> None:
    (found,) = losses_apart({"l": a}, {"l": b}).values()
    assert found == Apart(distance, size, size * 2.0**-24)


def test_losses_stay_in_the_order_in_which_they_are_returned() -> None:
    names = [f"loss_{i}" for i in range(9, 0, -1)]
    found = losses_apart(dict.fromkeys([*names, "a"], 1.0), dict.fromkeys([*reversed(names), "b"], 1.0))
    assert [quantity.name for quantity in found] == names


def apart(x: State, y: State, start: State | None = None) -> dict[Quantity, Apart]:
    return states_apart(x, y, State() if start is None else start)


def test_a_tensor_counts_by_its_mean_and_a_parameter_by_how_far_it_has_moved() -> None:
    x, y, start = (np.array(values, np.float32) for values in ([3, -5], [4, -5], [2, -1]))
    (found,) = apart(State({"w": x}), State({"w": y}), State({"w": start})).items()
    assert found == (Quantity(PARAMETER, "w"), Apart(0.5, 2.5, 4 * 2.0**-24))
    (new,) = apart(State({"w": x}), State({"w": y})).values()  # only there once a batch was
    assert new.size == 4
    ours, theirs, origin = (State({"n.running_mean": v}) for v in (x, y, start))
    (buffer,) = apart(ours, theirs, origin).items()
    assert buffer == (Quantity(BUFFER, "n.running_mean"), Apart(0.5, 4, 4 * 2.0**-24))


def test_the_coarser_of_two_types_says_what_a_rounding_is() -> None:
    wide, half = State({"w": np.ones(2)}), State({"w": np.ones(2, np.float16)})
    assert [found.unit for pair in ((wide, half), (half, wide)) for found in apart(*pair).values()] == [2.0**-11] * 2


def test_a_tensor_without_elements_is_nowhere_apart() -> None:
    empty = State({"w": np.ones((0, 3))}, {"m": {"w": np.ones((0, 3))}})
    assert set(apart(empty, empty, empty).values()) == {Apart(0, 0, 0)}


@pytest.mark.parametrize("told", ["a", "b", "both", ""])
def test_what_an_optimizer_of_either_side_keeps_something_for_is_a_parameter(told: str) -> None:
    """Where neither tells what it keeps, all that is no running statistic is one."""
    tensors = {"w": np.ones(2), "mask": np.ones(2), "n.running_var": np.ones(2), "pool.h.images": np.ones(2)}
    a, b = (State(tensors, {"m": {"w": np.ones(2)}} if told in (side, "both") else {}) for side in "ab")
    kinds = {quantity.name: quantity.kind for quantity in apart(a, b) if quantity.kind != "m"}
    mask = BUFFER if told else PARAMETER
    assert kinds == {"w": PARAMETER, "mask": mask, "n.running_var": BUFFER, "pool.h.images": POOL}
    assert (Quantity("m", "w") in apart(a, b)) == (told == "both")


def test_what_both_sides_have_in_one_shape_is_compared_and_nothing_else() -> None:
    a = State({"w": np.ones(2), "other": np.ones(2), "x": np.ones(3)}, {"m": {"w": np.ones(2), "x": np.ones(3)}})
    b = State({"w": np.ones(2), "other": np.ones(4), "y": np.ones(3)}, {"m": {"w": np.zeros(2)}})
    assert apart(a, b) == {Quantity(PARAMETER, "w"): Apart(0, 1, 2.0**-53), Quantity("m", "w"): Apart(1, 1, 2.0**-53)}


def test_a_quantity_is_called_by_its_name_and_a_slot_is_said() -> None:
    kinds = (LOSS, PARAMETER, BUFFER, POOL, "m")
    assert [str(Quantity(kind, "x")) for kind in kinds] == ["loss x", "x", "x", "x", "m x"]


class Brain:
    """Least squares in bfloat16, by hand.

    Args:
        stored: products are rounded before the targets are taken from them, as another kernel would.
    """

    def __init__(self, stored: bool = False, lr: float = 0.05) -> None:
        self._stored, self._lr = stored, lr
        self._w = np.random.default_rng(3).normal(size=(6, 3)).astype(ml_dtypes.bfloat16)

    def step(self, batch: Mapping[str, Array]) -> dict[str, float]:
        x, w = batch["x"], self._w.astype(np.float32)
        made = (x @ w).astype(ml_dtypes.bfloat16).astype(np.float32) if self._stored else x @ w
        off = (made - batch["y"]).astype(ml_dtypes.bfloat16).astype(np.float32)
        self._w = (w - np.float32(self._lr) * (x.T @ off) / np.float32(len(x))).astype(ml_dtypes.bfloat16)
        return {"loss": float((off * off).mean(dtype=np.float32))}

    def state(self) -> dict[str, Array]:
        return {"w": self._w}

    def load(self, state: Mapping[str, Array]) -> None:
        self._w = state["w"]


@pytest.mark.parametrize("seed", range(4))
def test_clean_twins_in_bfloat16_are_not_accused(seed: int) -> None:
    report = compare_steps(Brain, partial(Brain, stored=True), batches(12, seed))
    assert report.ok, str(report)
    assert not compare_steps(Brain, partial(Brain, stored=True, lr=0.2), batches(12, seed)).ok


def test_a_draw_moves_bfloat16_by_an_ulp_of_its_own() -> None:
    values = np.array([1.0, -3.0, 0.0, 100.0], ml_dtypes.bfloat16)
    moved = Draw([0])(values)
    assert moved.dtype == values.dtype
    wide = values.astype(np.float64)
    assert (np.abs(moved.astype(np.float64) - wide) / np.array([1, 2, 1, 64]) <= 2.0**-7).all()
    assert ((moved != values) == (values != 0)).all()


def made(*states: State) -> Recorder:
    recorder = Recorder()
    for state in states:
        recorder.add(state)
    return recorder


def test_a_track_has_the_start_and_every_step_after_it() -> None:
    """What was not there yet is 0; gradients have no start."""
    values = [np.array(value, np.float16) for value in ([1, 2], [3, 5], [4, 9])]
    states = [State({"w": value, "other": np.ones(3)}) for value in values]
    states[1].slots = {GRADIENT: {"w": values[0]}, "m": {"w": values[0], "other": np.ones(3)}}
    states[2].slots = {GRADIENT: {"w": values[1]}, "m": {"w": values[2], "other": np.ones(3)}}
    recorder = made(*states)
    track = recorder.track("w")
    assert (track.unit, track.steps) == (2.0**-11, 2)
    np.testing.assert_array_equal(track.values, values)
    np.testing.assert_array_equal(track.moves, [[2, 3], [1, 4]])
    assert track.slots.keys() == {"m"} and track.gradients is not None
    np.testing.assert_array_equal(track.slots["m"], np.stack([0 * values[0], values[0], values[2]]))
    np.testing.assert_array_equal(track.gradients, values[:2])
    other = recorder.track("other")
    assert other.gradients is None and other.slots["m"].shape == (3, 3)
    assert recorder.trained == {"w", "other"}


def test_a_tensor_that_comes_with_the_first_batch_was_0_before() -> None:
    recorder = made(State(), State({"pool.h.images": np.ones(2)}))
    np.testing.assert_array_equal(recorder.values("pool.h.images"), [[0, 0], [1, 1]])


def test_steps_are_counted_as_the_optimizer_says_and_else_from_1() -> None:
    numbers = [{}, {"step": 0.0}, {"step": 1.0, "step.v": 9.0}, {"step": -1.0}, {}]
    recorder = made(*(State({"w": np.ones(1), "v": np.ones(1)}, numbers=given) for given in numbers))
    assert [list(recorder.track(key).count) for key in "wv"] == [[1, 1, 3, 4], [1, 9, 3, 4]]


def test_what_an_optimizer_says_of_itself_last_is_known_of_each_parameter() -> None:
    numbers = [{"lr": 1.0}, {"lr": 2.0, "lr.w": 3.0, "eps": 0.5, "odd": 1.0}]
    recorder = made(*(State({"w": np.ones(1), "v": np.ones(1)}, numbers=given) for given in numbers))
    assert [recorder.track(key).numbers for key in "wv"] == [{"lr": 3, "eps": 0.5}, {"lr": 2, "eps": 0.5}]


def test_running_statistics_and_histories_are_no_parameters() -> None:
    keys = ("w", "n.running_mean", "pool.h.count", "mask")
    assert made(State({key: np.ones(1) for key in keys})).names() == ["w", "mask"]


@pytest.mark.parametrize("size", [SAMPLE - 1, SAMPLE, SAMPLE + 1])
def test_a_tensor_is_kept_whole_up_to_1024_elements(size: int) -> None:
    (values,) = made(State({"w": np.arange(size).reshape(1, -1)})).values("w")
    assert values.dtype == np.float64
    assert len(values) == min(size, 1024) and (values[0], values[-1]) == (0, size - 1)
