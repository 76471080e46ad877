"""The layers of two traces, one by one in execution order, each held against float64.

The verdict is local: a node is evaluated in float64 on the inputs that the side itself had, so that errors of earlier
layers neither add to a layer's error nor hide it. Behind it runs the chain, float64 from the model's inputs on.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.bounds.precision import FORMATS, Precision, precision_of
from twinzoo.parity.chain import Chain, Judged, Slot, given
from twinzoo.parity.results import LayerResult
from twinzoo.parity.runs import Arrays, Runs
from twinzoo.parity.together import threads_by_hand, together
from twinzoo.parity.trace import Trace, state_of_role
from twinzoo.parity.verdict import Held, hold
from twinzoo.zoo.spec import Node, Spec, Value
from twinzoo.zoo.spec.show import attrs_text

Array = NDArray[Any]
Pair = tuple[Trace, Trace]

CLEAR = 0.5
"""Up to this ratio a side clearly passes that is held against a floor, or against the bound of the other side."""

REPEAT = 2.0
"""Two runs of the same layers may each lie one accumulated rounding from float64."""


@dataclass(frozen=True)
class _Scope:
    """Where in the nest of called networks: prefixes for names of layers and of tensors, and the draws that are fed."""

    layer: str
    state: str
    draws: Mapping[str, Array]


class Walk:
    """One pass over a graph; afterwards `rows` has the layers, and `kernels` those that needed an allowance.

    Args:
        differing: the tensors, by spec name, in which the states of the two sides differ.
        training: the nodes that ran in training mode. What a dropout dropped is read off each side's own values.
        moved: is given every value as accumulated rounding may have moved it, by reference, where it is wanted.
        types: the element type that is right for every number; None where side a's are, value by value.
    """

    def __init__(
        self,
        differing: frozenset[str] = frozenset(),
        training: AbstractSet[str] = frozenset(),
        moved: dict[str, Array] | None = None,
        types: str | None = "float32",
        seed: int = 0,
    ) -> None:
        self.rows: list[LayerResult] = []
        self.kernels: dict[tuple[str, str, str], list[str]] = {}
        self._differing = differing
        self._training = training
        self._moved_values = moved
        self._types = types
        self._seed = seed

    def model(
        self, spec: Spec, traces: Pair, inputs: Mapping[str, Array], beside: Mapping[str, Array] | None = None
    ) -> None:
        """Judge every layer of two traces, then what the models themselves returned against the traces.

        The arrays are taken out of the traces on the way.

        Args:
            beside: side b's inputs, where they are not the same arrays as side a's.
        """
        others = {**inputs, **(beside or {})}
        slots = {name: given((inputs[name], others[name]), inputs[name]) for name in spec.inputs}
        draws = {name: x for name, x in inputs.items() if name not in spec.inputs}
        with threads_by_hand(), Chain(self._seed) as self._chain:
            self._graph(spec, traces, slots, _Scope("", "", draws))
            for name, value in spec.outputs.items():
                returned = [trace.outputs.get(name) for trace in traces]
                self._repeat(f"model: {name}", "output", value.ref, value, traces, returned, slots[value.ref])
        self.rows += self._chain.rows

    def _graph(self, spec: Spec, traces: Pair, slots: dict[str, Slot], scope: _Scope) -> None:
        """Judge the nodes of a network; slots hold its inputs before, and its outputs too afterwards."""
        last = {value.ref: node.name for node in spec.nodes.values() for value in node.inputs}
        kept = {value.ref for value in spec.outputs.values()}
        for node in spec.nodes.values():
            used = [slots[value.ref] for value in node.inputs]
            judge = self._call if node.op == "call" else self._node
            made = judge(spec, node, traces, used, scope)
            slots |= {value.ref: slot for value, slot in zip(node.outputs, made, strict=True)}
            if self._moved_values is not None:
                self._chain.wait()
                self._moved_values |= {value.ref: slot.noisy for value, slot in zip(node.outputs, made, strict=True)}
            for value in (*node.inputs, *node.outputs):
                if value.ref not in kept and last.get(value.ref, node.name) == node.name:
                    slots.pop(value.ref, None)

    def _node(self, spec: Spec, node: Node, traces: Pair, used: list[Slot], scope: _Scope) -> list[Slot]:
        weights = tuple(n for n in (f"{scope.state}{node.name}.{role}" for role in node.params) if n in self._differing)
        shared = _params(node, traces[0])
        params = (shared, _params(node, traces[1]) if weights else shared)
        fed = {suffix: scope.draws.get(f"{node.name}_{suffix}") for suffix in node.draws}
        train = node.name in self._training
        if train and node.op == "dropout":
            params = (_mask(node, traces[0], used[0].sides[0]), _mask(node, traces[1], used[0].sides[1]))
            shared = params[0]
        runs = Runs(node, {suffix: draw for suffix, draw in fed.items() if draw is not None}, train=train)
        sides = [tuple(slot.sides[i] for slot in used) for i in (0, 1)]
        how = [_precision(node, trace, train) for trace in traces]
        local = together(
            sum(x.size for x in sides[0]) + sum(tensor.size for tensor in shared.values()),
            lambda: runs(params[0], sides[0], how[0]),
            lambda: runs(params[1], sides[1], how[1]),
        )
        recorded = node.outputs if self._types is not None else node.outputs[:1]  # of strangers, the first alone is
        judged = []
        for i, value in enumerate(recorded):
            held = _both(runs, node, value, i, traces, local, self._types)
            judged.append(Judged(scope.layer + value.ref, node.op, attrs_text(node), held, weights))
            for trace, side in zip(traces, held, strict=True):
                if side.kernel:
                    kernel = trace.port, node.op, side.result.dtype
                    self.kernels.setdefault(kernel, []).append(scope.layer + value.ref)
        made = [one.slot() for one in judged]
        made += [Slot((a, b)) for a, b in list(zip(*local, strict=True))[len(made) :]]  # what they should be goes on
        self._chain.node(runs, shared, used, made, judged)
        return made

    def _call(self, spec: Spec, node: Node, traces: Pair, used: list[Slot], scope: _Scope) -> list[Slot]:
        """The layers of a called network, then what the call returned against them."""
        role = spec.roles[node.attrs["role"]]
        inner = dict(zip(role.spec.inputs, used, strict=True))
        called = (_called(traces[0], node), _called(traces[1], node))
        self._graph(role.spec, called, inner, _Scope(f"{scope.layer}{node.name}.", f"{scope.state}{role.name}.", {}))
        return [
            self._repeat(
                scope.layer + value.ref,
                "call",
                role.name,
                value,
                traces,
                [trace.values.pop(value.ref, None) for trace in traces],
                inner[output.ref],
            )
            for value, output in zip(node.outputs, role.spec.outputs.values(), strict=True)
        ]

    def _repeat(
        self, name: str, op: str, attrs: str, value: Value, traces: Pair, returned: list[Array | None], traced: Slot
    ) -> Slot:
        """A value that each side computed twice: in a network as a whole, and layer by layer in its traced twin."""
        self._chain.wait()
        limit = np.broadcast_to(REPEAT * traced.rounding, traced.chain.shape)
        a, b = (
            hold(output, value, (trace.port, op), side, limit, wanted=wanted)
            for output, side, trace, wanted in zip(
                returned, traced.sides, traces, _wanted(self._types, returned[0]), strict=True
            )
        )
        judged = Judged(name, op, attrs, (a, b))
        slot = judged.slot()
        self._chain.repeated(slot, traced, judged)
        return slot


def _both(
    runs: Runs,
    node: Node,
    value: Value,
    place: int,
    traces: Pair,
    local: list[Arrays],
    types: str | None,
) -> tuple[Held, Held]:
    """Both sides of one output, each held against float64 of its own inputs.

    A bound may cost more than all the rest, so it is worked out only where its floor does not clearly decide. Where the
    sides had nearly the same inputs, b is first held against the floor or the bound of a, and against its own bound
    only where it does not clearly pass.
    """
    a, b = (trace.values.pop(value.ref, None) for trace in traces)
    kernels = [(trace.port, node.op) for trace in traces]
    wanted = _wanted(types, a)

    def first(floor: bool) -> Held:
        bound = runs.bound(local[0], floor=floor)[place]
        return hold(a, value, kernels[0], local[0][place], bound, wanted=wanted[0])

    def second(floor: bool, bounded: int) -> Held:
        bound = runs.bound(local[bounded], floor=floor)[place]
        return hold(b, value, kernels[1], local[1][place], bound, wanted=wanted[1])

    alike = runs.alike(*local)
    for floor in (True, False) if runs.has_floor else (False,):
        if alike:
            runs.bound(local[0], floor=floor)  # once for both
        ours, theirs = together(local[0][place].size, partial(first, floor), partial(second, floor, 0 if alike else 1))
        clear = [side.result.ok and side.result.ratio <= CLEAR and not side.kernel for side in (ours, theirs)]
        if all(clear):
            break
    return ours, second(False, 1) if alike and not clear[1] else theirs


def _wanted(types: str | None, a: Array | None) -> tuple[str, str]:
    """The element types that are right for the two sides of a value; side a's own are right for both."""
    if types is not None:
        return types, types
    own = "" if a is None or str(a.dtype) not in FORMATS else str(a.dtype)
    return "", own


