"""From the calls of one run to a graph: which operation made each tensor, and which layer each operation uses."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import CodeType
from typing import Any

from mindspore import Tensor, nn
from mindspore import dtype as mstype

from twinzoo.converters.graph import INPUT, OUTPUT, UNSEEN, Graph, Operation
from twinzoo.converters.live import Computed, Idle
from twinzoo.converters.live.claims import PARAMETER, Group
from twinzoo.converters.live.mindspore.calls import IDENTITY, Call, Effect, Step, writes
from twinzoo.converters.live.mindspore.folding import folded
from twinzoo.converters.live.mindspore.gradients import follow
from twinzoo.converters.live.mindspore.layering import Layers
from twinzoo.converters.live.mindspore.memory import Memory
from twinzoo.converters.live.mindspore.nodes import Node
from twinzoo.converters.live.mindspore.parameters import Array, array_of
from twinzoo.converters.live.mindspore.rows import table
from twinzoo.converters.live.mindspore.weights import computed_of, keys_of
from twinzoo.converters.live.source import user_line
from twinzoo.converters.live.spool import Keep, Kept, Spool, as_it_is
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.spec.graph import normal_attrs
from twinzoo.zoo.spec.schema import OPS

_SHARED = frozenset(["batch_statistics"])
"""What both frameworks say of an operation beyond the op table."""

STOP = "stop_gradient"

WRITTEN = "mindspore.written"
"""A tensor after something was written to a part of its memory, through a view of it or of which it is one."""


class Recording:
    """The operations of one run. It keeps every tensor alive, so that none is taken for another one."""

    def __init__(self, layers: Layers, *, values: bool, gradients: bool = False, spool: Spool | None = None) -> None:
        """Start with nothing.

        Args:
            values: whether the first output of each operation is kept.
            gradients: whether gradients are followed: then each first output has a hook that keeps its gradient, and
                what stops gradients is an operation.
            spool: where values and gradients wait, instead of in memory.
        """
        self._layers = layers
        self._keep: Keep = spool.put if spool else as_it_is
        self._values = values
        self._gradients = gradients
        self._nodes: list[Node] = []
        self._made: dict[int, tuple[Node, int]] = {}
        self._memory = Memory()
        self._late: dict[int, Node] = {}
        self._idle: list[tuple[Node, Step, str, str]] = []

    def add_input(self, name: str, index: int, tensor: Tensor) -> None:
        """An input of the model."""
        self._add(Node(name, INPUT, attrs={"index": index}), (tensor,))

    def add_output(self, name: str, index: int, tensor: Tensor) -> None:
        """An output of the model."""
        self._follow_late(tensor)
        self._add(Node(name, OUTPUT, (self._source(tensor),), {"index": index}), ())

    def is_one(self, cell: nn.Cell, code: CodeType) -> bool:
        """Whether running this code as the `construct` of a cell is one operation: a row, or a gradient of its own."""
        return table.cell_row(cell, code) is not None or (self._gradients and bool(cell.has_bprop))

    def before(self, call: Call) -> None:
        """A call that will run."""
        for tensor in call.tensors:
            self._follow_late(tensor)

    def _follow_late(self, tensor: Tensor) -> None:
        """MindSpore makes the result of a cell with a `bprop` its own after `construct`, whose hooks are lost then."""
        if id(tensor) in self._late:
            follow(tensor, self._late[id(tensor)], self._keep)

    def add_call(self, call: Call) -> None:
        """A call that was watched."""
        before = self._made.get(id(call.x)) if writes(call) else None
        effect = _effect(call)
        in_place = _in_place(call)
        if isinstance(effect, Step) and effect.idle:
            self._idle.append((self._source(effect.inputs[0])[0], effect, call.place, user_line()))
        if isinstance(effect, list):
            for step, result in zip(effect, call.results, strict=True):
                self._add_step(call, step, (result,))
        elif not in_place and any(call.results[0] is tensor for tensor in call.tensors):
            self._know(call.results[0], self._source(call.results[0]))
        else:
            self._add_step(call, effect, call.results)
        if in_place:
            self._written(call, before)

    def _written(self, call: Call, before: tuple[Node, int] | None) -> None:
        """What was written is in the tensor, and in others over the same memory, which are made anew."""
        now = self._source(call.results[0])
        self._know(call.x, now)
        for other in self._memory.written(call.x):
            if other is not call.results[0] and not self._layers.key(other):
                parts, blinds = (self._source(other), now), (now[0], *(before or ())[:1])
                self._add(Node(call.place, WRITTEN, parts, blinds=blinds, source=now[0].source), (other,))

    def _add_step(self, call: Call, step: Step, results: tuple[Tensor, ...]) -> None:
        computed = {role: made for role, tensor in step.given.items() if (made := self._own(tensor)) is not None}
        weights_given = {id(step.given[role]) for role in computed}
        operands = tuple(self._source(tensor) for tensor in step.inputs if id(tensor) not in weights_given)
        if step.idle or step.kind == IDENTITY or (step.kind == STOP and not self._stops(step.inputs[0])):
            self._know(results[0], operands[0])
            return
        cell = call.owner if isinstance(call.owner, nn.Cell) else None
        weights = self._layers.of_cell(cell) if cell else {r: self._layers.key(t) for r, t in step.weights.items()}
        made = Node(call.place, step.kind, operands, step.attrs, weights, whole=cell is not None, source=user_line())
        made.late, made.computed = cell is not None and bool(cell.has_bprop), computed
        self._add(made, results)

    def _own(self, tensor: Tensor) -> Node | None:
        """What computed a tensor from the model's own tensors alone, as the first of its results."""
        made, output = self._source(tensor)
        return made if output == 0 and made.sources and not made.live and made.kind != PARAMETER else None

    def _stops(self, tensor: Tensor) -> bool:
        return self._gradients and tensor.dtype in mstype.float_type

    def _add(self, node: Node, results: tuple[Tensor, ...]) -> None:
        self._nodes.append(node)
        before = [*(source for source, _ in node.operands), *node.computed.values()]
        node.live = node.kind in (INPUT, OUTPUT) or any(source.live for source in before)
        own = [key for source in before for key in source.sources]
        node.sources = tuple(dict.fromkeys([*own, *node.weights.values()]))
        for index, tensor in enumerate(results):
            self._know(tensor, (node, index))
        if results and (self._values or node.kind == UNSEEN):
            node.value = (as_it_is if node.kind == UNSEEN else self._keep)(array_of(results[0]))
        if results and self._gradients and node.kind not in (UNSEEN, PARAMETER):
            if node.late:
                self._late[id(results[0])] = node
            else:
                follow(results[0], node, self._keep)

    def _know(self, tensor: Tensor, source: tuple[Node, int]) -> None:
        self._memory.add(tensor)
        self._made[id(tensor)] = source

    def _source(self, tensor: Tensor) -> tuple[Node, int]:
        """What made a tensor: an operation; or the model owns it; or it came from where the trace cannot look."""
        if id(tensor) not in self._made:
            key = self._layers.key(tensor)
            node = Node(key, PARAMETER, weights={"weight": key}) if key else Node("", UNSEEN)
            self._add(node, (tensor,))
        return self._made[id(tensor)]

    def graph(
        self, title: str, gradients: Mapping[str, Array] | None = None
    ) -> tuple[Graph, dict[int, Kept], dict[int, Kept], tuple[Idle, ...]]:
        """The graph, the values and the gradients that were kept by position, and the dropouts that dropped nothing.

        Args:
            gradients: those of the model's own tensors by key.
        """
        nodes, groups = self._claimed(_without_own(folded(_without_unread(self._nodes))))
        self._nodes = nodes
        names, layers = self._layers.used()
        places = {node: place for place, node in enumerate(nodes)}
        operations = tuple(
            Operation(
                node.name,
                node.kind,
                tuple((places[source], output) for source, output in node.operands),
                dict(node.attrs),
                names[groups[node]] if node in groups else "",
                node.source,
            )
            for node in nodes
        )
        values = {place: node.value for place, node in enumerate(nodes) if self._values and node.value is not None}
        own = gradients or {}
        blind = {node for made in nodes for node in made.blinds}
        told = {
            place: own.get(node.name) if node.kind == PARAMETER else node.gradient
            for place, node in enumerate(nodes)
            if node not in blind
        }
        idle = tuple(
            Idle(name, made.kind, float(made.attrs["p"]), places.get(node, -1), source)
            for node, made, name, source in self._idle
        )
        return Graph(title, layers, operations), values, {p: g for p, g in told.items() if g is not None}, idle

    def _claimed(self, nodes: list[Node]) -> tuple[list[Node], dict[Node, Group]]:
        """The nodes, each with the group of the tensors that it uses; those of other groups become operands."""
        done: list[Node] = []
        groups: dict[Node, Group] = {}
        placed: set[Node] = set()
        in_the_open = {node.name: node for node in nodes if node.kind == PARAMETER}
        for node in nodes:
            keys, attrs = keys_of(node, self._layers)
            node.weights, node.attrs = {**node.weights, **keys}, {**node.attrs, **attrs}
            if node.weights and node not in groups:
                groups[node], shared = self._layers.claim(node.kind, node.weights)
                for key in shared:
                    if key not in in_the_open:
                        value = self._keep(array_of(self._layers.tensor(key))) if self._values else None
                        in_the_open[key] = Node(key, PARAMETER, weights={"weight": key}, value=value)
                    own = in_the_open[key]
                    if own not in groups:
                        groups[own], _ = self._layers.claim(PARAMETER, own.weights)
                        done.append(own)
                        placed.add(own)
                    node.operands += ((own, 0),)
            if node.kind != PARAMETER or node not in placed:
                done.append(node)
        return done, groups

    def computed(self) -> dict[int, tuple[Computed, ...]]:
        """The computed weights of each operation by its position, once the graph was asked for."""
        return {place: found for place, node in enumerate(self._nodes) if (found := tuple(computed_of(node)))}


