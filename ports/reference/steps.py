"""Training steps in float64: node by node, each loss pulled back along its path, and the optimizers' formulas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from twinzoo.ports.port import check_state
from twinzoo.ports.reference.evaluate import Trace, evaluate, trace
from twinzoo.ports.reference.gradients import gradients
from twinzoo.ports.reference.pull import pull
from twinzoo.ports.reference.rule import Array
from twinzoo.ports.steps.stepper import Move, Stepper
from twinzoo.zoo.errors import PortError
from twinzoo.zoo.spec import Node
from twinzoo.zoo.steps.optimizer import Optimizer
from twinzoo.zoo.steps.step import Step, Update


class ReferenceStepper(Stepper):
    """A training step in NumPy."""

    dtype = np.float64

    def __init__(self, spec: Step, seed: int, device: str | None = None) -> None:
        if device is not None:
            raise PortError(f"device={device!r}: the reference runs in NumPy, which has none")
        super().__init__(spec, seed)
        drawn = {role: self.initial(role) for role in spec.networks}
        self._networks = {role: {n: np.array(x, np.float64) for n, x in own.items()} for role, own in drawn.items()}
        self._kept = {
            f"optimizer.{slot}.{name}": np.zeros_like(self._parameter(name))
            for optimizer, names in self.trained.items()
            for slot in spec.optimizers[optimizer].slots
            for name in names
        }
        self._used: dict[str, Array] = {}

    def _parameter(self, name: str) -> Array:
        role, _, own = name.partition(".")
        return self._networks[role][own]

    def _advance(self, fed: Mapping[str, Any], moves: list[Move]) -> dict[str, Any]:
        values: dict[str, Array] = {name: np.asarray(fed[name]) for name in self.spec.inputs}
        runs: dict[str, Trace] = {}
        left = list(zip(self.spec.updates, moves, strict=True))
        for count, node in enumerate(self.spec.nodes.values(), 1):
            given = tuple(values[value.ref] for value in node.inputs)
            if node.op == "call":
                made = self._call(node, given, fed, runs)
            else:
                made = evaluate(node, {}, given, train=True, draws=_draws(node, fed))
            values |= {value.ref: y for value, y in zip(node.outputs, made, strict=True)}
            while left and left[0][0].after == count:
                update, move = left.pop(0)
                self._move(self.spec.optimizers[update.optimizer], self._pulled(update, values, runs, fed), move)
        return values

    def _call(
        self, node: Node, given: tuple[Array, ...], fed: Mapping[str, Any], runs: dict[str, Trace]
    ) -> tuple[Array, ...]:
        role = self.spec.roles[node.attrs["role"]]
        inputs = dict(zip(role.spec.inputs, given, strict=True)) | _draws(node, fed)
        run = trace(role.spec, self._networks.get(role.name, {}), inputs, train=self.spec.networks.get(role.name, True))
        runs[node.name] = run
        if role.name in self._networks:
            self._networks[role.name] = run.state
        return tuple(run.values[value.ref] for value in role.spec.outputs.values())

    def _pulled(
        self, update: Update, values: Mapping[str, Array], runs: Mapping[str, Trace], fed: Mapping[str, Any]
    ) -> dict[str, Array]:
        """The gradients of an update's loss by the parameters that it moves."""
        spec, path = self.spec, self.spec.path(update)
        found = {name: np.zeros_like(self._parameter(name)) for name in self.trained[update.optimizer]}
        flow = {update.loss.ref: np.ones(())}
        for node in list(spec.nodes.values())[: update.after][::-1]:
            reached = [flow.get(value.ref) for value in node.outputs]
            if node.name not in path or all(gradient is None for gradient in reached):
                continue
            back: list[Array | None]
            if node.op == "call":
                role = spec.roles[node.attrs["role"]]
                pairs = zip(role.spec.outputs, reached, strict=True)
                cotangents = {name: gradient for name, gradient in pairs if gradient is not None}
                train = spec.networks.get(role.name, True)
                by_value, by_tensor = gradients(role.spec, runs[node.name], _draws(node, fed), cotangents, train=train)
                back = [by_value.get(name) for name in role.spec.inputs]
                for name, gradient in by_tensor.items():
                    if f"{role.name}.{name}" in found:
                        found[f"{role.name}.{name}"] += gradient
            else:
                given, made = ([values[value.ref] for value in held] for held in (node.inputs, node.outputs))
                assert reached[0] is not None
                draws = _draws(node, fed)
                back = list(pull(node, {}, tuple(given), tuple(made), reached[0], train=True, draws=draws).inputs)
            for value, more in zip(node.inputs, back, strict=True):
                if more is not None:
                    flow[value.ref] = flow[value.ref] + more if value.ref in flow else more
        return found

    def _move(self, optimizer: Optimizer, found: dict[str, Array], move: Move) -> None:
        if optimizer.clip is not None:
            norm = np.sqrt(sum(float(np.square(gradient).sum()) for gradient in found.values()))
            found = {name: gradient * min(1.0, optimizer.clip / (norm + 1e-6)) for name, gradient in found.items()}
        self._used |= found
        for name, gradient in found.items():
            role, _, own = name.partition(".")
            before = self._networks[role][own]
            step = self._step(optimizer, name, gradient + optimizer.weight_decay * before, move.count)
            self._networks[role] = {**self._networks[role], own: before - move.lr * step}

    def _step(self, optimizer: Optimizer, name: str, gradient: Array, count: int) -> Array:
        """What is subtracted but for the learning rate; it moves what the optimizer keeps."""
        m, v, buffer = (f"optimizer.{slot}.{name}" for slot in ("m", "v", "momentum"))
        if optimizer.kind == "sgd":
            if buffer in self._kept:
                gradient = self._kept[buffer] = optimizer.momentum * self._kept[buffer] + gradient
            return gradient
        (first, second), kept = optimizer.betas, self._kept
        kept[m] = first * kept[m] + (1 - first) * gradient
        kept[v] = second * kept[v] + (1 - second) * gradient**2
        root = np.sqrt(kept[v] / (1 - second**count))
        return np.asarray(kept[m] / (1 - first**count) / (root + optimizer.eps))

    def networks_state(self) -> dict[str, Array]:
        """Parameters and buffers of every network, by `role.node.parameter`, as copies."""
        return {f"{role}.{name}": x.copy() for role, own in self._networks.items() for name, x in own.items()}

    def gradients(self) -> dict[str, Array]:
        """What the optimizers were given in the last step, by `role.node.parameter`; after clipping.

        Raises:
            PortError: no step was made yet.
        """
        if not self._used:
            raise PortError(f"{self.spec.name}: no step was made yet")
        return {name: self._used[name].copy() for names in self.trained.values() for name in names}

    def _slots(self) -> dict[str, Array]:
        return {name: kept.copy() for name, kept in self._kept.items()}

    def _load_networks(self, states: Mapping[str, Mapping[str, Array]]) -> None:
        for role, state in states.items():
            check_state(self.spec.roles[role].spec, state)
        self._networks |= {role: {n: np.array(x, np.float64) for n, x in own.items()} for role, own in states.items()}

    def _load_slots(self, slots: Mapping[str, Array]) -> None:
        self._kept = {name: np.array(kept, np.float64) for name, kept in slots.items()}

    def _array(self, value: Any) -> Array:
        return np.asarray(value)


def _draws(node: Node, fed: Mapping[str, Any]) -> dict[str, Array]:
    """A node's random draws by their names in it."""
    return {name: np.asarray(fed[f"{node.name}_{name}"]) for name in node.draws}


STEPPER = ReferenceStepper
