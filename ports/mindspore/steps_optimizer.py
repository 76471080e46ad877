"""The optimizers of training steps in MindSpore, with PyTorch's numbers and what they keep by parameter.

SGD's kernel, `ops.ApplyMomentum`, computes what PyTorch does as it is; Adam's has a file of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from twinzoo.ports.mindspore.steps_adam import rate_and_eps, shares
from twinzoo.ports.port import Array
from twinzoo.ports.steps.stepper import Move
from twinzoo.zoo.steps.optimizer import Optimizer


class MindSporeOptimizer:
    """An optimizer over parameters by name.

    Attributes:
        parameters: what it moves.
        update: (gradients, rate, eps) -> the gradients that were used, which is after clipping; it runs compiled too.
    """

    def __init__(self, settings: Optimizer, parameters: Mapping[str, Any]) -> None:
        import mindspore as ms

        self.parameters = dict(parameters)
        self._settings = settings
        weights = list(self.parameters.values())
        kept = [_zeros_like(weights, slot) for slot in settings.slots]
        self._kept = {
            slot: dict(zip(self.parameters, held, strict=True)) for slot, held in zip(settings.slots, kept, strict=True)
        }
        self.update = _update_of(settings, ms.ParameterTuple(weights), kept)

    def numbers(self, move: Move) -> tuple[float, float]:
        """The rate and eps of an update; SGD has no eps."""
        return rate_and_eps(self._settings, move) if self._settings.kind == "adam" else (move.lr, 0.0)

    def slots(self) -> Iterator[tuple[str, str, Array]]:
        """What is kept: slot, parameter and a copy of the exact array, in MindSpore's layout."""
        for slot, share in self._shares():
            for name, held in self._kept[slot].items():
                yield slot, name, held.asnumpy().copy() / share

    def set_slot(self, slot: str, name: str, value: Array) -> None:
        """Set one of what `slots` gives."""
        from mindspore import Tensor

        held = self._kept[slot][name]
        held.set_data(Tensor(np.array(value * dict(self._shares())[slot], np.float32), held.dtype))

    def _shares(self) -> Iterator[tuple[str, np.float32]]:
        """Each slot, with what the kernel makes of it as a multiple of the exact one."""
        factors = shares(self._settings) if self._settings.kind == "adam" else (1.0,)
        yield from zip(self._settings.slots, map(np.float32, factors), strict=False)


def _zeros_like(parameters: list[Any], slot: str) -> Any:
    import mindspore as ms
    from mindspore import ops

    return ms.ParameterTuple([ms.Parameter(ops.zeros_like(p), name=f"{slot}.{p.name}") for p in parameters])


def _update_of(optimizer: Optimizer, weights: Any, kept: list[Any]) -> Callable[[Any, Any, Any], Any]:
    from mindspore import ops

    decay, clip, count = optimizer.weight_decay, optimizer.clip, len(weights)
    move = _adam(optimizer, weights, *kept) if optimizer.kind == "adam" else _sgd(optimizer, weights, *kept)

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
            move(i, used[i] if decay == 0 else used[i] + decay * weights[i], rate, eps)
        return used

    return update


def _adam(optimizer: Optimizer, weights: Any, m: Any, v: Any) -> Callable[[int, Any, Any, Any], None]:
    from mindspore import ops

    kernel = ops.Adam()
    beta1, beta2 = optimizer.betas

    def move(i: int, gradient: Any, rate: Any, eps: Any) -> None:
        kernel(weights[i], m[i], v[i], 0.0, 0.0, rate, beta1, beta2, eps, gradient)

    return move


def _sgd(optimizer: Optimizer, weights: Any, buffers: Any = None) -> Callable[[int, Any, Any, Any], None]:
    from mindspore import ops

    kernel, momentum = ops.ApplyMomentum(), optimizer.momentum

    def plain(i: int, gradient: Any, rate: Any, eps: Any) -> None:
        ops.assign_sub(weights[i], rate * gradient)

    def heavy(i: int, gradient: Any, rate: Any, eps: Any) -> None:
        kernel(weights[i], buffers[i], rate, gradient, momentum)

    return plain if buffers is None else heavy
