"""Adam in MindSpore with PyTorch's numbers.

`nn.Adam` adds eps before the bias correction. `ops.Adam` is given the corrections here, computed in float64, within
its learning rate and eps: `lr sqrt(1 - b2^t) / (1 - b1^t)` and `eps sqrt(1 - b2^t)`. Its kernel takes `1 - b` from a
beta in float32, which is 1.3e-5 off for 0.999, and its averages are off by that factor: `shares` gives it, and learning
rate, eps and the state that is shown make up for it.
"""

from __future__ import annotations

import numpy as np

from twinzoo.ports.steps.stepper import Move
from twinzoo.zoo.steps.optimizer import Optimizer


def shares(optimizer: Optimizer) -> tuple[float, float]:
    """What the kernel's averages of gradients and of their squares are, as multiples of the exact ones."""
    first, second = ((1 - float(np.float32(beta))) / (1 - beta) for beta in optimizer.betas)
    return first, second


def rate_and_eps(optimizer: Optimizer, move: Move) -> tuple[float, float]:
    """The learning rate and eps to give to the kernel."""
    beta1, beta2 = optimizer.betas
    first, second = shares(optimizer)
    root = float(np.sqrt((1 - beta2**move.count) * second))
    return move.lr * root / ((1 - beta1**move.count) * first), optimizer.eps * root
