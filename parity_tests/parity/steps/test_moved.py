"""Registered training steps side by side without a framework: what is moved, what is fed, and what is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from twinzoo.parity.inputs import default_inputs
from twinzoo.parity.steps.check import batch_size, check_step
from twinzoo.parity.steps.envelope import Draw
from twinzoo.parity.steps.moved import MovableStepper
from twinzoo.ports.reference.steps import ReferenceStepper
from twinzoo.zoo.text import step_from_text

STEP = step_from_text("pix2pix,width=2,depth=4,layers=1")
SIZES = batch_size(STEP)


def made() -> MovableStepper:
    return MovableStepper(STEP, "reference", 0, SIZES)


def batch(seed: int = 0) -> dict[str, Any]:
    given = default_inputs(STEP, seed, SIZES)
    return {name: given[name] for name in STEP.batch}


def alike(x: Mapping[str, Any], y: Mapping[str, Any], rel: float) -> bool:
    """Whether all arrays or numbers are the same but for this share of their size."""
    assert x.keys() == y.keys()
    return all(np.allclose(x[name], y[name], rtol=rel, atol=rel * float(np.abs(x[name]).max())) for name in x)


def test_a_moved_step_is_the_step_but_for_what_moves_it() -> None:
    """Factors of 1 leave it; factors an ulp of float32 away move what every call returns, and so all that follows."""
    plain, same, moved = made(), made(), made()
    losses = [plain.step(batch()), same.step_moved(batch(), lambda array: array), moved.step_moved(batch(), Draw([1]))]
    assert (
        alike(losses[0], losses[1], 1e-8)
        and not alike(losses[0], losses[2], 1e-8)
        and alike(losses[0], losses[2], 1e-5)
    )
    found = [stepper.gradients() for stepper in (plain, same, moved)]
    assert alike(found[0], found[1], 1e-6) and not alike(found[0], found[2], 1e-6)
    assert plain.reached == set(STEP.optimizers) and not same.reached


def test_a_plain_step_goes_on_from_where_a_moved_one_stopped() -> None:
    """And a moved one from where a plain one did: the draws of an envelope are whole runs."""
    pure, mixed = made(), made()
    for seed in range(3):
        expected = pure.step(batch(seed))
        given = mixed.step(batch(seed)) if seed == 1 else mixed.step_moved(batch(seed), lambda array: array)
        assert alike(expected, given, 1e-6)
        assert alike(pure.gradients(), mixed.gradients(), 1e-4)
    assert alike(pure.state(), mixed.state(), 1e-4)


def test_a_state_that_is_loaded_is_gone_on_from() -> None:
    first, other = made(), made()
    first.step(batch())
    state = {name: value.copy() for name, value in first.state().items()}
    second = first.step(batch(1))
    other.load(state)
    assert other.step(batch(1)) == second
    other.load(state)
    assert alike(other.step_moved(batch(1), lambda array: array), second, 1e-6)


def test_what_every_call_returns_is_moved_by_draws_of_its_own() -> None:
    shapes: list[tuple[int, ...]] = []

    def move(array: Any) -> Any:
        assert (array == 1).all() and array.dtype == np.float32
        shapes.append(array.shape)
        return array

    made().step_moved(batch(), move)
    calls = [node for node in STEP.nodes.values() if node.op == "call"]
    assert len(shapes) == sum(len(node.outputs) for node in calls) > 3
    assert {shape[0] for shape in shapes if shape} == {SIZES["N"]}  # losses are one number


def test_both_sides_are_trained_on_batches_that_differ_from_step_to_step() -> None:
    report = check_step(STEP, ("reference", "reference"), 2, 0)
    assert report.ok and not report.notes and report.envelope == "4 restarts of a an ulp away"
    assert (report.a, report.b) == ("pix2pix on reference", "pix2pix on reference")
    assert len(report.steps) == 2
    assert made().step(batch()) == report.steps[0].a
    other = check_step(STEP, ("reference", "reference"), 1, 7)
    assert other.steps[0].a != report.steps[0].a


def test_an_optimizer_to_which_no_gradient_came_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    gradients = ReferenceStepper.gradients

    def cut(self: ReferenceStepper) -> dict[str, Any]:
        found = gradients(self)
        missing = next(name for name in found if name.startswith("discriminator."))  # as torch has it: there is none
        return {
            name: 0 * value if name.startswith("discriminator.") else value
            for name, value in found.items()
            if name != missing
        }

    monkeypatch.setattr(ReferenceStepper, "gradients", cut)
    report = check_step(STEP, ("reference", "reference"), 1, 0)
    assert report.notes == ["every gradient of discriminator_adam was 0: what it trains was not moved"]
