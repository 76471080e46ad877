"""A report in words: one line of verdict, what diverges, and a table of layers that fits a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from twinzoo.parity.results import KernelUse, LayerResult, SideResult
from twinzoo.zoo.spec.show import columns

if TYPE_CHECKING:
    from twinzoo.parity.report import ParityReport

_ROWS = 30
"""A longer list of layers is cut to the outputs, what diverges, needed an allowance or is nearest to its bound."""

_MARKS = 12


def terminal(report: ParityReport) -> str:
    """The report for a terminal."""
    lines = [verdict(report), *_where(report)]
    if report.findings:
        lines += ["", *(line for finding in report.findings for line in (f"{finding}", f"  fix: {finding.fix}"))]
    for kernel in report.kernels:
        where = f"{kernel.port} {kernel.op} at {listed(kernel.layers)}"
        lines.append(f"  {where}: allowed {allowance(kernel)} beyond rounding ({kernel.note})")
    return "\n".join([*lines, "", *_table(report)])


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
    return f"{pair} differ: first at {first.name} ({blame(report, first)}); {count} of {len(report.layers)} values"


def blame(report: ParityReport, layer: LayerResult) -> str:
    """What is wrong at a layer, in a few words."""
    sides = (("a", report.a.port, layer.a), ("b", report.b.port, layer.b))
    parts = [f"{label} ({port}) is wrong" for label, port, side in sides if not side.ok]
    if layer.weights:
        parts.append(f"{listed(layer.weights)} {'differs' if len(layer.weights) == 1 else 'differ'}")
    return "; ".join(parts)


def worst(report: ParityReport) -> str:
    """The ratio nearest to the bound, and whose it is."""
    sides = [(getattr(layer, s).ratio, layer.name, getattr(report, s).port) for layer in report.layers for s in "ab"]
    ratio, name, port = max(sides, key=lambda side: side[0])
    return f"at most {ratio:.2g} of the bound ({name}, {port})"


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


def ratio_text(side: SideResult) -> str:
    """The ratio, or the problem where there is one."""
    if side.problem and not math.isfinite(side.ratio):
        return "NaN" if side.problem.startswith("nan") else "wrong"
    return f"{side.ratio:.2f}" if side.ratio < 100 else f"{side.ratio:,.0f}" if side.ratio < 1e6 else number(side.ratio)


def _where(report: ParityReport) -> list[str]:
    fed = [f"  {name}: {text}" for name, text in report.inputs.items()]
    size = f"  {report.parameters:,} parameters, {report.seconds:.1f} s"
    return [f"  a: {report.a}, {report.a.weights}", f"  b: {report.b}, {report.b.weights}", *fed, size]


def _table(report: ParityReport) -> list[str]:
    rows: list[tuple[str, ...]] = [
        ("", "layer", "op", "shape", "max|a-b|", "relative", "a to f64", "b to f64", "rounding", "a/bound", "b/bound")
    ]
    shown = _shown(report)
    for layer in report.layers:
        if layer.name in shown:
            rows.append(
                (
                    "" if layer.ok else "x",
                    layer.name,
                    layer.op,
                    "x".join(map(str, layer.shape)) or "scalar",
                    *map(number, (layer.max_abs, layer.relative, layer.a.drift, layer.b.drift, layer.rounding)),
                    ratio_text(layer.a),
                    ratio_text(layer.b),
                )
            )
    lines = columns(rows, right=range(4, 11))
    hidden = len(report.layers) - len(shown)
    return [*lines, f"{hidden} more are not shown"] if hidden else lines


def _shown(report: ParityReport) -> set[str]:
    if len(report.layers) <= _ROWS:
        return {layer.name for layer in report.layers}
    wrong = [layer.name for layer in report.layers if not layer.ok][:_MARKS]
    outputs = [layer.name for layer in report.layers if layer.op == "output"]
    nearest = sorted(report.layers, key=lambda layer: -max(layer.a.ratio, layer.b.ratio))[:_MARKS]
    allowed = [name for kernel in report.kernels for name in kernel.layers[:_MARKS]]
    return {*wrong, *outputs, *allowed, *(layer.name for layer in nearest)}
