"""Two runs laid on each other, as traces of one spec: side a's own graph, and side b's values in the places of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from twinzoo.converters.forms import carry
from twinzoo.converters.graph import Operation
from twinzoo.converters.layers import Layer
from twinzoo.parity.graphs.align import Alignment, align
from twinzoo.parity.graphs.alone import Alone
from twinzoo.parity.graphs.drawing import Drawing, draw, node_name, weights_of
from twinzoo.parity.graphs.placed import Named, Placed
from twinzoo.parity.graphs.run import Array, Run
from twinzoo.parity.trace import Trace
from twinzoo.zoo.errors import ConversionError


@dataclass
class Paired:
    """Everything that a verdict on two runs rests on.

    Attributes:
        values: of side b in the places of side a's operations: of its counterpart; or, where it has none, what a's
            operation makes of b's values, since it may be part of the next one on that side. What cannot be computed
            from its operands is there only where it has side a's shape, so that what follows fits.
        state: side b's tensors by the spec names of side a's.
        told: operations without a counterpart, as (side, position), that a finding has named already.
    """

    a: Run
    b: Run
    alignment: Alignment
    drawing: Drawing
    values: Placed
    state: dict[str, Array] = field(default_factory=dict)
    told: set[tuple[str, int]] = field(default_factory=set)

    def operations(self, position: int) -> tuple[Operation, Operation | None]:
        """An operation of side a and its counterpart."""
        other = self.alignment.pairs.get(position)
        return self.a.graph.operations[position], None if other is None else self.b.graph.operations[other]

    def name(self, position: int) -> str:
        """An operation as both users call it."""
        ours, theirs = self.operations(position)
        name = ours.name or ours.kind
        other = name if theirs is None else theirs.name or theirs.kind
        return name if other == name else f"{name} ~ {other}"

    def alone(self, position: int) -> Alone:
        """Side a's operation with side b's tensors."""
        operation = self.a.graph.operations[position]
        return Alone(operation.kind, operation.attrs, _of_node(self.state, position))

    def alone_on_a(self, position: int) -> Alone:
        """Side a's operation with its own tensors."""
        return replace(self.alone(position), params=_of_node(self.drawing.state, position))

    def theirs(self, position: int) -> Alone:
        """Side b's counterpart with the tensors of its own layer."""
        operation = self.b.graph.operations[self.alignment.pairs[position]]
        bare = Alone(operation.kind, operation.attrs, {})
        drawn = bare.drawn(self.really_given(position))
        layer = self.b.graph.layers.get(operation.layer)
        found = weights_of(drawn.node, layer, self.b.state) if drawn and layer else None
        own = {role: array for role, (_, array) in (found or {}).items()}
        return replace(bare, params={**self.alone(position).params, **own})

    def value(self, position: int) -> Array | None:
        """Side b's value in the place of side a's, of whatever shape."""
        other = self.alignment.pairs.get(position)
        return self.values.get(position) if other is None else self.b.values.get(other)

    def given(self, position: int) -> list[Array]:
        """What side a's operation is given where side b's values stand in a's places."""
        operands = self.a.graph.operations[position].operands
        found = [self.value(p) for p, out in operands if out == 0]
        return [value for value in found if value is not None]

    def really_given(self, position: int) -> list[Array]:
        """What side b's counterpart was given itself."""
        return _given(self.b, self.alignment.pairs[position])

    def given_to_a(self, position: int) -> list[Array]:
        """What side a's operation was given itself."""
        return _given(self.a, position)

    def traces(self) -> tuple[Trace, Trace]:
        """Both sides as traces of the drawing's spec."""
        outputs = list(self.drawing.spec.outputs)
        places = [int(name.removeprefix("n")) for name in outputs]
        ours = {n: _returned(self.a, place) for n, place in zip(outputs, places, strict=True)}
        pairs = self.alignment.pairs
        theirs = {n: _returned(self.b, pairs[p]) for n, p in zip(outputs, places, strict=True) if p in pairs}
        drawn = [
            position
            for position in range(len(self.a.graph.operations))
            if node_name(position) in self.drawing.spec.nodes
        ]
        a = Trace(self.a.port, self.drawing.state, ours, Named(self.a.values, drawn), products=self.a.products)
        b = Trace(self.b.port, self.state, theirs, Named(self.values, drawn), products=self.b.products)
        return a, b


def _of_node(state: Mapping[str, Array], position: int) -> dict[str, Array]:
    """The tensors of an operation by role."""
    prefix = f"{node_name(position)}."
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _given(run: Run, position: int) -> list[Array]:
    operands = run.graph.operations[position].operands
    return [run.values[p] for p, out in operands if out == 0 and p in run.values]


def _returned(run: Run, position: int) -> Array:
    """What a model returned at the place of an `output` operation."""
    return list(run.returned.values())[int(str(run.graph.operations[position].attrs["index"]))]


def pair(a: Run, b: Run) -> Paired:
    """Align two runs and put side b's tensors and values in the places of side a's."""
    found = Paired(a, b, align(a.graph, b.graph), draw(a), Placed(b.values))
    _put_state(found)
    opaque = set(found.drawing.opaque)
    for position, operation in enumerate(a.graph.operations):
        other = found.alignment.pairs.get(position)
        if other is not None and other in b.values:
            if position not in opaque or b.values[other].shape == a.values[position].shape:
                found.values.places[position] = other
        else:
            given = found.given(position)
            made = found.alone(position).output(given) if len(given) == len(operation.operands) else None
            if made is not None:
                known = a.values.get(position)
                found.values.made[position] = made.astype(np.float32 if known is None else known.dtype)
    return found


def _put_state(found: Paired) -> None:
    """Side b's tensors, each in the form of side a's; those of operations that could not be drawn too."""
    drawing = found.drawing
    for position, operation in enumerate(found.a.graph.operations):
        if operation.layer and node_name(position) not in drawing.spec.nodes:
            for tensor in found.a.graph.layers[operation.layer].tensors.values():
                value = np.asarray(found.a.state[tensor.key])
                if value.dtype.kind == "f":
                    drawing.state[f"{node_name(position)}.{tensor.role}"] = value
                    drawing.keys[f"{node_name(position)}.{tensor.role}"] = tensor.key
    for name, ours in drawing.state.items():
        made = _carried_to(found, int(name.partition(".")[0].removeprefix("n"))).get(drawing.keys[name])
        if made is None or made.size != ours.size:
            found.state[name] = ours
        else:
            found.state[name] = made.reshape(ours.shape)


def _carried_to(found: Paired, position: int) -> dict[str, Array]:
    """Side b's tensors for an operation by side a's keys."""
    ours, theirs = found.operations(position)
    layer = found.b.graph.layers.get(theirs.layer) if theirs else None
    return _carried(layer, found.a.graph.layers[ours.layer], found.b) if layer else {}


def _carried(source: Layer, target: Layer, run: Run) -> dict[str, Array]:
    """Side b's tensors by side a's keys, as far as they can be made."""
    made = {}
    for key, value in carry(source, target).values.items():
        try:
            made[key] = np.asarray(value.make(run.state))
        except ConversionError:
            continue
    return made
