"""Two graphs made comparable: what each operation is called on both sides, and which are left out.

Frameworks and authors write one network in different words: a padding of its own here, an attribute of the convolution
there. A view keeps of each operation what both graphs have equally often, and lets go of the rest:

- a layer is (kind, attributes, shapes), or (kind, shapes), or the shapes alone;
- a function is (kind, attributes), or the kind; or, where even the kinds are not the same on both sides, a function of
  one operand is left out and one of several is only a place where data comes together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import Enum

from twinzoo.converters.graph import INPUT, OUTPUT, Graph, Operation
from twinzoo.converters.layers import Layer

COMMUTATIVE = frozenset({"add", "mul", "maximum", "minimum"})
_DIGITS = 6

Label = Hashable


class Detail(Enum):
    """How much of the operations two views show, most first.

    ALL: everything. COMMON: what both sides have equally often. UNORDERED: the same, a concat's operands in any order.
    LAYERS: layers, and where data comes together.
    """

    ALL = "all"
    COMMON = "common"
    UNORDERED = "unordered"
    LAYERS = "layers"


@dataclass(frozen=True)
class View:
    """The operations of a graph that are shown, in order of execution.

    Attributes:
        positions: of each vertex, its operation's position in the graph.
        labels: of each vertex, what it is.
        operands: of each vertex, (vertex, which of its outputs), in order.
        unordered: of each vertex, whether the order of its operands means nothing.
        layer: of each vertex, the layer it runs, empty for a function.
        consumers: of each vertex, (vertex, the place among its operands, which output of this one).
    """

    graph: Graph
    positions: list[int]
    labels: list[Label]
    operands: list[list[tuple[int, int]]]
    unordered: list[bool]
    layer: list[str]
    consumers: list[list[tuple[int, int, int]]]


def views(a: Graph, b: Graph, detail: Detail) -> tuple[View, View]:
    """Both graphs at one level of detail."""
    ladders = _ladders(a, b), _ladders(b, a)
    if detail is Detail.ALL:
        labels = tuple([ladder[0] for ladder in side] for side in ladders)
    else:
        lowest = 2 if detail is Detail.LAYERS else 0
        labels = _common(ladders, lowest)
    loose = detail is Detail.UNORDERED
    return _view(a, labels[0], loose), _view(b, labels[1], loose)


def _ladders(graph: Graph, other: Graph) -> list[tuple[Label, ...]]:
    """Of each operation its labels, from the fullest to the emptiest; None leaves it out."""
    named = {INPUT: _names(graph, INPUT) == _names(other, INPUT), OUTPUT: False}
    counts: Counter[str] = Counter()
    ladders: list[tuple[Label, ...]] = []
    for operation in graph.operations:
        if operation.kind in named:
            own = operation.name if named[operation.kind] else counts[operation.kind]
            counts[operation.kind] += 1
            ladders.append(((operation.kind, own),) * 3)
        elif operation.layer:
            ladders.append(_layer_labels(operation, graph.layers[operation.layer]))
        else:
            ladders.append(_function_labels(operation))
    return ladders


def _names(graph: Graph, kind: str) -> list[str]:
    return sorted(operation.name for operation in graph.operations if operation.kind == kind)


def _layer_labels(operation: Operation, layer: Layer) -> tuple[Label, ...]:
    shapes = layer.signature
    return ("layer", operation.kind, _frozen(operation.attrs), shapes), ("layer", operation.kind, shapes), shapes


def _function_labels(operation: Operation) -> tuple[Label, ...]:
    kind = operation.kind.rpartition(".")[2]
    least = {0: "constant", 1: None}.get(len(operation.operands), "join")
    return ("function", kind, _frozen(operation.attrs)), ("function", kind), least


def _frozen(attrs: Mapping[str, Hashable]) -> Label:
    return tuple(sorted((name, _rounded(value)) for name, value in attrs.items()))


def _rounded(value: Hashable) -> str:
    """A value as text, floats to the digits that survive a trip through float32."""
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else str(value)


def _common(
    ladders: tuple[list[tuple[Label, ...]], list[tuple[Label, ...]]], lowest: int
) -> tuple[list[Label], list[Label]]:
    """The fullest label of each operation that both sides have equally often.

    `lowest` is the rung from which a function of one operand counts; one of several keeps its kind.
    """
    rungs = len(ladders[0][0]) if ladders[0] else 0
    counts = [[Counter(ladder[rung] for ladder in side) for rung in range(rungs)] for side in ladders]

    def chosen(ladder: tuple[Label, ...]) -> Label:
        first = min(lowest, 2 if ladder[-1] is None else 1) if _is_function(ladder) else 0
        for rung in range(first, rungs):
            if counts[0][rung][ladder[rung]] == counts[1][rung][ladder[rung]]:
                return ladder[rung]
        return ladder[-1]

    return [chosen(ladder) for ladder in ladders[0]], [chosen(ladder) for ladder in ladders[1]]


def _is_function(ladder: tuple[Label, ...]) -> bool:
    full = ladder[0]
    return isinstance(full, tuple) and full[0] == "function"


def _view(graph: Graph, labels: list[Label], loose: bool) -> View:
    """The graph without what is labelled None, and without functions that lead nowhere."""
    wanted = _wanted(graph)
    source: list[tuple[int, int]] = []
    vertex: dict[int, int] = {}
    view = View(graph, [], [], [], [], [], [])
    for position, (operation, label) in enumerate(zip(graph.operations, labels, strict=True)):
        operands = [(source[p][0], source[p][1] if p not in vertex else out) for p, out in operation.operands]
        if label is None and operands:
            source.append(operands[0])
            continue
        number = len(view.positions)
        source.append((number, 0))
        if not wanted[position]:
            continue
        vertex[position] = number
        view.positions.append(position)
        view.labels.append(label)
        view.operands.append(operands)
        view.unordered.append(operation.kind in COMMUTATIVE or (loose and operation.kind == "concat"))
        view.layer.append(operation.layer)
        view.consumers.append([])
        for place, (made, out) in enumerate(operands):
            view.consumers[made].append((number, 0 if view.unordered[-1] else place, out))
    return view


def _wanted(graph: Graph) -> list[bool]:
    """Whether each operation is a layer, an input or an output, or leads to one."""
    wanted = [bool(op.layer) or op.kind in (INPUT, OUTPUT) for op in graph.operations]
    for position in reversed(range(len(wanted))):
        if wanted[position]:
            for operand, _ in graph.operations[position].operands:
                wanted[operand] = True
    return wanted
