"""Which local variable holds which value of a graph: a short chain in `x`, a value that lives longer under a name.

A value's variable is free again after its last use, and a later value takes it over, so that nothing is kept alive
longer than in code written by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from twinzoo.zoo.spec import OPS, Node, Spec, Value

_LONGEST = 40


def needed(spec: Spec) -> list[Node]:
    """The nodes that the outputs depend on, in the order drawn."""
    wanted = {value.node for value in spec.outputs.values()}
    for node in reversed(spec.nodes.values()):
        if node.name in wanted:
            wanted |= {value.node for value in node.inputs}
    return [node for node in spec.nodes.values() if node.name in wanted]


@dataclass
class _Slot:
    """A variable other than the chain's, and the values it holds one after another."""

    values: list[Value] = field(default_factory=list)


class Variables:
    """Names for every value that `nodes` compute, and for the inputs under their own names.

    Attributes:
        names: reference of a value -> variable; `_` for an output of a node that nothing uses.
    """

    def __init__(self, spec: Spec, nodes: Sequence[Node]) -> None:
        self._spec = spec
        self._nodes = nodes
        self._last = {value.ref: i for i, node in enumerate(nodes) for value in node.inputs}
        outputs = list(spec.outputs.values())
        self._last |= {value.ref: len(nodes) for value in outputs}
        self._returned = len(outputs) == 1 and bool(nodes) and outputs[0] in nodes[-1].outputs
        self._taken = {*spec.inputs, *spec.draws}
        self.names = {item.value.ref: name for name, item in spec.inputs.items()}
        chained, slots = self._allocate()
        self._name_slots(slots)
        self.names |= {ref: self._chain_name(chained) for ref in chained}

    def _allocate(self) -> tuple[dict[str, int], list[_Slot]]:
        """Values for the chain's variable with the step they are made at, and slots for the rest."""
        chained: dict[str, int] = {}
        slots: list[_Slot] = []
        held: dict[str, _Slot] = {}
        free: list[_Slot] = []
        for i, node in enumerate(self._nodes):
            for ref in dict.fromkeys(value.ref for value in node.inputs):
                if self._last[ref] == i and ref in held:
                    free.append(held.pop(ref))
            used = [value for value in node.outputs if value.ref in self._last]
            for value in node.outputs:
                if value not in used:
                    self.names[value.ref] = "_"
                elif len(used) == 1 and self._last[value.ref] == i + 1 < len(self._nodes) + self._returned:
                    chained[value.ref] = i
                else:
                    slot = free.pop() if free else _Slot()
                    if not slot.values:
                        slots.append(slot)
                    slot.values.append(value)
                    held[value.ref] = slot
        return chained, slots

    def _name_slots(self, slots: Sequence[_Slot]) -> None:
        """A slot of one value takes the node's name; one that is used again is `skip`, or `skip1`, `skip2` ..."""
        shared = []
        for slot in slots:
            name = self._own_name(slot.values[0])
            if len(slot.values) > 1 or name in self._taken or len(name) > _LONGEST:
                shared.append(slot)
            else:
                self._hold(slot, name)
        count = 0
        for slot in shared:
            name = "skip"
            while len(shared) > 1 or name in self._taken:
                count += 1
                name = f"skip{count}"
                if name not in self._taken:
                    break
            self._hold(slot, name)

    def _hold(self, slot: _Slot, name: str) -> None:
        self._taken.add(name)
        self.names |= {value.ref: name for value in slot.values}

    def _own_name(self, value: Value) -> str:
        node = self._spec.nodes[value.node]
        if len(node.outputs) == 1:
            return node.name
        if node.op == "call":
            return f"{node.name}_{list(self._spec.roles[node.attrs['role']].spec.outputs)[value.index]}"
        return f"{node.name}_{OPS[node.op].outputs[value.index]}"

    def _chain_name(self, chained: dict[str, int]) -> str:
        """`x`, which an input of that name may share where its last use comes no later than the chain's first value."""
        name = "x"
        if name in self._spec.inputs and self._last.get(name, -1) <= min(chained.values()):
            return name
        while name in self._taken:
            name += "_"
        return name
