"""Boxes that come again, side by side or one after the other: they are drawn once, with how often they come."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from twinzoo.zoo.pictures.boxes import Box, Frame, Link

_NUMBER = re.compile(r"\d[\d.e-]*")
_ALONE = ("input", "output", "update")


def folded(drawn: Sequence[Box]) -> list[Box]:
    """The boxes with what comes again drawn once: equal branches, then single boxes in a row, then groups of them."""
    single = _runs(_branches(drawn), 1)
    return _runs(single, len(single) // 2)


def _branches(drawn: Sequence[Box]) -> list[Box]:
    """One box for those that do the same, take from the same and give to the same, by colour refinement."""
    users: dict[str, list[str]] = {box.name: [] for box in drawn}
    for box in drawn:
        for link in box.links:
            users[link.source].append(box.name)
    colours = _numbered({b.name: b.name if b.kind in _ALONE else (b.kind, _alike(b), b.phase) for b in drawn})
    count = 0
    while max(colours.values(), default=0) + 1 > count:
        count = max(colours.values(), default=0) + 1
        colours = _numbered(
            {
                box.name: (
                    colours[box.name],
                    tuple(sorted((colours[link.source], link.detached) for link in box.links)),
                    tuple(sorted(colours[user] for user in users[box.name])),
                )
                for box in drawn
            }
        )
    equal: dict[int, list[Box]] = {}
    for box in drawn:
        equal.setdefault(colours[box.name], []).append(box)
    kept = [replace(same[0], parallel=len(same), words=_common(same)) for same in equal.values()]
    return _relinked(kept, {box.name: same[0].name for same in equal.values() for box in same})


def _alike(box: Box) -> tuple[str, ...]:
    """What branches must have in common: of arithmetic not the numbers."""
    return tuple(_NUMBER.sub("…", word) for word in box.words) if box.kind == "math" else box.words


def _common(same: Sequence[Box]) -> tuple[str, ...]:
    return same[0].words if len({box.words for box in same}) == 1 else _alike(same[0])


def _numbered(signs: Mapping[str, Hashable]) -> dict[str, int]:
    numbers = {sign: number for number, sign in enumerate(dict.fromkeys(signs.values()))}
    return {name: numbers[sign] for name, sign in signs.items()}


def _relinked(drawn: Sequence[Box], stands: Mapping[str, str]) -> list[Box]:
    """The boxes with links to what is not drawn led to what stands for it."""
    ends = ({Link(stands.get(link.source, link.source), link.detached): None for link in box.links} for box in drawn)
    return [replace(box, links=tuple(links)) for box, links in zip(drawn, ends, strict=True)]


def _runs(drawn: list[Box], longest: int) -> list[Box]:
    """Groups of at most `longest` boxes that come several times in a row, drawn once."""
    first, signs = 0, _signs(drawn)
    while first < len(drawn):
        lengths = range(1, min(longest, (len(drawn) - first) // 2) + 1)
        found = [(n * length, -length) for length in lengths if (n := _times(drawn, signs, first, length)) > 1]
        if found:
            covered, length = max(found)
            drawn = _once(drawn, first, -length, covered)
            first, signs = first - length, _signs(drawn)
        else:
            first += 1
    return drawn


def _signs(drawn: Sequence[Box]) -> list[Hashable]:
    """What equal boxes have in common: all but their names, and how far back they take from."""
    place = {box.name: i for i, box in enumerate(drawn)}
    made: list[Hashable] = []
    for i, box in enumerate(drawn):
        links = tuple((i - place[link.source], link.detached) for link in box.links)
        alone = box.name if box.kind in _ALONE or box.frame else ""
        made.append((alone, box.words, box.note.removeprefix(box.name), box.times, box.parallel, box.phase, links))
    return made


def _times(drawn: Sequence[Box], signs: Sequence[Hashable], first: int, length: int) -> int:
    """How often a group comes in a row; what takes from the inside of the row ends it."""
    times, group = 1, signs[first : first + length]
    while signs[first + times * length : first + (times + 1) * length] == group:
        times += 1
    while times > 1:
        last, end = first + (times - 1) * length, first + times * length
        inner = {box.name for box in drawn[first:last]}
        if not any(link.source in inner for box in drawn[end:] for link in box.links):
            break
        times -= 1
    return times


def _once(drawn: Sequence[Box], first: int, length: int, covered: int) -> list[Box]:
    kept, times, end = drawn[first : first + length], covered // length, first + covered
    if length == 1:
        made = [replace(kept[0], times=times)]
    else:
        made = [replace(box, frame=Frame(kept[0].name, times)) for box in kept]
    stands = {last.name: box.name for last, box in zip(drawn[end - length : end], kept, strict=True)}
    return [*drawn[:first], *made, *_relinked(drawn[end:], stands)]
