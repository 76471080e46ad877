"""What a side is asked for and when, how its state is read, and how two states are paired: single rules."""

from __future__ import annotations

from functools import partial
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import twinzoo as tz
from parity_tests.parity.steps.numpy_run import Loading, Run, Telling, batches
from twinzoo.converters.forms.values import Value, kept
from twinzoo.parity.steps.compare import compare_steps
from twinzoo.parity.steps.pairs import Pairs, different_starts, pair, unpaired_slots
from twinzoo.parity.steps.state import GRADIENT, State, is_buffer, read_state
from twinzoo.parity.steps.stepper import Side

W, B = np.ones((2, 3)), np.ones(2)


def test_gradients_are_asked_for_after_a_step_and_by_the_names_of_tensors() -> None:
    class Late(Telling):
        def gradients(self) -> dict[str, Any]:
            assert self.t > 0, "there was no step yet"
            return {**super().gradients(), "x": W}

    assert compare_steps(Late, partial(Late, backwards=True), batches(2)).ok
    side = Side("a", Late)
    side.step(batches(1)[0])
    assert side.read().slots[GRADIENT].keys() == side.stepper.p.keys()
    assert GRADIENT not in side.read(stepped=False).slots


def test_a_state_may_be_of_any_numbers() -> None:
    class Odd(Run):
        more: Any = None

        def state(self) -> dict[str, Any]:
            return {**super().state(), "odd": self.more}

    for value in (np.ones(2, ml_dtypes.bfloat16), np.ones(2, np.int64), np.array([True]), 3.0):
        side = Side("a", Odd())
        side.stepper.more = value
        assert side.raw()["odd"].dtype == np.asarray(value).dtype
    side.stepper.more = np.array(1j)
    with pytest.raises(tz.ParityError, match=r"a.state\(\)\['odd'\] is no array of numbers: complex128"):
        side.raw()


class OnDevice:
    """A tensor that its framework does not give away."""

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("Use tensor.detach().numpy() instead.\nMore lines")


def test_what_a_framework_does_not_give_away_is_told_in_one_line() -> None:
    class Given(Telling):
        more: Any = {}
        pushed: Any = {}

        def state(self) -> dict[str, Any]:
            return {**super().state(), **self.more}

        def gradients(self) -> dict[str, Any]:
            return {**super().gradients(), **self.pushed}

    side = Side("b", Given())
    side.stepper.more = {"w": OnDevice()}
    with pytest.raises(
        tz.ParityError, match=r"b.state\(\)\['w'\] is no array: Use tensor.detach\(\).numpy\(\) instead.$"
    ):
        side.read()
    side.stepper.more, side.stepper.pushed = {}, {"last.bias": OnDevice()}
    with pytest.raises(tz.ParityError, match=r"b.gradients\(\)\['last.bias'\] is no array"):
        side.read()
    side.stepper.pushed = {"last.bias": None}  # as torch has it where no gradient came
    side.step(batches(1)[0])
    assert side.read().slots[GRADIENT].keys() == side.stepper.p.keys() - {"last.bias"}


@pytest.mark.parametrize("word", ["running_mean", "running_var", "moving_mean", "moving_variance"])
def test_running_statistics_are_known_by_their_names_in_both_frameworks(word: str) -> None:
    assert is_buffer(f"block.norm.{word}") and is_buffer(word)
    assert not is_buffer(f"{word}.weight") and not is_buffer("block.norm.gamma")


def test_a_number_of_one_parameter_comes_before_that_of_all() -> None:
    state = State(numbers={"lr": 0.1, "lr.w": 0.2})
    assert (state.number("lr", "w"), state.number("lr", "b"), state.number("lr")) == (0.2, 0.1, 0.1)
    assert state.number("eps", "w") is None


def numbered(**shapes: Any) -> State:
    """Parameters w (2, 3), b (2,), and what torch's optimizer keeps under these numbers."""
    kept_ = {f"optimizer.state.{name[1:]}.exp_avg": np.ones(shape) for name, shape in shapes.items()}
    return read_state({"fc.w": W, "fc.running_mean": np.ones(2), "fc.b": B, "fc.one": np.ones(1)} | kept_)


