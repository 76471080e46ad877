"""Layers matched by what they are and what surrounds them: the whole graphs first, then what they have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from twinzoo.converters.forms import plain
from twinzoo.converters.graph import UNSEEN, Graph
from twinzoo.converters.matching.colours import OneWay, one_way, refine
from twinzoo.converters.matching.isomorphism import Overlay, overlay
from twinzoo.converters.matching.views import Detail, View, views

Permutation = tuple[int, ...]


@dataclass
class GraphMatch:
    """What two graphs say.

    Attributes:
        whole: whether the graphs are one network: every operation that is shown has its counterpart.
        layers: source layer -> target layer.
        symmetric: groups of source layers that may be exchanged without changing what the network computes.
        tied: groups of source layers and of target layers between which the graphs do not decide.
        concats: position of a concat in the target -> the order in which the source has its operands, where it differs.
        operations: position in the source -> position in the target, of what is shown of whole graphs.
    """

    whole: bool = False
    layers: dict[str, str] = field(default_factory=dict)
    symmetric: list[list[str]] = field(default_factory=list)
    tied: list[tuple[list[str], list[str]]] = field(default_factory=list)
    concats: dict[int, Permutation] = field(default_factory=dict)
    operations: dict[int, int] = field(default_factory=dict)


def match_graphs(source: Graph, target: Graph, anchors: Mapping[str, str] | None = None) -> GraphMatch:
    """Lay the source's graph on the target's, with as much detail as both have in common.

    Args:
        anchors: source layers whose target layer is given.
    """
    for detail in Detail:
        a, b = views(source, target, detail, anchors)
        found = overlay(a, b, refine(a, b))
        if found is not None:
            return _whole(a, b, found, exact=detail is Detail.ALL)
    return _partial(*views(source, target, Detail.LAYERS, anchors))


def _whole(a: View, b: View, found: Overlay, *, exact: bool) -> GraphMatch:
    """A free choice is harmless where the source's own vertices are alike in every detail; else it is a tie."""
    result = GraphMatch(whole=True, layers=dict(found.layers))
    result.operations = {a.positions[u]: b.positions[v] for u, v in found.vertices.items()}
    result.concats = _concats(a, b, found)
    seen = not any(op.kind == UNSEEN for graph in (a.graph, b.graph) for op in graph.operations)
    alike = _alike_in_source(a.graph)
    for choice in found.choices:
        positions = [a.positions[u] for u in choice]
        names = list(dict.fromkeys(a.layer[u] for u in choice if a.layer[u]))
        if seen and (exact or len({alike[position] for position in positions}) == 1):
            result.symmetric += [names] if len(names) > 1 else []
        else:
            result.tied += [(names, [found.layers[name] for name in names])] if len(names) > 1 else []
    for names, _ in result.tied:
        for name in names:
            result.layers.pop(name, None)
    return result


def _alike_in_source(graph: Graph) -> dict[int, int]:
    """Position -> colour, of the source by itself and in full detail."""
    view, same = views(graph, graph, Detail.ALL)
    colours, _ = refine(view, same)
    return dict(zip(view.positions, colours, strict=True))


def _concats(a: View, b: View, found: Overlay) -> dict[int, Permutation]:
    """The concats whose operands come in another order: for each target operand, its place in the source."""
    orders = {}
    for u, v in found.vertices.items():
        if b.graph.operations[b.positions[v]].kind != "concat":
            continue
        moved = [(found.vertices[made], out) for made, out in a.operands[u]]
        if moved != b.operands[v]:
            orders[b.positions[v]] = _order(moved, b.operands[v])
    return orders


def _order(moved: list[tuple[int, int]], wanted: list[tuple[int, int]]) -> Permutation:
    left = list(range(len(moved)))
    order = []
    for operand in wanted:
        place = next(i for i in left if moved[i] == operand)
        left.remove(place)
        order.append(place)
    return tuple(order)


def _partial(a: View, b: View) -> GraphMatch:
    """Layers that the same was computed for, or of which the same becomes; what is left alike on both sides is tied."""
    result = GraphMatch()
    ways = one_way(a, b)
    for before in (True, False):
        _add_certain(result, _fingerprints(a, ways[0], before), _fingerprints(b, ways[1], before), a, b)
    left = _by_signature(a.graph, set(result.layers)), _by_signature(b.graph, set(result.layers.values()))
    for signature, names in left[0].items():
        others = left[1].get(signature, [])
        if others:
            result.tied.append((names, others))
    return result


def _add_certain(
    result: GraphMatch, sources: Mapping[str, tuple[int, ...]], targets: Mapping[str, tuple[int, ...]], a: View, b: View
) -> None:
    """Pair layers whose fingerprint is theirs alone on both sides, unless either has a partner already."""
    counts = Counter(sources.values()), Counter(targets.values())
    places = {fingerprint: name for name, fingerprint in targets.items()}
    taken = set(result.layers.values())
    for name, fingerprint in sources.items():
        target = places.get(fingerprint)
        if target is None or counts[0][fingerprint] != 1 or counts[1][fingerprint] != 1:
            continue
        if name not in result.layers and target not in taken:
            result.layers[name] = target


def _fingerprints(view: View, way: OneWay, before: bool) -> dict[str, tuple[int, ...]]:
    """Layer -> the colours of its calls."""
    colours = way.before if before else way.after
    calls: dict[str, list[int]] = {}
    for vertex, layer in enumerate(view.layer):
        if layer:
            calls.setdefault(layer, []).append(colours[vertex])
    return {layer: tuple(sorted(found)) for layer, found in calls.items()}


def _by_signature(graph: Graph, done: set[str]) -> dict[object, list[str]]:
    groups: dict[object, list[str]] = {}
    for name, layer in graph.layers.items():
        if name not in done:
            groups.setdefault(plain(layer).signature, []).append(name)
    return groups
