"""A trace: every value of a graph as one side computed it, captured by running the spec with every value an output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from twinzoo.ports.port import Port
from twinzoo.zoo.spec import Node, Spec

Array = NDArray[Any]


class Taken(Protocol):
    """Arrays by name that are taken out one by one; a dictionary is one."""

    def __iter__(self) -> Iterator[str]:
        """The names of those that are there."""

    def __getitem__(self, name: str, /) -> Array:
        """An array, which stays."""

    def get(self, name: str, /) -> Array | None:
        """An array, which stays."""

    def pop(self, name: str, default: None, /) -> Array | None:
        """An array, which is then no longer there."""


@dataclass
class Trace:
    """What one side computed.

    Attributes:
        port: the name of the port.
        state: the weights that it computed with, by spec name.
        outputs: what the model itself returned, by output name.
        values: every value of the graph, by `Value.ref`, from the tapped twin of the model. One that the side did not
            return is absent. A comparison takes the arrays out as it goes, to give the memory back.
        products: what products of float32 numbers are rounded to: `tf32`, `hf32`, or empty.
        calls: the traces of the called networks, by the name of the `call` node; absent where the side did not return
            what the call was given.
    """

    port: str
    state: Mapping[str, Array]
    outputs: dict[str, Array]
    values: Taken
    calls: dict[str, Trace] = field(default_factory=dict)
    products: str = ""


def capture(
    port: Port, spec: Spec, state: Mapping[str, Array], inputs: Mapping[str, Array], outputs: Mapping[str, Array]
) -> Trace:
    """Run the tapped twin of a model that returned `outputs` for the same inputs with the same state.

    A called network is traced by running its own tapped twin on the values that the call was given here; that this is
    what the call computed is then held against the outputs of the call, as the tapped twin is against the model.
    """
    twin = port.build(spec.tapped())
    port.load(twin, state)
    returned = port.run(twin, inputs)
    del twin
    refs = {value.ref.replace(":", "__"): value.ref for node in spec.nodes.values() for value in node.outputs}
    values = {ref: np.asarray(returned[name]) for name, ref in refs.items() if name in returned}
    trace = Trace(port.name, state, {name: np.asarray(value) for name, value in outputs.items()}, values)
    known = {**inputs, **values}
    for node in spec.nodes.values():
        if node.op == "call" and all(value.ref in known for value in node.inputs):
            trace.calls[node.name] = _capture_call(port, spec, node, state, known)
    return trace


def _capture_call(port: Port, spec: Spec, node: Node, state: Mapping[str, Array], known: Mapping[str, Array]) -> Trace:
    role = spec.roles[node.attrs["role"]]
    given = {name: known[value.ref] for name, value in zip(role.spec.inputs, node.inputs, strict=True)}
    outputs = zip(role.spec.outputs, node.outputs, strict=True)
    returned = {name: known[value.ref] for name, value in outputs if value.ref in known}
    return capture(port, role.spec, state_of_role(role.name, state), given, returned)


def state_of_role(role: str, state: Mapping[str, Array]) -> dict[str, Array]:
    """The part of a state that belongs to a called network, by the network's own names."""
    prefix = f"{role}."
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