def test_numbers_of_torch_are_places_among_the_parameters() -> None:
    assert numbered(_0=(2, 3), _1=2, _2=1).slots["m"].keys() == {"fc.w", "fc.b", "fc.one"}
    assert not numbered(_0=2).slots  # a two-element slot in the place of another shape
    assert not numbered(_0=(2, 3), _3=2).slots  # more than there are


def test_numbers_of_two_optimizers_of_torch_are_no_places() -> None:
    """Each counts its own parameters from 0: the first of the second would be taken for the first of all."""
    kept_ = {f"optimizer_{name}.state.0.exp_avg": W * i for i, name in enumerate("gd")}
    state = read_state({"g.w": W, "d.w": W} | kept_)
    assert not state.slots and state.others.keys() == kept_.keys()


def test_groups_of_torch_have_numbers_of_their_own() -> None:
    words = {"0.lr": 0.1, "1.lr": 0.2, "0.params.0": 0.0, "1.params.0": 1.0, "0.amsgrad": 0.0}
    state = read_state({"w": W} | {f"optimizer.param_groups.{key}": np.array(x) for key, x in words.items()})
    assert state.numbers == {"lr": 0.1, "lr.1": 0.2, "amsgrad": 0.0} and not state.others


def test_what_an_optimizer_keeps_is_told_by_name_and_shape() -> None:
    found = {
        "optimizer.step": np.array([3]),
        "optimizer.exotic": np.array(0.5),
        "optimizer.m.w": W,
        "optimizer.row.w": np.ones(2),
        "optimizer.lr": np.ones(2),
        "optimizer.count.x": np.array(1.0),
        "optimizer.endless": np.array(np.inf),
        "optim_g.v.w": W,
    }
    state = read_state({"w": W} | found)
    assert state.numbers == {"step": 3.0, "exotic": 0.5}
    assert {slot: [*arrays] for slot, arrays in state.slots.items()} == {"m": ["w"], "v": ["w"]}
    assert [*state.others] == ["optimizer.row.w", "optimizer.lr", "optimizer.count.x", "optimizer.endless"]


def test_what_one_optimizer_keeps_alone_is_told_by_side_and_slot() -> None:
    def one(**slots: list[str]) -> State:
        return State(slots={slot: dict.fromkeys(keys, W) for slot, keys in slots.items()})

    for a, b, has, lacks in (
        (one(m=["w", "b"], gradient=["w"]), one(m=["w"]), "a", "b"),
        (one(m=["w"]), one(m=["w", "b"], gradient=["w"]), "b", "a"),
    ):
        (found,) = unpaired_slots(a, b)
        assert (found.layer, found.cause) == ("b", "grad-missing")
        assert found.evidence == f"{has}'s optimizer keeps m for it, {lacks}'s does not"
        assert found.fix.startswith(f"give this parameter to {lacks}'s optimizer")
    for a, b, has, lacks in (
        (one(m=["w"], v=["w"]), one(m=["w"]), "a", "b"),
        (one(m=["w"]), one(m=["w"], v=["w"]), "b", "a"),
    ):
        (found,) = unpaired_slots(a, b)
        assert (found.layer, found.cause) == ("w", "unexplained")
        assert found.evidence == f"{has}'s optimizer keeps v for it, {lacks}'s keeps no such thing"
        assert found.fix == "use the same optimizer on both sides"
    assert not unpaired_slots(one(gradient=["w"]), one(m=["w"]))  # its optimizer's state is not told at all
    for names, others, has in ((["odd", "w"], ["odd"], "a"), ([], ["w"], "b")):
        a, b = (State(slots={"m": {"w": W}}, others=dict.fromkeys(given, W)) for given in (names, others))
        (found,) = unpaired_slots(a, b)
        assert found.layer == "w" and found.evidence.startswith(f"only {has} has this")


