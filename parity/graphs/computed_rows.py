"""Weights that layers compute as they run (weight norm, spectral norm), each side's held against float64.

A weight is held against what its side's own tensors make of it after the run, and both sides' against each other. The
gradients of those tensors are held against what comes back to the weight.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from twinzoo.parity.bounds.sums import TINY, U
from twinzoo.parity.graphs.computed import Made
from twinzoo.parity.graphs.drawing import node_name
from twinzoo.parity.graphs.norms import Bounded, gradients_of, kind_of, moves, weight_after, weight_of
from twinzoo.parity.graphs.opaque import OPAQUE
from twinzoo.parity.graphs.pairs import Paired
from twinzoo.parity.graphs.run import Array, Run
from twinzoo.parity.measure import difference, judge, side_result
from twinzoo.parity.results import Finding, LayerResult, SideResult

_NOTHING = SideResult(0.0, 0.0, (), 0.0, dtype="")


def computed_names(paired: Paired) -> dict[str, tuple[int, str]]:
    """Spec name -> (position of side a, role), of the weights that either side computes."""
    found = {}
    for position in range(len(paired.a.graph.operations)):
        for one in (*paired.a.made.get(position, ()), *_theirs(paired, position)):
            found[f"{node_name(position)}.{one.role}"] = position, one.role
    return {name: place for name, place in found.items() if name in paired.drawing.state}


def _theirs(paired: Paired, position: int) -> tuple[Made, ...]:
    return paired.b.made.get(paired.alignment.pairs.get(position, -1), ())


def _made(paired: Paired, position: int, role: str) -> list[Made | None]:
    sides = (paired.a.made.get(position, ()), _theirs(paired, position))
    return [next((one for one in ones if one.role == role), None) for ones in sides]


def computed_rows(paired: Paired) -> tuple[list[LayerResult], dict[str, Finding]]:
    """A row for each computed weight, and a finding by spec name for each that is not as it must be."""
    rows, findings = [], {}
    for name, (position, role) in computed_names(paired).items():
        mades, weights = _made(paired, position, role), (paired.drawing.state[name], paired.state[name])
        wanted = [
            None if one is None else _wanted(run, one) for one, run in zip(mades, (paired.a, paired.b), strict=True)
        ]
        a, b = (_held(w, bounded) for w, bounded in zip(weights, wanted, strict=True))
        apart = difference(*weights, weights[0])
        limit = _limit(weights, wanted)
        if b.ok and not _within(weights, limit):
            b = _apart(weights, limit)
        kind = next((kind for one in mades if one is not None and (kind := kind_of(one))), "computed weight")
        numbers = (apart.max_abs, apart.mean_abs, apart.relative, apart.cosine, float(np.max(limit, initial=0.0)))
        row = LayerResult(
            node_name(position), kind, "", weights[0].shape, *numbers, a, b, quantity=role, max_ulp=apart.max_ulp
        )
        rows.append(row)
        steps = _step_rows(paired, position, mades)
        rows += steps
        if not all(made.ok for made in (row, *steps)):
            findings[name] = _finding(paired, position, row, mades)
    return rows, findings


def _after(run: Run) -> dict[str, Array]:
    return {**run.state, **run.after}


def _wanted(run: Run, made: Made) -> Bounded | None:
    """What a weight must be. Before the last call u and v are known only up to how often they had moved by then."""
    shape = run.state[made.key].shape
    if _calls(run, made)[-1].key == made.key or not _moves(made):
        return weight_of(made, shape, _after(run))
    passed = moves(made, run.state, len(_calls(run, made)), u_first=_history(run, made).order != "v first")
    found = [wanted for moved in passed if (wanted := weight_after(made, shape, run.state, moved)) is not None]
    return min(found, key=lambda wanted: _held(run.state[made.key], wanted).ratio, default=None)


def _held(weight: Array, wanted: Bounded | None) -> SideResult:
    if wanted is None:
        return _NOTHING
    reference, allowed = (part.reshape(weight.shape) for part in wanted)
    judged = judge(weight, reference, allowed + TINY)
    return side_result(judged, weight, reference, dtype=str(weight.dtype))


def _limit(weights: tuple[Array, Array], wanted: list[Bounded | None]) -> Array:
    """How far both sides' weights may lie apart: their bounds, and one rounding of what was computed before the run."""
    known = [bounded[1].reshape(weights[0].shape) for bounded in wanted if bounded is not None]
    if not known:
        return np.full(weights[0].shape, OPAQUE * float(np.abs(weights[0]).max(initial=0.0)))
    limit: Array = known[0] + known[-1] + 2 * U * np.abs(weights[0].astype(np.float64)) + TINY
    return limit


