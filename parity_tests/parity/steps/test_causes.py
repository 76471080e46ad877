"""Single hypotheses on records made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from parity_tests.parity.steps.numpy_run import Run, batches
from twinzoo.parity.steps.causes.cause import short, sizes
from twinzoo.parity.steps.causes.gradients import Gradient, gradient_causes
from twinzoo.parity.steps.compare import compare_steps
from twinzoo.parity.steps.identify import NONE, Explained
from twinzoo.parity.steps.rules import Rule, fit
from twinzoo.parity.steps.tracks import Track


def track(lr: float = 0.1, steps: int = 4) -> Track:
    """Plain SGD on random gradients, in float32."""
    rng = np.random.default_rng(2)
    gradients = rng.normal(size=(steps, 20)).astype(np.float32)
    values = [rng.normal(size=20).astype(np.float32)]
    for gradient in gradients:
        values.append((values[-1] - np.float32(lr) * gradient).astype(np.float32))
    wide = np.stack(values).astype(np.float64)
    return Track(2.0**-24, wide, {}, gradients.astype(np.float64), np.arange(1.0, steps + 1), {})


def explained(x: Rule, y: Rule, b: Track) -> Explained:
    """Two records by two rules."""
    return Explained((track(), b), (NONE, NONE), (x, y), (fit(x, track(), NONE), fit(y, b, NONE)))


def test_the_cost_counts_what_differs() -> None:
    sgd = Rule("sgd")
    assert explained(sgd, sgd, track()).cost == 0
    assert explained(sgd, replace(sgd, eps=1e-3), track()).cost == 1
    assert explained(sgd, replace(sgd, eps=1e-3, place="before"), track()).cost == 1
    assert explained(sgd, replace(sgd, eps=1e-3, counted=None), track()).cost == 2
    constant, varying = explained(sgd, sgd, track(0.2)), track()
    values = varying.values.copy()
    values[3:] -= varying.gradients[2] * 0.1 if varying.gradients is not None else 0
    assert constant.proportion == pytest.approx(2, rel=1e-5)
    changed = explained(sgd, sgd, replace(varying, values=values))
    assert changed.apart == [2] and changed.proportion is None
    assert 1 < constant.cost < changed.cost < 2


def test_a_rule_fits_the_steps_it_made_and_no_others() -> None:
    made = fit(Rule("sgd"), track(), NONE)
    assert made.possible and made.ratio.max() < 1
    assert made.rate == pytest.approx(0.1, rel=1e-5)
    assert not fit(Rule("sgd", decay=0.01), track(), NONE).possible


def pushed(size: int, weight: float = 0.0, ratio: float = 1.0) -> Gradient:
    """A gradient that is another with the weights added, or times a number."""
    rng = np.random.default_rng(size)
    a, values = rng.normal(size=size), rng.normal(size=size) + 3
    return Gradient(a, ratio * a + weight * values, values, None, 1e-7)


def test_tensors_of_one_element_confirm_what_larger_ones_show() -> None:
    found = {"tiny": pushed(1, weight=0.01), "large": pushed(50, weight=0.01)}
    causes = gradient_causes(1, found, {}, "backward", str)
    assert [(cause.finding.cause, cause.keys) for cause in causes] == [("weight-decay", ("large", "tiny"))]
    alone = gradient_causes(1, {"tiny": pushed(1, weight=0.01)}, {}, "backward", str)
    assert [cause.finding.cause for cause in alone] == ["unexplained"]


def test_a_factor_that_is_a_number_of_elements_is_a_reduction() -> None:
    counts = sizes([(8, 3, 4, 4)])
    (mean,) = gradient_causes(1, {"w": pushed(50, ratio=1 / 8)}, counts, "backward", str)
    assert mean.finding.cause == "reduction" and "1/8 (the batch size)" in mean.finding.evidence
    (plain,) = gradient_causes(1, {"w": pushed(50, ratio=1 / 7)}, counts, "backward", str)
    assert plain.finding.cause == "scale"


def test_numbers_are_written_as_short_as_they_are_known() -> None:
    assert short(0.00019999998, 0.000199999, 0.000200001) == 2e-4
    assert short(0.0123456, 0.012340, 0.012349) == 0.012346
    assert short(1.0, 2.0, 3.0) == 1.0


@pytest.mark.parametrize("side", ["a", "b"])
def test_a_parameter_that_either_side_never_moves_is_told_as_that(side: str) -> None:
    sides = [Run(frozen=("first.bias",) if label == side else ()) for label in "ab"]
    causes = {finding.cause: finding for finding in compare_steps(sides[0], sides[1], batches(4)).findings}
    assert "schedule" not in causes and f"{side} never changes it" in causes["grad-missing"].evidence


def test_a_run_that_becomes_no_number_in_the_same_step_repeats_itself() -> None:
    def run() -> Run:
        return Run(rate=lambda step: np.nan if step == 3 else 1.0)

    report = compare_steps(run, run, batches(4))
    assert "nondeterminism" not in {finding.cause for finding in report.findings}, str(report)
