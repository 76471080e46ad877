"""The network of `backward_torch` in MindSpore, with the same bugs."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from parity_tests.planted.backward_torch import FACTORS, Learner
from twinzoo.converters.convert import convert


class _Scaled(nn.Cell):  # type: ignore[misc]
    """The identity with a backward of its own."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def construct(self, x: Tensor) -> Tensor:
        return x * 1.0

    def bprop(self, x: Tensor, out: Tensor, gradient: Tensor) -> tuple[Tensor]:
        return (gradient * self.factor,)


class Cell(nn.Cell):  # type: ignore[misc]
    """(N, 3, 12, 12) -> (N, 4)."""

    def __init__(self, bug: str = "") -> None:
        super().__init__()
        self.bug = bug
        self.first = nn.Conv2d(3, 6, 3, pad_mode="pad", padding=1, has_bias=True)
        statistics = {"eval norm": False, "no statistics": True}.get(bug)
        momentum = 0.1 if bug == "momentum" else 0.9
        self.norm = nn.BatchNorm2d(6, momentum=momentum, use_batch_statistics=statistics)
        self.second = nn.Conv2d(6, 6, 3, pad_mode="pad", padding=1, has_bias=True)
        self.drop = nn.Dropout(p=0.2 if bug == "drop less" else 0.5)
        self.head = nn.Dense(6, 4)
        self.scaled = _Scaled(FACTORS.get(bug, 1.0))
        if bug == "frozen":
            self.second.weight.requires_grad = False

    def construct(self, image: Tensor) -> Tensor:
        x = ops.leaky_relu(self.norm(self.first(image)), 0.2)
        skip = ops.stop_gradient(x) if self.bug == "detached skip" else x
        y = self.second(ops.stop_gradient(x) if self.bug == "no_grad" else x)
        y = y + skip
        if self.bug in FACTORS:
            y = self.scaled(y)
        if self.bug == "hook":
            y.register_hook(lambda g: g + 0.1)
        if self.bug == "clipped":
            y.register_hook(lambda g: ops.clamp(g, -1e-3, 1e-3))
        y = ops.tanh(y)
        if self.bug != "no dropout":
            y = self.drop(y)
        return self.head(y.mean((2, 3)))


def cell_of(model: Learner, bug: str = "") -> Cell:
    """The same weights and statistics in MindSpore."""
    made = Cell(bug)
    convert(model, made)
    return made
