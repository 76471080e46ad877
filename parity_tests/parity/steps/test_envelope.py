"""The envelope where training jumps or cancels: a clean pair is not accused there, and a fault beside it is found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import twinzoo as tz
from twinzoo.parity.steps import record
from twinzoo.parity.steps.check import batch_size, check_step
from twinzoo.parity.steps.envelope import Draw
from twinzoo.parity.steps.moved import MovableStepper
from twinzoo.parity.steps.report import StepsReport
from twinzoo.zoo.errors import ParityError
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.text import step_from_text

Array = NDArray[Any]

ULP = float(np.spacing(np.float32(1)))


class Hinges:
    """sum(weight * gain * relu(w - threshold)) by its own SGD: the first threshold lies three ulps above w.

    Args:
        error: what the kernel that computes w - threshold errs by, in ulps of w.
        gain: a fault where it is not 1.
    """

    def __init__(self, error: float = 0.0, gain: float = 1.0) -> None:
        self._error, self._gain = error * ULP, gain
        self._w, self._gradient = np.ones(4, np.float32), np.zeros(4, np.float32)

    def step(self, batch: Mapping[str, Array]) -> dict[str, float]:
        far = self._w.astype(np.float64) + self._error - np.array([1 + 3 * ULP, 0.5, 0.25, 0.1])
        slope = self._gain * np.array([1.0, 0.3, 0.7, 0.9]) * batch["x"]
        self._gradient = (slope * (far > 0)).astype(np.float32)
        self._w = (self._w - 0.01 * self._gradient).astype(np.float32)
        return {"loss": float((slope * np.maximum(far, 0)).sum())}

    def state(self) -> dict[str, Array]:
        return {"w": self._w.copy()}

    def gradients(self) -> dict[str, Array]:
        return {"w": self._gradient.copy()}

    def load(self, state: Mapping[str, Array]) -> None:
        self._w = state["w"]


def hinges(error: float, gain: float = 1.0) -> StepsReport:
    return tz.compare_steps(Hinges(), Hinges(error, gain), [{"x": np.full(4, 1.5, np.float32)}])


def test_a_kink_that_draws_of_one_ulp_do_not_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hinges(4).ok, str(hinges(4))
    monkeypatch.setattr(record, "_FAR_PAIRS", 0)
    assert not hinges(4).ok


def test_a_fault_beside_a_kink_is_found() -> None:
    assert not hinges(4, gain=2.5).ok
    assert not hinges(0, gain=1.0001).ok


def test_a_mirrored_draw_moves_the_other_way_and_as_far() -> None:
    values = np.array([1.5, -3.0, 0.0, 100.0], np.float32)
    one, other = (Draw([0], 8, mirrored=mirrored)(values) for mirrored in (False, True))
    np.testing.assert_array_equal(one - values, values - other)
    np.testing.assert_array_equal(np.abs(one - values), 8 * np.where(values == 0, 0, np.spacing(np.abs(values))))
    whole = np.arange(3)
    assert Draw([0])(whole) is whole


SMALL = "colorization,width=2,depth=5,vgg_width=1"


def test_a_moved_step_differs_by_roundings_of_what_calls_return() -> None:
    """Once it is factors of 1 alone it is the plain step, bit by bit."""
    pytest.importorskip("torch")
    step = step_from_text(SMALL)
    made = [MovableStepper(step, "torch", 0, {}) for _ in range(3)]
    generator = np.random.default_rng(0)
    batch = {name: generator.random(step.concrete(step.inputs[name].value)).astype(np.float32) for name in step.batch}
    plain = made[0].step(batch)
    assert made[1].step_moved(batch, lambda array: array) == plain
    moved = made[2].step_moved(batch, Draw([1]))
    assert moved != plain and moved == pytest.approx(plain, rel=1e-5)
    first, same, other = (stepper.gradients() for stepper in made)
    assert all(np.array_equal(first[name], same[name]) for name in first)
    assert any((first[name] != other[name]).any() for name in first)
    assert made[2].state().keys() == made[0].state().keys()


@pytest.mark.usefixtures("one_thread")
def test_labels_that_cancel_in_a_bias_accuse_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.9 for real and 0.1 for false images: the bias of the logits has a gradient of a 10,000th of its terms."""
    for framework in ("torch", "mindspore"):
        pytest.importorskip(framework)
    step = step_from_text("colorization,width=4,depth=5,vgg_width=2")
    seeds = (1, 3)
    assert all(check_step(step, ("torch", "mindspore"), 1, seed).ok for seed in seeds)
    monkeypatch.delattr(MovableStepper, "step_moved")
    found = [
        check_step(step, ("torch", "mindspore"), 1, seed).first_divergence for seed in seeds
    ]  # by chance not in all
    assert {where.name for where in found if where is not None} == {"discriminator.logits.bias"}


def test_a_step_in_which_nothing_has_a_gradient_compares_nothing() -> None:
    """Two channels wide, every relu of this encoder is dead."""
    pytest.importorskip("torch")
    with pytest.raises(ParityError, match="adain: every gradient is 0, so nothing was trained"):
        check_step(step_from_text("adain,width=2"), ("torch", "reference"), 1, 0)


def test_what_normalises_over_the_batch_has_two_images() -> None:
    spec = Spec("inner")
    x = spec.input("x", channels=2)
    spec.output(y=spec.batch_norm("norm", x))
    outer = Spec("outer")
    given = outer.input("x", channels=2)
    (made,) = outer.call("called", outer.role("role", spec), given)
    outer.output(y=made)
    assert batch_size(spec) == batch_size(outer) == {"N": 2}
    plain = Spec("plain")
    plain.output(y=plain.relu("act", plain.input("x", channels=2)))
    assert batch_size(plain) == {}


def test_the_side_with_coarser_numbers_is_restarted() -> None:
    """An ulp of the float64 reference would explain nothing of PyTorch's float32."""
    pytest.importorskip("torch")
    step = step_from_text("aodnet_training")
    for sides, anchor in ((("reference", "torch"), "b"), (("torch", "reference"), "a")):
        report = check_step(step, sides, 2, 0)
        assert report.ok and report.envelope == f"4 restarts of {anchor} an ulp away"
