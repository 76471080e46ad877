"""A spec's graph, exact: its nodes are the operations, called networks are drawn in place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import replace
from math import prod

from twinzoo.converters.graph import INPUT, OUTPUT, Graph, Operation
from twinzoo.converters.layers import ROLE_OF, Layer, Tensor
from twinzoo.converters.live.claims import PARAMETER
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.graph import Input, Node
from twinzoo.zoo.spec.ops.spectral import PLAIN

_IDENTITIES = frozenset({"dropout", "stop_gradient"})
"""Ops that hand on their input in eval mode: no trace of a live model sees them either."""

_FILTERS = {"blur2d": "conv2d", "blur_transpose2d": "conv_transpose2d"}
"""Ops that everybody writes as a convolution of each channel by itself, with weights that are not trained."""


def graph_of_spec(spec: Spec) -> Graph:
    """The graph of a spec, in eval mode, under spec names."""
    drawing = _Drawing()
    made: dict[str, tuple[int, int]] = {}
    for index, (name, item) in enumerate(spec.inputs.items()):
        made[item.value.ref] = (drawing.add(Operation(name, INPUT, attrs={"index": index})), 0)
    drawing.draw(spec, "", made)
    for index, (name, value) in enumerate(spec.outputs.items()):
        drawing.add(Operation(name, OUTPUT, (made[value.ref],), {"index": index}))
    return Graph(spec.name, drawing.layers, _leading_out(_folded(drawing.operations), drawing.returned))


def _folded(operations: list[Operation]) -> list[Operation]:
    """Of a chain of affine functions one is left that leads past the others, as in a trace."""
    uses = Counter(place for operation in operations for place, _ in operation.operands)
    found: list[Operation] = []
    for operation in operations:
        before = found[operation.operands[0][0]] if operation.kind == "affine" else operation
        if operation.kind == before.kind == "affine" and uses[operation.operands[0][0]] == 1:
            (scale, shift), (inner, moved) = _numbers(operation), _numbers(before)
            attrs = {"scale": scale * inner, "shift": scale * moved + shift}
            operation = replace(operation, operands=before.operands, attrs=attrs)
        found.append(operation)
    return found


def _numbers(operation: Operation) -> tuple[float, float]:
    scale, shift = operation.attrs["scale"], operation.attrs["shift"]
    assert isinstance(scale, float) and isinstance(shift, float)
    return scale, shift


def _leading_out(operations: list[Operation], returned: set[int]) -> tuple[Operation, ...]:
    """The operations from which a way leads to an output, and the inputs: no trace of a live model has the others.

    Args:
        returned: what called networks return, which they compute also where it is not used.
    """
    used = returned | {i for i, op in enumerate(operations) if op.kind in (INPUT, OUTPUT)}
    for i in reversed(range(len(operations))):
        if i in used:
            used.update(place for place, _ in operations[i].operands)
    places = {old: new for new, old in enumerate(sorted(used))}
    return tuple(
        replace(operations[i], operands=tuple((places[place], output) for place, output in operations[i].operands))
        for i in sorted(used)
    )


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
    kinds = {"learned_scale": PARAMETER, **_FILTERS, **PLAIN}
    return Layer(name, tensors, kinds.get(node.op, node.op))


class _Drawing:
    """Operations in the making. A role that is called twice is drawn twice, with the same layers."""

    def __init__(self) -> None:
        self.layers: dict[str, Layer] = {}
        self.operations: list[Operation] = []
        self.returned: set[int] = set()

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
            elif node.op == "learned_scale":
                made[node.name] = (self._scaled(f"{prefix}{node.name}", operands), 0)
            elif node.op in ("reshape", "reshape_like"):
                shapes = spec.concrete(node.inputs[0]), spec.concrete(node.outputs[0])
                made[node.name] = self._reshaped(
                    f"{prefix}{node.name}", operands[0], *shapes, node.attrs.get("shape", ())
                )
            else:
                name, kind = f"{prefix}{node.name}", {**_FILTERS, **PLAIN}.get(node.op, node.op)
                attrs = _filtering(node) if node.op in _FILTERS else _attrs(node)
                if node.op == "slice" and _takes_all(attrs, spec.concrete(node.inputs[0])):
                    made[node.name] = operands[0]
                    continue
                position = self.add(Operation(name, kind, operands, attrs, name if node.params else ""))
                made |= {value.ref: (position, value.index) for value in node.outputs}

    def _reshaped(
        self,
        name: str,
        operand: tuple[int, int],
        before: tuple[int, ...],
        after: tuple[int, ...],
        asked: tuple[int, ...],
    ) -> tuple[int, int]:
        """A reshape as a run at these sizes shows it: leading sizes that stay are 0, one that is left open is -1."""
        if before == after:
            return operand
        start = len(after) - 1
        if 0 <= start < len(before) - 1 and after == (*before[:start], prod(before[start:])):
            return self.add(Operation(name, "flatten", (operand,), {"start": start})), 0
        kept = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(before))
        sizes = after[kept:]
        if -1 in asked:
            place = asked.index(-1) - kept
            sizes = tuple(-1 if i == place else size for i, size in enumerate(sizes))
        elif len(sizes) == 1:
            sizes = (-1,)
        return self.add(Operation(name, "reshape", (operand,), {"shape": (0,) * kept + sizes})), 0

    def _scaled(self, name: str, operands: tuple[tuple[int, int], ...]) -> int:
        """A product with a parameter used in the open, which is what everybody writes for it."""
        weight = self.add(Operation(name, PARAMETER, (), {}, name))
        return self.add(Operation(name, "mul", ((weight, 0), *operands)))

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
            self.returned.add(inner[source.ref][0])


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
    if node.op in PLAIN:  # a trace shows the layer, and none of how its weight is computed
        del attrs["eps"]
    return attrs


def _filtering(node: Node) -> dict[str, Hashable]:
    """A blur's attributes in a convolution's words."""
    channels = node.params["filt"].shape[0]
    pairs = {"kernel": len(node.attrs["taps"]), "stride": node.attrs["stride"], "dilation": 1}
    turned = node.op == "blur_transpose2d"
    pairs |= {"padding": node.attrs["padding"], "output_padding": 0} if turned else {"padding": 0}
    return {name: (size, size) for name, size in pairs.items()} | {
        "channels": channels,
        "groups": channels,
        "bias": False,
    }


def _takes_all(attrs: dict[str, Hashable], shape: tuple[int, ...]) -> bool:
    """Whether a slice takes nothing away; a stop at or behind the end is none, as in a trace."""
    if isinstance(stop := attrs["stop"], int) and stop >= shape[int(str(attrs["axis"]))]:
        attrs["stop"] = None
    return (attrs["start"], attrs["stop"], attrs["step"]) == (0, None, 1)


def _refs(inputs: Mapping[str, Input]) -> list[str]:
    return [item.value.ref for item in inputs.values()]
