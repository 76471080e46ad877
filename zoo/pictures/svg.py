"""A spec's picture as SVG: one panel for it and one for each network that it calls, legible in light and in dark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from xml.sax.saxutils import escape

from twinzoo.zoo.pictures.boxes import Box, Frame, boxes
from twinzoo.zoo.pictures.layout import LINE, PADDING, Layout, Place, Point, layout
from twinzoo.zoo.pictures.repeats import folded
from twinzoo.zoo.spec import Spec, spec_hash
from twinzoo.zoo.spec.show import parameter_count

_MARGIN, _HEAD, _GAP, _TITLE = 20, 44, 40, 9.2
_STYLE = """
svg{color-scheme:light dark;font:11px ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace}
g text{text-anchor:middle}text{fill:#1f2328}.title{font-size:15px}.title,.lead,.times{font-weight:600}
.note{fill:#59636e}.page{fill:#fff}rect{stroke-width:1.2}.edge{fill:none;stroke:#8c959f;stroke-width:1.3}
.cut{stroke-dasharray:4 3}#tip path{fill:#8c959f}
.frame{fill:none;stroke:#8250df;stroke-dasharray:5 4}.times{fill:#8250df}
.conv{fill:#ddf4ff;stroke:#54aeff}.up{fill:#dafbe1;stroke:#4ac26b}.down{fill:#fff8c5;stroke:#d4a72c}
.dense{fill:#fbefff;stroke:#c297ff}.call{fill:#fff1e5;stroke:#fb8f44}.join,.math{fill:#f6f8fa;stroke:#afb8c1}
.input,.output{fill:#fff;stroke:#59636e}.update{fill:#ffebe9;stroke:#ff8182}
@media(prefers-color-scheme:dark){.page{fill:#0d1117}text{fill:#e6edf3}.note{fill:#9198a1}
.edge{stroke:#768390}#tip path{fill:#768390}.frame{stroke:#ab7df8}.times{fill:#ab7df8}
.conv{fill:#0c2d6b;stroke:#388bfd}.up{fill:#033a16;stroke:#2ea043}.down{fill:#341a00;stroke:#9e6a03}
.dense{fill:#271052;stroke:#8957e5}.call{fill:#3d1300;stroke:#db6d28}.join,.math{fill:#161b22;stroke:#6e7681}
.input,.output{fill:#0d1117;stroke:#9198a1}.update{fill:#490202;stroke:#f85149}}
"""
_TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 8 4 0 8z"/></marker></defs><rect class="page" width="100%" height="100%"/>'
)


def picture(spec: Spec) -> str:
    """An SVG file's text: the spec's boxes, then those of each network with parameters that it calls.

    A network that halves and then doubles its images goes down on the left and up on the right; of a training step
    the updates are bars across, and a dashed line lets no gradient back.
    """
    panels = [(title, drawn, layout(drawn)) for title, drawn in _panels(spec)]
    width = max(max(at.width, len(title) * _TITLE) for title, _, at in panels) + 2 * _MARGIN
    body: list[str] = []
    top = float(_MARGIN)
    for title, drawn, at in panels:
        body.append(f'<text class="title" x="{_MARGIN}" y="{top + 16:.0f}">{escape(title)}</text>')
        body.append(f'<g transform="translate({(width - at.width) / 2:.0f} {top + _HEAD:.0f})">')
        body += [*_panel(drawn, at), "</g>"]
        top += _HEAD + at.height + _GAP
    size = f'width="{width:.0f}" height="{top:.0f}" viewBox="0 0 {width:.0f} {top:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    return "\n".join([head, f"<title>{escape(spec.name)}</title><style>{_STYLE}</style>", _TIP, *body, "</svg>\n"])


def _panels(spec: Spec) -> list[tuple[str, list[Box]]]:
    """A title and the boxes of the spec and of every network below it, equal ones once."""
    roles: dict[str, list[str]] = {}
    specs: dict[str, Spec] = {}

    def visit(caller: Spec) -> None:
        for role in caller.roles.values():
            if role.spec.params:
                key = spec_hash(role.spec)
                specs[key] = role.spec
                roles.setdefault(key, []).append(role.name)
                visit(role.spec)

    visit(spec)
    named = [("", spec)] + [(", ".join(dict.fromkeys(roles[key])) + ": ", called) for key, called in specs.items()]
    return [(f"{names}{drawn.name}{_count(drawn)}", folded(boxes(drawn))) for names, drawn in named]


def _count(spec: Spec) -> str:
    count = parameter_count(spec)
    return f", {count:,} parameters" if count else ""


def _panel(drawn: Sequence[Box], at: Layout) -> Iterator[str]:
    for route in at.routes:
        kind = "edge cut" if route.detached else "edge"
        yield f'<path class="{kind}" marker-end="url(#tip)" d="{_path(route.points)}"/>'
    frames: dict[Frame, list[Place]] = {}
    for box in drawn:
        if box.frame:
            frames.setdefault(box.frame, []).append(at.places[box.name])
        yield from _box(box, at.places[box.name])
    for frame, places in frames.items():
        yield from _frame(frame, places)


def _box(box: Box, place: Place) -> Iterator[str]:
    if box.parallel > 1:
        yield _rect(box.kind, Place(place.x + 5, place.y - 5, place.width, place.height), 5)
    yield _rect(box.kind, place, place.height / 2 if box.kind in ("input", "output") else 5)
    for number, (kind, text) in enumerate(box.lines):
        x, y = place.x + place.width / 2, place.y + PADDING + (number + 0.75) * LINE
        yield f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}">{escape(text)}</text>'


def _frame(frame: Frame, places: Sequence[Place]) -> Iterator[str]:
    x, y = min(p.x for p in places) - 9, min(p.y for p in places) - 9
    right, bottom = max(p.x + p.width for p in places) + 9, max(p.y + p.height for p in places) + 9
    yield _rect("frame", Place(x, y, right - x, bottom - y), 8)
    yield f'<text class="times" x="{right + 14:.0f}" y="{bottom - 4:.0f}">× {frame.times}</text>'


def _rect(kind: str, p: Place, radius: float) -> str:
    size = f'width="{p.width:.0f}" height="{p.height:.0f}" rx="{radius:.0f}"'
    return f'<rect class="{kind}" x="{p.x:.0f}" y="{p.y:.0f}" {size}/>'


def _path(points: Sequence[Point]) -> str:
    """Straight where the points are above each other or side by side, else bent into the vertical at both ends."""
    text = f"M{points[0][0]:.0f} {points[0][1]:.0f}"
    for (a, b), (c, d) in pairwise(points):
        middle = (b + d) / 2
        straight = abs(a - c) < 1 or abs(b - d) < 1
        bend = "L" if straight else f"C{a:.0f} {middle:.0f} {c:.0f} {middle:.0f} "
        text += f"{bend}{c:.0f} {d:.0f}"
    return text