def _effect(call: Call) -> Effect:
    """What a call does, in normal form; in the framework's own words where the op table has none."""
    row = table.row_of(call)
    try:
        effect = row(call) if row else None
        if isinstance(effect, list):
            return [_normal(call, step) for step in effect]
        if effect is not None:
            return _normal(call, effect)
    except (SpecError, TypeError, ValueError, IndexError, AttributeError):  # arguments that no row expects
        pass
    return Step(f"mindspore.{call.word}", call.tensors, dict(_plain(call)))


def _normal(call: Call, step: Step) -> Step:
    """A step with the attributes in normal form and what the table has no attribute for under MindSpore's name."""
    if step.kind not in OPS:
        return replace(step, attrs={**step.attrs, **step.own}, own={})
    attrs = normal_attrs(call.name, OPS[step.kind], step.attrs)
    own = {name if name in _SHARED else f"mindspore.{name}": value for name, value in step.own.items()}
    return replace(step, attrs=attrs | own, own={})


def _plain(call: Call) -> Iterator[tuple[str, Hashable]]:
    """The arguments that are no tensors, by name or position."""
    arguments = dict(call.named) or {str(place): value for place, value in enumerate(call.values)}
    for name, value in arguments.items():
        value = tuple(value) if isinstance(value, list) else value
        if isinstance(value, (bool, int, float, str)) or (isinstance(value, tuple) and _all_plain(value)):
            yield name, value


