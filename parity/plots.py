"""The plots of a report as inline SVG, in the colours of the page's style sheet, light or dark."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twinzoo.parity.results import OUTPUT, Heat, LayerResult
from twinzoo.parity.text import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from twinzoo.parity.report import ParityReport

_COLOURS = {
    "--ink": "#010101",
    "--muted": "#020202",
    "--line": "#030303",
    "--a": "#040404",
    "--b": "#050505",
    "--band": "#060606",
    "--bad": "#070707",
    "--card": "#080808",
}
"""CSS variables, and the colours that stand for them while matplotlib draws."""

INK, MUTED, LINE, A, B, BAND, BAD, CARD = _COLOURS.values()
"""The colours to draw with."""

_NAMES = 90
"""Of more layers than this only every so manieth is named."""

_ASIDE = 0.15
"""Half the distance between the two sides at one layer."""

_SMALLEST = 1e-4
"""Where ratios below it, 0 too, are drawn."""

_LARGEST = 1e6
"""Where ratios above it, infinity too, are drawn."""

_LEVELS = (0.0, 0.01, 0.1, 1.0, 10.0, 1000.0)
"""The ratios at which a heat map takes another colour; the bound is one of them."""


def errors(report: ParityReport, layers: Sequence[LayerResult]) -> str:
    """Largest error against the float64 chain, layer by layer, beside what accumulated rounding explains."""
    figure, axes = _frame(layers, "largest |output − float64|")
    places = range(len(layers))
    axes.fill_between(
        places,
        _floor(layers),
        [_positive(layer.rounding) for layer in layers],
        color=BAND,
        linewidth=0,
        label="rounding explains",
    )
    for side, colour, marker, size in (("a", A, "o", 5.0), ("b", B, "D", 2.8)):
        drifts = [_positive(getattr(layer, side).drift) for layer in layers]
        axes.plot(
            places,
            drifts,
            color=colour,
            marker=marker,
            markersize=size,
            linewidth=size / 2.5,
            label=_label(report, side),
        )
    _mark_wrong(axes, layers, lambda side: _positive(side.drift))
    axes.set_yscale("log")
    axes.set_ylim(bottom=_floor(layers))
    return svg(figure, axes)


def ratios(report: ParityReport, layers: Sequence[LayerResult]) -> str:
    """Error of every layer on its own over what rounding allows; above 1 is wrong."""
    figure, axes = _frame(layers, "error of the layer alone / allowed")
    finite = [r for layer in layers for r in (layer.a.ratio, layer.b.ratio) if math.isfinite(r)]
    top = min(_LARGEST, max(10.0, 10 * max(finite, default=1.0)))
    axes.axhline(1.0, color=BAD, linewidth=1.2, linestyle=(0, (5, 3)), label="the bound")
    for side, colour, marker, aside in (("a", A, "o", -_ASIDE), ("b", B, "D", _ASIDE)):
        heights = [_within(getattr(layer, side).ratio, top) for layer in layers]
        xs = [place + aside for place in range(len(heights))]
        axes.plot(xs, heights, color=colour, marker=marker, markersize=4, linestyle="none", label=_label(report, side))
    _mark_wrong(axes, layers, lambda side: _within(side.ratio, top), _ASIDE)
    axes.set_yscale("log")
    axes.set_ylim(_SMALLEST / 2, 2 * top)
    powers = range(-2, math.ceil(math.log10(top)) + 1, 2)
    axes.set_yticks([_SMALLEST, *(10.0**p for p in powers)], ["exact", *(f"{10.0**p:g}" for p in powers)], minor=False)
    axes.set_yticks([], minor=True)
    return svg(figure, axes)


def heat_map(heat: Heat) -> str:
    """Where in a tensor the error sits: one path for each level, in the class `h` with its number."""
    rows, columns = len(heat.grid), len(heat.grid[0])
    paths: dict[int, list[str]] = {}
    for y, row in enumerate(heat.grid):
        for x, ratio in enumerate(row):
            paths.setdefault(_level(ratio), []).append(f"M{x} {y}h1v1h-1z")
    drawn = "".join(f'<path class="h{i}" d="{"".join(cells)}"/>' for i, cells in sorted(paths.items()))
    box = f'viewBox="0 0 {columns} {rows}" preserveAspectRatio="none"'
    return f'<svg class="heat" role="img" aria-label="share of the bound by place" {box}>{drawn}</svg>'


def _level(ratio: float) -> int:
    """0 for exact, to 3 within the bound, from 4 outside."""
    return sum(ratio > limit for limit in _LEVELS)


def share(ratio: float) -> float:
    """The length of a bar on a log axis, in percent; the bound is at 40."""
    return 10 * (math.log10(_within(ratio, _LARGEST) / _SMALLEST))


def _frame(layers: Sequence[LayerResult], what: str) -> tuple[Any, Axes]:
    count = len(layers)
    names = [_tick(layer) for layer in layers]
    longest = max(map(len, names), default=1)
    width = max(10.6, 1.2 + 0.155 * min(count, 4 * _NAMES))
    figure, axes = blank(width, 2.7 + 0.072 * longest, what)
    step = math.ceil(count / _NAMES) if count > 4 * _NAMES else 1
    axes.set_xticks(range(0, count, step), names[::step], rotation=90)
    axes.set_xlim(-0.8, max(count, 1) - 0.2)
    return figure, axes


def _tick(layer: LayerResult) -> str:
    """A name that leaves room for the plot."""
    what = "" if layer.quantity == OUTPUT else layer.quantity.removeprefix("gradient").removeprefix(" of ")
    return f"{shortened(layer.name)}, {what}" if what else shortened(layer.name)


def blank(width: float, height: float, what: str) -> tuple[Any, Axes]:
    """A figure of this many inches with one pair of axes in the page's style, the vertical one named."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.set_ylabel(what, color=MUTED, fontsize=10)
    axes.tick_params(colors=MUTED, which="both", labelsize=9, length=0)
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    for place in ("top", "right", "left"):
        axes.spines[place].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    return figure, axes


