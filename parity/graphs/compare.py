"""Comparing two live models, whoever built them: a verdict on every operation, and a cause for each that differs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from twinzoo.converters.graph import INPUT
from twinzoo.converters.graph import OUTPUT as RETURNED
from twinzoo.parity.graphs.backward import reverse, unjudged
from twinzoo.parity.graphs.backward_causes import gradient_findings
from twinzoo.parity.graphs.buffers import buffer_rows
from twinzoo.parity.graphs.carried import sources
from twinzoo.parity.graphs.computed_rows import computed_gradient_rows, computed_notes, computed_rows
from twinzoo.parity.graphs.diagnosis import diagnose, diagnose_output, silent_findings
from twinzoo.parity.graphs.dropouts import dropout_findings
from twinzoo.parity.graphs.idle import idle_findings, idle_notes
from twinzoo.parity.graphs.modes import flag_findings, mode_notes
from twinzoo.parity.graphs.opaque import opaque_rows
from twinzoo.parity.graphs.pairs import Paired, pair
from twinzoo.parity.graphs.run import Array, Run
from twinzoo.parity.graphs.weights import weight_findings
from twinzoo.parity.graphs.whole import whole_gradients, whole_notes
from twinzoo.parity.graphs.whole_buffers import whole_buffers
from twinzoo.parity.graphs.zeros import zero_gradients
from twinzoo.parity.half_kernels import gradient_kernel_of
from twinzoo.parity.layers import Walk
from twinzoo.parity.report import ParityReport
from twinzoo.parity.results import OUTPUT, Finding, KernelUse, LayerResult
from twinzoo.parity.verdict import kernel_use, kernel_uses
from twinzoo.zoo.errors import ParityError
from twinzoo.zoo.spec import spec_hash


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
    computed, apart_weights = computed_rows(paired)
    weights = weight_findings(paired) | apart_weights
    moved: dict[str, Array] | None = {} if (a.how.grad or a.how.train) and (a.whole or b.whole) else None
    walk = Walk(frozenset(weights), paired.drawing.training, moved, types=None)
    inputs = {name: a.values[_position(name)] for name in paired.drawing.spec.inputs}
    beside = {name: paired.values[_position(name)] for name in inputs if _position(name) in paired.values}
    walk.model(paired.drawing.spec, paired.traces(), inputs, beside)
    opaque, notes = opaque_rows(paired)
    rows = [*opaque, *computed, *walk.rows]
    kernels = kernel_uses(walk.kernels, lambda name: paired.name(_position(name)))
    of_training: list[tuple[int, Finding]] = []
    if a.how.train:
        buffers, of_training = buffer_rows(paired)
        rows += buffers
        of_training += dropout_findings(paired)
    findings = _findings(paired, rows, list(weights.values()), of_training)
    if a.how.grad:
        back = reverse(paired)
        forward = {_position(row.name) for row in walk.rows if not row.ok and not row.name.startswith("model: ")}
        zeros, of_zeros = zero_gradients(paired)
        passed_on, of_norms = computed_gradient_rows(paired)
        rows += [*back.rows, *zeros, *passed_on]
        findings += [*gradient_findings(paired, back.wrong, forward), *of_zeros, *of_norms]
        kernels += _kernels(paired, back.kernels)
        notes += unjudged(paired)
    if moved is not None:
        whole, apart = _wholes(paired, moved)
        rows += whole
        findings += apart
    last, made = len(a.graph.operations), {one.key for ones in a.made.values() for one in ones}
    return ParityReport(
        spec=f"{a.graph.title} ~ {b.graph.title}",
        spec_hash=spec_hash(paired.drawing.spec),
        parameters=sum(value.size for key, value in a.state.items() if key not in made),
        inputs={name: f"{x.shape} {x.dtype}" for name, x in a.inputs.items()},
        a=a.info,
        b=b.info,
        layers=[_renamed(paired, row) for row in sorted(rows, key=lambda row: _place(row.name, last))],
        findings=findings,
        kernels=kernels,
        seconds=time.perf_counter() - began,
        notes=[*mode_notes(paired), *whole_notes(paired), *idle_notes(paired), *computed_notes(paired), *notes],
        mode=str(a.how),
        unmatched=(len(paired.alignment.only_a), len(paired.alignment.only_b)),
    )


def _wholes(paired: Paired, moved: Mapping[str, Array]) -> tuple[list[LayerResult], list[Finding]]:
    """What compiled sides have besides what they return: gradients, and buffers after the step."""
    rows, findings = whole_gradients(paired, moved) if paired.a.how.grad else ([], [])
    of_buffers, apart = whole_buffers(paired, moved) if paired.a.how.train else ([], [])
    return [*rows, *of_buffers], [*findings, *apart]


def _position(name: str) -> int:
    return int(name.partition(".")[0].partition(":")[0].removeprefix("n"))


def _place(name: str, last: int) -> int:
    return last if name.startswith("model: ") else _position(name)


def _renamed(paired: Paired, row: LayerResult) -> LayerResult:
    """A row under the names of the users' code."""
    if row.name.startswith("model: "):
        return replace(row, name=f"model: {paired.name(_position(row.name.removeprefix('model: ')))}")
    position, keys = _position(row.name), tuple(paired.drawing.keys[name] for name in row.weights)
    return replace(row, name=paired.name(position), weights=keys, source=sources(paired, position))


