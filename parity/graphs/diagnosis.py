"""Why a pair of operations differs: side a's operation is replayed in float64 under each hypothesis about side b's.

The hypothesis that reproduces what side b gave, within rounding, is the cause; that the operation as it stands on side
a misses it, and by how much, is the other half of the evidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, permutations

import numpy as np

from twinzoo.converters.graph import Operation
from twinzoo.parity.graphs.alone import Alone
from twinzoo.parity.graphs.causes import differing, of_attribute, of_kinds
from twinzoo.parity.graphs.fingerprint import fingerprint
from twinzoo.parity.graphs.pairs import Paired
from twinzoo.parity.graphs.run import Array
from twinzoo.parity.results import Finding

_ORDERS = 24


@dataclass(frozen=True)
class _Replay:
    """Side b's output at one place, and what is tried on it."""

    ours: Operation
    theirs: Operation
    alone: Alone
    given: list[Array]
    output: Array
    port: str
    name: str

    def ratio(self, alone: Alone, given: Sequence[Array] | None = None) -> float:
        """How far side b's output is from a hypothesis, as a share of what rounding allows."""
        judged = alone.judged(self.output, self.given if given is None else given, self.port)
        return float("inf") if judged is None else judged.ratio


def diagnose(paired: Paired, position: int, framework: str) -> list[Finding]:
    """The findings at an operation of side a whose counterpart on side b gives something else."""
    ours, theirs = paired.operations(position)
    other = paired.alignment.pairs.get(position)
    if theirs is None or other is None or other not in paired.b.values:
        fix = f"add {ours.name} ({ours.kind}) to the {framework} side"
        return [Finding(paired.name(position), "missing-op", f"only side a has {ours.name} ({ours.kind})", fix)]
    replay = _Replay(
        ours, theirs, paired.alone(position), paired.given(position), paired.b.values[other],
        paired.b.port, paired.name(position),
    )  # fmt: skip
    for tried in (_attributes(replay), _kind(replay), _operands(replay, paired, position)):
        if tried:
            return tried
    return [_unexplained(replay)]


def _attributes(replay: _Replay) -> list[Finding]:
    """The attributes that must be side b's for its output to come out."""
    if replay.ours.kind != replay.theirs.kind:
        return []
    apart = differing(replay.ours, replay.theirs)
    for names in (*([name] for name in apart), list(apart)):
        attrs = {**replay.alone.attrs, **{name: apart[name][1] for name in names}}
        ratio = replay.ratio(_with_attrs(replay, attrs))
        if names and ratio <= 1:
            return [_attribute_finding(replay, name, apart[name], ratio) for name in names]
    return []


def _with_attrs(replay: _Replay, attrs: dict[str, object]) -> Alone:
    return replace(replay.alone, attrs={n: v for n, v in attrs.items() if v is not None or n in replay.ours.attrs})


def _attribute_finding(replay: _Replay, name: str, values: tuple[object, object], ratio: float) -> Finding:
    ours, theirs = values
    evidence = (
        f"with {name} {theirs} float64 reproduces side b to {ratio:.2g} of the bound; with side a's {name} {ours} it "
        f"misses by {_times(replay.ratio(replay.alone))}"
    )
    fix = f"set {name} of {replay.theirs.name} to {ours}, as {replay.ours.name} has it"
    return Finding(replay.name, of_attribute(replay.ours.kind, name), evidence, fix)


def _kind(replay: _Replay) -> list[Finding]:
    """Another operation in its stead."""
    if replay.ours.kind == replay.theirs.kind:
        return []
    theirs = Alone(replay.theirs.kind, replay.theirs.attrs, replay.alone.params)
    ratio = replay.ratio(theirs)
    if ratio > 1:
        return []
    evidence = (
        f"{replay.theirs.kind} in float64 reproduces side b to {ratio:.2g} of the bound; side a's {replay.ours.kind} "
        f"misses by {_times(replay.ratio(replay.alone))}"
    )
    fix = f"replace {replay.theirs.name} ({replay.theirs.kind}) by {replay.ours.kind}"
    return [Finding(replay.name, of_kinds(replay.ours.kind, replay.theirs.kind), evidence, fix)]


def _operands(replay: _Replay, paired: Paired, position: int) -> list[Finding]:
    """The right operation on other operands: in another order, or after operations that only one side has."""
    for order in islice(permutations(range(len(replay.given))), 1, _ORDERS):
        ratio = replay.ratio(replay.alone, [replay.given[i] for i in order])
        if ratio <= 1:
            text = ", ".join(str(i + 1) for i in order)
            evidence = f"with the operands in the order {text} float64 reproduces side b to {ratio:.2g} of the bound"
            fix = f"give {replay.theirs.name} its operands in the order of {replay.ours.name}"
            return [Finding(replay.name, "operand-order", evidence, fix)]
    really = paired.really_given(position)
    ratio = replay.ratio(replay.alone, really) if len(really) == len(replay.given) else float("inf")
    if ratio > 1:
        return []
    extra = [paired.b.graph.operations[i] for i in _between(paired, position)]
    missing = [paired.a.graph.operations[i] for i in _before(paired, position)]
    cause, side, listed = ("extra-op", "b", extra) if extra else ("missing-op", "a", missing)
    names = ", ".join(f"{op.name} ({op.kind})" for op in listed) or "an operation that was not seen"
    evidence = (
        f"on what side b really gave it, float64 reproduces its output to {ratio:.2g} of the bound: before it only "
        f"side {side} has {names}"
    )
    fix = f"{'remove' if cause == 'extra-op' else 'add'} {names} {'from' if cause == 'extra-op' else 'to'} side b"
    return [Finding(replay.name, cause, evidence, fix)]


def _between(paired: Paired, position: int) -> Iterator[int]:
    """Operations of side b alone that lead into the counterpart of a position."""
    alone = set(paired.alignment.only_b)
    pending = [p for p, _ in paired.b.graph.operations[paired.alignment.pairs[position]].operands]
    while pending:
        operand = pending.pop()
        if operand in alone:
            yield operand
            pending += [p for p, _ in paired.b.graph.operations[operand].operands]


def _before(paired: Paired, position: int) -> Iterator[int]:
    """Operations of side a alone that lead into a position."""
    alone = set(paired.alignment.only_a)
    pending = [p for p, _ in paired.a.graph.operations[position].operands]
    while pending:
        operand = pending.pop()
        if operand in alone:
            yield operand
            pending += [p for p, _ in paired.a.graph.operations[operand].operands]


def _unexplained(replay: _Replay) -> Finding:
    wanted = replay.alone.output(replay.given)
    shown = "it cannot be computed here" if wanted is None else fingerprint(replay.output, wanted)
    cause = {"is a multiple": "scale", "is shifted": "offset"}.get(" ".join(shown.split()[:3]).removeprefix("it "), "")
    evidence = f"no hypothesis reproduces side b, which misses by {_times(replay.ratio(replay.alone))}; {shown}"
    fix = f"the fault is in {replay.theirs.name}, not before it: compare it with {replay.ours.name}"
    return Finding(replay.name, cause or "unexplained", evidence, fix)


def _times(ratio: float) -> str:
    return f"{ratio:,.3g} times the bound" if np.isfinite(ratio) else "more than any bound"
