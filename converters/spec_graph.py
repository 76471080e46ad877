"""A spec's graph, exact: its nodes are the operations, called networks are drawn in place."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from twinzoo.converters.graph import INPUT, OUTPUT, Graph, Operation
from twinzoo.converters.layers import ROLE_OF, Layer, Tensor
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.graph import Input, Node

_IDENTITIES = frozenset({"dropout", "stop_gradient"})
"""Ops that hand on their input in eval mode: no trace of a live model sees them either."""


def graph_of_spec(spec: Spec) -> Graph:
    """The graph of a spec, in eval mode, under spec names."""
    drawing = _Drawing()
    made: dict[str, tuple[int, int]] = {}
    for index, (name, item) in enumerate(spec.inputs.items()):
        made[item.value.ref] = (drawing.add(Operation(name, INPUT, attrs={"index": index})), 0)
    drawing.draw(spec, "", made)
    for index, (name, value) in enumerate(spec.outputs.items()):
        drawing.add(Operation(name, OUTPUT, (made[value.ref],), {"index": index}))
    return Graph(spec.name, drawing.layers, tuple(drawing.operations))


def layers_of_spec(spec: Spec, prefix: str = "") -> dict[str, Layer]:
    """The layers that own tensors, called networks' under `role.node`, in the order of `spec.params`."""
    layers = {f"{prefix}{node.name}": _layer(node, prefix) for node in spec.nodes.values() if node.params}
    for role in spec.roles.values():
        layers |= layers_of_spec(role.spec, f"{prefix}{role.name}.")
    return layers


def _layer(node: Node, prefix: str) -> Layer:
    name = f"{prefix}{node.name}"
    tensors = {
        ROLE_OF.get(role, role): Tensor(f"{name}.{role}", ROLE_OF.get(role, role), tuple(param.shape))
        for role, param in node.params.items()
    }
    return Layer(name, tensors, node.op)


class _Drawing:
    """Operations in the making. A role that is called twice is drawn twice, with the same layers."""

    def __init__(self) -> None:
        self.layers: dict[str, Layer] = {}
        self.operations: list[Operation] = []

    def add(self, operation: Operation) -> int:
        self.operations.append(operation)
        return len(self.operations) - 1

    def draw(self, spec: Spec, prefix: str, made: dict[str, tuple[int, int]]) -> None:
        """Add the nodes of a spec; `made` says where each of its values came from, and is added to."""
        if not prefix:
            self.layers = layers_of_spec(spec)
        for node in spec.nodes.values():
            operands = tuple(made[value.ref] for value in node.inputs)
            if node.op == "call":
                self._call(spec, node, prefix, operands, made)
            elif node.op in _IDENTITIES:
                made[node.name] = operands[0]
            else:
                name = f"{prefix}{node.name}"
                position = self.add(Operation(name, node.op, operands, _attrs(node), name if node.params else ""))
                made |= {value.ref: (position, value.index) for value in node.outputs}

    def _call(
        self,
        spec: Spec,
        node: Node,
        prefix: str,
        operands: tuple[tuple[int, int], ...],
        made: dict[str, tuple[int, int]],
    ) -> None:
        role = spec.roles[str(node.attrs["role"])]
        inner = dict(zip(_refs(role.spec.inputs), operands, strict=True))
        self.draw(role.spec, f"{prefix}{role.name}.", inner)
        for value, source in zip(node.outputs, role.spec.outputs.values(), strict=True):
            made[value.ref] = inner[source.ref]


def _attrs(node: Node) -> dict[str, Hashable]:
    """The attributes with axes counted from the front, as a run shows them."""
    attrs = dict(node.attrs)
    rank = len(node.outputs[0].shape if node.op == "stack" else node.inputs[0].shape)
    if isinstance(axis := attrs.get("axis"), int):
        attrs["axis"] = axis % rank
    if isinstance(axes := attrs.get("axes"), tuple):
        attrs["axes"] = tuple(sorted(axis % rank for axis in axes))
    if "kernel" in attrs and attrs.get("stride") == attrs["kernel"] and node.op.endswith("pool2d"):
        attrs["stride"] = None
    return attrs


def _refs(inputs: Mapping[str, Input]) -> list[str]:
    return [item.value.ref for item in inputs.values()]
