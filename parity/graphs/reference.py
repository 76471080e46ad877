"""The reference port as a side beside somebody's own model: a spec's graph, each operation computed in float64.

Every value is rounded to float32 before it goes on, so that what is asked of a framework can be asked of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from twinzoo.converters.graph import INPUT, OUTPUT, Graph, Operation
from twinzoo.converters.layers import STATISTICS
from twinzoo.converters.live import Idle
from twinzoo.converters.live.claims import PARAMETER
from twinzoo.converters.live.inputs import named_inputs
from twinzoo.converters.spec_graph import graph_of_spec
from twinzoo.parity.graphs.alone import Alone
from twinzoo.parity.graphs.drawing import BATCH, weights_of
from twinzoo.parity.graphs.run import Array, Gradients, How, Run
from twinzoo.parity.inputs import checked_inputs
from twinzoo.parity.results import SideInfo
from twinzoo.ports.reference import evaluate
from twinzoo.ports.reference.evaluate import moved_buffers
from twinzoo.ports.reference.port import ReferenceModel
from twinzoo.ports.reference.pull import pull
from twinzoo.zoo.errors import ParityError
from twinzoo.zoo.spec import Node, Spec


def reference_run(model: ReferenceModel, inputs: Any, how: How) -> Run:
    """Run a spec in NumPy and keep everything.

    Args:
        inputs: arrays by argument, or in order.

    Raises:
        ParityError: the run needs what a spec's graph does not show: a loss in a framework's words, dropout in training
            mode, gradients through `stop_gradient`.
        ConversionError: the inputs do not fit the arguments.
        SpecError: an input has another shape.
    """
    spec = model.spec
    _check(spec, how)
    names = list(spec.inputs)
    given = checked_inputs(spec, named_inputs(names, inputs, names))
    graph = graph_of_spec(spec)
    if how.train:
        graph = replace(graph, operations=tuple(map(_of_batch, graph.operations)))
    done = _Pass(graph, {name: value.astype(np.float32) for name, value in model.state.items()}, how)
    for position, operation in enumerate(graph.operations):
        done.forward(position, operation, given)
    outputs = [done.values[op.operands[0]] for op in graph.operations if op.kind == OUTPUT]
    info = SideInfo("reference", "numpy", np.__version__, "cpu", "the model's own")
    buffers = {name for name, param in spec.params.items() if param.buffer}
    return Run(
        info,
        graph,
        {position: value for (position, output), value in done.values.items() if output == 0},
        {name: value.astype(np.float32) for name, value in model.state.items()},
        {str(index): value for index, value in enumerate(outputs)},
        how,
        done.backward() if how.grad else Gradients(),
        done.after,
        frozenset(name for name in buffers if name.rpartition(".")[2] not in STATISTICS),
        idle=tuple(_dropouts(spec)),
    )


def _check(spec: Spec, how: How) -> None:
    if how.loss:
        raise ParityError("the reference port cannot call a loss: compare without, or give a framework's model")
    if how.train and any(dropout.p for dropout in _dropouts(spec)):
        raise ParityError("the reference port draws nothing: dropout cannot be in training mode beside another model")
    if how.grad and any(node.op == "stop_gradient" for _, node in _nodes(spec)):
        raise ParityError("the reference port beside another model has no gradients through stop_gradient")


def _nodes(spec: Spec, prefix: str = "") -> Iterator[tuple[str, Node]]:
    """Every node in order of execution, those of called networks too, with its path."""
    for node in spec.nodes.values():
        if node.op == "call":
            role = spec.roles[str(node.attrs["role"])]
            yield from _nodes(role.spec, f"{prefix}{role.name}.")
        else:
            yield f"{prefix}{node.name}", node


def _dropouts(spec: Spec) -> Iterator[Idle]:
    for name, node in _nodes(spec):
        if node.op == "dropout":
            yield Idle(name, node.op, float(node.attrs["p"]), -1)


def _of_batch(operation: Operation) -> Operation:
    batch = operation.kind == "batch_norm"
    return replace(operation, attrs={**operation.attrs, BATCH: True}) if batch else operation


@dataclass(frozen=True)
class _Step:
    """One operation that was computed; `keys` has the keys of its tensors by role."""

    node: Node
    params: Mapping[str, Array]
    keys: Mapping[str, str]
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]


class _Pass:
    """A run in the making: values by position and output, what moved, and the steps for the way back."""

    def __init__(self, graph: Graph, state: dict[str, Array], how: How) -> None:
        self.values: dict[tuple[int, int], Array] = {}
        self.after: dict[str, Array] = {}
        self._graph = graph
        self._state = state
        self._how = how
        self._steps: dict[int, _Step] = {}

    def forward(self, position: int, operation: Operation, given: Mapping[str, Array]) -> None:
        """Compute an operation."""
        if operation.kind == INPUT:
            self.values[position, 0] = given[operation.name]
        elif operation.kind == PARAMETER:
            self.values[position, 0] = self._state[self._key(operation)]
        elif operation.kind != OUTPUT:
            step = self._step(operation)
            self._steps[position] = step
            self.values |= {(position, index): value for index, value in enumerate(step.outputs)}
            if self._how.train:
                moved = moved_buffers(step.node, step.params, step.inputs)
                changed = {step.keys[role]: value.astype(np.float32) for role, value in moved.items()}
                self._state |= changed
                self.after |= changed

    def _key(self, operation: Operation) -> str:
        """Of the tensor that an operation of kind `parameter` is."""
        return next(iter(self._graph.layers[operation.layer].tensors.values())).key

    def _step(self, operation: Operation) -> _Step:
        inputs = tuple(self.values[operand] for operand in operation.operands)
        drawn = Alone(operation.kind, operation.attrs, {}).drawn(inputs)
        layer = self._graph.layers.get(operation.layer)
        held = {} if drawn is None or layer is None else weights_of(drawn.node, layer, self._state)
        if drawn is None or held is None:
            raise ParityError(f"the reference port cannot compute {operation.name} ({operation.kind}) by itself")
        params = {role: array for role, (_, array) in held.items()}
        made = evaluate(drawn.node, params, inputs, train=self._how.train)
        outputs = tuple(value if value.dtype.kind in "iu" else value.astype(np.float32) for value in made)
        return _Step(drawn.node, params, {role: key for role, (key, _) in held.items()}, inputs, outputs)

    def backward(self) -> Gradients:
        """What comes back to every value and parameter, each rounded before it goes on."""
        due: dict[int, Array] = {}
        found: dict[int, Array] = {}
        parameters: dict[str, Array] = {}
        for position, operation in reversed(list(enumerate(self._graph.operations))):
            if operation.kind == OUTPUT:
                (operand, output), index = operation.operands[0], int(str(operation.attrs["index"]))
                value = self.values[operand, output]
                if output == 0 and value.dtype.kind == "f":
                    due[operand] = due.get(operand, 0) + self._how.pull(index, value.shape).astype(np.float64)
                continue
            if position not in due:
                continue
            found[position] = due[position].astype(np.float32)
            if operation.kind == PARAMETER:
                key = self._key(operation)
                parameters[key] = parameters.get(key, 0) + due[position]
            elif position in self._steps:
                for operand, gradient in self._pulled(position, found[position], parameters):
                    due[operand] = due.get(operand, 0) + gradient
        return Gradients(found, {key: value.astype(np.float32) for key, value in parameters.items()})

    def _pulled(self, position: int, gradient: Array, parameters: dict[str, Array]) -> Iterator[tuple[int, Array]]:
        """What an operation passes back to its operands; that of its tensors is added to `parameters`."""
        step = self._steps[position]
        made = pull(step.node, step.params, step.inputs, step.outputs, gradient, train=self._how.train)
        for (operand, output), back in zip(self._graph.operations[position].operands, made.inputs, strict=True):
            if back is not None and output == 0:
                yield operand, back
        for role, back in made.params.items():
            parameters[step.keys[role]] = parameters.get(step.keys[role], 0) + back