def _mark_wrong(axes: Axes, layers: Sequence[LayerResult], height: Any, aside: float = 0.0) -> None:
    """A ring around each side that is wrong, and a line at each layer whose weights differ."""
    from matplotlib.markers import MarkerStyle

    sides = [(i + x, side) for i, layer in enumerate(layers) for x, side in ((-aside, layer.a), (aside, layer.b))]
    wrong = [(x, height(side)) for x, side in sides if not side.ok]
    if wrong:
        xs, ys = zip(*wrong, strict=True)
        ring = MarkerStyle("o", fillstyle="none")
        axes.plot(
            xs,
            ys,
            linestyle="none",
            marker=ring,
            markersize=10,
            markeredgecolor=BAD,
            markeredgewidth=1.8,
            label="wrong",
        )
    differing = [i for i, layer in enumerate(layers) if layer.weights]
    for i, place in enumerate(differing):
        axes.axvline(place, color=BAD, linewidth=1.5, alpha=0.55, label="weights differ" if i == 0 else None)


def _positive(value: float) -> float:
    """The value, where a log axis has a place for it."""
    return value if 0 < value < math.inf else math.nan


def _within(ratio: float, top: float) -> float:
    return max(_SMALLEST, min(ratio, top)) if math.isfinite(ratio) else top


def _floor(layers: Sequence[LayerResult]) -> float:
    """A little below the smallest error that is drawn."""
    drawn = [_positive(v) for layer in layers for v in (layer.a.drift, layer.b.drift, layer.rounding)]
    return 0.3 * min((v for v in drawn if not math.isnan(v)), default=1e-9)


def _label(report: ParityReport, side: str) -> str:
    return f"{side}: {getattr(report, side).port}"


def svg(figure: Any, axes: Axes) -> str:
    """The figure as an element for a page: text as text, colours as CSS variables, no metadata."""
    import matplotlib

    legend = axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=5, frameon=False, fontsize=10)
    for label in legend.get_texts():
        label.set_color(INK)
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "twinzoo"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'\s(xmlns(:\w+)?|version)="[^"]*"', "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?)\sheight="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?)\swidth="([\d.]+)pt"', _sized, svg, count=1)
    for variable, colour in _COLOURS.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg


def _sized(match: re.Match[str]) -> str:
    """A plot as wide as the page has room for, but no smaller than can be read."""
    points = float(match[2])
    return f'{match[1]} role="img" style="width:max(100%,{points:.0f}px)"'