def _findings(
    paired: Paired, rows: list[LayerResult], weights: list[Finding], of_training: list[tuple[int, Finding]]
) -> list[Finding]:
    """Everything that is wrong, in order: tensors, operations, layers without a counterpart, silent attributes."""
    found: list[tuple[int, Finding]] = []
    framework = paired.b.info.framework
    dropouts = {position for position, finding in of_training if finding.cause == "dropout"}
    for row in rows:
        if row.quantity != OUTPUT or row.name.startswith("model: "):
            continue
        position = _position(row.name)
        if not (row.a.ok and row.b.ok) and position not in dropouts:
            found += [(position, finding) for finding in _of_row(paired, row, framework)]
    found = _once(found)
    for position, finding in of_training:  # one for each operation: the first says the most
        if position not in {p for p, _ in found}:
            found.append((position, finding))
    wrong = {position for position, _ in found}
    found += [(p, f) for p in paired.alignment.pairs if p not in wrong for f in silent_findings(paired, p)]
    found += flag_findings(paired)
    found += [(p, f) for p in _wrong_outputs(rows) for f in diagnose_output(paired, p)]
    found = [(p, replace(finding, source=sources(paired, p))) for p, finding in found]
    found += idle_findings(paired)
    found += _without_counterpart(paired, wrong)
    ordered = [finding for _, finding in sorted(found, key=lambda item: item[0])]
    return [*weights, *ordered] or _whole(paired, rows)


def _wrong_outputs(rows: list[LayerResult]) -> list[int]:
    """The positions of what the models return that is not what it should be."""
    wrong = [row.name for row in rows if not row.ok and row.name.startswith("model: ")]
    return [_position(name.removeprefix("model: ")) for name in wrong]


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


def _without_counterpart(paired: Paired, wrong: set[int]) -> list[tuple[int, Finding]]:
    """Layers that only one side has, by place on that side; functions are told where they make a difference."""
    found = []
    for position in paired.alignment.only_a:
        operation = paired.a.graph.operations[position]
        if position not in wrong and (operation.layer or operation.kind in (INPUT, RETURNED)):
            text, source = f"only side a has {operation.name} ({operation.kind})", (operation.source, "")
            found.append((position, Finding(operation.name, "missing-op", text, "add it to side b", source)))
    for position in paired.alignment.only_b:
        operation = paired.b.graph.operations[position]
        if operation.layer or operation.kind in (INPUT, RETURNED):
            text, source = f"only side b has {operation.name} ({operation.kind})", ("", operation.source)
            found.append((position, Finding(operation.name, "extra-op", text, "remove it from side b", source)))
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


def _kernels(paired: Paired, used: Mapping[tuple[str, str, str], list[str]]) -> list[KernelUse]:
    """The gradients that were given an allowance for their kernels."""
    uses = []
    for (port, op, dtype), names in used.items():
        layers, known = tuple(paired.name(_position(name)) for name in names), gradient_kernel_of(port, op, dtype)
        if known is not None:
            uses.append(kernel_use(port, f"{op} gradient", known, layers))
    return uses