def test_side_b_is_carried_with_its_slots_and_numbers_under_the_names_of_a() -> None:
    pairs = Pairs({"w": kept("own", (3, 2)), "b": kept("b", (2,))}, [])
    b = State({"own": W, "b": B}, {"m": {"own": 2 * W}}, {"lr": 0.1, "step.own": 3.0, "lr.1": 0.5}, {"odd": B})
    found = pairs.carried(b)
    assert found.tensors["w"].shape == (3, 2) and found.tensors.keys() == {"w", "b"}
    assert found.slots.keys() == {"m"} and found.slots["m"].keys() == {"w"}
    assert found.numbers == {"lr": 0.1, "step.w": 3.0, "lr.1": 0.5} and found.others == {"odd": B}
    assert (pairs.label("w"), pairs.label("b"), pairs.label("loss")) == ("w ~ own", "b", "loss")


def test_what_is_known_to_belong_together_is_paired_and_the_rest_by_name() -> None:
    a = State({"one": W, "two": 2 * W, "b": B})
    b = State({"one": 2 * W, "two": W.reshape(3, 2), "b": B})
    found = pair(a, b, {"one": "two", "two": "one"})
    values = found.values
    assert not found.findings
    assert {key: value.sources for key, value in values.items()} == {"one": ("two",), "two": ("one",), "b": ("b",)}
    assert values["one"].shape == (2, 3)
    with pytest.raises(tz.ParityError, match="pairs: a has no tensor 'none'"):
        pair(a, b, {"none": "one"})


def test_tensors_that_are_not_told_apart_are_a_finding_and_not_guessed() -> None:
    """Not by what they hold either: at the start many tensors hold the same."""
    a, b = ({f"{name}.weight": W[:, :2] * i for i, name in enumerate(names)} for names in (["x", "y"], ["q", "p"]))
    found = pair(State(a), State(b), {})
    assert not found.values and [line.layer for line in found.findings] == ["x, y ~ q, p"]
    assert "not told apart by names, shapes or order" in found.findings[0].evidence


@pytest.mark.parametrize(("given", "restartable"), [(Run(), False), (Loading(), True), (Run, True), (Loading, True)])
def test_a_side_is_restarted_by_a_function_that_makes_it_or_by_loading(given: Any, restartable: bool) -> None:
    assert Side("a", given).restartable == restartable


def different(a: Any, b: Any, *, exact: bool = True) -> list[str]:
    """The evidence for one tensor that is `a` on side a and `b` on side b before the first step."""
    pairs = Pairs({"w": Value(("w",), (2,), "", lambda arrays: arrays["w"], exact)}, [])
    ours, theirs = (State({"w": np.array(value)}, {"m": {"w": W}}) for value in (a, b))
    return [found.evidence for found in different_starts(ours, theirs, pairs)]


def test_a_start_is_the_same_where_every_number_is() -> None:
    nan, inf = np.nan, np.inf
    assert not different([1.0, nan], [1.0, nan]) and not different([inf, -inf], [inf, -inf])
    assert not different([1e-37, 0.0], [0.0, 0.0])  # what a device flushes to zero
    assert different([1.0, nan], [1.0, 2.0]) == ["differs before the first step in 1 of 2 values, largest |a-b| nan"]
    assert different([1.0, 3.0], [1.5, 5.0]) == ["differs before the first step in 2 of 2 values, largest |a-b| 2"]
    assert different([1.0, 1e-37], [1.5, 0.0]) == ["differs before the first step in 1 of 2 values, largest |a-b| 0.5"]
    assert different([1.0, inf], [1.0, -inf]) == ["differs before the first step in 1 of 2 values, largest |a-b| inf"]


def test_what_is_carried_by_arithmetic_may_differ_by_its_rounding() -> None:
    assert not different([1.0, -100.0], [1.0 + 4e-5, -100.0], exact=False)
    assert different([1.0, -100.0], [1.0 + 5e-5, -100.0], exact=False)
    assert different([1.0, -100.0], [1.0 + 4e-5, -100.0])


def test_moments_must_start_alike_as_well() -> None:
    pairs = Pairs({"w": kept("own", (2,))}, [])
    a, b = (
        State({"w": B}, {"m": {"w": B * factor}, GRADIENT: {"w": B * factor}, s: {"w": B}})
        for factor, s in ((1, "v"), (2, "u"))
    )
    (found,) = different_starts(a, b, pairs)
    assert (found.layer, found.cause) == ("m of w ~ own", "weight-value")
    assert not different_starts(State({"w": B, "x": B}), State({"w": B}), pairs)
