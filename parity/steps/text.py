"""A report of training steps in words: one line of verdict, where it began, what is wrong, and a table of steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from twinzoo.zoo.spec.show import columns

if TYPE_CHECKING:
    from twinzoo.parity.steps.report import StepRow, StepsReport

GROUPS = ("loss", "parameter", "buffer", "optimizer")
"""The kinds of quantities, in the order of the table."""

_ROWS = 24
"""Of more steps than this the first, the last and those around the first difference are shown."""

_LOSSES = 2
"""Losses with columns of their own."""


def terminal(report: StepsReport) -> str:
    """The report for a terminal."""
    lines = [verdict(report), f"  a: {report.a}", f"  b: {report.b}"]
    if report.envelope:
        lines.append(f"  held against {report.envelope}")
    lines += [f"  note: {note}" for note in report.notes]
    if report.findings:
        lines += ["", *(line for finding in report.findings for line in (f"{finding}", f"  fix: {finding.fix}"))]
    return "\n".join([*lines, "", *_table(report)])


def verdict(report: StepsReport) -> str:
    """The verdict in one line."""
    count = f"{len(report.steps)} step{'s' * (len(report.steps) != 1)}"
    if not report.steps or not report.tensors:
        return f"nothing was compared: {count}, {report.tensors} tensors"
    if report.ok:
        ratios = [row.ratios[group] for row in report.steps for group in GROUPS]
        largest = max((ratio for ratio in ratios if not math.isnan(ratio)), default=0.0)
        return f"{count} agree, losses and {report.tensors} tensors: at most {largest:.2g} of what rounding explains"
    if report.first_divergence is None:
        return f"{count} differ: {report.findings[0]}"
    causes = ", ".join(dict.fromkeys(finding.cause for finding in report.findings))
    return f"{count} differ: first {report.first_divergence}: {causes}"


def ratio(value: float) -> str:
    """A ratio for a table; a dash where nothing was judged."""
    if math.isnan(value):
        return "-"
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}" if value < 1e6 else f"{value:.1e}"


def shown(report: StepsReport) -> list[StepRow]:
    """The steps that a short table has room for."""
    rows = report.steps
    if len(rows) <= _ROWS:
        return rows
    first = next((i for i, row in enumerate(rows) if not row.ok), 0)
    near = {*range(_ROWS // 3), *range(first - 3, first + 6), *range(len(rows) - _ROWS // 3, len(rows))}
    return [row for i, row in enumerate(rows) if i in near]


def _table(report: StepsReport) -> list[str]:
    names = list(report.steps[0].a)[:_LOSSES] if report.steps else []
    header = ("", "step", *(f"{name} {side}" for name in names for side in "ab"), *(f"{group}/" for group in GROUPS))
    rows: list[tuple[str, ...]] = [header]
    for row in shown(report):
        losses = [f"{side.get(name, math.nan):.6g}" for name in names for side in (row.a, row.b)]
        ratios = [ratio(row.ratios[group]) for group in GROUPS]
        rows.append(("" if row.ok else "x", str(row.step), *losses, *ratios))
    lines = columns(rows, right=range(1, len(header)))
    hidden = len(report.steps) - len(rows) + 1
    lines.append("name/: the largest distance of these over what rounding explains; above 1 it does not")
    return [*lines, f"{hidden} more steps are not shown"] if hidden else lines