def _all_plain(values: tuple[Any, ...]) -> bool:
    return all(value is None or isinstance(value, (bool, int, float, str)) for value in values)


def _in_place(call: Call) -> bool:
    """Whether the call has changed its first tensor; `x += y` and `x.add_(y)` do where the device does it so."""
    if call.name == "__setitem__":
        return True
    return writes(call) and bool(call.x.data_ptr() == call.results[0].data_ptr())


def _without_unread(nodes: list[Node]) -> list[Node]:
    """The nodes without those that say what was written to a tensor which nobody reads after it."""
    kept: list[Node] = []
    read: set[Node] = set()
    for node in reversed(nodes):
        if node.kind != WRITTEN or node in read:
            kept.append(node)
            read.update(source for source, _ in node.operands)
    return kept[::-1]


def _without_own(nodes: list[Node]) -> list[Node]:
    """The nodes without those that depend on no input and are used as weights alone, or not at all."""
    kept: list[Node] = []
    read: set[Node] = set()
    for node in reversed(nodes):
        if node.live or node in read:
            kept.append(node)
            read.update(source for source, _ in node.operands)
    return kept[::-1]


def _joined(*words: str) -> str:
    return ".".join(filter(None, words))


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of nested tuples, lists and mappings, by their places and keys joined with dots."""
    if isinstance(value, Tensor):
        yield name or "0", value
    elif isinstance(value, (tuple, list, Mapping)):
        items: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, item in items:
            yield from flat(item, _joined(name, str(key)))
