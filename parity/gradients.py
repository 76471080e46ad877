"""The backward pass of two sides, value by value in reverse order, each held against float64.

The verdict is local, as forwards: what came back to a value must be the sum, over all that use it, of the float64
vector-Jacobian products of the side's own values and of the gradients that the side itself had further on. So neither
an earlier error nor another random draw hides or adds to one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.measure import difference, side_result
from twinzoo.parity.pulling import Part, Passed, passed
from twinzoo.parity.results import LayerResult, SideResult
from twinzoo.parity.verdict import held_to
from twinzoo.zoo.spec import Node, Spec

Array = NDArray[Any]

OUTPUT = "output"
"""The user of what a model returns."""


@dataclass(frozen=True)
class Backward:
    """What one side's two passes gave, in the places of a spec.

    Attributes:
        port: whose kernels.
        state: by spec name.
        values: by `Value.ref`, inputs too.
        gradients: by `Value.ref`, and of parameters by spec name; absent where nothing came back.
        cotangents: what the outputs were pulled with, by `Value.ref`: one for each time that a value is returned.
        filled: the nodes that the side has not; what should have come back there is taken to have.
        frozen: the spec names of parameters that the side does not train.
        constants: the inputs of the spec that are no inputs of the model: gradients need not come back to them.
        products: what products of float32 numbers are rounded to: `tf32`, `hf32`, or empty.
    """

    port: str
    state: Mapping[str, Array]
    values: Mapping[str, Array]
    gradients: Mapping[str, Array]
    cotangents: Mapping[str, Sequence[Array]]
    filled: AbstractSet[str] = frozenset()
    frozen: AbstractSet[str] = frozenset()
    constants: AbstractSet[str] = frozenset()
    products: str = ""

    def pulled(self) -> Iterator[tuple[str, Part]]:
        """What came back to each value that is returned, in the value's own element type."""
        for ref, arrays in self.cotangents.items():
            for array in arrays:
                given = np.asarray(array).astype(self.values[ref].dtype).astype(np.float64)
                yield ref, Part(given, np.zeros(given.shape))

    def back(self, node: Node, values: Mapping[str, Array], gradient: Array, training: AbstractSet[str]) -> Passed:
        """What a node passes back of a gradient of its output, on the side's values or on others of their types."""
        return passed(self.port, node, self.state, values, gradient, training, self.products)

    def differentiable(self, spec: Spec) -> set[str]:
        """The references of the values that depend on an input or on a parameter that is trained."""
        found = {name for name in spec.inputs if name not in self.constants or name in self.gradients}
        for node in spec.nodes.values():
            trained = any(not p.buffer and f"{node.name}.{r}" not in self.frozen for r, p in node.params.items())
            if node.op != "stop_gradient" and (trained or any(value.ref in found for value in node.inputs)):
                found |= {value.ref for value in node.outputs}
        return found


@dataclass
class Due:
    """What should come back to one value or parameter: of each node that uses it, what each use gives and its bound.

    Attributes:
        overflowed: what came back to one of the nodes was infinite, or no number.
    """

    parts: dict[str, list[Part]] = field(default_factory=dict)
    overflowed: bool = False

    def add(self, user: str, part: Part) -> None:
        """Another use, or the same node's on another of its operands."""
        self.parts.setdefault(user, []).append(part)

    def total(self, without: AbstractSet[str] = frozenset()) -> tuple[Array, Array] | None:
        """The sum over the uses and its bound; None where there is no use."""
        parts = [part for user, uses in self.parts.items() if user not in without for part in uses]
        if not parts:
            return None
        gradient, allowed = np.array(parts[0].gradient), np.array(parts[0].allowed)
        reach = np.abs(gradient) + allowed
        for part in parts[1:]:
            gradient += part.gradient
            reach += np.abs(part.gradient) + part.allowed
            allowed += part.allowed
        unit = max(part.unit for part in parts)
        return gradient, allowed + (len(parts) - 1) * unit * reach  # no partial sum in any order is larger


@dataclass(frozen=True)
class Wrong:
    """A gradient of one side that is not what it should be, for the diagnosis."""

    side: int
    name: str
    due: Due
    gradient: Array | None


