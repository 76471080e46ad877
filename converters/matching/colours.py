"""Colour refinement: two vertices keep one colour only while everything around them looks alike.

A round passes through the graph once forwards and once backwards, so it carries news over the whole graph, however
deep: forwards, a vertex is its own colour and its operands' in order; backwards, its own and its consumers' with the
place it takes there. Calls of one layer then share what they know. Rounds go on until no colour splits (Weisfeiler and
Leman 1968, on directed acyclic graphs with ordered operands).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from twinzoo.converters.matching.views import View

Colours = list[int]


class Palette:
    """Equal descriptions get equal colours, on both sides."""

    def __init__(self) -> None:
        self._known: dict[Hashable, int] = {}

    def colour(self, description: Hashable) -> int:
        return self._known.setdefault(description, len(self._known))


@dataclass(frozen=True)
class OneWay:
    """Colours that know one direction only: what was computed before a vertex, or what becomes of it."""

    before: Colours
    after: Colours


def refine(a: View, b: View) -> tuple[Colours, Colours]:
    """The stable colours of two views."""
    palette = Palette()
    colours = [[palette.colour(label) for label in view.labels] for view in (a, b)]
    count = 0
    while count != (count := len({*colours[0], *colours[1]})):
        colours = [_round(view, own, palette) for view, own in zip((a, b), colours, strict=True)]
    return colours[0], colours[1]


def one_way(a: View, b: View) -> tuple[OneWay, OneWay]:
    """The colours of both directions by themselves, which agree as far as two different networks do."""
    palette = Palette()
    sides = []
    for view in (a, b):
        own = [palette.colour(label) for label in view.labels]
        sides.append(OneWay(_forwards(view, own, palette), _backwards(view, own, palette)))
    return sides[0], sides[1]


def _round(view: View, own: Colours, palette: Palette) -> Colours:
    before = _forwards(view, own, palette)
    after = _backwards(view, own, palette)
    calls: dict[str, list[tuple[int, int]]] = {}
    for vertex, layer in enumerate(view.layer):
        if layer:
            calls.setdefault(layer, []).append((before[vertex], after[vertex]))
    shared = {layer: palette.colour(("calls", tuple(sorted(found)))) for layer, found in calls.items()}
    return [
        palette.colour((before[vertex], after[vertex], shared.get(layer, -1)))
        for vertex, layer in enumerate(view.layer)
    ]


def _forwards(view: View, own: Colours, palette: Palette) -> Colours:
    found: Colours = []
    for vertex, operands in enumerate(view.operands):
        seen = [(found[made], out) for made, out in operands]
        if view.unordered[vertex]:
            seen.sort()
        found.append(palette.colour(("before", own[vertex], tuple(seen))))
    return found


def _backwards(view: View, own: Colours, palette: Palette) -> Colours:
    found: Colours = [0] * len(own)
    for vertex in reversed(range(len(own))):
        seen = sorted((found[user], place, out) for user, place, out in view.consumers[vertex])
        found[vertex] = palette.colour(("after", own[vertex], tuple(seen)))
    return found
