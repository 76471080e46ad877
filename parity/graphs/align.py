"""Which operation of one graph stands for which of the other, and which have no counterpart."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from twinzoo.converters.forms import plain
from twinzoo.converters.graph import INPUT, OUTPUT, Graph
from twinzoo.converters.matching.graphs import GraphMatch, match_graphs


@dataclass
class Alignment:
    """Two graphs side by side.

    Attributes:
        pairs: position in a -> position in b.
        layers: layer of a -> layer of b.
        only_a, only_b: positions without a counterpart, in order of execution.
        whole: whether both are one network up to attributes and functions between layers.
    """

    pairs: dict[int, int] = field(default_factory=dict)
    layers: dict[str, str] = field(default_factory=dict)
    only_a: list[int] = field(default_factory=list)
    only_b: list[int] = field(default_factory=list)
    whole: bool = False


def align(a: Graph, b: Graph) -> Alignment:
    """Lay two graphs on each other; what no isomorphism covers is aligned along the runs between what it does cover."""
    match = match_graphs(a, b)
    found = Alignment(dict(match.operations), dict(match.layers), whole=match.whole)
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
                if i not in found.pairs and j not in taken:
                    found.pairs[i] = j
                    taken.add(j)


def _ways(found: Alignment, a: Graph, b: Graph, u: int, v: int) -> Iterator[tuple[int, int]]:
    """The operands of a pair that belong together: those that come from paired operations, whatever their order."""
    taken = set(found.pairs.values())
    origins: dict[int, list[int]] = {}
    for operand, _ in b.operations[v].operands:
        origins.setdefault(_origin(b, operand, taken), []).append(operand)
    for operand, _ in a.operations[u].operands:
        candidates = origins.get(found.pairs.get(_origin(a, operand, found.pairs), -1), [])
        if candidates:
            yield operand, candidates.pop(0)


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
    """Two networks that are not one: their operations in order of execution, alike in kind and shapes."""
    names = {ours: f"pair {i}" for i, ours in enumerate(match.layers)}
    names |= {theirs: names[ours] for ours, theirs in match.layers.items()}
    known = match.layers.keys() | set(match.layers.values())
    ours, theirs = ([_what(graph, i, names, known) for i in range(len(graph.operations))] for graph in (a, b))
    for i, j in _matching(ours, theirs):
        found.pairs[i] = j
        if a.operations[i].layer:
            found.layers.setdefault(a.operations[i].layer, b.operations[j].layer)


def _what(graph: Graph, position: int, names: dict[str, str], known: set[str]) -> Hashable:
    operation = graph.operations[position]
    if operation.kind in (INPUT, OUTPUT):
        return operation.kind, operation.attrs.get("index")
    if operation.layer:
        layer = operation.layer
        return names[layer] if layer in known else (operation.kind, plain(graph.layers[layer]).signature)
    return operation.kind.rpartition(".")[2]


def _along(a: Graph, b: Graph, ours: Sequence[int], theirs: Sequence[int]) -> list[tuple[int, int]]:
    kinds = ([a.operations[i].kind for i in ours], [b.operations[j].kind for j in theirs])
    return [(ours[i], theirs[j]) for i, j in _matching(*kinds)]


def _matching(ours: Sequence[Hashable], theirs: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    """Places that are equal, and places that stand in each other's stead."""
    for tag, i, j, k, m in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if tag == "equal" or (tag == "replace" and j - i == m - k):
            yield from zip(range(i, j), range(k, m), strict=True)
