"""A small network that returns what is right, at least in eval mode, and learns what is wrong."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: torch.Tensor, factor: float) -> torch.Tensor:
        context.factor = factor
        return x.clone()

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> Any:
        return gradients[0] * context.factor, None


class _Biased(nn.BatchNorm2d):
    """Keeps the variance of the batch as it is, as hand-written ports do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert self.running_var is not None and self.momentum is not None
        before, count = self.running_var.clone(), x.numel() // x.shape[1]
        out = super().forward(x)
        with torch.no_grad():
            kept = (1 - self.momentum) * before
            self.running_var.data.copy_(kept + (self.running_var - kept) * (count - 1) / count)
        return out


class Learner(nn.Module):
    """(N, 3, 12, 12) -> (N, 4): two convolutions, a skip, dropout and a linear head.

    Args:
        bug: what is wrong with it, empty for nothing.
    """

    def __init__(self, bug: str = "") -> None:
        super().__init__()
        self.bug = bug
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        kind = _Biased if bug == "biased variance" else nn.BatchNorm2d
        self.norm = kind(6, momentum=0.9 if bug == "momentum" else 0.1)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.drop = nn.Dropout(0.2 if bug == "drop less" else 0.5)
        self.head = nn.Linear(6, 4)
        if bug == "frozen":
            self.second.weight.requires_grad_(False)
        if bug == "weight hook":
            self.second.weight.register_hook(lambda g: g * 2)  # type: ignore[no-untyped-call]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = F.leaky_relu(self._normalised(self.first(image)), 0.2)
        skip = x.detach() if self.bug == "detached skip" else x
        y = self._without_gradient(x) if self.bug == "no_grad" else self.second(x)
        y = y + skip
        if self.bug in FACTORS:
            y = _Scaled.apply(y, FACTORS[self.bug])  # type: ignore[no-untyped-call]
        if self.bug == "hook" and y.requires_grad:
            y.register_hook(lambda g: g + 0.1)
        if self.bug == "clipped" and y.requires_grad:
            y.register_hook(lambda g: g.clamp(-1e-3, 1e-3))
        y = torch.tanh(y)
        if self.bug != "no dropout":
            y = self.drop(y)
        out: torch.Tensor = self.head(y.mean((2, 3)))
        return out

    def _without_gradient(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            out: torch.Tensor = self.second(x)
        return out

    def _normalised(self, x: torch.Tensor) -> torch.Tensor:
        norm = self.norm
        if self.bug == "eval norm":
            return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.1, norm.eps)
        if self.bug == "no statistics" and self.training:
            return F.batch_norm(x, None, None, norm.weight, norm.bias, True, 0.1, norm.eps)
        made: torch.Tensor = norm(x)
        return made


FACTORS = {"halved": 0.5, "reversed": -1.0}


def learner(seed: int = 0, bug: str = "") -> Learner:
    """A network with seeded weights and statistics that no fresh one has."""
    torch.manual_seed(seed)
    made = Learner(bug)
    made.norm.running_mean.normal_()  # type: ignore[union-attr]
    made.norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return made


def twin(model: Learner, bug: str = "") -> Learner:
    """The same weights in a network with another bug."""
    made = Learner(bug)
    made.load_state_dict(model.state_dict())
    return made