def _precision(node: Node, trace: Trace, train: bool) -> Precision:
    """How a side computed a node: in the element type of what it gave."""
    output = trace.values.get(node.outputs[0].ref)
    dtype = "float32" if output is None else str(output.dtype)
    return precision_of(trace.port, node.op, dtype, train=train, products=trace.products)


def _params(node: Node, trace: Trace) -> dict[str, Array]:
    return {role: _wide(trace.state[f"{node.name}.{role}"]) for role in node.params}


def _wide(tensor: Array) -> Array:
    """In float64."""
    wide, half = np.empty(tensor.shape), len(tensor) // 2
    together(
        tensor.size,
        lambda: np.copyto(wide[:half], tensor[:half]),
        lambda: np.copyto(wide[half:], tensor[half:]),
    )
    return wide


def _mask(node: Node, trace: Trace, x: Array) -> dict[str, Array]:
    """What a dropout kept; a zero may have been either."""
    output = trace.values.get(node.outputs[0].ref)
    return {"mask": np.ones(x.shape) if output is None or output.shape != x.shape else (output != 0) | (x == 0)}


def _called(trace: Trace, node: Node) -> Trace:
    """The trace of a call, with nothing in it where there is none."""
    empty = Trace(trace.port, state_of_role(node.attrs["role"], trace.state), {}, {})
    return trace.calls.pop(node.name, empty)
