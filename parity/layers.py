"""The layers of two traces, one by one in execution order, each held against float64.

The verdict is local: a node is evaluated in float64 on the inputs that the side itself had, so that errors of earlier
layers neither add to a layer's error nor hide it. Next to it runs the *chain*, float64 from the inputs on with the
weights of side a, and the chain once more with every output moved at random within its bound: how far that moves it is
what accumulated rounding explains, and how far two runs of the same layers may lie apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.bounds.precision import FORMATS, Precision, precision_of
from twinzoo.parity.measure import difference, distances
from twinzoo.parity.results import LayerResult
from twinzoo.parity.runs import Arrays, Runs
from twinzoo.parity.together import together
from twinzoo.parity.trace import Trace, state_of_role
from twinzoo.parity.verdict import Held, hold
from twinzoo.zoo.spec import Node, Spec, Value
from twinzoo.zoo.spec.show import attrs_text

Array = NDArray[Any]
Pair = tuple[Trace, Trace]

CLEAR = 0.5
"""Up to this ratio a side that is held against the bound of the other, for nearly the same inputs, clearly passes."""

REPEAT = 2.0
"""Two runs of the same layers may each lie one accumulated rounding from float64."""


@dataclass
class _Slot:
    """A value in its four versions: each side's, the float64 chain's, and the chain's with random rounding."""

    sides: tuple[Array, Array]
    chain: Array
    noisy: Array

    @property
    def rounding(self) -> float:
        return float(distances(self.noisy, self.chain).max(initial=0.0))


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
        self._random = np.random.default_rng(seed)

    def model(
        self, spec: Spec, traces: Pair, inputs: Mapping[str, Array], beside: Mapping[str, Array] | None = None
    ) -> None:
        """Judge every layer of two traces, then what the models themselves returned against the traces.

        The arrays are taken out of the traces on the way.

        Args:
            beside: side b's inputs, where they are not the same arrays as side a's.
        """
        others = {**inputs, **(beside or {})}
        slots = {name: _Slot((inputs[name], others[name]), inputs[name], inputs[name]) for name in spec.inputs}
        draws = {name: x for name, x in inputs.items() if name not in spec.inputs}
        self._graph(spec, traces, slots, _Scope("", "", draws))
        for name, value in spec.outputs.items():
            returned = [trace.outputs.get(name) for trace in traces]
            self._repeat(f"model: {name}", "output", value.ref, value, traces, returned, slots[value.ref])

    def _graph(self, spec: Spec, traces: Pair, slots: dict[str, _Slot], scope: _Scope) -> None:
        """Judge the nodes of a network; slots hold its inputs before, and its outputs too afterwards."""
        last = {value.ref: node.name for node in spec.nodes.values() for value in node.inputs}
        kept = {value.ref for value in spec.outputs.values()}
        for node in spec.nodes.values():
            given = [slots[value.ref] for value in node.inputs]
            judge = self._call if node.op == "call" else self._node
            made = judge(spec, node, traces, given, scope)
            slots |= {value.ref: slot for value, slot in zip(node.outputs, made, strict=True)}
            if self._moved_values is not None:
                self._moved_values |= {value.ref: slot.noisy for value, slot in zip(node.outputs, made, strict=True)}
            for value in (*node.inputs, *node.outputs):
                if value.ref not in kept and last.get(value.ref, node.name) == node.name:
                    slots.pop(value.ref, None)

    def _node(self, spec: Spec, node: Node, traces: Pair, given: list[_Slot], scope: _Scope) -> list[_Slot]:
        weights = tuple(n for n in (f"{scope.state}{node.name}.{role}" for role in node.params) if n in self._differing)
        shared = _params(node, traces[0])
        params = (shared, _params(node, traces[1]) if weights else shared)
        fed = {suffix: scope.draws.get(f"{node.name}_{suffix}") for suffix in node.draws}
        train = node.name in self._training
        if train and node.op == "dropout":
            params = (_mask(node, traces[0], given[0].sides[0]), _mask(node, traces[1], given[0].sides[1]))
            shared = params[0]
        runs = Runs(node, {suffix: draw for suffix, draw in fed.items() if draw is not None}, train=train)
        sides = [tuple(slot.sides[i] for slot in given) for i in (0, 1)]
        how = [_precision(node, trace, train) for trace in traces]
        *local, chain, noisy = together(
            sum(slot.chain.size for slot in given),
            lambda: runs(params[0], sides[0], how[0]),
            lambda: runs(params[1], sides[1], how[1]),
            lambda: runs(shared, tuple(slot.chain for slot in given)),
            lambda: runs(shared, tuple(slot.noisy for slot in given)),
        )
        slots = []
        for i, value in enumerate(node.outputs):
            if i and self._types is None:  # strangers' further outputs are not recorded: what they should be goes on
                slots.append(_Slot((local[0][i], local[1][i]), chain[i], noisy[i]))
                continue
            held = _both(runs, node, value, i, traces, local, chain[i], self._types)
            slot = _Slot((held[0].array, held[1].array), chain[i], self._moved(noisy[i], held))
            self._row(scope.layer + value.ref, node.op, attrs_text(node), slot, held, weights)
            for trace, side in zip(traces, held, strict=True):
                if side.kernel:
                    kernel = trace.port, node.op, side.result.dtype
                    self.kernels.setdefault(kernel, []).append(scope.layer + value.ref)
            slots.append(slot)
        return slots

    def _call(self, spec: Spec, node: Node, traces: Pair, given: list[_Slot], scope: _Scope) -> list[_Slot]:
        """The layers of a called network, then what the call returned against them."""
        role = spec.roles[node.attrs["role"]]
        inner = dict(zip(role.spec.inputs, given, strict=True))
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
        self, name: str, op: str, attrs: str, value: Value, traces: Pair, returned: list[Array | None], traced: _Slot
    ) -> _Slot:
        """A value that each side computed twice: in a network as a whole, and layer by layer in its traced twin."""
        limit = np.broadcast_to(REPEAT * traced.rounding, traced.chain.shape)
        held = [
            hold(output, value, (trace.port, op), side, limit, traced.chain, wanted=wanted)
            for output, side, trace, wanted in zip(
                returned, traced.sides, traces, _wanted(self._types, returned[0]), strict=True
            )
        ]
        slot = _Slot((held[0].array, held[1].array), traced.chain, traced.noisy)
        self._row(name, op, attrs, slot, held, ())
        return slot

    def _row(self, name: str, op: str, attrs: str, slot: _Slot, held: list[Held], weights: tuple[str, ...]) -> None:
        apart = difference(*slot.sides, slot.chain)
        numbers = (apart.max_abs, apart.mean_abs, apart.relative, apart.cosine, slot.rounding)
        results = (held[0].result, held[1].result)
        self.rows.append(
            LayerResult(name, op, attrs, slot.chain.shape, *numbers, *results, weights, max_ulp=apart.max_ulp)
        )

    def _moved(self, noisy: Array, held: list[Held]) -> Array:
        """An output moved evenly at random within the wider of the two allowances."""
        size = np.maximum(held[0].allowed, held[1].allowed)
        if noisy.dtype.kind != "f" or not size.any():
            return noisy
        moved: Array = np.asarray(self._random.uniform(-1, 1, noisy.shape))
        moved *= size if np.isfinite(size.max()) else np.where(np.isfinite(size), size, 0.0)
        moved += noisy
        return moved


