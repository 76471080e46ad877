"""Learning rates as data: how many steps were made in, the factor of the next step's rate out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from twinzoo.zoo.errors import SpecError


@dataclass(frozen=True)
class Schedule:
    """What the learning rate is multiplied by, constant within an epoch.

    Attributes:
        kind: constant (1 for ever), linear (1 for `epochs`, then down in `decay_epochs`, one more would be 0: the GAN
            code's LambdaLR), cosine (from 1 to 0 in `epochs`, 0 after them), restarts (cosine again and again, after
            `epochs` at first: Loshchilov and Hutter 2017, eq. 5), inverse (1 / (1 + epoch / `epochs`), so half after
            `epochs`) or tenths (a tenth of it after every `epochs`: Caffe's and PyTorch's step policy).
        epoch_steps: optimizer steps in an epoch, which is images over batch size.
        growth: of restarts: how many times as long as the one before each period is.
    """

    kind: str = "constant"
    epochs: int = 0
    decay_epochs: int = 0
    epoch_steps: int = 1
    growth: int = 1

    def __post_init__(self) -> None:
        if self.kind not in _FACTORS:
            raise SpecError(f"schedule {self.kind!r}: must be one of {', '.join(_FACTORS)}")
        counted = self.kind in _COUNTED
        if self.epochs < counted or self.decay_epochs < 0 or min(self.epoch_steps, self.growth) < 1:
            least = f"epochs must be >= {int(counted)}, decay_epochs >= 0, epoch_steps and growth >= 1"
            raise SpecError(f"schedule {self}: {least}")

    def factor(self, done: int) -> float:
        """The factor of the step that follows `done` steps."""
        return _FACTORS[self.kind](self, done // self.epoch_steps)

    @property
    def text(self) -> str:
        """The schedule in words."""
        words = {
            "constant": "constant",
            "linear": f"{self.epochs} epochs, then linear in {self.decay_epochs}",
            "cosine": f"cosine in {self.epochs} epochs",
            "restarts": f"cosine in {self.epochs} epochs, again and again, each time {self.growth} times as long",
            "inverse": f"1 / (1 + epoch / {self.epochs})",
            "tenths": f"a tenth after every {self.epochs} epochs",
        }[self.kind]
        return words if self.kind == "constant" else f"{words}; {self.epoch_steps} steps an epoch"


def _linear(s: Schedule, epoch: int) -> float:
    return max(0.0, 1 - max(0, epoch + 1 - s.epochs) / (s.decay_epochs + 1))


def _cosine(s: Schedule, epoch: int) -> float:
    return (1 + math.cos(math.pi * min(epoch, s.epochs) / s.epochs)) / 2


def _restarts(s: Schedule, epoch: int) -> float:
    period = s.epochs
    if s.growth == 1:
        epoch %= period
    while epoch >= period:
        epoch -= period
        period *= s.growth
    return (1 + math.cos(math.pi * epoch / period)) / 2


_FACTORS: dict[str, Callable[[Schedule, int], float]] = {
    "constant": lambda s, epoch: 1.0,
    "linear": _linear,
    "cosine": _cosine,
    "restarts": _restarts,
    "inverse": lambda s, epoch: 1 / (1 + epoch / s.epochs),
    "tenths": lambda s, epoch: float(10.0 ** -(epoch // s.epochs)),
}
_COUNTED = ("cosine", "restarts", "inverse", "tenths")
