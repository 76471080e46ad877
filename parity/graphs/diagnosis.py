"""Why a pair of operations differs: side a's operation is replayed in float64 under each hypothesis about side b's.

The hypothesis that reproduces what side b gave, within rounding, is the cause; that the operation as it stands on side
a misses it, and by how much, is the other half of the evidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from twinzoo.converters.graph import Operation
from twinzoo.parity.graphs.causes import LOSSES, differing, of_attribute, of_kinds, silent
from twinzoo.parity.graphs.fingerprint import fingerprint, of_fingerprint
from twinzoo.parity.graphs.hypotheses import Hypothesis, as_it_stands, hypotheses, needed, shorter_type
from twinzoo.parity.graphs.pairs import Paired
from twinzoo.parity.graphs.run import Array
from twinzoo.parity.graphs.wiring import wiring
from twinzoo.parity.graphs.words import called, written
from twinzoo.parity.measure import distances, largest_finite
from twinzoo.parity.results import Finding

NEAR = 1e-5
"""Inputs that differ by at most this share of the largest of them are the same, for what cannot be computed here."""


@dataclass(frozen=True)
class _Place:
    """An operation, its counterpart and what that gave."""

    paired: Paired
    position: int
    ours: Operation
    theirs: Operation
    output: Array

    @property
    def name(self) -> str:
        return self.paired.name(self.position)

    @property
    def port(self) -> str:
        return self.paired.b.info.port

    def finding(self, cause: str, evidence: str, fix: str) -> Finding:
        return Finding(self.name, cause, evidence, fix)


def diagnose(paired: Paired, position: int, framework: str) -> list[Finding]:
    """The findings at an operation where a side is not where float64 is.

    None where side b makes of what it has what side a's operation makes of it: then the fault is before it.
    """
    ours, theirs = paired.operations(position)
    other = paired.alignment.pairs.get(position)
    if theirs is None or other is None or other not in paired.b.values:
        paired.told.add(("a", position))
        fix = f"add {ours.name} ({ours.kind}) to the {framework} side"
        return [Finding(paired.name(position), "missing-op", f"only side a has {ours.name} ({ours.kind})", fix)]
    place = _Place(paired, position, ours, theirs, paired.b.values[other])
    plain = as_it_stands(paired, position)
    ratio = plain.ratio(place.output, paired.b.port)
    if ratio <= 1:
        return _of_side_a(place)
    for tried in hypotheses(paired, position):
        if tried.ratio(place.output, paired.b.port) <= 1:
            return list(_explained(place, needed(tried, plain.alone, place.output, paired.b.port), ratio))
    if plain.alone.output(plain.given) is None:
        return _not_computed(place)
    shorter = shorter_type(plain, place.output, paired.b.port)
    if shorter:
        return [place.finding("dtype", f"{shorter}; as float32 it misses by {_times(ratio)}", "compute it in float32")]
    return [_unexplained(place, plain, ratio)]


def _explained(place: _Place, found: Hypothesis, ratio: float) -> Iterator[Finding]:
    """A finding for each thing in which the hypothesis is not side a's operation; silent attributes too."""
    close = found.ratio(place.output, place.paired.b.port)
    numbers = f"float64 reproduces side b to {close:.2g} of the bound; as side a has it, it misses by {_times(ratio)}"
    lone = wiring(place.paired, place.position, numbers) if found.really else None
    absorbed = lone is not None and lone.pads and "padding" in found.attrs
    for finding in lone.findings if lone else ():
        words = written(place.port, place.ours.kind, "padding", place.ours.attrs["padding"]) if absorbed else ""
        yield replace(finding, fix=f"{finding.fix}, and use {words}") if absorbed else finding
    if found.order:
        text = ", ".join(str(i + 1) for i in found.order)
        fix = f"give {place.theirs.name} its operands in the order of {place.ours.name}"
        yield place.finding("operand-order", f"with the operands in the order {text} {numbers}", fix)
    if found.kind:
        evidence = f"with {place.theirs.kind} in the place of {place.ours.kind} {numbers}"
        fix = f"replace {place.theirs.name} ({place.theirs.kind}) by {called(place.port, place.ours.kind)}"
        yield place.finding(of_kinds(place.ours.kind, place.theirs.kind), evidence, fix)
        return
    for name, values in differing(place.ours, place.theirs).items():
        if name in found.attrs and not (absorbed and name == "padding"):
            yield _attribute(place, name, values, f"with {name} {values[1]} {numbers}")
        elif name not in found.attrs and silent(name):
            yield _attribute(place, name, values, f"{name} is {values[0]} on side a and {values[1]} on side b")


def _attribute(place: _Place, name: str, values: tuple[object, object], evidence: str) -> Finding:
    ours, theirs = values
    text = f"{evidence}; side a has {name} {ours}"
    words = written(place.port, place.ours.kind, name, ours)
    fix = f"set {name} of {place.theirs.name} to {ours}, as {place.ours.name} has it: {words}"
    return place.finding(of_attribute(place.ours.kind, name), text, fix)


