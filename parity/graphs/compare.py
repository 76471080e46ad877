"""Comparing two live models, whoever built them: a verdict on every operation, and a cause for each that differs."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from twinzoo.converters.graph import INPUT, OUTPUT
from twinzoo.parity.graphs.causes import differing, of_attribute, silent
from twinzoo.parity.graphs.diagnosis import diagnose
from twinzoo.parity.graphs.drawing import node_name
from twinzoo.parity.graphs.pairs import Paired, pair
from twinzoo.parity.graphs.run import Run
from twinzoo.parity.graphs.weights import weight_findings
from twinzoo.parity.kernels import KERNELS
from twinzoo.parity.layers import Walk
from twinzoo.parity.measure import difference
from twinzoo.parity.report import ParityReport
from twinzoo.parity.results import Finding, KernelUse, LayerResult, SideResult
from twinzoo.zoo.errors import ParityError
from twinzoo.zoo.spec import spec_hash

OPAQUE = 1e-4
"""How far, of their largest value, outputs may lie apart that cannot be computed here, where their inputs agree."""


def compare_runs(a: Run, b: Run, began: float) -> ParityReport:
    """Judge every operation of side b by side a's.

    Side a is what is right: each of its operations is computed in float64 on what side b's counterpart was given, with
    side b's weights, and side b must lie within rounding of that. Side a is held against itself in the same way.

    Args:
        began: when the comparison began, in seconds of the performance counter.

    Raises:
        ParityError: there is nothing to compare.
    """
    paired = pair(a, b)
    if not paired.drawing.spec.nodes:
        raise ParityError("compare: side a does nothing that could be compared")
    weights = weight_findings(paired)
    walk = Walk(frozenset(weights))
    inputs = {name: a.values[_position(name)] for name in paired.drawing.spec.inputs}
    beside = {name: paired.values[_position(name)] for name in inputs if _position(name) in paired.values}
    walk.model(paired.drawing.spec, paired.traces(), inputs, beside)
    rows = [*_opaque_rows(paired), *walk.rows]
    ordered = sorted(rows, key=lambda row: _place(row.name, len(a.graph.operations)))
    return ParityReport(
        spec=f"{a.graph.title} ~ {b.graph.title}",
        spec_hash=spec_hash(paired.drawing.spec),
        parameters=sum(value.size for value in a.state.values()),
        inputs={name: f"{x.shape} {x.dtype}" for name, x in a.inputs.items()},
        a=a.info,
        b=b.info,
        layers=[_renamed(paired, row) for row in ordered],
        findings=_findings(paired, ordered, list(weights.values())),
        kernels=_kernels(paired, walk),
        seconds=time.perf_counter() - began,
    )


def _position(name: str) -> int:
    return int(name.partition(".")[0].partition(":")[0].removeprefix("n"))


def _place(name: str, last: int) -> int:
    return last if name.startswith("model: ") else _position(name)


def _renamed(paired: Paired, row: LayerResult) -> LayerResult:
    """A row under the names of the users' code."""
    if row.name.startswith("model: "):
        return replace(row, name=f"model: {paired.name(_position(row.name.removeprefix('model: ')))}")
    keys = tuple(paired.drawing.keys[name] for name in row.weights)
    return replace(row, name=paired.name(_position(row.name)), weights=keys)


def _opaque_rows(paired: Paired) -> list[LayerResult]:
    """What cannot be computed here: the outputs of both sides held against each other."""
    rows = []
    for position in paired.drawing.opaque:
        ours, theirs = paired.a.values[position], paired.values.get(position)
        kind = paired.a.graph.operations[position].kind
        side = SideResult(0.0, 0.0, (), 0.0, dtype=str(ours.dtype))
        if theirs is None or theirs.shape != ours.shape:
            wrong = replace(side, ratio=float("inf"), error=float("inf"), problem="returned nothing")
            numbers = (float("inf"), float("inf"), float("inf"), 0.0, 0.0)
        else:
            apart = difference(ours, theirs, ours)
            limit = OPAQUE * max(float(np.max(np.abs(ours), initial=0)), 1e-30)
            wrong = replace(side, ratio=apart.max_abs / limit, error=apart.max_abs, dtype=str(theirs.dtype))
            numbers = (apart.max_abs, apart.mean_abs, apart.relative, apart.cosine, limit)
        rows.append(LayerResult(node_name(position), kind, "", ours.shape, *numbers, side, wrong))
    return rows


