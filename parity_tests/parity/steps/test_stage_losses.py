"""What is said of losses that differ: which of them are explained, by what, and what the rest shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.parity.steps.hand_made import record, state
from parity_tests.parity.steps.numpy_run import Run, batches
from parity_tests.parity.steps.test_pools import Remembering
from twinzoo.parity.steps.causes.cause import Cause, cause
from twinzoo.parity.steps.compare import compare_steps
from twinzoo.parity.steps.deviation import BUFFER, LOSS, PARAMETER, Quantity
from twinzoo.parity.steps.pairs import Pairs, pair
from twinzoo.parity.steps.record import Record
from twinzoo.parity.steps.stage_losses import losses_at, lost_losses, scaled_loss
from twinzoo.parity.steps.stepper import Side

Array = NDArray[Any]
Losses = dict[str, float]


class Once:
    """Its losses are sums over its parameters and labels; nothing trains, and it cannot be run again.

    Args:
        arrays: its state.
        drawn: what each step adds to all losses.
    """

    def __init__(self, arrays: Mapping[str, Array], drawn: float = 0.0) -> None:
        self.arrays, self.drawn, self.steps = dict(arrays), drawn, 0
        self._keys = tuple(arrays)

    def step(self, batch: Mapping[str, Array]) -> Losses:
        self.steps += 1
        off = self.drawn * self.steps
        labels = float((batch["y"] * WEIGHTS).sum())
        looked_at = sum(float(self.arrays[key].sum()) for key in self._keys if key != "net.w")
        weights = looked_at * float(batch["y"].sum()) / 2
        return {"critic": weights + off, "label": labels + off, "still": 1.0 + off}

    def state(self) -> dict[str, Array]:
        return self.arrays


class Judged(Once):
    """One that can be."""

    def load(self, given: Mapping[str, Array]) -> None:
        self.arrays, self.steps = dict(given), 0


START = {"critic.w": np.array([1.0, 2.0]), "net.w": np.ones(3)}
OWN = {"own.w": np.array([[1.0], [2.0]]), "net.w": np.ones(3)}
"""The same under another name and in another shape."""

LIMIT = 1e-4
BATCH = {"y": np.array([1.0, 1.0, 0.0, 0.0])}
WEIGHTS = np.array([0.3, 1.17, 2.9, 3.77])


def judged(
    a: Losses,
    b: Losses,
    *,
    runs: str = "a",
    drawn: float = 0.0,
    after: float = 3.0,
    swapped: bool = False,
    kept: str = "",
) -> Record:
    """A record of these losses in the first step; the side that `runs` can be loaded, the other has updated its critic.

    In the second step they are neither a multiple of each other nor a constant apart.

    Args:
        drawn: what a step of the side that runs adds to its losses.
        after: the sum of the other side's critic after the first step.
        swapped: the names of the sides' states, so that b has the plain ones.
        kept: what the critic looks at beside its weights: 0 before the step, 0.9077 after it.
    """
    more = {kept: np.zeros(2)} if kept else {}
    starts = (OWN | more, START | more) if swapped else (START | more, OWN | more)
    names = {"own.w": "critic.w"} if swapped else {"critic.w": "own.w"}
    pairs = pair(state(starts[0]), state(starts[1]), names)
    steppers = [(Judged if label in runs else Once)(start, drawn) for label, start in zip("ab", starts, strict=True)]
    sides = Side("a", steppers[0]), Side("b", steppers[1])
    made = Record(sides, (dict(starts[0]), dict(starts[1])), pairs, [BATCH, {"y": np.zeros(4)}])
    for told, losses in zip((a, b), made.losses, strict=True):
        losses += [told, {name: value * (1.31 if told is b else 1.0) + 0.77 for name, value in told.items()}]
    made.allowed = [{Quantity(LOSS, name): limit for name in a} for limit in (LIMIT, LIMIT / 100)]
    new = [
        {key: value * (1.0 if key == "net.w" else after / 3) + 0.9077 * (key == kept) for key, value in start.items()}
        for start in starts
    ]
    made.first = state(new[0]), pairs.carried(state(new[1]))
    return made


SAME = {"critic": 3.0, "label": 1.47, "still": 1.0}


def causes(made: Record, *wrong: str, step: int = 1) -> list[tuple[str, tuple[str, ...]]]:
    return [(item.finding.cause, item.keys) for item in losses_at(made, step, list(wrong), {})]


def test_nothing_is_said_of_losses_that_agree() -> None:
    assert losses_at(judged(SAME, SAME, drawn=1.0), 1, [], {}) == []


def test_labels_that_explain_a_loss_are_told_beside_the_factor_of_another() -> None:
    made = judged(SAME, {"critic": 6.0, "label": 2.9 + 3.77, "still": 1.0})
    assert causes(made, "critic", "label") == [("scale", ("critic",)), ("label", ("label",))]
    assert causes(made, "critic") == [("scale", ("critic",))]
    made = judged(SAME, {"critic": 6.0, "label": 2.9 + 3.77 + 2 * LIMIT, "still": 1.0})
    assert causes(made, "critic", "label") == [("scale", ("critic",))]


def test_labels_and_orders_explain_the_first_step_alone() -> None:
    """A loss that no label changes would be reproduced by any labels where the sides still agreed."""
    made = judged(SAME, SAME)
    for losses, value in zip(made.losses, (1.0, 1.77), strict=True):
        losses[1] = {**SAME, "still": value}
    assert causes(made, "still", step=2) == []


@pytest.mark.parametrize("loss", ["critic", "label"])
def test_a_side_that_cannot_be_run_again_is_left_alone(loss: str) -> None:
    made = judged(SAME, SAME | {loss: {"critic": 4.9231, "label": 2.9 + 3.77}[loss]}, runs="", after=4.9231)
    assert causes(made, loss) == []
    assert [side.stepper.steps for side in made.sides] == [0, 0]


@pytest.mark.parametrize("side", ["a", "b"])
def test_a_side_whose_first_step_gives_something_else_again_draws(side: str) -> None:
    made = judged(SAME, SAME | {"still": 1.5773}, runs=side, drawn=2 * LIMIT)
    made.losses["ab".index(side)][0] = dict(SAME)
    assert causes(made, "still") == [("nondeterminism", ("critic", "label", "still"))]
    made = judged(SAME, SAME | {"still": 1.5773}, runs="a", drawn=0.9 * LIMIT)
    assert causes(made, "still") == []


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("side", ["a", "b"])
def test_the_other_sides_update_before_a_loss_is_found_under_its_own_names(side: str, swapped: bool) -> None:
    other = SAME | {"critic": 4.9231}
    sides = (SAME, other) if side == "a" else (other, SAME)
    (found,) = losses_at(judged(*sides, runs=side, after=4.9231, swapped=swapped), 1, ["critic"], {})
    theirs = "b" if side == "a" else "a"
    assert (found.finding.cause, found.keys) == ("update-order", ("critic",))
    assert f"so {theirs} updates {'own' if swapped == (side == 'a') else 'critic'} before it" in found.finding.evidence


@pytest.mark.parametrize(("off", "told"), [(3.9, True), (4.1, False)])
def test_an_update_order_leaves_four_times_what_rounding_explains(off: float, told: bool) -> None:
    made = judged(SAME, SAME | {"critic": 4.9231}, after=4.9231 + off * LIMIT)
    assert bool(causes(made, "critic")) is told


@pytest.mark.parametrize(
    ("kept", "more", "told"), [("critic.running_mean", 0, True), ("pool.h.images", 2 * 0.9077, False)]
)
def test_networks_are_updated_and_no_statistics_or_histories(kept: str, more: float, told: bool) -> None:
    """The loss follows from the other side's weights and the statistics before the step, or from its history alone."""
    made = judged(SAME, SAME | {"critic": 3 + more if more else 4.9231}, after=3 if more else 4.9231, kept=kept)
    assert bool(causes(made, "critic")) is told


