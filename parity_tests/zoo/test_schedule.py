"""Schedules against PyTorch's own schedulers, epoch by epoch."""

from __future__ import annotations

from typing import Any

import pytest

from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.steps.schedule import Schedule

EPOCHS = 40


def by_torch(make: Any) -> list[float]:
    """The rate in each epoch, from 1."""
    torch = pytest.importorskip("torch")
    sgd = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(torch.optim.lr_scheduler, sgd)
    rates = []
    for _ in range(EPOCHS):
        rates.append(sgd.param_groups[0]["lr"])
        sgd.step()
        scheduler.step()
    return rates


CASES: dict[str, tuple[Schedule, Any]] = {
    "constant": (Schedule(), lambda lr, sgd: lr.ConstantLR(sgd, 1.0)),
    "linear": (
        Schedule("linear", 10, 12),
        lambda lr, sgd: lr.LambdaLR(sgd, lambda e: max(0.0, 1 - max(0, e + 1 - 10) / 13)),
    ),
    "restarts": (Schedule("restarts", 7), lambda lr, sgd: lr.CosineAnnealingWarmRestarts(sgd, 7)),
    "growing": (Schedule("restarts", 4, growth=2), lambda lr, sgd: lr.CosineAnnealingWarmRestarts(sgd, 4, 2)),
    "tenths": (Schedule("tenths", 15), lambda lr, sgd: lr.StepLR(sgd, 15)),
}


@pytest.mark.parametrize("case", CASES)
def test_factors_are_those_of_torch(case: str) -> None:
    schedule, make = CASES[case]
    assert [schedule.factor(epoch) for epoch in range(EPOCHS)] == pytest.approx(by_torch(make), abs=1e-12)


def test_cosine_is_that_of_torch_and_stays_at_its_end() -> None:
    """PyTorch's goes up again after its last epoch."""
    made = [Schedule("cosine", 9).factor(epoch) for epoch in range(EPOCHS)]
    assert made[:10] == pytest.approx(by_torch(lambda lr, sgd: lr.CosineAnnealingLR(sgd, 9))[:10], abs=1e-12)
    assert made[9:] == [0.0] * (EPOCHS - 9)


def test_it_is_constant_within_an_epoch() -> None:
    slow, fast = Schedule("restarts", 3, epoch_steps=5, growth=3), Schedule("restarts", 3, growth=3)
    assert [slow.factor(done) for done in range(60)] == [fast.factor(done // 5) for done in range(60)]


@pytest.mark.parametrize("growth", [1, 2])
def test_a_far_epoch_is_reached_at_once(growth: int) -> None:
    assert 0 <= Schedule("restarts", 2, growth=growth).factor(10**15) <= 1


@pytest.mark.parametrize("schedule", [schedule for schedule, _ in CASES.values()])
def test_it_is_told_in_words(schedule: Schedule) -> None:
    numbers = (schedule.epochs, schedule.decay_epochs) if schedule.kind == "linear" else (schedule.epochs,)
    assert schedule.kind == "constant" or all(str(number) in schedule.text for number in numbers)


@pytest.mark.parametrize(
    "settings",
    [{"kind": "step"}, {"kind": "restarts"}, {"kind": "restarts", "epochs": 1, "growth": 0}, {"epoch_steps": 0}],
)
def test_what_cannot_be(settings: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="^schedule "):
        Schedule(**settings)
