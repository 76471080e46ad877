"""The plots of a report of training steps as inline SVG: each loss on both sides with its envelope, and all ratios."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from twinzoo.parity.plots import BAD, BAND, INK, MUTED, A, B, blank, svg
from twinzoo.parity.steps.text import GROUPS

if TYPE_CHECKING:
    from twinzoo.parity.steps.report import StepsReport

_SMALLEST, _LARGEST = 1e-4, 1e6
"""Where ratios below and above are drawn."""

_STYLES = {"loss": (A, "o"), "parameter": (B, "D"), "buffer": (MUTED, "s"), "optimizer": (INK, "^")}


def curve(report: StepsReport, name: str) -> str:
    """One loss on both sides, over what side a may be within."""
    figure, axes = blank(10.6, 3.0, name)
    banded = [row for row in report.steps if name in row.low]
    axes.fill_between(
        [row.step for row in banded],
        [row.low[name] for row in banded],
        [row.high[name] for row in banded],
        color=BAND,
        linewidth=0,
        label="explained",
    )
    for side, colour, marker, size in (("a", A, "o", 5.0), ("b", B, "D", 2.8)):
        points = [(row.step, getattr(row, side).get(name, math.nan)) for row in report.steps]
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, color=colour, marker=marker, markersize=size, linewidth=size / 2.5, label=side)
    axes.set_xlabel("step", color=MUTED)
    return svg(figure, axes)


def ratios(report: StepsReport) -> str:
    """The largest distance of each kind of quantity over what is explained; above 1 is wrong."""
    figure, axes = blank(10.6, 3.4, "distance / explained")
    axes.axhline(1.0, color=BAD, linewidth=1.2, linestyle=(0, (5, 3)), label="the bound")
    for group in GROUPS:
        colour, marker = _STYLES[group]
        heights = [_within(row.ratios[group]) for row in report.steps]
        steps = [row.step for row in report.steps]
        axes.plot(steps, heights, color=colour, marker=marker, markersize=4, linewidth=1, label=group)
    axes.set_yscale("log")
    axes.set_xlabel("step", color=MUTED)
    return svg(figure, axes)


def _within(ratio: float) -> float:
    return math.nan if math.isnan(ratio) else min(max(ratio, _SMALLEST), _LARGEST)