def test_a_tensor_that_comes_with_the_first_batch_is_not_put_back() -> None:
    made = judged(SAME, SAME | {"critic": 4.9231}, after=4.9231)
    late = state({"critic.w": np.array([1.0, 3.9231]), "net.w": np.ones(3), "late.w": np.ones(2)})
    made.first, made.pairs = (late, late), pair(late, late, {})
    assert causes(made, "critic") == [("update-order", ("critic",))]


def test_a_history_that_comes_with_the_first_batch_is_no_network_of_another_order() -> None:
    class Before(Remembering):
        def step(self, batch: Any) -> Losses:
            losses = super().step(batch)
            self.images[self.choices[self.t - 1]] = batch["x"][0].reshape(3, 2)
            return losses

    def side(backwards: bool) -> Before:
        label = (lambda y: y * np.float32(0.77)) if backwards else (lambda y: y)
        return Before(numbers=True, backwards=backwards, label=label)

    report = compare_steps(partial(side, False), partial(side, True), batches(2))
    assert [(found.layer, found.cause) for found in report.findings] == [("loss", "unexplained")]


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize("sources", [(), ("own.g", "own.v")])
def test_a_tensor_that_is_not_made_of_one_is_no_parameter_to_put_back(sources: tuple[str, ...], side: str) -> None:
    other = SAME | {"critic": 4.9231}
    made = judged(*((SAME, other) if side == "a" else (other, SAME)), runs=side, after=4.9231)
    split = replace(made.pairs.values["critic.w"], sources=sources)
    made.pairs = Pairs({**made.pairs.values, "critic.w": split}, [])
    assert causes(made, "critic") == []


