"""A live model's graph as a spec, so that every operation of it can be computed in float64 and bounded.

What the op table has no word for becomes an input of the spec, with the values that each side had there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from twinzoo.converters.graph import INPUT, OUTPUT
from twinzoo.converters.layers import ROLE_OF, Layer
from twinzoo.parity.graphs.run import Array, Run
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.spec import Node, Spec, Value
from twinzoo.zoo.spec.schema import OPS

BATCH = "batch_statistics"
"""The attribute of a traced batch norm that normalises by the statistics of the batch."""


@dataclass
class Drawing:
    """A spec of one run.

    Attributes:
        spec: with a node `n3` for the operation at position 3 of the graph.
        state: the node's tensors by spec name, in the spec's shapes.
        opaque: positions of the operations that are inputs of the spec, since the op table has no word for them.
        keys: spec name -> the key of the tensor in the model.
        training: the nodes that normalise by the statistics of the batch, or drop.
    """

    spec: Spec
    state: dict[str, Array] = field(default_factory=dict)
    opaque: list[int] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    training: set[str] = field(default_factory=set)


def node_name(position: int) -> str:
    """The node that stands for the operation at a position."""
    return f"n{position}"


def draw(run: Run) -> Drawing:
    """The spec of a run, at the sizes that it had."""
    drawing = Drawing(Spec("traced"))
    made: dict[int, Value | None] = {}
    outputs: dict[str, Value] = {}
    for position, operation in enumerate(run.graph.operations):
        operands = [_operand(drawing.spec, made, *operand) for operand in operation.operands]
        if operation.kind == OUTPUT:
            if operands and operands[0] is not None:
                outputs[node_name(position)] = operands[0]
            continue
        given = [value for value in operands if value is not None]
        value = None
        if operation.kind in OPS and len(given) == len(operands) and position in run.values:
            value = _drawn(drawing, run, position, given)
        made[position] = value if value is not None else _opaque(drawing, run, position)
    drawing.spec.output(**outputs)
    return drawing


def _operand(spec: Spec, made: Mapping[int, Value | None], position: int, output: int) -> Value | None:
    value = made.get(position)
    if value is None or output == 0:
        return value
    return spec.values(value.node)[output] if value.node in spec.nodes else None


def _opaque(drawing: Drawing, run: Run, position: int) -> Value | None:
    array = run.values.get(position)
    if array is None or not array.shape or 0 in array.shape:
        return None
    if run.graph.operations[position].kind != INPUT:
        drawing.opaque.append(position)
    dtype = "int" if array.dtype.kind in "iu" else "float"
    return drawing.spec.input(node_name(position), shape=array.shape, dtype=dtype)


def _drawn(drawing: Drawing, run: Run, position: int, operands: list[Value]) -> Value | None:
    """The operation as a node, None where the op table does not take it as it is."""
    operation = run.graph.operations[position]
    name = node_name(position)
    attrs = {key: value for key, value in operation.attrs.items() if key != BATCH and not key.endswith("_from")}
    try:
        value: Value = getattr(drawing.spec, operation.kind)(name, *operands, **attrs)
        node = drawing.spec.nodes[name]
        weights = weights_of(node, run.graph.layers[operation.layer], run.state) if operation.layer else {}
    except (SpecError, TypeError):
        return None
    if weights is None or tuple(value.shape) != run.values[position].shape:
        drawing.spec.nodes.pop(name)
        return None
    if operation.attrs.get(BATCH) or (operation.kind == "dropout" and run.how.train):
        drawing.training.add(name)
    for role, (key, array) in weights.items():
        drawing.state[f"{name}.{role}"] = array
        drawing.keys[f"{name}.{role}"] = key
    return value


def weights_of(node: Node, layer: Layer, state: Mapping[str, Array]) -> dict[str, tuple[str, Array]] | None:
    """The layer's tensors by the node's roles, with their keys; None where one is missing or does not fit.

    A norm's statistics and affine tensors that the layer does not keep have the values that a fresh norm has.
    """
    found: dict[str, tuple[str, Any]] = {}
    for role, param in node.params.items():
        tensor = layer.tensors.get(ROLE_OF.get(role, role))
        if tensor is None or prod(tensor.shape) != prod(param.shape):
            return None
        array = np.asarray(state[tensor.key])
        found[role] = (tensor.key, array.reshape(param.shape))
    return found
