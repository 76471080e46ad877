"""A report in words: one line of verdict, what diverges, and a table of layers that fits a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from twinzoo.parity.causes import TABLE
from twinzoo.parity.results import OUTPUT, Finding, KernelUse, LayerResult, SideResult
from twinzoo.zoo.spec.show import columns

if TYPE_CHECKING:
    from twinzoo.parity.report import ParityReport

_ROWS = 30
"""A longer list of layers is cut to the outputs, what diverges, needed an allowance or is nearest to its bound."""

_MARKS = 12

_LONGEST = 34

_PAINT = {"good": "\033[32m{}\033[0m", "bad": "\033[31m{}\033[0m"}


def terminal(report: ParityReport, *, all_layers: bool = False, colour: bool = False) -> str:
    """The report for a terminal.

    Args:
        all_layers: show every row of a long table.
        colour: with the escape codes of a terminal.
    """
    paint = _PAINT if colour else dict.fromkeys(_PAINT, "{}")
    lines = [paint["good" if report.ok else "bad"].format(verdict(report)), *_first(report), *_where(report)]
    if report.findings:
        lines += ["", *_findings(report.findings, paint["bad"])]
    for kernel in report.kernels:
        where = f"{kernel.port} {kernel.op} at {listed(kernel.layers)}"
        lines.append(f"  {where}: allowed {allowance(kernel)} beyond rounding ({kernel.note})")
    lines += [f"  note: {note}" for note in report.notes]
    return "\n".join([*lines, "", *_table(report, all_layers, paint["bad"])])


def verdict(report: ParityReport) -> str:
    """The verdict in one line."""
    pair = f"{report.spec}: {report.a.port} and {report.b.port}"
    first = report.first_divergence
    if report.ok:
        count = len(report.layers)
        return f"{pair} agree: all {count} values within rounding of float64, {worst(report)}"
    if first is None:
        return f"{pair}: nothing was compared" if not report.layers else f"{pair} differ: {report.findings[0]}"
    count = sum(not layer.ok for layer in report.layers)
    return f"{pair} differ: first at {first.title} ({blame(report, first)}); {count} of {len(report.layers)} values"


def blame(report: ParityReport, layer: LayerResult) -> str:
    """What is wrong at a layer, in a few words."""
    sides = (("a", report.a.port, layer.a), ("b", report.b.port, layer.b))
    parts = [f"{label} ({port}) is wrong" for label, port, side in sides if not side.ok]
    if layer.weights:
        parts.append(f"{listed(layer.weights)} {'differs' if len(layer.weights) == 1 else 'differ'}")
    return "; ".join(parts)


def worst(report: ParityReport) -> str:
    """The ratio nearest to the bound, and whose it is."""
    sides = [(getattr(layer, s).ratio, layer.title, getattr(report, s).port) for layer in report.layers for s in "ab"]
    ratio, name, port = max(sides, key=lambda side: side[0])
    return f"at most {ratio:.2g} of the bound ({name}, {port})"


def located(source: Sequence[str]) -> str:
    """Both source lines, as far as they are known."""
    return " ~ ".join(line for line in source if line)


def ran(report: ParityReport) -> str:
    """The mode, and what had no counterpart, in words."""
    sides = [f"{count} only {side} has" for count, side in zip(report.unmatched, "ab", strict=True) if count]
    return f"mode: {report.mode}" + (f", operations without a counterpart: {', '.join(sides)}" if sides else "")


def allowance(kernel: KernelUse) -> str:
    """What a kernel is allowed beyond rounding."""
    relative = f"{kernel.relative:.2g} of the output" if kernel.relative else ""
    return " and ".join(part for part in (f"{kernel.absolute:.2g}" if kernel.absolute else "", relative) if part)


def listed(names: Sequence[str], most: int = 4) -> str:
    """The names, or the first few and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def number(value: float) -> str:
    """Three digits, with a plain 0."""
    return "0" if value == 0 else f"{value:.2e}" if math.isfinite(value) else str(value)