def told(kind: str, number: float = 0.0) -> Cause:
    made = cause(1, "backward", kind, ["w"], "b's gradient is another", "")
    return Cause(made.step, made.stage, made.keys, made.finding, number)


def scaled(x: float, y: float, *backward: Cause) -> Cause | None:
    made = record([{}] * 3, [{}] * 3)
    for losses, value in zip(made.losses, (x, y), strict=True):
        losses += [{"l": 7.0}, {"l": value}]
    return scaled_loss(made, 2, "l", list(backward))


@pytest.mark.parametrize("kind", ["reduction", "scale"])
def test_a_loss_is_a_multiple_where_all_gradients_are_the_same_one(kind: str) -> None:
    found = scaled(2.0, 5.0, told(kind, 2.5), told("scale", 2.501))
    assert found is not None and (found.step, found.stage, found.keys) == (2, "loss", ("l",))
    assert found.finding.cause == kind and found.finding.fix == "b: divide it by 2.5"
    assert found.finding.evidence == "2 in a, 5 in b, and b's gradient is another"


@pytest.mark.parametrize(
    ("x", "y", "backward"),
    [
        (2.0, 5.0, []),
        (2.0, 5.0, [told("scale", 2.5), told("scale", 2.6)]),
        (2.0, 5.0, [told("scale", 2.504)]),
        (2.0, 5.0, [told("scale", 2.496)]),
        (0.0, 5.0, [told("scale", 2.5)]),
        (2.0, float("inf"), [told("scale", 2.5)]),
        (2.0, float("nan"), [told("scale", 2.5)]),
        (2.0, 0.0, [told("unexplained")]),
    ],
)
def test_else_it_is_none(x: float, y: float, backward: list[Cause]) -> None:
    assert scaled(x, y, *backward) is None


def test_a_loss_without_a_weight_is_said_to_be_one() -> None:
    (first, *rest) = compare_steps(Run, partial(Run, backwards=True, weight=0.0), batches(3)).findings
    assert (first.layer, first.cause, first.fix) == ("loss", "scale", "b: give it a's weight, and not 0")
    assert {found.cause for found in rest} == {"grad-missing"}


@pytest.mark.parametrize(
    ("wrong", "judged_kinds", "stage", "words"),
    [
        ((LOSS,), (LOSS, PARAMETER), "forward or loss", ""),
        ((LOSS,), (LOSS, BUFFER), "loss", "agree, so the network ran alike up to its last norm"),
        ((LOSS, BUFFER), (LOSS, BUFFER), "forward", "the running statistics differ too"),
    ],
)
def test_running_statistics_tell_the_loss_from_the_network(
    wrong: tuple[str, ...], judged_kinds: tuple[str, ...], stage: str, words: str
) -> None:
    made = record([{}] * 3, [{}] * 3)
    for losses, value in zip(made.losses, (2.0, 5.0), strict=True):
        losses += [{"l": 0.0}, {"l": value}]
    made.ratios = [{}, {Quantity(kind, "l"): 300.0 for kind in judged_kinds}]
    found = lost_losses(made, 2, ["l", "k"], {Quantity(kind, "l") for kind in wrong})
    assert (found.step, found.stage, found.keys, found.finding.cause) == (2, stage, ("l", "k"), "unexplained")
    assert found.finding.evidence.startswith("2 in a, 5 in b, 300 times what rounding explains; b/a is 2.5")
    assert words in found.finding.evidence and ("statistics" in found.finding.evidence) is bool(words)


def test_a_loss_of_0_has_no_ratio() -> None:
    made = record([{}] * 2, [{}] * 2)
    for losses, value in zip(made.losses, (0.0, 5.0), strict=True):
        losses.append({"l": value})
    made.ratios = [{Quantity(LOSS, "l"): 3.0}]
    assert "b/a is nan" in lost_losses(made, 1, ["l"], {Quantity(LOSS, "l")}).finding.evidence
