"""A history of generated images is a kind of its own: other choices are told from other images, in the stage `pool`."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from parity_tests.parity.steps.numpy_run import Array, Loading, batches
from twinzoo.parity.steps.causes.pools import Held, pool_causes
from twinzoo.parity.steps.compare import compare_steps

SLOTS = 4


class Remembering(Loading):
    """A run that keeps one image of each step, in a slot that a choice decides."""

    choices: tuple[int, ...] = (0, 1, 2, 3, 1, 0)
    scale: float = 1.0
    images: Any = None

    def step(self, batch: Any) -> dict[str, float]:
        if self.images is None:
            self.images = np.zeros((SLOTS, 3, 2), np.float32)
        losses = super().step(batch)
        made = (batch["x"][0].reshape(3, 2) * self.p["norm.weight"][:6].reshape(3, 2) * self.scale).astype(np.float32)
        self.images = self.images.copy()
        self.images[self.choices[self.t - 1]] = made
        return losses

    def state(self) -> dict[str, Array]:
        found = {**super().state(), "pool.history.count": np.array(min(self.t, SLOTS))}
        return found if self.images is None else found | {"pool.history.images": self.images}

    def load(self, state: Any) -> None:
        super().load(state)
        self.images = state.get("pool.history.images")


def made(**what: Any) -> Remembering:
    run = Remembering(numbers=True, moments=what.pop("moments", True), backwards=what.pop("backwards", False))
    for name, value in what.items():
        setattr(run, name, value)
    return run


@pytest.mark.parametrize("moments", [True, False])
def test_clean_histories_are_not_accused(moments: bool) -> None:
    report = compare_steps(partial(made, moments=moments), partial(made, moments=moments, backwards=True), batches(6))
    assert report.ok, str(report)
    assert report.tensors == 10


@pytest.mark.parametrize("moments", [True, False])
def test_other_choices_are_told_at_the_step_where_they_show(moments: bool) -> None:
    other = partial(made, moments=moments, backwards=True, choices=(0, 1, 2, 3, 2, 0))
    report = compare_steps(partial(made, moments=moments), other, batches(6))
    assert [(f.layer, f.cause) for f in report.findings] == [("pool.history.images", "nondeterminism")]
    assert "of 4 slots 1, 2 hold another image" in report.findings[0].evidence
    first = report.first_divergence
    assert first is not None and (first.stage, first.step) == ("pool", 5)
    assert report.steps[4].worst["buffer"] == "pool.history.images" and report.steps[4].ratios["buffer"] > 1


def test_other_images_are_not_called_another_choice() -> None:
    report = compare_steps(made, partial(made, backwards=True, scale=1.01, choices=(0,) * 6), batches(1))
    assert report.findings[0].cause == "nondeterminism"  # one image beside three empty slots tells no more
    found = Held(np.ones(12), np.full(12, 1.01), 4, 1e-6)
    (cause,) = pool_causes(1, {"pool.history.images": found}, str)
    assert (cause.finding.cause, cause.stage) == ("unexplained", "pool")
    (count,) = pool_causes(1, {"pool.history.count": Held(np.ones(1), np.zeros(1), 1, 0.0)}, str)
    assert count.finding.cause == "unexplained"
