"""Which operation of one graph stands for which of the other, and which have no counterpart."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from twinzoo.converters.forms import plain
from twinzoo.converters.graph import Graph
from twinzoo.converters.matching.graphs import GraphMatch, match_graphs


@dataclass
class Alignment:
    """Two graphs side by side.

    Attributes:
        pairs: position in a -> position in b.
        layers: layer of a -> layer of b.
        whole: whether both are one network up to attributes and functions between layers.
        only_a, only_b: positions without a counterpart, in order of execution.
    """

    pairs: dict[int, int]
    layers: dict[str, str]
    whole: bool
    only_a: list[int] = field(default_factory=list)
    only_b: list[int] = field(default_factory=list)


def align(a: Graph, b: Graph) -> Alignment:
    """Lay two graphs on each other; what no isomorphism covers is aligned along the runs between what it does cover."""
    match = match_graphs(a, b)
    found = Alignment(dict(match.operations), dict(match.layers), match.whole)
    if match.whole:
        _add_between(found, a, b)
    else:
        _add_in_order(found, a, b, match)
    taken = set(found.pairs.values())
    found.only_a = [i for i in range(len(a.operations)) if i not in found.pairs]
    found.only_b = [i for i in range(len(b.operations)) if i not in taken]
    return found


def _add_between(found: Alignment, a: Graph, b: Graph) -> None:
    """The functions that were left out of the match: those on the way into a pair, matched along that way."""
    taken = set(found.pairs.values())
    for u, v in list(found.pairs.items()):
        for x, y in _ways(found, a, b, u, v):
            chain = (_left_out(a, x, found.pairs), _left_out(b, y, taken))
            for i, j in _along(a, b, *chain):
                found.pairs[i] = j
                taken.add(j)


def _ways(found: Alignment, a: Graph, b: Graph, u: int, v: int) -> Iterator[tuple[int, int]]:
    """The operands of a pair that belong together, whatever their order: those that come from paired operations, and
    of several such those between which most is alike."""
    taken = set(found.pairs.values())
    ours, theirs = ([p for p, _ in graph.operations[i].operands] for graph, i in ((a, u), (b, v)))
    possible = []
    for i, x in enumerate(ours):
        origin = found.pairs.get(_origin(a, x, found.pairs))
        chain = [a.operations[p].kind for p in _left_out(a, x, found.pairs)]
        for j, y in enumerate(theirs):
            if origin is not None and _origin(b, y, taken) == origin:
                beside = [b.operations[p].kind for p in _left_out(b, y, taken)]
                possible.append((-SequenceMatcher(None, chain, beside, autojunk=False).ratio(), i, j))
    done: tuple[set[int], set[int]] = set(), set()
    for _, i, j in sorted(possible):
        if i not in done[0] and j not in done[1]:
            done[0].add(i)
            done[1].add(j)
            yield ours[i], theirs[j]


def _origin(graph: Graph, position: int, known: dict[int, int] | set[int]) -> int:
    while position not in known and graph.operations[position].operands:
        position = graph.operations[position].operands[0][0]
    return position


def _left_out(graph: Graph, position: int, known: dict[int, int] | set[int]) -> list[int]:
    """The operations from the last one that is known to `position`, in order of execution."""
    chain = []
    while position not in known and graph.operations[position].operands:
        chain.append(position)
        position = graph.operations[position].operands[0][0]
    return chain[::-1]


def _add_in_order(found: Alignment, a: Graph, b: Graph, match: GraphMatch) -> None:
    """Two networks that are not one: their operations in order of execution, alike in kind and shapes.

    Layers that are certain are paired in whatever order they come.
    """
    names = [{ours: f"pair {i}" for i, ours in enumerate(match.layers)}, {}]
    names[1] = {theirs: names[0][ours] for ours, theirs in match.layers.items()}
    ours, theirs = (
        [_what(graph, i, names[side]) for i in range(len(graph.operations))] for side, graph in enumerate((a, b))
    )
    for i, j in _matching(ours, theirs):
        found.pairs[i] = j
    taken = set(found.pairs.values())
    for i, operation in enumerate(a.operations):
        if i not in found.pairs and operation.layer in match.layers:
            calls = (j for j, other in enumerate(b.operations) if other.layer == match.layers[operation.layer])
            if (call := next((j for j in calls if j not in taken), None)) is not None:
                found.pairs[i] = call
                taken.add(call)
    for i, j in sorted(found.pairs.items()):
        if a.operations[i].layer:
            found.layers.setdefault(a.operations[i].layer, b.operations[j].layer)


def _what(graph: Graph, position: int, names: dict[str, str]) -> Hashable:
    operation = graph.operations[position]
    if operation.layer:
        layer = operation.layer
        return names.get(layer) or (operation.kind, plain(graph.layers[layer]).signature)
    return operation.kind.rpartition(".")[2]


def _along(a: Graph, b: Graph, ours: Sequence[int], theirs: Sequence[int]) -> list[tuple[int, int]]:
    kinds = ([a.operations[i].kind for i in ours], [b.operations[j].kind for j in theirs])
    return [(ours[i], theirs[j]) for i, j in _matching(*kinds)]


def _matching(ours: Sequence[Hashable], theirs: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    """Places that are equal, and places that stand in each other's stead."""
    for tag, i, j, k, m in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if tag == "equal" or (tag == "replace" and j - i == m - k):
            yield from zip(range(i, j), range(k, m), strict=True)
