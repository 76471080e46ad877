"""Causes beside and after each other: what is told apart, what is one mistake, and what follows from another."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from parity_tests.parity.steps.numpy_gan import Gan, pairs_of_noise
from parity_tests.parity.steps.numpy_run import Run, Telling, batches
from twinzoo.parity.steps.causes.cause import times
from twinzoo.parity.steps.compare import compare_steps
from twinzoo.parity.steps.report import StepsReport

F = np.float32


def told(report: StepsReport) -> list[tuple[str, str]]:
    """Layer and cause of each finding."""
    return [(finding.layer, finding.cause) for finding in report.findings]


class Groups(Run):
    """A run whose layers have weight decays of their own."""

    decays: dict[str, float]

    def _update(self, key: str, g: Any) -> None:
        self.decay = self.decays.get(key.partition(".")[0], 0.0)
        super()._update(key, g)


def groups(backwards: bool = False, **decays: float) -> Groups:
    made = Groups(backwards=backwards)
    made.decays = decays
    return made


def test_decays_of_other_parameters_are_mistakes_of_their_own() -> None:
    report = compare_steps(groups, partial(groups, True, first=0.01, last=0.05), batches(4))
    layers = "first.weight, first.bias", "last.weight, last.bias"
    assert told(report) == [(layer, "weight-decay") for layer in layers]


def test_decay_in_the_gradient_on_one_side_and_beside_the_step_on_the_other_is_one_mistake() -> None:
    (found,) = compare_steps(partial(Run, l2=0.01), partial(Run, backwards=True, decay=0.01), batches(4)).findings
    assert found.cause == "weight-decay"
    both = found.evidence.split("; ")
    assert any("weight decay 0.01 beside the step" in part for part in both) and len(both) > 2


class Rooted(Telling):
    """A run that steps by the roots of its gradients, which is no optimizer that is known."""

    factors: dict[str, float]

    def _update(self, key: str, g: Any) -> None:
        lr = F(self.lr * self.factors.get(key, 1.0))
        self.p[key] = (self.p[key] - lr * np.sign(g) * np.sqrt(np.abs(g))).astype(F)


def rooted(backwards: bool = False, moments: bool = False, **factors: float) -> Rooted:
    made = Rooted(backwards=backwards, moments=moments)
    made.factors = {name.replace("_", "."): factor for name, factor in factors.items()}
    return made


def test_an_optimizer_that_is_not_known_is_told_where_gradients_agree() -> None:
    report = compare_steps(rooted, partial(rooted, True, last_weight=1.1), batches(2))
    assert told(report) == [("last.weight", "unexplained")]
    evidence = report.findings[0].evidence
    assert "no optimizer that is known here makes both sides' steps" in evidence
    sides = rooted(), rooted(True, last_weight=1.1)
    for side in sides:
        side.step(batches(1)[0])
    apart = float(np.abs(sides[0].p["last.weight"] - sides[1].p["last.weight"]).mean())
    assert f"is {apart:.3g} apart on average, {times(report.steps[0].ratios['parameter'])} what" in evidence
    assert report.first_divergence is not None and report.first_divergence.stage == "optimizer"


STILL: dict[str, Any] = {"detached": ("first.bias",)}
"""Without the gradient that is rounding alone, which Adam makes whole steps of, statistics follow closely."""


class Spoiled(Run):
    """A run whose running variance is spoiled in one step.

    Attributes:
        at: that step, from 1; 0 for none.
    """

    at: int = 0

    def _statistics(self, mean: Any, variance: Any, n: Any) -> None:
        super()._statistics(mean, variance, n)
        if self.t == self.at - 1:
            self.r["norm.running_var"] = self.r["norm.running_var"] + F(0.1) * np.sin(np.arange(12)).astype(F)


def spoiled(at: int, **options: Any) -> Spoiled:
    made = Spoiled(**{"backwards": True, **STILL, **options})
    made.at = at
    return made


@pytest.mark.parametrize("at", [1, 3])
def test_buffers_that_nothing_explains_are_told_at_their_step(at: int) -> None:
    report = compare_steps(partial(Run, **STILL), partial(spoiled, at), batches(5))
    assert told(report) == [("norm.running_var", "unexplained")]
    assert report.first_divergence is not None
    assert (report.first_divergence.step, report.first_divergence.stage) == (at, "buffers")


def halved(since: int) -> Any:
    """Half the learning rate from a step on."""
    return lambda step: 0.5 if step >= since else 1.0


def test_what_comes_after_a_difference_is_not_asked_but_optimizers_are() -> None:
    """Their arithmetic is proved in every step; of the rest the first that differs counts."""
    later = compare_steps(partial(Run, **STILL), partial(spoiled, 2, rate=halved(4)), batches(5))
    assert [cause for _, cause in told(later)] == ["unexplained", "schedule"]
    assert later.first_divergence is not None and later.first_divergence.stage == "buffers"
    earlier = compare_steps(partial(Run, **STILL), partial(spoiled, 4, rate=halved(2)), batches(5))
    assert [cause for _, cause in told(earlier)] == ["schedule"]
    beside = compare_steps(partial(Run, **STILL), partial(spoiled, 1, lr=0.02), batches(5))
    assert [cause for _, cause in told(beside)] == ["lr", "unexplained"]


def test_a_parameter_that_stays_is_told_beside_what_else_differs_and_once() -> None:
    """Where neither moments nor gradients are told, a parameter that never moves is one, whatever the others do."""
    plain = partial(Run, moments=False)
    report = compare_steps(plain, partial(plain, backwards=True, frozen=("last.bias",), lr=0.02), batches(4))
    assert sorted(cause for _, cause in told(report)) == ["grad-missing", "lr"]
    assert ("last.bias", "grad-missing") in told(report)
    alone = compare_steps(partial(plain, frozen=("last.bias",)), partial(plain, backwards=True), batches(4))
    assert told(alone) == [("last.bias", "grad-missing")]


def test_a_side_that_draws_is_told_beside_its_optimizer() -> None:
    report = compare_steps(Run, partial(Run, backwards=True, noise=0.1, lr=0.02), batches(4))
    assert [cause for _, cause in told(report)] == ["nondeterminism", "lr"]
    alone = compare_steps(Run, partial(Run, backwards=True, noise=0.1), batches(4))
    assert [cause for _, cause in told(alone)] == ["nondeterminism"]


def nan_from(since: int) -> Any:
    return lambda step: float("nan") if step >= since else 1.0


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("optimizer", ["adam", "momentum", "sgd"])
def test_runs_that_lose_their_numbers_together_agree_and_one_alone_does_not(optimizer: str) -> None:
    both: dict[str, Any] = {"optimizer": optimizer}
    a, b = (Telling(**both, rate=nan_from(3), backwards=side) for side in (False, True))
    report = compare_steps(a, b, batches(4))
    assert report.ok, str(report)
    alone = compare_steps(Telling(**both), Telling(**both, backwards=True, rate=nan_from(3)), batches(4))
    assert not alone.ok and alone.first_divergence is not None and alone.first_divergence.step == 3


def test_settings_are_told_where_they_are_stated_and_nothing_else_says_so() -> None:
    """One learning rate that differs is one finding, although the steps show it and both sides state it."""
    told_lr = compare_steps(partial(Run, numbers=True), partial(Run, backwards=True, numbers=True, lr=0.02), batches(3))
    assert [cause for _, cause in told(told_lr)] == ["lr"] and told_lr.findings[0].layer.startswith("first.weight")


def test_a_sum_is_told_by_the_size_of_its_own_batch() -> None:
    """48 targets in the first batch, and no such number in those after it."""
    report = compare_steps(Run, partial(Run, backwards=True, total=True), [*batches(1), *batches(3, 1, 11)])
    assert [cause for _, cause in told(report)] == ["reduction"], str(report)


def test_a_loss_does_not_follow_from_an_optimizer_where_none_agrees() -> None:
    """An update within the step explains the losses after it; the first loss of a step comes before all of them."""
    wrong = partial(Run, backwards=True, lr=0.02, label=lambda y: y * F(0.77))
    assert [cause for _, cause in told(compare_steps(Run, wrong, batches(3)))] == ["unexplained", "lr"]


class Slower(Gan):
    """Another reported loss of the generator in the second step, and another learning rate from the fourth on."""

    def step(self, batch: Any) -> dict[str, float]:
        if self.t == 3:
            self.lr = (0.01, 0.02)
        losses = super().step(batch)
        return losses | ({"generator": losses["generator"] + 0.1} if self.t == 2 else {})


def test_a_loss_does_not_follow_from_what_an_optimizer_does_later() -> None:
    report = compare_steps(Gan, partial(Slower, backwards=True), pairs_of_noise())
    assert told(report) == [("generator", "unexplained"), ("generator.weight", "schedule")]
    assert report.first_divergence is not None and report.first_divergence.step == 2