def shortened(name: str) -> str:
    """A layer's name for where there is little room: side a's, and of a long one the end."""
    ours = name.partition(" ~ ")[0]
    return ours if len(ours) <= _LONGEST else f"…{ours[1 - _LONGEST :]}"


def whole(value: float) -> str:
    """A count with commas, short where it is large."""
    return f"{value:,.0f}" if value < 1e5 else number(value)


def ratio_text(side: SideResult) -> str:
    """The ratio, or the problem where there is one."""
    if side.problem and not math.isfinite(side.ratio):
        return "NaN" if side.problem.startswith("nan") else "wrong"
    return times(side.ratio)


def times(ratio: float) -> str:
    """A ratio with the digits that it needs."""
    return f"{ratio:.2f}" if ratio < 100 else f"{ratio:,.0f}" if ratio < 1e6 else number(ratio)


def _first(report: ParityReport) -> list[str]:
    """The first divergence, with all that tells it from another."""
    layer = report.first_divergence
    if layer is None:
        return []
    call = f"{layer.op}({layer.attrs}) {'x'.join(map(str, layer.shape)) or 'scalar'}"
    source = f", {located(layer.source)}" if any(layer.source) else ""
    ratios = f"a {ratio_text(layer.a)}, b {ratio_text(layer.b)} of the bound"
    return [f"  first divergence: {layer.title}: {call}: {ratios}{source}"]


def _findings(findings: Sequence[Finding], paint: str) -> Iterator[str]:
    """Each finding with what to do; what its cause means is told once."""
    told = set()
    for finding in findings:
        yield paint.format(str(finding))
        if finding.cause not in told:
            yield f"  {finding.cause}: {TABLE[finding.cause].meaning}"
            told.add(finding.cause)
        yield f"  fix: {finding.fix}"
        if any(finding.source):
            yield f"  source: {located(finding.source)}"


def _where(report: ParityReport) -> list[str]:
    fed = [f"  {name}: {text}" for name, text in report.inputs.items()]
    size = f"  {report.parameters:,} parameters, {report.seconds:.1f} s, {ran(report)}"
    return [f"  a: {report.a}, {report.a.weights}", f"  b: {report.b}, {report.b.weights}", *fed, size]


def _table(report: ParityReport, all_layers: bool, paint: str) -> list[str]:
    shown = report.layers if all_layers else _shown(report)
    several = any(layer.quantity != OUTPUT for layer in shown)
    head = ("op", "shape", "max|a-b|", "ulp", "relative", "a to f64", "b to f64", "rounding", "a/bound", "b/bound")
    rows: list[tuple[str, ...]] = [("", "layer", *(("quantity",) if several else ()), *head)]
    for layer in shown:
        numbers = (layer.relative, layer.a.drift, layer.b.drift, layer.rounding)
        rows.append(
            (
                "" if layer.ok else "x",
                shortened(layer.name),
                *((layer.quantity,) if several else ()),
                layer.op,
                "x".join(map(str, layer.shape)) or "scalar",
                number(layer.max_abs),
                whole(layer.max_ulp),
                *map(number, numbers),
                ratio_text(layer.a),
                ratio_text(layer.b),
            )
        )
    lines = columns(rows, right=range(len(rows[0]) - 8, len(rows[0])))
    lines[2:] = [line if row.ok else paint.format(line) for line, row in zip(lines[2:], shown, strict=True)]
    hidden = len(report.layers) - len(shown)
    return [*lines, f"{hidden} more are not shown"] if hidden else lines


def _shown(report: ParityReport) -> list[LayerResult]:
    """The rows of a short table; of a long one those that say something."""
    places = range(len(report.layers))
    if len(places) <= _ROWS:
        return report.layers
    wrong = [i for i in places if not report.layers[i].ok][:_MARKS]
    nearest = sorted(places, key=lambda i: -report.layers[i].ratio)[:_MARKS]
    allowed = {name for kernel in report.kernels for name in kernel.layers[:_MARKS]}
    told = [i for i in places if report.layers[i].op == "output" or report.layers[i].name in allowed]
    return [report.layers[i] for i in sorted({*wrong, *nearest, *told})]
