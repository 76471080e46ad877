"""A plan as a torch module."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from parity_tests.scramble.plan import LayerPlan, Plan


class Network(nn.Module):
    """Runs the steps of a plan; layer i is kept under `paths[i]`, defined in the order `order`.

    `flipped` names the steps that take their operands the other way round.
    """

    def __init__(self, plan: Plan, paths: list[str], order: list[int], flipped: set[int]) -> None:
        super().__init__()
        self.plan, self.paths, self.flipped = plan, paths, flipped
        for number in order:
            *outer, name = paths[number].split(".")
            home: nn.Module = self
            for word in outer:
                if not hasattr(home, word):
                    home.add_module(word, nn.Module())
                home = home.get_submodule(word)
            home.add_module(name, layer(plan.layers[number]))

    def run(self, *inputs: torch.Tensor) -> Any:
        values = list(inputs)
        for number, step in enumerate(self.plan.steps):
            operands = [values[i] for i in step.operands]
            if number in self.flipped:
                operands.reverse()
            made = self.get_submodule(self.paths[step.layer]) if step.layer >= 0 else None
            values.append(apply(step.op, made, operands))
        outputs = tuple(values[i] for i in self.plan.outputs)
        return outputs if len(outputs) > 1 else outputs[0]


class SingleInput(Network):
    """With one named argument."""

    def forward(self, image: torch.Tensor) -> Any:
        return self.run(image)


class TwoInputs(Network):
    """With two named arguments."""

    def forward(self, image: torch.Tensor, other: torch.Tensor) -> Any:
        return self.run(image, other)


def layer(plan: LayerPlan) -> nn.Module:
    if plan.kind == "conv":
        return nn.Conv2d(plan.inputs, plan.outputs, plan.kernel, padding=plan.kernel // 2)
    if plan.kind == "norm":
        return nn.BatchNorm2d(plan.outputs)
    if plan.kind == "prelu":
        return nn.PReLU(plan.outputs)
    return nn.Linear(plan.inputs, plan.outputs)


def apply(op: str, run: nn.Module | None, operands: list[torch.Tensor]) -> torch.Tensor:
    x = operands[0]
    if op == "linear":
        assert run is not None
        result: torch.Tensor = run(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return result
    if run is not None:
        made: torch.Tensor = run(x)
        return made
    if op == "concat":
        return torch.cat(operands, 1)
    if op == "flip":
        return torch.flip(x, (3,))
    if op in ("add", "mul", "sub"):
        joined: torch.Tensor = getattr(torch, op)(x, operands[1])
        return joined
    if op == "leaky_relu":
        return F.leaky_relu(x, 0.2)
    changed: torch.Tensor = getattr(torch, op)(x)
    return changed


def network(plan: Plan, paths: list[str], order: list[int], flipped: set[int]) -> Network:
    kind = SingleInput if len(plan.inputs) == 1 else TwoInputs
    return kind(plan, paths, order, flipped).eval()
