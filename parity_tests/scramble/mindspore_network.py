"""A plan as a MindSpore cell."""

from __future__ import annotations

from typing import Any

from mindspore import Tensor, nn, ops

from parity_tests.scramble.plan import LayerPlan, Plan


class Network(nn.Cell):  # type: ignore[misc]
    """Runs the steps of a plan; layer i is kept under `paths[i]`, defined in the order `order`.

    `flipped` names the steps that take their operands the other way round.
    """

    def __init__(self, plan: Plan, paths: list[str], order: list[int], flipped: set[int]) -> None:
        super().__init__()
        self.plan, self.flipped = plan, flipped
        tree: dict[str, Any] = {}
        for number in order:
            *outer, name = paths[number].split(".")
            home = tree
            for word in outer:
                home = home.setdefault(word, {})
            home[name] = layer(plan.layers[number])
        attach(self, tree)
        self.paths = paths

    def run(self, *inputs: Tensor) -> Any:
        values = list(inputs)
        for number, step in enumerate(self.plan.steps):
            operands = [values[i] for i in step.operands]
            if number in self.flipped:
                operands.reverse()
            made = self.at(self.paths[step.layer]) if step.layer >= 0 else None
            values.append(apply(step.op, made, operands))
        outputs = tuple(values[i] for i in self.plan.outputs)
        return outputs if len(outputs) > 1 else outputs[0]

    def at(self, path: str) -> Any:
        found: Any = self
        for word in path.split("."):
            found = getattr(found, word)
        return found


class SingleInput(Network):
    """With one named argument."""

    def construct(self, image: Tensor) -> Any:
        return self.run(image)


class TwoInputs(Network):
    """With two named arguments."""

    def construct(self, image: Tensor, other: Tensor) -> Any:
        return self.run(image, other)


def attach(cell: nn.Cell, tree: dict[str, Any]) -> None:
    """Hang a tree of cells into a cell, leaves first: a parameter's name then has the whole path."""
    for name, child in tree.items():
        made = child
        if isinstance(child, dict):
            made = nn.Cell()
            attach(made, child)
        setattr(cell, name, made)


def layer(plan: LayerPlan) -> Any:
    if plan.kind == "conv":
        return nn.Conv2d(
            plan.inputs, plan.outputs, plan.kernel, pad_mode="pad", padding=plan.kernel // 2, has_bias=True
        )
    if plan.kind == "norm":
        return nn.BatchNorm2d(plan.outputs)
    if plan.kind == "prelu":
        return nn.PReLU(plan.outputs)
    return nn.Dense(plan.inputs, plan.outputs)


def apply(op: str, run: Any, operands: list[Tensor]) -> Tensor:
    x = operands[0]
    if op == "linear":
        return run(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if run is not None:
        return run(x)
    if op == "concat":
        return ops.cat(operands, 1)
    if op == "flip":
        return ops.flip(x, (3,))
    if op == "leaky_relu":
        return ops.leaky_relu(x, 0.2)
    return getattr(ops, op)(*operands)


def network(plan: Plan, paths: list[str], order: list[int], flipped: set[int]) -> Network:
    kind = SingleInput if len(plan.inputs) == 1 else TwoInputs
    made: Network = kind(plan, paths, order, flipped)
    made.set_train(False)
    return made
