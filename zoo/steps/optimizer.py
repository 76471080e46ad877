"""Optimizers and learning rates as data: numbers in, the rate of a step out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from twinzoo.zoo.errors import SpecError

_KINDS = ("constant", "linear", "cosine")


@dataclass(frozen=True)
class Schedule:
    """What the learning rate is multiplied by, constant within an epoch.

    Attributes:
        kind: constant (1 for ever), linear (1 for `epochs`, then down in `decay_epochs`, one more would be 0: the GAN
            code's LambdaLR) or cosine (from 1 to 0 in `epochs`, 0 after them).
        epoch_steps: optimizer steps in an epoch, which is images over batch size.
    """

    kind: str = "constant"
    epochs: int = 0
    decay_epochs: int = 0
    epoch_steps: int = 1

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise SpecError(f"schedule {self.kind!r}: must be one of {', '.join(_KINDS)}")
        if self.epochs < (self.kind == "cosine") or self.decay_epochs < 0 or self.epoch_steps < 1:
            raise SpecError(f"schedule {self}: epochs and decay_epochs must be >= 0 (cosine: >= 1), epoch_steps >= 1")

    def factor(self, done: int) -> float:
        """The factor of the step that follows `done` steps."""
        epoch = done // self.epoch_steps
        if self.kind == "linear":
            return max(0.0, 1 - max(0, epoch + 1 - self.epochs) / (self.decay_epochs + 1))
        if self.kind == "cosine":
            return (1 + math.cos(math.pi * min(epoch, self.epochs) / self.epochs)) / 2
        return 1.0


@dataclass(frozen=True)
class Optimizer:
    """Adam (Kingma and Ba 2015, with the bias corrections and eps where PyTorch has them) over some networks.

    Attributes:
        trains: roles of the networks whose parameters it moves; all others are frozen in its updates.
        lr, betas, eps: as in PyTorch. weight_decay: an L2 penalty, added to the gradient.
        schedule: of the learning rate.
        clip: the largest norm of all its gradients together; larger ones are scaled down to it. None leaves them.
    """

    name: str
    trains: tuple[str, ...]
    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    schedule: Schedule = Schedule()
    clip: float | None = None

    def __post_init__(self) -> None:
        where = f"optimizer {self.name}"
        if not all(0 <= beta < 1 for beta in self.betas):
            raise SpecError(f"{where}: betas={self.betas}: must be in [0, 1)")
        if min(self.lr, self.weight_decay) < 0 or self.eps <= 0 or (self.clip is not None and self.clip <= 0):
            raise SpecError(f"{where}: lr and weight_decay must be >= 0, eps and clip > 0")

    def rate(self, done: int) -> float:
        """The learning rate of the update that follows `done` updates."""
        return self.lr * self.schedule.factor(done)
