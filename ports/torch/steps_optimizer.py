"""The optimizers of training steps in PyTorch, with what they keep by the names of their parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from twinzoo.ports.port import Array
from twinzoo.ports.steps.stepper import Move
from twinzoo.zoo.steps.optimizer import Optimizer

if TYPE_CHECKING:
    import torch

_WORDS = {"m": "exp_avg", "v": "exp_avg_sq", "momentum": "momentum_buffer"}
"""What an optimizer keeps -> PyTorch's word."""


class TorchOptimizer:
    """`torch.optim.Adam` or `torch.optim.SGD` over parameters by name.

    They handle all parameters at once (`foreach`), which on a CPU is not PyTorch's default: the same numbers, bit for
    bit, in three quarters of the time, for one more copy of the parameters meanwhile. `fused` rounds otherwise.

    Attributes:
        native: the optimizer itself.
        parameters: what it moves.
    """

    def __init__(self, settings: Optimizer, parameters: Mapping[str, torch.nn.Parameter]) -> None:
        import torch

        self.parameters = dict(parameters)
        self._settings = settings
        held, decay = list(self.parameters.values()), settings.weight_decay
        self.native: torch.optim.Optimizer
        if settings.kind == "adam":
            self.native = torch.optim.Adam(
                held, settings.lr, betas=settings.betas, eps=settings.eps, weight_decay=decay, foreach=True
            )
        else:
            self.native = torch.optim.SGD(
                held, settings.lr, momentum=settings.momentum, weight_decay=decay, foreach=True
            )

    def step(self, gradients: Sequence[torch.Tensor], move: Move) -> None:
        """Move the parameters, whose `grad` is then what was used: the gradients after clipping."""
        import torch

        held = list(self.parameters.values())
        for parameter, gradient in zip(held, gradients, strict=True):
            parameter.grad = gradient
        if self._settings.clip is not None:
            torch.nn.utils.clip_grad_norm_(held, self._settings.clip)
        self.native.param_groups[0]["lr"] = move.lr
        self.native.step()

    def slots(self) -> dict[str, Array]:
        """What is kept, by `optimizer.<slot>.<parameter>`, as copies; zeros before the first step."""
        made: dict[str, Array] = {}
        for slot in self._settings.slots:
            for name, parameter in self.parameters.items():
                held = self.native.state[parameter].get(_WORDS[slot])
                empty = np.zeros(tuple(parameter.shape), np.float32)
                made[f"optimizer.{slot}.{name}"] = empty if held is None else array_of(held)
        return made

    def load(self, slots: Mapping[str, Array], count: int) -> None:
        """Set what `slots` gives, as it is after `count` steps."""
        import torch

        for name, parameter in self.parameters.items():
            kept = {
                _WORDS[slot]: torch.from_numpy(np.array(slots[f"optimizer.{slot}.{name}"])).to(parameter)
                for slot in self._settings.slots
            }
            if self._settings.kind == "adam":
                kept["step"] = torch.tensor(float(count))
            self.native.state[parameter] = kept


def array_of(tensor: torch.Tensor) -> Array:
    """A tensor's values as a copy, half precision as float32."""
    import torch

    half = tensor.dtype in (torch.float16, torch.bfloat16)
    array: Array = tensor.detach().to("cpu", torch.float32 if half else tensor.dtype).numpy()
    return array.copy()