def _within(weights: tuple[Array, Array], limit: Array) -> bool:
    return bool(np.all(np.abs(weights[0].astype(np.float64) - weights[1]) <= limit))


def _apart(weights: tuple[Array, Array], limit: Array) -> SideResult:
    judged = judge(weights[1], weights[0].astype(np.float64), limit)
    return side_result(judged, weights[1], weights[0], dtype=str(weights[1].dtype))


def _finding(paired: Paired, position: int, row: LayerResult, mades: list[Made | None]) -> Finding:
    """Why a computed weight is not as it must be: how it is computed, from what, or how u and v move."""
    name, kind = paired.name(position), row.op.replace("_", " ")
    for side, run, made in zip("ab", (paired.a, paired.b), mades, strict=True):
        result = row.a if side == "a" else row.b
        own = None if made is None else _wanted(run, made)
        if made is not None and own and not _held(run.state[made.key], own).ok:
            evidence = (
                f"side {side}'s {row.quantity} is not what its {kind} makes of {', '.join(made.sources)}: "
                f"it misses by {result.ratio:,.3g} times the bound"
            )
            return Finding(name, "unexplained", evidence, f"compute it as {_FORMULAS[kind_of(made)]}")
    ours, theirs = mades
    if ours is not None and theirs is not None and _moves(ours) and _moves(theirs):
        found = _of_steps(paired, name, ours, theirs)
        if found is not None:
            return found
    evidence = f"{row.quantity} as it was used differs, largest |a-b| {row.max_abs:.3g}: {kind} of other tensors"
    return Finding(name, "weight-value", evidence, "load the same weights into both sides, as twinzoo.convert does")


_FORMULAS = {"weight_norm": "g v / |v|", "spectral_norm": "W / (u W v)"}


@dataclass(frozen=True)
class _History:
    """What a run did to u and v: in which order they moved, and how often; where it cannot be told, several numbers."""

    order: str
    times: frozenset[int]

    def __str__(self) -> str:
        often = {1: "once", 2: "twice"}.get(min(self.times, default=0), f"{min(self.times, default=0)} times")
        return f"{self.order}, {often}" if self.times else self.order


def _history(run: Run, made: Made) -> _History:
    calls = len(_calls(run, made))
    for order, first in (("u first", True), ("v first", False)):
        passed = moves(made, run.state, calls, u_first=first)
        times = [n for n in range(1, calls + 1) if all(_moved(run, *item).ok for item in passed[n].items())]
        if times:
            return _History(order, frozenset(times))
    return _History(
        "moved in another way" if run.after.keys() & set(made.sources) else "they did not move", frozenset()
    )


def _of_steps(paired: Paired, name: str, ours: Made, theirs: Made) -> Finding | None:
    """Where side b moves u and v in another order than side a, another number of times, or not at all."""
    a, b = (_history(run, made) for run, made in ((paired.a, ours), (paired.b, theirs)))
    if not paired.a.how.train or (a.order == b.order and (a.times & b.times or not a.times)):
        return None
    cause = "update-order" if a.times and b.times and a.order != b.order else "norm-mode"
    fix = f"in training mode, move u and v by one step of the power method before they are used, {a}"
    return Finding(name, cause, f"u and v of side a: {a}; of side b: {b}", fix)


def _moved(run: Run, key: str, wanted: Bounded) -> SideResult:
    """u or v after the run."""
    return _held(_after(run)[key], wanted)


def _step_rows(paired: Paired, position: int, mades: list[Made | None]) -> list[LayerResult]:
    """A row for u and one for v, which a training run moves as side a moves them; at the last call of a layer."""
    ours, theirs = mades
    if not paired.a.how.train or ours is None or theirs is None or not (_moves(ours) and _moves(theirs)):
        return []
    if _calls(paired.a, ours)[-1].key != ours.key or _calls(paired.b, theirs)[-1].key != theirs.key:
        return []
    a_did, b_did = _history(paired.a, ours), _history(paired.b, theirs)
    calls = len(_calls(paired.a, ours))
    times = min(a_did.times & b_did.times or a_did.times, default=calls)
    rows = []
    wanted = [
        moves(made, run.state, times, u_first=a_did.order != "v first")[times]
        for run, made in ((paired.a, ours), (paired.b, theirs))
    ]
    for mine, other in zip(*wanted, strict=True):
        a, b = _moved(paired.a, mine, wanted[0][mine]), _moved(paired.b, other, wanted[1][other])
        x, y = (_after(run)[key].reshape(-1) for run, key in ((paired.a, mine), (paired.b, other)))
        apart = difference(x, y, x)
        numbers = (apart.max_abs, apart.mean_abs, apart.relative, apart.cosine, 0.0)
        what = f"buffer {mine.rpartition('.')[2]}"
        name = node_name(position)
        rows.append(
            LayerResult(name, "spectral_norm", "", x.shape, *numbers, a, b, quantity=what, max_ulp=apart.max_ulp)
        )
    return rows


