"""Optimizers as data: numbers in, the rate of a step out."""

from __future__ import annotations

from dataclasses import dataclass

from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.steps.schedule import Schedule

_SLOTS = {"adam": ("m", "v"), "sgd": ("momentum",)}


@dataclass(frozen=True)
class Optimizer:
    """Adam or SGD with momentum over some networks, each computed as PyTorch does.

    Attributes:
        trains: roles of the networks whose parameters it moves; all others are frozen in its updates.
        lr: as in PyTorch. weight_decay: an L2 penalty, added to the gradient.
        betas, eps: of Adam (Kingma and Ba 2015), bias-corrected, eps added after that.
        schedule: of the learning rate.
        clip: the largest norm of all its gradients together; larger ones are scaled down to it. None leaves them.
        kind: adam or sgd.
        momentum: of SGD (Sutskever et al. 2013, the rate outside the average): what is kept of the past step.
    """

    name: str
    trains: tuple[str, ...]
    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    schedule: Schedule = Schedule()
    clip: float | None = None
    kind: str = "adam"
    momentum: float = 0.0

    def __post_init__(self) -> None:
        where = f"optimizer {self.name}"
        if self.kind not in _SLOTS:
            raise SpecError(f"{where}: kind={self.kind!r}: must be one of {', '.join(_SLOTS)}")
        if not all(0 <= share < 1 for share in (*self.betas, self.momentum)):
            raise SpecError(f"{where}: betas={self.betas}, momentum={self.momentum}: must be in [0, 1)")
        if self.momentum and self.kind == "adam":
            raise SpecError(f"{where}: momentum={self.momentum}: Adam's is the first of betas; momentum is SGD's")
        if min(self.lr, self.weight_decay) < 0 or self.eps <= 0 or (self.clip is not None and self.clip <= 0):
            raise SpecError(f"{where}: lr and weight_decay must be >= 0, eps and clip > 0")

    def rate(self, done: int) -> float:
        """The learning rate of the update that follows `done` updates."""
        return self.lr * self.schedule.factor(done)

    @property
    def slots(self) -> tuple[str, ...]:
        """What it keeps for each parameter from one update to the next, zeros at first."""
        return () if self.kind == "sgd" and not self.momentum else _SLOTS[self.kind]