class Reverse:
    """One pass over a graph in reverse order; afterwards `rows` has the gradients in the order of the forward pass.

    Attributes:
        wrong: by the row's place in `rows`.
        kernels: (port, op, element type) -> the nodes whose gradients were given an allowance.
    """

    def __init__(
        self,
        spec: Spec,
        sides: tuple[Backward, Backward],
        *,
        training: AbstractSet[str] = frozenset(),
        unknown: AbstractSet[str] = frozenset(),
        owners: Mapping[str, str] | None = None,
    ) -> None:
        """Judge every gradient.

        Args:
            training: the nodes that ran in training mode.
            unknown: references of values that something uses which the spec has not: they are not judged.
            owners: spec name of a parameter -> the first spec name that it has, where layers share it.
        """
        self.rows: list[LayerResult] = []
        self.wrong: list[Wrong] = []
        self.kernels: dict[tuple[str, str, str], list[str]] = {}
        self._sides = sides
        self._training = training
        self._unknown = unknown
        self._owners = owners or {}
        self._differentiable = [side.differentiable(spec) for side in sides]
        self._due: tuple[dict[str, Due], dict[str, Due]] = ({}, {})
        for side, due in zip(sides, self._due, strict=True):
            for ref, part in side.pulled():
                due.setdefault(ref, Due()).add(OUTPUT, part)
        for node in reversed(spec.nodes.values()):
            self._node(node)
        for name, item in spec.inputs.items():
            if item.value.dtype != "int":
                self._row(name, "input", name, "gradient")
        self.rows.reverse()
        self._parameters(spec)

    def _node(self, node: Node) -> None:
        ref = node.outputs[0].ref
        dues = tuple(due.get(ref, Due()) for due in self._due)
        if node.outputs[0].dtype != "int":
            self._row(ref, node.op, node.name, "gradient")
        for place, (side, due) in enumerate(zip(self._sides, dues, strict=True)):
            gradient, total = side.gradients.get(ref), due.total()
            if node.name in side.filled:
                if total is not None:
                    self._fill(place, node, *total)
            elif gradient is not None:
                made = side.back(node, side.values, gradient, self._training)
                self._pass(place, node, made.parts(), overflowed=not np.isfinite(gradient).all())
                if made.kernel:
                    self.kernels.setdefault((side.port, node.op, made.dtype), []).append(node.name)

    def _fill(self, place: int, node: Node, gradient: Array, allowed: Array) -> None:
        """Pass back what should have come to a node that the side has not, and how far that may be off."""
        side = self._sides[place]
        made, off = (side.back(node, side.values, g, self._training).parts() for g in (gradient, allowed))
        pairs = zip(made, off, strict=True)
        self._pass(place, node, ((n, p._replace(allowed=p.allowed + np.abs(o.gradient))) for (n, p), (_, o) in pairs))

    def _pass(self, place: int, node: Node, parts: Iterable[tuple[str, Part]], *, overflowed: bool = False) -> None:
        for name, part in parts:
            due = self._due[place].setdefault(self._owners.get(name, name), Due())
            due.add(node.name, part)
            due.overflowed |= overflowed

    def _parameters(self, spec: Spec) -> None:
        for node in spec.nodes.values():
            for role, param in node.params.items():
                name = f"{node.name}.{role}"
                if not param.buffer and self._owners.get(name, name) == name:
                    self._row(name, node.op, node.outputs[0].ref, f"gradient of {role}")

    def _row(self, name: str, op: str, layer: str, quantity: str) -> None:
        """Judge what came back to a value or a parameter on both sides."""
        dues = [due.pop(name, Due()) for due in self._due]
        if name in self._unknown:
            return
        held = [self._held(place, name, due) for place, due in enumerate(dues)]
        if held[0] is None and held[1] is None:
            return
        nothing = SideResult(0.0, 0.0, (), 0.0, dtype="")
        a, b = (nothing if result is None else result for result in held)
        ours, theirs = (side.gradients.get(name) for side in self._sides)
        totals = [total[0] for due in dues if (total := due.total()) is not None]
        shape = next((x.shape for x in (ours, theirs, *totals) if x is not None), ())
        x, y = (np.zeros(shape) if g is None or g.shape != shape else g for g in (ours, theirs))
        apart = difference(x, y, totals[0] if totals else x)
        numbers = (apart.max_abs, apart.mean_abs, apart.relative, apart.cosine, max(a.drift, b.drift))
        row = LayerResult(layer, op, "", shape, *numbers, a, b, quantity=quantity, max_ulp=apart.max_ulp)
        self.rows.append(row)

    def _held(self, place: int, name: str, due: Due) -> SideResult | None:
        """One side's verdict; None where the side has no such value, does not train it, or nothing is to come back."""
        side = self._sides[place]
        node, total, gradient = name.partition(".")[0].partition(":")[0], due.total(), side.gradients.get(name)
        if node in side.filled or name in side.frozen or (total is None and gradient is None):
            return None
        if gradient is None and "." not in name and name not in self._differentiable[place]:
            return None
        if total is None:
            assert gradient is not None
            total = np.zeros(gradient.shape), np.zeros(gradient.shape)
        wanted, allowed = total
        if due.overflowed and gradient is not None and gradient.shape == wanted.shape:
            lost = ~(np.isfinite(wanted) & np.isfinite(allowed))  # what kernels make of infinity is their own affair
            wanted, allowed = np.where(lost, gradient.astype(np.float64), wanted), np.where(lost, 0.0, allowed)
        if gradient is not None and gradient.shape != wanted.shape:
            problem = f"shape {gradient.shape}, where {wanted.shape} is right"
            result = SideResult(float("inf"), float("inf"), (), float("inf"), problem, str(gradient.dtype))
        else:
            given = np.zeros(wanted.shape, np.float32) if gradient is None else gradient
            judged = held_to(given, wanted, allowed)
            problem = "nothing came back" if gradient is None and judged.ratio > 1 else ""
            result = side_result(judged, given, wanted, problem, str(given.dtype))
        if not result.ok:
            self.wrong.append(Wrong(place, name, due, gradient))
        return result
