"""Reports as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twinzoo.parity import plots, text
from twinzoo.parity.causes import TABLE

if TYPE_CHECKING:
    from jinja2 import Environment

    from twinzoo.parity.report import ParityReport


def page(sections: Sequence[tuple[str, ParityReport, str]], *, heading: str, intro: str = "") -> str:
    """One page with no reference to any other file: a summary, then a section for each report.

    Args:
        sections: (title, report, HTML to show between the facts and the plots, or empty).
        intro: HTML for under the heading. It and the sections' HTML are taken as they are: escape what is not yours.
    """
    environment = templates()
    environment.globals |= {"verdict": text.verdict, "blame": text.blame, "worst": text.worst, "ran": text.ran}
    environment.globals |= {"errors_plot": plots.errors, "ratios_plot": plots.ratios, "heat_map": plots.heat_map}
    return environment.get_template("page.html.j2").render(sections=sections, heading=heading, intro=intro)


def templates() -> Environment:
    """The templates of this package with their filters."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("twinzoo.parity"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "allowance": text.allowance,
        "number": text.number,
        "ratio": text.ratio_text,
        "listed": text.listed,
        "located": text.located,
        "times": text.times,
        "whole": text.whole,
        "share": plots.share,
        "meaning": lambda cause: TABLE[cause].meaning,
    }
    return environment
