"""A report of training steps as one self-contained HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinzoo.parity.html import templates
from twinzoo.parity.steps import plots, text

if TYPE_CHECKING:
    from twinzoo.parity.steps.report import StepsReport


def page(report: StepsReport) -> str:
    """One page with no reference to any other file: the verdict, findings, curves of both sides, all steps."""
    environment = templates()
    environment.globals |= {"verdict": text.verdict, "groups": text.GROUPS, "share": text.ratio}
    environment.globals |= {"curve": plots.curve, "ratios_plot": plots.ratios}
    return environment.get_template("steps.html.j2").render(report=report)
