"""Where boxes and lines go: rows from the top, sides next to each other, lines from port to port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twinzoo.zoo.pictures.boxes import Box
from twinzoo.zoo.pictures.rows import rows
from twinzoo.zoo.pictures.sides import Side

CHARACTER, LINE, PADDING = 6.7, 15, 8
"""The width of a character and the height of a line of text, and the space around it, in pixels."""

_BETWEEN_ROWS, _BETWEEN_SIDES, _PORTS = 30, 54, 40

Point = tuple[float, float]


@dataclass(frozen=True)
class Place:
    """The rectangle of a box, from its top left corner."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Route:
    """The points of a line; `detached` where no gradient goes back."""

    points: tuple[Point, ...]
    detached: bool


@dataclass(frozen=True)
class Layout:
    """The places of boxes by name, the lines, and the size of all."""

    places: Mapping[str, Place]
    routes: Sequence[Route]
    width: float
    height: float


@dataclass(frozen=True)
class _Track:
    """The middle of a box or lane, and the top and bottom of its row."""

    x: float
    top: float
    bottom: float


def layout(drawn: Sequence[Box]) -> Layout:
    """Places for the boxes of a picture and routes for its lines."""
    left_rows, right_rows = rows(drawn)
    left, right = _side(drawn, left_rows), _side(drawn, right_rows)
    row_of = left.row | right.row
    heights = [0.0] * (max(row_of.values()) + 1)
    for box in drawn:
        heights[row_of[box.name]] = max(heights[row_of[box.name]], _size(box)[1])
    tops = [sum(heights[:row]) + row * _BETWEEN_ROWS for row in range(len(heights))]
    shift = left.right + _BETWEEN_SIDES if right_rows else 0.0
    x = left.x | {name: middle + shift for name, middle in right.x.items()}
    width = max(left.right, right.right + shift, *(_size(box)[0] for box in drawn))
    tracks = {n: _Track(x[n], tops[row], tops[row] + heights[row]) for n, row in row_of.items()}
    places = {box.name: _place(box, tracks[box.name], width) for box in drawn}
    return Layout(places, _routes(drawn, places, left.lanes | right.lanes, tracks), width, tops[-1] + heights[-1])


def _size(box: Box) -> tuple[float, float]:
    """The width and height that a box needs for its text."""
    return max(len(text) for _, text in box.lines) * CHARACTER + 2 * PADDING, len(box.lines) * LINE + 2 * PADDING


def _side(drawn: Sequence[Box], row: Mapping[str, int]) -> Side:
    """The boxes that have a row; a bar across is as wide as all, so that lines may pass beneath it."""
    widths = {box.name: 0.0 if box.kind == "update" else _size(box)[0] for box in drawn if box.name in row}
    links = [(link.source, box.name) for box in drawn for link in box.links]
    inner = [(source, target) for source, target in dict.fromkeys(links) if source in row and target in row]
    return Side(widths, row, inner)


def _place(box: Box, track: _Track, width: float) -> Place:
    wide, high = _size(box)
    y = (track.top + track.bottom - high) / 2
    return Place(0.0, y, width, high) if box.kind == "update" else Place(track.x - wide / 2, y, wide, high)


def _routes(
    drawn: Sequence[Box],
    places: Mapping[str, Place],
    lanes: Mapping[tuple[str, str], list[str]],
    tracks: Mapping[str, _Track],
) -> list[Route]:
    ports = _ports(places, lanes, tracks)
    made = []
    for box in drawn:
        for link in box.links:
            key = link.source, box.name
            if key not in lanes:
                made.append(Route(_across(places[link.source], places[box.name]), link.detached))
                continue
            passed = [tracks[name] for name in lanes[key]]
            down = places[box.name].y > places[link.source].y
            middle = [(lane.x, y) for lane in passed for y in sorted((lane.top, lane.bottom), reverse=not down)]
            made.append(Route((ports[link.source, key], *middle, ports[box.name, key]), link.detached))
    return made


def _ports(
    places: Mapping[str, Place], lanes: Mapping[tuple[str, str], list[str]], tracks: Mapping[str, _Track]
) -> dict[tuple[str, tuple[str, str]], Point]:
    """(box, line) -> where the line meets the box: side by side, in the order in which the lines come."""
    edges: dict[tuple[str, bool], list[tuple[float, tuple[str, str]]]] = {}
    for line, passed in lanes.items():
        for name, first in zip(line, ([*passed, line[1]][0], [line[0], *passed][-1]), strict=True):
            below = tracks[first].top > places[name].y
            edges.setdefault((name, below), []).append((tracks[first].x, line))
    found = {}
    for (name, below), coming in edges.items():
        place = places[name]
        span = min(place.width, _PORTS * len(coming))
        middle = tracks[name].x
        for number, (_, line) in enumerate(sorted(coming), 1):
            x = middle + span * (number / (len(coming) + 1) - 0.5)
            found[name, line] = x, place.y + (place.height if below else 0.0)
    return found


def _across(source: Place, target: Place) -> tuple[Point, ...]:
    """From the right edge of a box on the left to the left edge of one on the right."""
    return (
        (source.x + source.width, source.y + source.height / 2),
        (target.x, target.y + target.height / 2),
    )
