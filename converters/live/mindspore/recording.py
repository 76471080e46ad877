"""From the calls of one run to a graph: which operation made each tensor, and which layer each operation uses."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from mindspore import Tensor, nn

from twinzoo.converters.graph import INPUT, OUTPUT, UNSEEN, Graph, Operation
from twinzoo.converters.live.claims import PARAMETER, Group
from twinzoo.converters.live.mindspore.calls import IDENTITY, Call, Effect, Step
from twinzoo.converters.live.mindspore.folding import folded
from twinzoo.converters.live.mindspore.layering import Layers
from twinzoo.converters.live.mindspore.nodes import Array, Node
from twinzoo.converters.live.mindspore.parameters import array_of
from twinzoo.converters.live.mindspore.rows import table
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.spec.graph import normal_attrs
from twinzoo.zoo.spec.schema import OPS


class Recording:
    """The operations of one run. It keeps every tensor alive, so that none is taken for another one."""

    def __init__(self, layers: Layers, *, values: bool) -> None:
        self._layers = layers
        self._values = values
        self._nodes: list[Node] = []
        self._made: dict[int, tuple[Node, int]] = {}
        self._alive: list[Tensor] = []

    def add_input(self, name: str, index: int, tensor: Tensor) -> None:
        """An input of the model."""
        self._add(Node(name, INPUT, attrs={"index": index}), (tensor,))

    def add_output(self, name: str, index: int, tensor: Tensor) -> None:
        """An output of the model."""
        self._add(Node(name, OUTPUT, (self._source(tensor),), {"index": index}), ())

    def add_call(self, call: Call) -> None:
        """A call that was watched."""
        effect = _effect(call)
        in_place = _in_place(call)
        if isinstance(effect, list):
            for step, result in zip(effect, call.results, strict=True):
                self._add_step(call, step, (result,))
        elif not in_place and any(call.results[0] is tensor for tensor in call.tensors):
            self._know(call.results[0], self._source(call.results[0]))
        else:
            self._add_step(call, effect, call.results)
        if in_place:
            self._know(call.x, self._source(call.results[0]))

    def _add_step(self, call: Call, step: Step, results: tuple[Tensor, ...]) -> None:
        operands = tuple(self._source(tensor) for tensor in step.inputs)
        if step.kind == IDENTITY:
            self._know(results[0], operands[0])
            return
        cell = call.owner if isinstance(call.owner, nn.Cell) else None
        weights = self._layers.of_cell(cell) if cell else {r: self._layers.key(t) for r, t in step.weights.items()}
        self._add(Node(call.place, step.kind, operands, step.attrs, weights, whole=cell is not None), results)

    def _add(self, node: Node, results: tuple[Tensor, ...]) -> None:
        self._nodes.append(node)
        for index, tensor in enumerate(results):
            self._know(tensor, (node, index))
        if results and (self._values or node.kind == UNSEEN):
            node.value = array_of(results[0])

    def _know(self, tensor: Tensor, source: tuple[Node, int]) -> None:
        self._alive.append(tensor)
        self._made[id(tensor)] = source

    def _source(self, tensor: Tensor) -> tuple[Node, int]:
        """What made a tensor: an operation; or the model owns it; or it came from where the trace cannot look."""
        if id(tensor) not in self._made:
            key = self._layers.key(tensor)
            node = Node(key, PARAMETER, weights={"weight": key}) if key else Node("", UNSEEN)
            self._add(node, (tensor,))
        return self._made[id(tensor)]

    def graph(self, title: str) -> tuple[Graph, dict[int, Array]]:
        """The graph, and the values that were kept by position."""
        nodes, groups = self._claimed(folded(self._nodes))
        names, layers = self._layers.used()
        places = {node: place for place, node in enumerate(nodes)}
        operations = tuple(
            Operation(
                node.name,
                node.kind,
                tuple((places[source], output) for source, output in node.operands),
                dict(node.attrs),
                names[groups[node]] if node in groups else "",
            )
            for node in nodes
        )
        values = {place: node.value for place, node in enumerate(nodes) if self._values and node.value is not None}
        return Graph(title, layers, operations), values

    def _claimed(self, nodes: list[Node]) -> tuple[list[Node], dict[Node, Group]]:
        """The nodes, each with the group of the tensors that it uses; those of other groups become operands."""
        done: list[Node] = []
        groups: dict[Node, Group] = {}
        placed: set[Node] = set()
        in_the_open = {node.name: node for node in nodes if node.kind == PARAMETER}
        for node in nodes:
            if node.weights and node not in groups:
                groups[node], shared = self._layers.claim(node.kind, node.weights)
                for key in shared:
                    if key not in in_the_open:
                        value = array_of(self._layers.tensor(key)) if self._values else None
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
        return Step(step.kind, step.inputs, {**step.attrs, **step.own}, step.weights)
    attrs = normal_attrs(call.name, OPS[step.kind], step.attrs)
    own = {f"mindspore.{name}": value for name, value in step.own.items()}
    return Step(step.kind, step.inputs, attrs | own, step.weights)


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
    """Whether the call changes its first tensor: `x[i] = y`; and `x += y`, `x.add_(y)` where the device does it so."""
    if call.name == "__setitem__":
        return True
    named_so = call.name.startswith("__i") or (call.name.endswith("_") and not call.name.endswith("__"))
    return bool(named_so and call.x.data_ptr() == call.results[0].data_ptr())


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
