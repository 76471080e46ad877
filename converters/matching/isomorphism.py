"""Two graphs laid on each other, vertex on vertex, and the proof that they fit.

Colours say where a vertex may go; what is certain pulls its neighbours after it; where several places are equally good
one is tried. Whatever was tried, the whole is held against both graphs in the end, so a wrong guess is never returned.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from twinzoo.converters.matching.colours import Colours
from twinzoo.converters.matching.views import View


@dataclass
class Overlay:
    """Vertices of the source on vertices of the target.

    Attributes:
        vertices: source vertex -> target vertex.
        layers: source layer -> target layer, of those that run.
        choices: groups of source vertices of one colour among which the choice was free.
    """

    vertices: dict[int, int] = field(default_factory=dict)
    layers: dict[str, str] = field(default_factory=dict)
    choices: list[list[int]] = field(default_factory=list)


class _Contradiction(Exception):
    """A vertex was pulled to two places."""


def overlay(a: View, b: View, colours: tuple[Colours, Colours]) -> Overlay | None:
    """An isomorphism of two views, checked, or None where none was found."""
    if Counter(colours[0]) != Counter(colours[1]):
        return None
    search = _Search(a, b, colours)
    try:
        search.run()
    except _Contradiction:
        return None
    return search.found if fits(a, b, search.found) else None


def fits(a: View, b: View, found: Overlay) -> bool:
    """Whether the overlay is one to one, keeps every label and operand, and takes each layer's calls to one layer."""
    to = found.vertices
    whole = len(to) == len(a.labels) == len(b.labels) == len(set(to.values()))
    return whole and _one_to_one(a, b, to) and all(_same(a, b, to, u) for u in range(len(a.labels)))


def _one_to_one(a: View, b: View, to: dict[int, int]) -> bool:
    pairs = {(a.layer[u], b.layer[v]) for u, v in to.items()}
    pairs.discard(("", ""))
    return len({source for source, _ in pairs}) == len(pairs) == len({target for _, target in pairs})


def _same(a: View, b: View, to: dict[int, int], u: int) -> bool:
    v = to[u]
    moved = [(to[made], out) for made, out in a.operands[u]]
    have = b.operands[v]
    if a.unordered[u] and b.unordered[v]:
        return a.labels[u] == b.labels[v] and sorted(moved) == sorted(have)
    return a.labels[u] == b.labels[v] and a.unordered[u] == b.unordered[v] and moved == have


class _Search:
    def __init__(self, a: View, b: View, colours: tuple[Colours, Colours]) -> None:
        self.a, self.b = a, b
        self.of_a, self.of_b = colours
        self.found = Overlay()
        self._taken: dict[int, int] = {}
        self._queue: deque[int] = deque()
        self._free: dict[int, dict[int, None]] = {}
        for vertex, colour in enumerate(self.of_b):
            self._free.setdefault(colour, {})[vertex] = None
        self._members: dict[int, list[int]] = {}
        for vertex, colour in enumerate(self.of_a):
            self._members.setdefault(colour, []).append(vertex)
        self._calls = _calls(a), _calls(b)
        self._owner: dict[str, str] = {}

    def run(self) -> None:
        """Place what is certain, then what is free in order of execution, each time with all that follows from it."""
        sizes = Counter(self.of_a)
        for u, colour in enumerate(self.of_a):
            if sizes[colour] == 1:
                self._put(u, next(iter(self._free[colour])))
        self._pull()
        for u, colour in enumerate(self.of_a):
            if u not in self.found.vertices:
                candidates = [v for v in self._free[colour] if self._possible(u, v)]
                if not candidates:
                    raise _Contradiction
                if len(candidates) > 1:
                    self._remember(colour)
                self._put(u, candidates[0])
                self._pull()

    def _remember(self, colour: int) -> None:
        if self._members[colour] not in self.found.choices:
            self.found.choices.append(self._members[colour])

    def _possible(self, u: int, v: int) -> bool:
        """Whether v's operands and layer are where u's have gone, as far as they have."""
        to = self.found.vertices
        moved = [(to.get(made, -1), out) for made, out in self.a.operands[u]]
        have = self.b.operands[v]
        if self.a.unordered[u]:
            fit = not Counter(m for m in moved if m[0] >= 0) - Counter(have)
        else:
            fit = len(moved) == len(have) and all(m[0] < 0 or m == h for m, h in zip(moved, have, strict=True))
        return fit and self._layers_agree(self.a.layer[u], self.b.layer[v])

    def _layers_agree(self, source: str, target: str) -> bool:
        return self.found.layers.get(source, target) == target and self._owner.get(target, source) == source

    def _put(self, u: int, v: int) -> None:
        if self.found.vertices.get(u, v) != v or self._taken.get(v, u) != u or self.of_a[u] != self.of_b[v]:
            raise _Contradiction
        if u in self.found.vertices:
            return
        source, target = self.a.layer[u], self.b.layer[v]
        if not self._layers_agree(source, target):
            raise _Contradiction
        if source or target:
            self.found.layers[source] = target
            self._owner[target] = source
        self.found.vertices[u] = v
        self._taken[v] = u
        del self._free[self.of_b[v]][v]
        self._queue.append(u)

    def _pull(self) -> None:
        """Place the neighbours of what was placed, where only one place is left for them."""
        while self._queue:
            u = self._queue.popleft()
            v = self.found.vertices[u]
            if self.a.unordered[u]:
                self._place([made for made, _ in self.a.operands[u]], [made for made, _ in self.b.operands[v]])
            else:
                for (made, _), (other, _) in zip(self.a.operands[u], self.b.operands[v], strict=True):
                    self._put(made, other)
            self._place([user for user, *_ in self.a.consumers[u]], [user for user, *_ in self.b.consumers[v]])
            if self.a.layer[u]:
                self._place(self._calls[0][self.a.layer[u]], self._calls[1][self.b.layer[v]])

    def _place(self, sources: list[int], targets: list[int]) -> None:
        """Those of the given vertices that still have no place and are alone of their colour."""
        groups: dict[int, tuple[set[int], set[int]]] = {}
        for u in sources:
            if u not in self.found.vertices:
                groups.setdefault(self.of_a[u], (set(), set()))[0].add(u)
        if not groups:
            return
        for v in targets:
            if v not in self._taken and self.of_b[v] in groups:
                groups[self.of_b[v]][1].add(v)
        for left, right in groups.values():
            if len(left) == len(right) == 1:
                self._put(left.pop(), right.pop())


def _calls(view: View) -> dict[str, list[int]]:
    calls: dict[str, list[int]] = {}
    for vertex, layer in enumerate(view.layer):
        if layer:
            calls.setdefault(layer, []).append(vertex)
    return calls