def _findings(paired: Paired, rows: list[LayerResult], weights: list[Finding]) -> list[Finding]:
    """Everything that is wrong, in order: tensors, operations, layers without a counterpart, silent attributes."""
    found: list[tuple[int, Finding]] = []
    framework = paired.b.info.framework
    for row in rows:
        if not (row.a.ok and row.b.ok) and not row.name.startswith("model: "):
            found += [(_position(row.name), finding) for finding in _of_row(paired, row, framework)]
    found = _once(found)
    wrong = {position for position, _ in found}
    found += [(p, f) for p in paired.alignment.pairs if p not in wrong for f in _silent(paired, p)]
    found += _without_counterpart(paired, wrong)
    ordered = [finding for _, finding in sorted(found, key=lambda item: item[0])]
    return [*weights, *ordered] or _whole(paired, rows)


def _of_row(paired: Paired, row: LayerResult, framework: str) -> list[Finding]:
    position = _position(row.name)
    if row.b.problem.startswith("dtype"):
        fix = f"run the {framework} side in the element type of side a"
        return [Finding(paired.name(position), "dtype", f"side b: {row.b.problem}", fix)]
    return diagnose(paired, position, framework)


def _once(found: list[tuple[int, Finding]]) -> list[tuple[int, Finding]]:
    """An operation that only one side has is told once, though all that uses it shows it; an element type likewise."""
    kept: dict[object, tuple[int, Finding]] = {}
    for position, finding in found:
        shared = finding.cause in ("missing-op", "extra-op", "dtype")
        kept.setdefault((finding.cause, finding.fix if shared else position), (position, finding))
    return list(kept.values())


def _silent(paired: Paired, position: int) -> list[Finding]:
    """Attributes that differ although this input in eval mode does not show it."""
    ours, theirs = paired.operations(position)
    if theirs is None or ours.kind != theirs.kind:
        return []
    return [
        Finding(
            paired.name(position),
            of_attribute(ours.kind, name),
            f"{name} is {values[0]} on side a and {values[1]} on side b; eval mode does not show it",
            f"set {name} of {theirs.name} to {values[0]}",
        )
        for name, values in differing(ours, theirs).items()
        if silent(name)
    ]


def _without_counterpart(paired: Paired, wrong: set[int]) -> list[tuple[int, Finding]]:
    """Layers that only one side has; functions are told where they make a difference."""
    found = []
    for position in paired.alignment.only_a:
        operation = paired.a.graph.operations[position]
        if position not in wrong and (operation.layer or operation.kind in (INPUT, OUTPUT)):
            text = f"only side a has {operation.name} ({operation.kind})"
            found.append((position, Finding(operation.name, "missing-op", text, "add it to side b")))
    for position in paired.alignment.only_b:
        operation = paired.b.graph.operations[position]
        if operation.layer or operation.kind in (INPUT, OUTPUT):
            text = f"only side b has {operation.name} ({operation.kind})"
            found.append((position, Finding(operation.name, "extra-op", text, "remove it from side b")))
    return found


def _whole(paired: Paired, rows: list[LayerResult]) -> list[Finding]:
    """What the models return that their layers do not explain."""
    found = []
    for row in rows:
        if not row.ok and row.name.startswith("model: "):
            name = _renamed(paired, row).name
            cause = "dtype" if row.b.problem.startswith("dtype") else "unexplained"
            problem = row.b.problem or row.a.problem or "something else than its layers give"
            found.append(
                Finding(name, cause, f"what the model returns: {problem}", "look at what follows its last layer")
            )
    return found


def _kernels(paired: Paired, walk: Walk) -> list[KernelUse]:
    uses = []
    for (port, op), names in walk.kernels.items():
        known = KERNELS[port, op]
        layers = tuple(paired.name(_position(name)) for name in names)
        uses.append(KernelUse(port, op, known.absolute, known.relative, known.note, layers))
    return uses
