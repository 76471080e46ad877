"""What a stepper must offer, how its tensors are paired, and what is said where something is missing."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import twinzoo as tz
from parity_tests.parity.steps.numpy_run import Loading, Run, Telling, batches
from twinzoo.parity.steps.compare import compare_steps
from twinzoo.parity.steps.state import read_state

MINDSPORE = {"norm.weight": "norm.gamma", "norm.bias": "norm.beta", "norm.running_mean": "norm.moving_mean"}
MINDSPORE |= {"norm.running_var": "norm.moving_variance"}


class Broken(Run):
    """A run whose answers are what the test says."""

    losses: Any = None
    extra: Any = None

    def step(self, batch: Any) -> Any:
        return self.losses if self.losses is not None else super().step(batch)

    def state(self) -> Any:
        return self.extra if self.extra is not None and not isinstance(self.extra, dict) else {
            **super().state(),
            **(self.extra or {}),
        }  # fmt: skip


def broken(**what: Any) -> Broken:
    made = Broken()
    for name, value in what.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("side", "message"),
    [
        (3, "a is a int: it must have step"),
        (lambda: 3, r"a\(\) returned a int without step"),
        (broken(losses=1.0), "a.step returned a float"),
        (broken(losses={"loss": "high"}), "a.step returned a dict"),
        (broken(extra=[1]), r"a.state\(\) returned a list"),
        (broken(extra={"name": np.array("x")}), r"a.state\(\)\['name'\] is no array of numbers"),
    ],
)
def test_a_side_that_is_no_stepper_is_refused_in_one_line(side: Any, message: str) -> None:
    with pytest.raises(tz.ParityError, match=message) as caught:
        compare_steps(side, Run, batches(1))
    assert "\n" not in str(caught.value)


def test_batches_must_be_there_and_mappings() -> None:
    with pytest.raises(tz.ParityError, match="batches has none"):
        compare_steps(Run, Run, [])
    with pytest.raises(tz.ParityError, match="batch 1 is a ndarray"):
        compare_steps(Run, Run, [np.zeros(3)])  # type: ignore[list-item]


def test_known_renamings_are_paired_for_moments_too() -> None:
    words = partial(Run, backwards=True, words=lambda key: MINDSPORE.get(key, key))
    report = compare_steps(Run, words, batches(5))
    assert report.ok and report.tensors == 8
    report = compare_steps(Run, partial(words, lr=0.02), batches(5))
    assert "norm.weight ~ norm.gamma" in report.findings[0].layer


def test_a_tensor_without_counterpart_is_a_finding() -> None:
    more = compare_steps(broken(extra={"head.weight": np.ones((2, 2))}), Run(), batches(2))
    assert [(f.layer, f.cause) for f in more.findings] == [("head.weight", "missing-op")]
    less = compare_steps(Run(), broken(extra={"head.weight": np.ones((2, 2))}), batches(2))
    assert [(f.layer, f.cause) for f in less.findings] == [("head.weight", "extra-op")]
    assert not more.ok and not less.ok


def test_a_tensor_of_another_shape_is_a_finding() -> None:
    report = compare_steps(Run(), broken(extra={"last.bias": np.zeros(4, np.float32)}), batches(1))
    assert ("last.bias", "weight-layout") in [(f.layer, f.cause) for f in report.findings]


def test_an_unpaired_loss_is_a_finding_and_single_ones_are_paired() -> None:
    one, other = broken(losses={"l1": 1.0, "l2": 2.0}), broken(losses={"l1": 1.0, "gan": 2.0})
    report = compare_steps(one, other, batches(1))
    assert [f.layer for f in report.findings] == ["l2", "gan"]
    assert compare_steps(broken(losses={"l1": 1.0}), broken(losses={"loss": 1.0}), batches(1)).ok


def test_a_loss_that_is_not_a_number_is_a_difference() -> None:
    report = compare_steps(broken(losses={"loss": 1.0}), broken(losses={"loss": float("nan")}), batches(2))
    assert not report.ok
    a, b = (broken(losses={"loss": float("nan")}) for _ in "ab")
    assert compare_steps(a, b, batches(2)).ok


def test_parameters_that_one_optimizer_does_not_keep_are_findings() -> None:
    class Fewer(Run):
        def state(self) -> dict[str, Any]:
            return {key: value for key, value in super().state().items() if key != "optimizer.m.last.bias"}

    report = compare_steps(Run(), Fewer(), batches(2))
    assert [(f.layer, f.cause) for f in report.findings] == [("last.bias", "grad-missing")]


def test_an_optimizer_that_one_side_does_not_tell_is_a_note() -> None:
    report = compare_steps(Run, partial(Run, moments=False), batches(3))
    assert report.ok and "only a gives its optimizer's state" in report.notes[0]


def test_stated_settings_are_reported_even_where_the_results_agree() -> None:
    plain = broken(extra={"optimizer.weight_decay": np.array(0.0)})
    decayed = broken(extra={"optimizer.weight_decay": np.array(0.1)})
    report = compare_steps(plain, decayed, batches(2))
    assert [(f.layer, f.cause) for f in report.findings] == [("weight_decay", "weight-decay")]


def test_a_load_that_does_not_bring_everything_back_is_said() -> None:
    report = compare_steps(Loading(), Loading(backwards=True), batches(4))  # the count of steps is not in its state
    assert [f.cause for f in report.findings] == ["nondeterminism"]
    assert "state() must have all that a step changes" in report.findings[0].fix
    assert compare_steps(Loading(numbers=True), Loading(numbers=True, backwards=True), batches(4)).ok


def test_states_that_are_changed_in_place_are_copied() -> None:
    class InPlace(Telling):
        def _update(self, key: str, g: Any) -> None:
            held = self.p[key]
            super()._update(key, g)
            held[:] = self.p[key]
            self.p[key] = held

    report = compare_steps(InPlace, partial(InPlace, backwards=True, lr=0.02), batches(3))
    assert [f.cause for f in report.findings] == ["lr"]


class Remembering(Run):
    """Keeps its last inputs, as a history of generated images is kept; they are there only after a step."""

    kept: Any = None

    def step(self, batch: Any) -> dict[str, float]:
        self.kept = batch["x"]
        return super().step(batch)

    def state(self) -> dict[str, Any]:
        return super().state() | ({} if self.kept is None else {"pool.images": self.kept})


def test_what_is_only_there_after_a_step_is_paired_then() -> None:
    report = compare_steps(Remembering(), Remembering(backwards=True), batches(4))
    assert report.ok and report.tensors == 9

    class Doubled(Remembering):
        def state(self) -> dict[str, Any]:
            return {key: value * (2 if key == "pool.images" else 1) for key, value in super().state().items()}

    wrong = compare_steps(Remembering, partial(Doubled, backwards=True), batches(4))
    assert [f.layer for f in wrong.findings] == ["pool.images"]
    assert wrong.first_divergence is not None and wrong.first_divergence.stage == "pool"


def test_steppers_are_fed_copies() -> None:
    class Spoiling(Run):
        def step(self, batch: Any) -> dict[str, float]:
            losses = super().step(batch)
            batch["x"][:] = 0
            return losses

    assert compare_steps(Spoiling, partial(Spoiling, backwards=True), batches(4)).ok


def test_states_are_read_in_every_spelling() -> None:
    w, b = np.ones((2, 3)), np.ones(2)
    net = {"fc.weight": w, "fc.bias": b, "fc.running_mean": b}
    ours = {"optimizer.m.fc.weight": w, "optimizer.v.fc.bias": b, "optimizer.lr": np.array(0.1)}
    flat = {
        "optimizer.state.0.exp_avg": w,
        "optimizer.state.1.exp_avg_sq": b,
        "optimizer.state.0.step": np.array(3.0),
        "optimizer.param_groups.0.lr": np.array(0.1),
        "optimizer.param_groups.0.betas.0": np.array(0.9),
        "optimizer.param_groups.0.params.0": np.array(0),
    }
    theirs = {"moment1.fc.weight": w, "moment2.fc.bias": b, "learning_rate": np.array(0.1), "global_step": np.array(3)}
    for spelled in (ours, flat, theirs):
        state = read_state({**net, **spelled})
        assert set(state.tensors) == set(net)
        assert {slot: set(found) for slot, found in state.slots.items()} == {"m": {"fc.weight"}, "v": {"fc.bias"}}
        assert state.numbers["lr"] == 0.1 and not state.others
    assert read_state({**net, **flat}).number("step", "fc.weight") == 3
    assert read_state({**net, **flat}).numbers["beta1"] == 0.9
    strange = read_state({**net, "optimizer.state.0.exp_avg": np.ones((5, 5))})
    assert list(strange.others) == ["optimizer.state.0.exp_avg"]