def _both(
    runs: Runs,
    node: Node,
    value: Value,
    place: int,
    traces: Pair,
    local: list[Arrays],
    chain: Array,
    types: str | None,
) -> list[Held]:
    """Both sides of one output, each held against float64 of its own inputs.

    A bound may cost more than all the rest. Where the sides had nearly the same inputs, b is first held against the
    bound of a, and against its own only where it does not clearly pass.
    """
    a, b = (trace.values.pop(value.ref, None) for trace in traces)
    kernels = [(trace.port, node.op) for trace in traces]
    wanted = _wanted(types, a)

    def first() -> Held:
        return hold(a, value, kernels[0], local[0][place], runs.bound(local[0])[place], chain, wanted=wanted[0])

    def second(bounded: int = 1) -> Held:
        bound = runs.bound(local[bounded])[place]
        return hold(b, value, kernels[1], local[1][place], bound, chain, wanted=wanted[1])

    if not runs.alike(*local):
        return together(chain.size, first, second)
    runs.bound(local[0])  # once for both
    held = together(chain.size, first, lambda: second(0))
    return held if held[1].result.ok and held[1].result.ratio <= CLEAR else [held[0], second()]


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
    return {role: np.asarray(trace.state[f"{node.name}.{role}"], np.float64) for role in node.params}


def _mask(node: Node, trace: Trace, x: Array) -> dict[str, Array]:
    """What a dropout kept; a zero may have been either."""
    output = trace.values.get(node.outputs[0].ref)
    return {"mask": np.ones(x.shape) if output is None or output.shape != x.shape else (output != 0) | (x == 0)}


def _called(trace: Trace, node: Node) -> Trace:
    """The trace of a call, with nothing in it where there is none."""
    empty = Trace(trace.port, state_of_role(node.attrs["role"], trace.state), {}, {})
    return trace.calls.pop(node.name, empty)
