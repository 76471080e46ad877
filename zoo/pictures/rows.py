"""The row of each box: down along the data.

A network that halves and then doubles its images goes down on one side and up on the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twinzoo.zoo.pictures.boxes import Box

Rows = Mapping[str, int]


def rows(drawn: Sequence[Box]) -> tuple[Rows, Rows]:
    """The rows, from 0 at the top, of the boxes on the left side and of those on the right, which is empty for most."""
    right = _ascending(drawn)
    return _hourglass(drawn, right) if right else (_downwards(drawn), {})


def _ascending(drawn: Sequence[Box]) -> set[str]:
    """The boxes from the first doubling on; none where the picture would not be one of down and up."""
    levels = {box.name: box.level for box in drawn}
    found: set[str] = set()
    for box in drawn:
        if box.grows or any(link.source in found for link in box.links):
            found.add(box.name)
        sinks = any(levels[link.source] < box.level for link in box.links if link.source in found)
        if box.kind == "update" or sinks:
            return set()
    start = min((box.level for box in drawn if box.kind == "input"), default=0)
    return found if any(box.level > start for box in drawn if box.name not in found) else set()


def _downwards(drawn: Sequence[Box]) -> Rows:
    """Each box below those it takes from; an update has a row of its own, and inputs are above their first use."""
    found: dict[str, int] = {}
    floor = 0
    for box in drawn:
        found[box.name] = max([floor, *(found[link.source] + 1 for link in box.links)])
        if box.kind == "update":
            found[box.name] = max(found.values()) + 1
            floor = found[box.name] + 1
    taken = {found[box.name] for box in drawn if box.kind == "update"}
    for box in drawn:
        users = [found[other.name] for other in drawn for link in other.links if link.source == box.name]
        if box.kind == "input" and users:
            above = min(users) - 1
            found[box.name] = max(0, above - 1 if above in taken else above)
    used = {row: place for place, row in enumerate(sorted(set(found.values())))}
    return {name: used[row] for name, row in found.items()}


def _hourglass(drawn: Sequence[Box], right: set[str]) -> tuple[Rows, Rows]:
    """Rows of one level together; both sides end at the level's last row, so that skips are level."""
    local: dict[str, int] = {}
    for box in drawn:
        near = [
            local[b.name]
            for b in drawn
            if b.level == box.level
            and (b.name in right) == (box.name in right)
            and any(link.source == b.name for link in box.links)
        ]
        local[box.name] = max((row + 1 for row in near), default=0)
    left_rows: dict[str, int] = {}
    right_rows: dict[str, int] = {}
    top = 0
    for level in sorted({box.level for box in drawn}):
        here = [box.name for box in drawn if box.level == level]
        height = 1 + max(local[name] for name in here)
        longest = max((local[name] for name in here if name not in right), default=0)
        left_rows |= {name: top + height - 1 - longest + local[name] for name in here if name not in right}
        right_rows |= {name: top + height - 1 - local[name] for name in here if name in right}
        top += height
    return left_rows, right_rows
