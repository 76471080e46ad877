"""Planted mistakes: each is caught and named, in the right stage and step; clean twins are not accused."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from parity_tests.parity.steps.numpy_gan import Gan, pairs_of_noise
from parity_tests.parity.steps.numpy_run import Loading, Run, Telling, batches
from twinzoo.parity.steps.compare import compare_steps
from twinzoo.parity.steps.report import StepsReport

HALVED = {"rate": lambda step: 0.5 ** ((step - 1) // 3)}
EARLY = {"rate": lambda step: 0.5 ** (step // 3)}
SWAPPED = {"label": lambda y: 1 - y}
SMOOTHED = {"label": lambda y: y * np.float32(0.9)}
SIGNED = {"label": lambda y: 2 * y - 1}
SGD: dict[str, Any] = {"optimizer": "sgd"}
HEAVY: dict[str, Any] = {"optimizer": "momentum"}

PLANTED: dict[str, tuple[dict[str, Any], dict[str, Any], list[str], str, int]] = {
    "a tenth more": ({}, {"lr": 1.1e-2}, ["lr"], "optimizer", 1),
    "a thousandth more": ({}, {"lr": 1.001e-2}, ["lr"], "optimizer", 1),
    "sgd lr": (SGD, {"lr": 2e-2}, ["lr"], "backward or optimizer", 1),
    "momentum lr": (HEAVY, {"lr": 2e-2}, ["lr"], "optimizer", 1),
    "beta1 .5": ({}, {"betas": (0.5, 0.999)}, ["betas"], "optimizer", 1),
    "beta2 .99": ({}, {"betas": (0.9, 0.99)}, ["betas"], "optimizer", 1),
    "beta2 odd": ({}, {"betas": (0.9, 0.9985)}, ["betas"], "optimizer", 1),
    "eps 1e-4": ({}, {"eps": 1e-4}, ["optimizer-eps"], "optimizer", 1),
    "eps 1e-6": ({}, {"eps": 1e-6}, ["optimizer-eps"], "optimizer", 1),
    "eps as MindSpore": ({}, {"eps_place": "before"}, ["optimizer-eps"], "optimizer", 1),
    "eps in the root": ({"eps": 1e-6}, {"eps_place": "inside"}, ["optimizer-eps"], "optimizer", 1),
    "AdamW": ({}, {"decay": 0.01}, ["weight-decay"], "optimizer", 1),
    "L2": ({}, {"l2": 0.01}, ["weight-decay"], "backward", 1),
    "AdamW for L2": ({"l2": 0.01}, {"l2": 0.0, "decay": 0.01}, ["weight-decay"], "backward", 1),
    "sgd decay": (SGD, {"decay": 0.05}, ["weight-decay"], "backward or optimizer", 1),
    "no correction": ({}, {"corrected": False}, ["bias-correction"], "optimizer", 1),
    "momentum coefficient": (HEAVY, {"betas": (0.5, 0.0)}, ["momentum"], "backward", 2),
    "not in the optimizer": ({}, {"frozen": ("last.bias",)}, ["grad-missing"], "optimizer", 1),
    "detached": ({}, {"detached": ("first.weight",)}, ["grad-missing"], "backward", 1),
    "sgd detached": (SGD, {"detached": ("first.weight",)}, ["grad-missing"], "backward or optimizer", 1),
    "stepped early": (HALVED, EARLY, ["schedule"], "schedule", 3),
    "never stepped": (HALVED, {"rate": lambda step: 1.0}, ["schedule"], "schedule", 4),
    "momentum swapped": ({}, {"bn_momentum": 0.9}, ["momentum"], "buffers", 1),
    "momentum .01": ({}, {"bn_momentum": 0.01}, ["momentum"], "buffers", 1),
    "biased variance": ({}, {"biased": True}, ["variance"], "buffers", 1),
    "two forwards": ({}, {"forwards": 2}, ["extra-op"], "buffers", 1),
    "evaluation mode": ({}, {"evaluating": True}, ["norm-mode"], "buffers", 1),
    "evaluation mode of a": ({"evaluating": True}, {"evaluating": False}, ["norm-mode"], "buffers", 1),
    "loss doubled": ({}, {"weight": 2.0}, ["scale"], "loss", 1),
    "loss times 1.37": ({}, {"weight": 1.37}, ["scale"], "loss", 1),
    "sgd loss times 1.37": (SGD, {"weight": 1.37}, ["scale"], "loss", 1),
    "loss shown halved": ({}, {"shown": 0.5}, ["scale"], "loss", 1),
    "sum for mean": ({}, {"total": True}, ["reduction"], "loss", 1),
    "loss shifted": ({}, {"shift": 0.5}, ["offset"], "loss", 1),
    "gradients scaled": ({}, {"gradient_factor": 0.25}, ["scale"], "backward", 1),
    "labels swapped": ({}, SWAPPED, ["label"], "loss", 1),
    "labels smoothed": ({}, SMOOTHED, ["label"], "loss", 1),
    "labels of both signs": ({}, SIGNED, ["label"], "loss", 1),
    "other weights": ({}, {"start": {"last.bias": lambda x: x + 0.01}}, ["weight-value"], "start", 0),
    "b draws": ({}, {"noise": 1e-3}, ["nondeterminism"], "forward", 1),
    "a draws": ({"noise": 1e-3}, {"noise": 0.0}, ["nondeterminism"], "forward", 1),
    "lr and momentum": ({}, {"lr": 5e-3, "bn_momentum": 0.9}, ["lr", "momentum"], "optimizer", 1),
    "betas and decay": ({}, {"betas": (0.5, 0.999), "decay": 0.01}, ["betas", "weight-decay"], "optimizer", 1),
    "eps and lr": ({}, {"eps": 1e-4, "lr": 2e-2}, ["optimizer-eps", "lr"], "optimizer", 1),
}
"""What: options of both sides, those of b alone, the causes, the first stage and step."""


def compared(kind: type[Run], both: dict[str, Any], b: dict[str, Any], count: int = 6) -> StepsReport:
    """Side a against side b, which sums from the other end; targets are 0 and 1 where labels are changed."""
    given = batches(count)
    if "label" in b:
        given = [{**batch, "y": (batch["y"] > 0).astype(np.float32)} for batch in given]
    return compare_steps(partial(kind, **both), partial(kind, **{"backwards": True, **both, **b}), given)


def planted_steps(what: str) -> StepsReport:
    """What is made of one of PLANTED."""
    both, b, _, _, _ = PLANTED[what]
    return compared(Run, both, b)


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_mistake_is_named(what: str) -> None:
    _, _, causes, stage, step = PLANTED[what]
    report = planted_steps(what)
    assert not report.ok
    assert [finding.cause for finding in report.findings] == causes
    assert report.first_divergence is not None
    assert (report.first_divergence.stage, report.first_divergence.step) == (stage, step)


TOLD = ["a tenth more", "beta1 .5", "eps 1e-6", "eps as MindSpore", "AdamW", "no correction", "stepped early"]


@pytest.mark.parametrize("what", [*TOLD, "not in the optimizer", "detached", "betas and decay", "momentum coefficient"])
def test_gradients_stand_for_the_moments_that_are_not_told(what: str) -> None:
    both, b, causes, _, _ = PLANTED[what]
    assert [finding.cause for finding in compared(Telling, {**both, "moments": False}, b).findings] == causes


@pytest.mark.parametrize("what", ["L2", "AdamW for L2"])
def test_gradients_that_agree_put_the_decay_in_the_optimizer(what: str) -> None:
    both, b, causes, _, _ = PLANTED[what]
    report = compared(Telling, both, b)
    assert [finding.cause for finding in report.findings] == causes
    assert report.first_divergence is not None and report.first_divergence.stage == "optimizer"


@pytest.mark.parametrize("what", PLANTED)
def test_steppers_that_cannot_be_restarted_are_caught_too(what: str) -> None:
    both, b, causes, _, _ = PLANTED[what]
    given = batches(6)
    report = compare_steps(Run(**both), Run(**{"backwards": True, **both, **b}), given)
    assert "no envelope" in report.notes[0]
    assert not report.ok
    if not {"nondeterminism", "label"} & set(causes):  # which only running again can prove
        assert {finding.cause for finding in report.findings} >= set(causes)


@pytest.mark.parametrize("kind", [Run, Loading, Telling])
@pytest.mark.parametrize("optimizer", ["adam", "momentum", "sgd"])
@pytest.mark.parametrize("seed", range(4))
def test_clean_twins_are_not_accused(kind: type[Run], optimizer: str, seed: int) -> None:
    both: dict[str, Any] = {"seed": seed, "optimizer": optimizer, "numbers": True}
    report = compare_steps(partial(kind, **both), partial(kind, backwards=True, **both), batches(12, seed))
    assert report.ok and not report.findings and report.first_divergence is None
    judged = [row.ratios[group] for row in report.steps for group in ("loss", "buffer", "optimizer")]
    assert max(ratio for ratio in judged if ratio == ratio) < 0.5


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("moments", [True, False])
def test_clean_twins_that_cannot_be_restarted_are_not_accused(seed: int, moments: bool) -> None:
    a, b = (Run(seed=seed, backwards=side, moments=moments) for side in (False, True))
    assert compare_steps(a, b, batches(10, seed)).ok


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("first", ["a", "b"])
def test_an_update_in_another_order_is_named(restart: bool, first: str) -> None:
    a, b = (partial(Gan, generator_first=first == label, backwards=label == "b") for label in "ab")
    report = compare_steps(a if restart else a(), b if restart else b(), pairs_of_noise())
    assert [finding.cause for finding in report.findings] == ["update-order"]
    assert report.first_divergence is not None and report.first_divergence.stage == "optimizer"


@pytest.mark.parametrize("lr", [(0.01, 0.02), (0.02, 0.01)])
def test_an_update_within_the_step_explains_the_losses_after_it(lr: tuple[float, float]) -> None:
    report = compare_steps(Gan, partial(Gan, lr=lr, backwards=True), pairs_of_noise())
    assert [finding.cause for finding in report.findings] == ["lr"]
    assert report.findings[0].layer == ("generator.weight" if lr[0] == 0.01 else "discriminator.weight")


@pytest.mark.parametrize("what", ["L2", "beta2 odd"])
def test_an_optimizer_that_the_gradients_do_not_explain_is_not_guessed(what: str) -> None:
    both, b, _, _, _ = PLANTED[what]
    report = compared(Telling, {**both, "moments": False}, b)
    assert [finding.cause for finding in report.findings] == ["unexplained"]


@pytest.mark.parametrize("frozen", ["last.bias", "first.weight"])
def test_a_parameter_that_never_moves_is_found_where_nothing_else_is_told(frozen: str) -> None:
    report = compare_steps(Run(moments=False), Run(moments=False, backwards=True, frozen=(frozen,)), batches(4))
    assert [(finding.layer, finding.cause) for finding in report.findings] == [(frozen, "grad-missing")]


def test_a_schedule_that_is_a_step_early_is_said_to_be() -> None:
    assert "b is 1 step early" in compared(Run, HALVED, EARLY).findings[0].evidence
    assert "b is 1 step late" in compared(Run, EARLY, HALVED).findings[0].evidence


def test_what_no_hypothesis_explains_says_so() -> None:
    report = compared(Run, {}, {"label": lambda y: y * np.float32(0.77)})
    assert [finding.cause for finding in report.findings] == ["unexplained"]
    assert "times what rounding explains" in report.findings[0].evidence
