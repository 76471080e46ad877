"""Training steps in float64: both frameworks' steps are within rounding of them, and a wrong formula is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parity_tests.ports.test_steps import CYCLEGAN, PIX2PIX, batches, furthest, same, two_calls
from twinzoo.parity.steps.compare import compare_steps
from twinzoo.ports.reference.steps import ReferenceStepper
from twinzoo.ports.steps import stepper
from twinzoo.zoo.registry import training_step
from twinzoo.zoo.steps.step import Step

STEPS: dict[str, tuple[Step, int]] = {
    "pix2pix": (training_step("pix2pix", **{**PIX2PIX, "width": 2}), 16),
    "pix2pix, dropout": (training_step("pix2pix", **{**PIX2PIX, "width": 2, "depth": 6}), 64),
    "cyclegan": (training_step("cyclegan", **{**CYCLEGAN, "width": 2}), 16),
    "two calls": (two_calls(), 16),
}


@pytest.mark.parametrize("name", STEPS)
def test_gradients_are_pytorchs_within_rounding(name: str) -> None:
    """Through the whole step: updates in between, stopped gradients, dropout, clipping, eval mode, history."""
    pytest.importorskip("torch")
    step, size = STEPS[name]
    ours, theirs = stepper(step, "reference", seed=2), stepper(step, "torch", seed=2)
    for i, batch in enumerate(batches(step, 3, 1, size)):
        assert theirs.step(batch) == pytest.approx(ours.step(batch), rel=1e-5), f"step {i}"
        assert furthest(ours.gradients(), theirs.gradients(), "") < 1e-4
        theirs.load(ours.state())  # so that nothing compounds
        assert same(ours, theirs)


@pytest.mark.parametrize("port", ["torch", "mindspore"])
def test_a_framework_is_held_against_float64(port: str) -> None:
    pytest.importorskip(port)
    step, size = STEPS["two calls"]
    report = compare_steps(stepper(step, port), stepper(step, "reference"), batches(step, 2, 2, size))
    assert report.ok, str(report)


def test_a_wrong_formula_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    step, size = STEPS["pix2pix"]

    def early(self: Any, optimizer: Any, name: str, gradient: Any, count: int) -> Any:
        return right(self, optimizer, name, gradient, count + 1)

    right = ReferenceStepper._step
    monkeypatch.setattr(ReferenceStepper, "_step", early)
    report = compare_steps(stepper(step, "torch"), stepper(step, "reference"), batches(step, 2, 1, size))
    assert "bias-correction" in [finding.cause for finding in report.findings]


def test_a_state_goes_round_in_float64() -> None:
    step, size = STEPS["cyclegan"]
    given = batches(step, 3, 1, size)
    through, resumed = stepper(step, "reference"), stepper(step, "reference", seed=0)
    for batch in given[:2]:
        through.step(batch)
    resumed.load(through.state())
    assert through.step(given[2]) == resumed.step(given[2])
    assert all(np.array_equal(value, resumed.state()[name]) for name, value in through.state().items())