def silent_findings(paired: Paired, position: int) -> list[Finding]:
    """The attributes that differ where the outputs agree all the same."""
    ours, theirs = paired.operations(position)
    other = paired.alignment.pairs.get(position)
    if theirs is None or other is None or ours.kind != theirs.kind or other not in paired.b.values:
        return []
    place = _Place(paired, position, ours, theirs, paired.b.values[other])
    return [
        _attribute(place, name, values, f"{name} is {values[1]} on side b, which these inputs in eval mode do not show")
        for name, values in differing(ours, theirs).items()
        if silent(name)
    ]


def diagnose_output(paired: Paired, position: int) -> list[Finding]:
    """Why the models return different things at the place of an `output` operation, though their layers agree.

    Empty where no operation that only one side has, and no operand from elsewhere, explains it.
    """
    ours, theirs = paired.operations(position)
    if theirs is None or paired.a.graph.operations[position].operands == ():
        return []
    back = {other: mine for mine, other in paired.alignment.pairs.items()}
    (mine, out), (other, _) = ours.operands[0], theirs.operands[0]
    return [] if out or back.get(other) == mine else wiring(paired, position, "its layers agree").findings


def _of_side_a(place: _Place) -> list[Finding]:
    """What is wrong with side a itself, where side b is right."""
    paired, position = place.paired, place.position
    have = paired.a.values[position]
    if have.dtype != place.output.dtype:
        evidence = f"side a computes in {have.dtype}, side b in {place.output.dtype}"
        return [place.finding("dtype", evidence, "run both sides in one element type")]
    judged = paired.alone_on_a(position).judged(have, paired.given_to_a(position), paired.a.port)
    if judged is None or judged.ratio <= 1:
        return []
    evidence = f"side a is not where float64 is: it misses by {_times(judged.ratio)}; side b is right"
    return [place.finding("unexplained", evidence, f"look at how side a computes {place.ours.name}")]


def _not_computed(place: _Place) -> list[Finding]:
    """What float64 cannot follow: attributes that differ, constants that differ, else what the difference looks like.

    None where side b was given something else than side a: the fault is before it then, as far as can be seen.
    """
    paired, position = place.paired, place.position
    apart = differing(place.ours, place.theirs) if place.ours.kind == place.theirs.kind else {}
    if apart:
        words = "it cannot be computed here, and differs from side a; side b has"
        return [_attribute(place, name, values, f"{words} {name} {values[1]}") for name, values in apart.items()]
    given = zip(paired.given(position), paired.given_to_a(position), strict=False)
    right = paired.a.values[position]
    if not all(_near(x, y) for x, y in given) or _constants(place.output, right):
        return []
    shown = fingerprint(place.output, right)
    if not place.ours.operands and _is_label(paired, position):
        fix = f"give the loss the labels of side a (the constant {place.ours.name or position})"
        return [place.finding("label", f"the labels are not those of side a: {shown}", fix)]
    evidence = f"it cannot be computed here; held against side a's, {shown}"
    kinds = [operation.kind.rpartition(".")[2] for operation in (place.ours, place.theirs)]
    if kinds[0] != kinds[1]:
        fix = f"replace {place.theirs.name} ({place.theirs.kind}) by {called(place.port, place.ours.kind)}"
        return [place.finding(of_kinds(*kinds), evidence, fix)]
    return [_from(place, evidence, shown)]


def _near(x: Array, y: Array) -> bool:
    """Whether two values are close enough for what is made of them to be held against each other."""
    if x.shape != y.shape:
        return False
    return float(distances(x, y).max(initial=0.0)) <= NEAR * largest_finite(y)


def _constants(x: Array, y: Array) -> bool:
    """Whether they are one number everywhere, and the same; the shape then follows from what it is used with."""
    return x.size > 0 and y.size > 0 and bool((x == x.flat[0]).all() and (y == x.flat[0]).all())


def _is_label(paired: Paired, position: int) -> bool:
    """Whether a loss uses it as its second operand."""
    uses = (op for op in paired.a.graph.operations if op.kind.rpartition(".")[2] in LOSSES)
    return any(position in [p for p, _ in op.operands[1:]] for op in uses)


def _unexplained(place: _Place, plain: Hypothesis, ratio: float) -> Finding:
    wanted = plain.alone.output(plain.given)
    assert wanted is not None
    shown = fingerprint(place.output, wanted)
    return _from(place, f"no hypothesis reproduces side b, which misses by {_times(ratio)}; {shown}", shown)


def _from(place: _Place, evidence: str, shown: str) -> Finding:
    """What a fingerprint alone says."""
    fix = f"the fault is in {place.theirs.name}, not before it: compare it with {place.ours.name}"
    return place.finding(of_fingerprint(shown), evidence, fix)


_EXACT = 1e12
"""Above this ratio nothing but underflow was allowed."""


def _times(ratio: float) -> str:
    return f"{ratio:,.3g} times the bound" if ratio < _EXACT else "more than any rounding"
