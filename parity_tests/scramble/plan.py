"""A random network as a list of steps: few channel counts, so that most of its layers are alike in kind and shape."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

SIZE = 6
CHANNELS = (4, 4, 4, 6)
ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid")
JOINS = ("add", "mul", "sub", "concat")


@dataclass(frozen=True)
class LayerPlan:
    """A layer with weights: `conv` (kernel 1 or 3, same size), `norm` (batch norm), `prelu`, `linear` (on channels)."""

    kind: str
    inputs: int
    outputs: int
    kernel: int = 1


@dataclass(frozen=True)
class Step:
    """One operation on earlier values; `layer` is the number of the layer that it runs, -1 for a function."""

    op: str
    operands: tuple[int, ...]
    layer: int = -1


@dataclass
class Plan:
    """The values 0 .. len(inputs) - 1 are the inputs, every step adds one.

    Attributes:
        inputs: channels of each input, (1, channels, SIZE, SIZE).
        channels: of each value.
        outputs: values that are returned.
    """

    inputs: list[int]
    layers: list[LayerPlan] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    channels: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def layer(self, kind: str, inputs: int, outputs: int, kernel: int = 1) -> int:
        self.layers.append(LayerPlan(kind, inputs, outputs, kernel))
        return len(self.layers) - 1

    def step(self, op: str, *operands: int, layer: int = -1) -> int:
        """Add a step; returns the number of its value."""
        if layer >= 0:
            channels = self.layers[layer].outputs
        elif op == "concat":
            channels = sum(self.channels[operand] for operand in operands)
        else:
            channels = self.channels[operands[0]]
        self.steps.append(Step(op, operands, layer))
        self.channels.append(channels)
        return len(self.channels) - 1


def random_plan(seed: int) -> Plan:
    """A network of 4 to 14 blocks: chains, branches, siamese pairs, repeated layers, skips."""
    rng = np.random.default_rng(seed)
    inputs = [3] * int(rng.choice([1, 1, 2]))
    plan = Plan(inputs, channels=list(inputs))
    values = [_block(plan, rng, value) for value in range(len(inputs))]
    blocks = (_chain, _chain, _branch, _siamese, _repeat, _skip)
    for _ in range(int(rng.integers(3, 12))):
        blocks[int(rng.integers(len(blocks)))](plan, rng, values)
    last = values[-1]
    unused = [v for v in values[:-1] if not any(v in step.operands for step in plan.steps)]
    for value in unused:
        last = _join(plan, rng, last, value)
    plan.outputs = [_unit(plan, rng, last, 2)]
    if rng.random() < 0.25:
        plan.outputs.append(_unit(plan, rng, last, 2))
    return plan


def _unit(plan: Plan, rng: np.random.Generator, value: int, outputs: int) -> int:
    """A convolution, or a linear map of the channels."""
    kind = str(rng.choice(["conv", "conv", "conv", "linear"]))
    kernel = 1 if kind == "linear" else int(rng.choice([1, 3, 3]))
    return plan.step(kind, value, layer=plan.layer(kind, plan.channels[value], outputs, kernel))


def _block(plan: Plan, rng: np.random.Generator, value: int, outputs: int = 0) -> int:
    """A unit, perhaps a norm, perhaps an activation."""
    value = _unit(plan, rng, value, outputs or int(rng.choice(CHANNELS)))
    channels = plan.channels[value]
    if rng.random() < 0.4:
        value = plan.step("norm", value, layer=plan.layer("norm", channels, channels))
    if rng.random() < 0.15:
        return plan.step("prelu", value, layer=plan.layer("prelu", channels, channels))
    return plan.step(str(rng.choice(ACTIVATIONS)), value) if rng.random() < 0.8 else value


def _chain(plan: Plan, rng: np.random.Generator, values: list[int]) -> None:
    values.append(_block(plan, rng, values[-1]))


def _branch(plan: Plan, rng: np.random.Generator, values: list[int]) -> None:
    """Two or three branches from one value; half the time drawn alike, which may be a true symmetry."""
    start, channels = values[-1], int(rng.choice(CHANNELS))
    alike = int(rng.integers(2**31)) if rng.random() < 0.5 else None
    ends = []
    for _ in range(int(rng.choice([2, 2, 3]))):
        end = start
        own = rng if alike is None else np.random.default_rng(alike)
        for _ in range(int(own.integers(1, 3))):
            end = _block(plan, own, end, channels)
        ends.append(end)
    op = str(rng.choice(JOINS))
    joined = ends[0]
    for end in ends[1:]:
        joined = plan.step(op, joined, end)
    values.append(_block(plan, rng, joined))


def _siamese(plan: Plan, rng: np.random.Generator, values: list[int]) -> None:
    """The same layers on two values, or their twins with weights of their own."""
    left = values[-1]
    right = plan.step(str(rng.choice(["neg", "flip"])), left)
    channels = plan.channels[left]
    shared = rng.random() < 0.6
    layers = [plan.layer("conv", channels, channels, 3) for _ in range(1 if shared else 2)]
    ends = [plan.step("conv", value, layer=layer) for value, layer in zip((left, right), layers * 2, strict=False)]
    values.append(_join(plan, rng, *ends))


def _repeat(plan: Plan, rng: np.random.Generator, values: list[int]) -> None:
    """One residual block run several times."""
    value = values[-1]
    channels = plan.channels[value]
    layers = [plan.layer("conv", channels, channels, 3) for _ in range(2)]
    for _ in range(int(rng.integers(2, 4))):
        inner = plan.step("tanh", plan.step("conv", value, layer=layers[0]))
        inner = plan.step("conv", inner, layer=layers[1])
        value = plan.step("add", value, inner)
    values.append(value)


def _skip(plan: Plan, rng: np.random.Generator, values: list[int]) -> None:
    other = values[int(rng.integers(len(values)))]
    values.append(_join(plan, rng, _block(plan, rng, values[-1]), other))


def _join(plan: Plan, rng: np.random.Generator, a: int, b: int) -> int:
    op = "concat" if plan.channels[a] != plan.channels[b] else str(rng.choice(JOINS))
    return plan.step(op, a, b)
