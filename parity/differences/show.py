"""The table as text for a terminal, as a Markdown page, and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import date
from itertools import groupby
from typing import Any

from twinzoo.parity.differences.measure import AGREES, Measured, Table, Verdict

_HEAD = """\
# PyTorch and MindSpore: what differs

Measured on {date} with PyTorch {torch} on CPU and MindSpore {mindspore} on {device}, in PyNative mode. Not written by
hand: `twinzoo differences --markdown docs/differences.md` runs every form below in both frameworks, with the same
inputs and weights, and writes this page for the versions that are installed.

An error is the largest difference over the largest value that PyTorch has (for rows called relative, over each value
itself). Forms agree where it is at most {layer:.0e}; for optimizers, where it is over the distance moved,
{optimizer:.0e}; for initial weights, of which mean ± deviation are held against each other, {initial}. What to write
instead was measured as well. The cause is the id under which `compare` reports such a difference;
[porting.md](porting.md) is the way through a port.
"""


def terminal(table: Table) -> str:
    """The table for a terminal, four lines a topic, and a line of counts."""
    lines = [f"PyTorch {table.torch} on CPU, MindSpore {table.mindspore} on {table.device}"]
    for section, rows in groupby(table.rows, lambda measured: measured.section):
        lines += ["", section]
        for measured in rows:
            lines += _terminal_row(measured)
    words = [measured.as_written.word for measured in table.rows]
    counts = ", ".join(f"{words.count(f'{word}s')} {word}" for word in ("agree", "differ", "fail"))
    return "\n".join([*lines, "", counts])


def _terminal_row(measured: Measured) -> Iterator[str]:
    row, verdict = measured.row, measured.as_written
    yield f"  {row.topic}: {verdict.word}{_because(measured)}"
    yield f"    PyTorch    {_with(row.torch, measured.torch_read)}"
    yield f"    MindSpore  {_with(row.mindspore, measured.mindspore_read)}"
    if figures := figures_of(verdict):
        yield f"               {figures}"
    if measured.instead:
        yield f"    instead    {_with(row.instead, ': '.join(_told(measured.instead)))}"


def _because(measured: Measured) -> str:
    if measured.as_written.word == "agrees":
        return ""
    return "".join(f": {part}" for part in (measured.row.cause, measured.row.note) if part)


def _with(form: str, read: str) -> str:
    return f"{form}    {read}" if read else form


def _told(verdict: Verdict) -> list[str]:
    return [part for part in (verdict.word, figures_of(verdict)) if part]


def figures_of(verdict: Verdict) -> str:
    """`forward 1.2e-07, gradient 0`, and what no figure says."""
    figures = [f"{name} {_number(error)}" for name, error in verdict.errors.items()]
    return ", ".join([*figures, verdict.problem] if verdict.problem else figures)


def _number(value: float) -> str:
    return "0" if value == 0 else f"{value:.1e}"


def markdown(table: Table) -> str:
    """The table as a page: a section of rows each, the date and versions at the top."""
    named = {"torch": table.torch, "mindspore": table.mindspore, "device": table.device}
    lines = [_HEAD.format(date=date.today(), **named, **AGREES)]
    for section, rows in groupby(table.rows, lambda measured: measured.section):
        lines += [f"## {section}", "", "| topic | PyTorch | MindSpore | measured | write instead | cause |"]
        lines += ["| --- | --- | --- | --- | --- | --- |", *map(_markdown_row, rows), ""]
    return "\n".join(lines)


def _markdown_row(measured: Measured) -> str:
    row, verdict = measured.row, measured.as_written
    word, *figures = _told(verdict)
    if word != "agrees":
        word, figures = f"**{word}**", [*figures, row.note] if row.note else figures
    instead = _cell(row.instead, ": ".join(_told(measured.instead))) if measured.instead else ""
    cells = (
        row.topic,
        _cell(row.torch, measured.torch_read),
        _cell(row.mindspore, measured.mindspore_read),
        "<br>".join([word, *figures]),
        instead,
        "" if verdict.word == "agrees" else row.cause,
    )
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _cell(form: str, below: str) -> str:
    return f"`{form}`<br>{below}" if below else f"`{form}`"


def to_json(table: Table) -> str:
    """The table as JSON; an error without a number is null."""
    rows = [
        {
            "section": measured.section,
            "topic": measured.row.topic,
            "kind": measured.row.kind,
            "cause": measured.row.cause,
            "note": measured.row.note,
            "torch": {"form": measured.row.torch, "read": measured.torch_read},
            "mindspore": {
                "form": measured.row.mindspore,
                "read": measured.mindspore_read,
                **_plain(measured.as_written),
            },
            "instead": {"form": measured.row.instead, **_plain(measured.instead)} if measured.instead else None,
        }
        for measured in table.rows
    ]
    versions = {"torch": table.torch, "mindspore": table.mindspore}
    return json.dumps({"versions": versions, "device": table.device, "rows": rows}, indent=1)


def _plain(verdict: Verdict) -> dict[str, Any]:
    errors = {name: error if math.isfinite(error) else None for name, error in verdict.errors.items()}
    return {"verdict": verdict.word, "errors": errors, "problem": verdict.problem}
