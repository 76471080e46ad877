"""Two runs laid on each other, as traces of one spec: side a's own graph, and side b's values in the places of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from twinzoo.converters.forms import carry
from twinzoo.converters.graph import INPUT, OUTPUT, Operation
from twinzoo.converters.layers import ROLE_OF, Layer
from twinzoo.parity.graphs.align import Alignment, align
from twinzoo.parity.graphs.alone import Alone
from twinzoo.parity.graphs.drawing import Drawing, draw, node_name
from twinzoo.parity.graphs.run import Array, Run
from twinzoo.parity.trace import Trace
from twinzoo.zoo.errors import ConversionError


@dataclass
class Paired:
    """Everything that a verdict on two runs rests on.

    Attributes:
        values: of side b in the places of side a's operations: of its counterpart; or, where it has none, what a's
            operation makes of b's values, since it may be part of the next one on that side.
        state: side b's tensors by the spec names of side a's.
        unfilled: spec names for which side b has no tensor.
    """

    a: Run
    b: Run
    alignment: Alignment
    drawing: Drawing
    values: dict[int, Array] = field(default_factory=dict)
    state: dict[str, Array] = field(default_factory=dict)
    unfilled: list[str] = field(default_factory=list)

    def operations(self, position: int) -> tuple[Operation, Operation | None]:
        """An operation of side a and its counterpart."""
        other = self.alignment.pairs.get(position)
        return self.a.graph.operations[position], None if other is None else self.b.graph.operations[other]

    def name(self, position: int) -> str:
        """An operation as both users call it."""
        ours, theirs = self.operations(position)
        return ours.name if theirs is None or theirs.name == ours.name else f"{ours.name} ~ {theirs.name}"

    def alone(self, position: int) -> Alone:
        """Side a's operation with side b's tensors."""
        operation = self.a.graph.operations[position]
        node = self.drawing.spec.nodes.get(node_name(position))
        roles = node.params if node else ()
        return Alone(operation.kind, operation.attrs, {r: self.state[f"{node_name(position)}.{r}"] for r in roles})

    def given(self, position: int) -> list[Array]:
        """What side a's operation is given where side b's values stand in a's places."""
        operands = self.a.graph.operations[position].operands
        return [self.values[p] for p, out in operands if out == 0 and p in self.values]

    def really_given(self, position: int) -> list[Array]:
        """What side b's counterpart was given itself."""
        other = self.alignment.pairs[position]
        operands = self.b.graph.operations[other].operands
        return [self.b.values[p] for p, out in operands if out == 0 and p in self.b.values]

    def traces(self) -> tuple[Trace, Trace]:
        """Both sides as traces of the drawing's spec."""
        outputs = list(self.drawing.spec.outputs)
        places = [int(name.removeprefix("n")) for name in outputs]
        ours = {n: _returned(self.a, place) for n, place in zip(outputs, places, strict=True)}
        pairs = self.alignment.pairs
        theirs = {n: _returned(self.b, pairs[p]) for n, p in zip(outputs, places, strict=True) if p in pairs}
        a = Trace(self.a.port, self.drawing.state, ours, self._by_ref(self.a.values))
        return a, Trace(self.b.port, self.state, theirs, self._by_ref(self.values))

    def _by_ref(self, values: Mapping[int, Array]) -> dict[str, Array]:
        nodes = self.drawing.spec.nodes
        return {node_name(p): value for p, value in values.items() if node_name(p) in nodes}


def _returned(run: Run, position: int) -> Array:
    """What a model returned at the place of an `output` operation."""
    return list(run.outputs.values())[int(str(run.graph.operations[position].attrs["index"]))]


def pair(a: Run, b: Run) -> Paired:
    """Align two runs and put side b's tensors and values in the places of side a's."""
    found = Paired(a, b, align(a.graph, b.graph), draw(a))
    _put_state(found)
    for position, operation in enumerate(a.graph.operations):
        other = found.alignment.pairs.get(position)
        if other is not None and other in b.values:
            found.values[position] = b.values[other]
        elif operation.kind not in (INPUT, OUTPUT):
            given = found.given(position)
            made = found.alone(position).output(given) if len(given) == len(operation.operands) else None
            if made is not None:
                found.values[position] = made.astype(np.float32) if made.dtype.kind == "f" else made
    return found


def _put_state(found: Paired) -> None:
    """Side b's tensors, each in the form of side a's."""
    spec = found.drawing.spec
    for node in spec.nodes.values():
        position = int(node.name.removeprefix("n"))
        ours, theirs = found.operations(position)
        layer = found.b.graph.layers.get(theirs.layer) if theirs else None
        made = _carried(layer, found.a.graph.layers[ours.layer], found.b) if layer and ours.layer else {}
        for role, param in node.params.items():
            name = f"{node.name}.{role}"
            key = found.a.graph.layers[ours.layer].tensors[ROLE_OF.get(role, role)].key
            if key in made:
                found.state[name] = made[key].reshape(param.shape).astype(np.float32)
            else:
                found.unfilled.append(name)
                found.state[name] = found.drawing.state[name]


def _carried(source: Layer, target: Layer, run: Run) -> dict[str, Array]:
    """Side b's tensors by side a's keys, as far as they can be made."""
    made = {}
    for key, value in carry(source, target).values.items():
        try:
            made[key] = np.asarray(value.make(run.state))
        except ConversionError:
            continue
    return made
