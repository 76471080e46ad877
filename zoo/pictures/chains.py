"""The nodes of a spec in chains that are one box each: a layer with its padding, norm and activation."""

from __future__ import annotations

from collections.abc import Iterable
from math import log2

from twinzoo.zoo.pictures.words import LEADS, OPENERS, THROUGH
from twinzoo.zoo.spec import Node, Spec, Value
from twinzoo.zoo.steps.step import Pool, Step

Chain = list[Node]


class Chains:
    """A spec's chains.

    Attributes:
        all: the chains, in the order of their last nodes; only the last node of one is used elsewhere.
        inputs: the names of the inputs that are drawn; those of a step's pools are not.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.pools = {name: pool for pool in _pools(spec) for name in _members(pool)}
        fed = {name for pool in _pools(spec) for name in (pool.stored, pool.picks, pool.keeps)}
        self.inputs = [name for name in spec.inputs if name not in fed]
        self._phases = _phases(spec)
        self._users: dict[str, set[str]] = {}
        drawn = [node for node in spec.nodes.values() if node.op not in THROUGH]
        for node in drawn:
            for source, _ in self.sources(node):
                self._users.setdefault(source, set()).add(node.name)
        for value in spec.outputs.values():
            self._users.setdefault(self.origin(value)[0], set()).add("")
        self.all = self._joined(drawn)
        values = [item.value for item in spec.inputs.values()] + [v for n in spec.nodes.values() for v in n.outputs]
        self._finest = max(map(self.height, values), default=0)

    def origin(self, value: Value) -> tuple[str, bool]:
        """The drawn node or input that a value comes from, and whether a gradient is stopped on the way."""
        name, stopped = value.node, False
        while (node := self.spec.nodes.get(name)) and node.op in THROUGH:
            name, stopped = node.inputs[0].node, stopped or node.op == "stop_gradient"
        return name, stopped

    def sources(self, node: Node) -> list[tuple[str, bool]]:
        """Where a node's inputs come from, each once."""
        return list(dict.fromkeys(self.origin(value) for value in node.inputs))

    def _joined(self, drawn: Iterable[Node]) -> list[Chain]:
        chain_of: dict[str, Chain] = {}
        for node in drawn:
            before = [chain_of[source] for source, _ in self.sources(node) if source in chain_of]
            chain = next((chain for chain in before if self._continues(node, chain)), [])
            chain.append(node)
            chain_of[node.name] = chain
        order = {name: place for place, name in enumerate(self.spec.nodes)}
        unique = {id(chain): chain for chain in chain_of.values()}
        return sorted(unique.values(), key=lambda chain: order[chain[-1].name])

    def _continues(self, node: Node, chain: Chain) -> bool:
        """Whether a node is drawn in the box of the chain before it."""
        last = chain[-1]
        if last.name in self.pools or node.name in self.pools:
            return self.pools.get(last.name) is self.pools.get(node.name)
        if self._users[last.name] != {node.name} or len(last.outputs) > 1 or (last.name, True) in self.sources(node):
            return False
        if self.phase(node) != self.phase(last):
            return False
        others = [value for value in node.inputs if self.origin(value)[0] != last.name]
        if others:
            adapts = node.op in ("mul", "add") and all(v.shape[2:] == (1, 1) for v in others)
            return adapts or (node.op == "add" and {member.op for member in chain} == {"add"})
        ops = {member.op for member in chain}
        return node.op not in LEADS | OPENERS or not (ops & LEADS or chain[0].op == "add")

    def phase(self, node: Node) -> int:
        """How many updates come before a node."""
        return self._phases[node.name]

    def height(self, value: Value) -> int:
        """The height of images, 0 of anything else: one number for each channel is no image."""
        return self.spec.concrete(value)[2] if len(value.shape) == 4 and value.shape[2:] != (1, 1) else 0

    def level(self, values: Iterable[Value], otherwise: int = 0) -> int:
        """How often the finest images were halved at the coarsest of some values."""
        heights = [height for value in values if (height := self.height(value))]
        return round(log2(self._finest / min(heights))) if heights else otherwise


def _pools(spec: Spec) -> list[Pool]:
    return list(spec.pools.values()) if isinstance(spec, Step) else []


def _members(pool: Pool) -> tuple[str, ...]:
    return f"{pool.name}_candidates", pool.name, pool.next.node


def _phases(spec: Spec) -> dict[str, int]:
    ends = [update.after for update in spec.updates] if isinstance(spec, Step) else []
    return {name: sum(after <= place for after in ends) for place, name in enumerate(spec.nodes)}
