"""Two graphs made comparable: what each operation is called on both sides, and which are left out.

Frameworks and authors write one network in different words: a padding of its own here, an attribute of the convolution
there. A view keeps of each operation what both graphs have equally often, and lets go of the rest:

- a layer is (kind, attributes, shapes), or (kind, shapes), or the shapes alone;
- a function is (kind, attributes), or the kind; or, where even the kinds are not the same on both sides, a function of
  one operand is left out and one of several is only a place where data comes together;
- an instance norm whose gamma and beta MindSpore keeps without a use may stand for one without tensors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import Enum

from twinzoo.converters.forms import plain
from twinzoo.converters.graph import INPUT, OUTPUT, Graph, Operation

COMMUTATIVE = frozenset({"add", "mul", "maximum", "minimum"})
INSTANCE_NORM = "instance_norm"
_PLAIN_NORM = ("function", INSTANCE_NORM)
_DIGITS = 6

Label = Hashable


@dataclass(frozen=True)
class Hung:
    """The label of a function that is left out of the graph but counts as a property of what comes before it."""

    kind: Label


class Detail(Enum):
    """How much of the operations two views show, most first.

    ALL: everything. COMMON: what both sides have equally often. UNORDERED: the same, a concat's operands in any order.
    LAYERS: layers, and where data comes together; functions of one operand that both sides have equally often hang on
    what comes before them, in no order.
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


def views(a: Graph, b: Graph, detail: Detail, anchors: Mapping[str, str] | None = None) -> tuple[View, View]:
    """Both graphs at one level of detail.

    Args:
        anchors: layers of `a` that must go to layers of `b`.
    """
    given = dict(anchors or {})
    ladders = _ladders(a, b, given), _ladders(b, a, {target: target for target in given.values()})
    if detail is Detail.ALL:
        labels = tuple([ladder[0] for ladder in side] for side in ladders)
    else:
        labels = _common(ladders, hang=detail is Detail.LAYERS)
    loose = detail is Detail.UNORDERED
    return _view(a, labels[0], loose), _view(b, labels[1], loose)


def _ladders(graph: Graph, other: Graph, anchors: Mapping[str, str]) -> list[tuple[Label, ...]]:
    """Of each operation its labels, from the fullest to the emptiest; None leaves it out."""
    named = {INPUT: _names(graph, INPUT) == _names(other, INPUT), OUTPUT: False}
    counts: Counter[str] = Counter()
    shapes = {name: plain(layer).signature for name, layer in graph.layers.items()}
    ladders: list[tuple[Label, ...]] = []
    for operation in graph.operations:
        if operation.kind in named:
            own = operation.name if named[operation.kind] else counts[operation.kind]
            counts[operation.kind] += 1
            ladders.append(((operation.kind, own),) * 3)
        elif operation.layer:
            ladders.append(_layer_labels(operation, (shapes[operation.layer], anchors.get(operation.layer))))
        else:
            ladders.append(_function_labels(operation))
    return ladders


def _names(graph: Graph, kind: str) -> list[str]:
    return sorted(operation.name for operation in graph.operations if operation.kind == kind)


def _layer_labels(operation: Operation, what: Label) -> tuple[Label, ...]:
    kind = operation.kind
    least = _PLAIN_NORM if kind == INSTANCE_NORM else ("layer", what)
    return ("layer", kind, _frozen(operation.attrs), what), ("layer", kind, what), least


def _function_labels(operation: Operation) -> tuple[Label, ...]:
    kind = operation.kind.rpartition(".")[2]
    least: Label = {0: "constant", 1: None}.get(len(operation.operands), "join")
    if kind == INSTANCE_NORM:
        least = _PLAIN_NORM
    return ("function", kind, _frozen(operation.attrs)), ("function", kind), least


def _frozen(attrs: Mapping[str, Hashable]) -> Label:
    return tuple(sorted((name, _rounded(value)) for name, value in attrs.items()))


def _rounded(value: Hashable) -> str:
    """A value as text, floats to the digits that survive a trip through float32."""
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else str(value)


def _common(
    ladders: tuple[list[tuple[Label, ...]], list[tuple[Label, ...]]], hang: bool
) -> tuple[list[Label], list[Label]]:
    """The fullest label of each operation that both sides have equally often; functions of one operand may hang."""
    rungs = len(ladders[0][0]) if ladders[0] else 0
    counts = [[Counter(ladder[rung] for ladder in side) for rung in range(rungs)] for side in ladders]

    def chosen(ladder: tuple[Label, ...]) -> Label:
        for rung in range(1 if hang else 0, rungs):
            if counts[0][rung][ladder[rung]] == counts[1][rung][ladder[rung]]:
                return Hung(ladder[rung]) if hang and rung < 2 and ladder[-1] is None else ladder[rung]
        return ladder[-1]

    return [chosen(ladder) for ladder in ladders[0]], [chosen(ladder) for ladder in ladders[1]]


def _view(graph: Graph, labels: list[Label], loose: bool) -> View:
    """The graph without what is labelled None, and without functions that lead nowhere."""
    wanted = _wanted(graph)
    source: list[tuple[int, int]] = []
    vertex: dict[int, int] = {}
    view = View(graph, [], [], [], [], [], [])
    hung: dict[int, list[str]] = {}
    for position, (operation, label) in enumerate(zip(graph.operations, labels, strict=True)):
        operands = [(source[p][0], source[p][1] if p not in vertex else out) for p, out in operation.operands]
        if (label is None or isinstance(label, Hung)) and operands:
            source.append(operands[0])
            if label is not None and wanted[position]:
                hung.setdefault(operands[0][0], []).append(str(label))
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
        view.layer.append("" if label == _PLAIN_NORM else operation.layer)
        view.consumers.append([])
        for place, (made, out) in enumerate(operands):
            view.consumers[made].append((number, 0 if view.unordered[-1] else place, out))
    for number, kinds in hung.items():
        view.labels[number] = (view.labels[number], tuple(sorted(kinds)))
    return view


def _wanted(graph: Graph) -> list[bool]:
    """Whether each operation is a layer, an input or an output, or leads to one."""
    wanted = [bool(op.layer) or op.kind in (INPUT, OUTPUT) for op in graph.operations]
    for position in reversed(range(len(wanted))):
        if wanted[position]:
            for operand, _ in graph.operations[position].operands:
                wanted[operand] = True
    return wanted
