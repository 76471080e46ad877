"""Adam in MindSpore with PyTorch's numbers.

`nn.Adam` adds eps before the bias correction. `ops.Adam` is given the corrections here, computed in float64, within
its learning rate and eps: `lr sqrt(1 - b2^t) / (1 - b1^t)` and `eps sqrt(1 - b2^t)`. Its kernel takes `1 - b` from a
beta in float32, which is 1.3e-5 off for 0.999, and its averages are off by that factor: `shares` gives it, and learning
rate, eps and the state that is shown make up for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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


def update_of(optimizer: Optimizer, weights: Any, m: Any, v: Any) -> Callable[[Any, Any, Any], Any]:
    """The update as a function (gradients, rate, eps) -> the gradients after clipping; it runs compiled or not."""
    from mindspore import ops

    kernel = ops.Adam()
    beta1, beta2 = optimizer.betas
    decay, clip, count = optimizer.weight_decay, optimizer.clip, len(weights)

    def clipped(gradients: Any) -> Any:
        total = 0.0
        for i in range(count):
            total = total + ops.square(gradients[i]).sum()
        factor = ops.minimum(clip / (ops.sqrt(total) + 1e-6), ops.ones_like(total))
        made: tuple[Any, ...] = ()
        for i in range(count):
            made = made + (gradients[i] * factor,)
        return made

    def update(gradients: Any, rate: Any, eps: Any) -> Any:
        used = gradients if clip is None else clipped(gradients)
        for i in range(count):
            given = used[i] if decay == 0 else used[i] + decay * weights[i]
            kernel(weights[i], m[i], v[i], 0.0, 0.0, rate, beta1, beta2, eps, given)
        return used

    return update


def added(ones: Sequence[Any], others: Sequence[Any]) -> tuple[Any, ...]:
    """The gradients of two blocks added, parameter by parameter."""
    made: tuple[Any, ...] = ()
    for i in range(len(ones)):
        made = made + (ones[i] + others[i],)
    return made