def _moves(made: Made) -> bool:
    """Whether it is a norm whose u and v move in training."""
    return kind_of(made) == "spectral_norm"


def _calls(run: Run, made: Made) -> list[Made]:
    """The weight in each call of its layer, whether u and v moved in that or not."""
    return [one for ones in run.made.values() for one in ones if (one.layer, one.role) == (made.layer, made.role)]


def computed_notes(paired: Paired) -> list[str]:
    """A line for each layer of which not all that is computed of its weight is followed."""
    notes = []
    for label, run in zip("ab", (paired.a, paired.b), strict=True):
        followed = {made.key for _, made in _followed(run)}
        for position, ones in run.made.items():
            name = run.graph.operations[position].name
            for made in ones:
                if not kind_of(made):
                    notes.append(f"side {label}: how {name} computes its {made.role} is not followed")
                elif made.key in run.gradients.parameters and made.key not in followed:
                    notes.append(f"side {label}: gradients are not followed through the norm of {name}")
    return notes


def computed_gradient_rows(paired: Paired) -> tuple[list[LayerResult], list[Finding]]:
    """A row for each tensor that a weight is computed from, of side a and of side b, by its own key."""
    rows: list[LayerResult] = []
    findings = []
    back = {other: position for position, other in paired.alignment.pairs.items()}
    for place, run in enumerate((paired.a, paired.b)):
        for key, (position, kind, wanted, allowed) in _due(run).items():
            mine = position if place == 0 else back.get(position)
            if mine is None:
                continue
            gradient = run.gradients.parameters.get(key)
            given = np.zeros(wanted.shape, np.float32) if gradient is None else gradient.reshape(wanted.shape)
            judged = judge(given, wanted, allowed + TINY)
            result = side_result(judged, given, wanted, dtype=str(given.dtype))
            a, b = (result, _NOTHING) if place == 0 else (_NOTHING, result)
            row = LayerResult(
                node_name(mine), kind, "", wanted.shape, 0.0, 0.0, 0.0, 1.0, 0.0, a, b,
                quantity=f"gradient of {key.rpartition('.')[2]}",
            )  # fmt: skip
            rows.append(row)
            if not row.ok:
                findings.append(_gradient_finding(paired, mine, key, "ab"[place], gradient, judged.ratio))
    return rows, findings


def _due(run: Run) -> Mapping[str, tuple[int, str, Array, Array]]:
    """What should come back to each tensor that weights are computed from: (position, kind, gradient, bound) by key."""
    found: dict[str, tuple[int, str, Array, Array]] = {}
    for position, made in _followed(run):
        for key, (gradient, allowed) in gradients_of(made, _after(run), run.gradients.parameters[made.key]).items():
            if key in found:
                *_, before, bound = found[key]
                gradient, allowed = before + gradient, bound + allowed + U * (np.abs(before) + np.abs(gradient))
            found[key] = position, kind_of(made), gradient, allowed
    return {key: due for key, due in found.items() if key not in run.frozen}


def _followed(run: Run) -> Iterator[tuple[int, Made]]:
    """The computed weights whose gradients can be carried on, each once; not where an earlier call had another u, v."""
    seen: set[str] = set()
    for position, ones in run.made.items():
        for made in ones:
            first = made.key not in seen
            alone = all(call.key == made.key for call in _calls(run, made))
            if first and alone and kind_of(made) and made.key in run.gradients.parameters:
                seen.add(made.key)
                yield position, made


def _gradient_finding(
    paired: Paired, position: int, key: str, side: str, gradient: Array | None, ratio: float
) -> Finding:
    name = paired.name(position)
    if gradient is None:
        return Finding(name, "grad-missing", f"side {side}: nothing came back to {key}", f"let gradients flow to {key}")
    evidence = f"side {side}: the gradient of {key} misses by {ratio:,.3g} times the bound"
    fix = (
        "let the gradient flow through the norm too: |v| of a weight norm; u W v of a spectral norm, with u and v fixed"
    )
    return Finding(name, "unexplained", evidence, fix)
