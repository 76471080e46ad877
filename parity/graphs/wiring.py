"""Why an operation that is right on what it was given was given something else than side a's counterpart was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from twinzoo.converters.graph import Graph, Operation
from twinzoo.parity.graphs.causes import of_lone
from twinzoo.parity.graphs.pairs import Paired
from twinzoo.parity.results import Finding

SYMMETRIC = frozenset({"add", "mul", "maximum"})
"""Kinds to which the order of operands makes no difference."""


@dataclass
class Wiring:
    """What was found before an operation.

    Attributes:
        findings: empty where another operation has shown the same already.
        pads: whether it is padding by itself, that on the other side may be an attribute.
    """

    findings: list[Finding] = field(default_factory=list)
    pads: bool = False


def wiring(paired: Paired, position: int, numbers: str) -> Wiring:
    """The operations before a place that only one side has, or else the operands that come from elsewhere.

    Args:
        numbers: the evidence that side b's operation is right on what it was given.
    """
    a, b = paired.a.graph, paired.b.graph
    extra = list(_lone(b, paired.alignment.pairs[position], set(paired.alignment.only_b)))
    missing = list(_lone(a, position, set(paired.alignment.only_a)))
    if not extra and not missing:
        return Wiring([_rewired(paired, position, numbers)])
    told = paired.told
    new = [("b", i) for i in extra if ("b", i) not in told] + [("a", i) for i in missing if ("a", i) not in told]
    told.update(new)
    lone = [(b if side == "b" else a).operations[i] for side, i in new]
    found = Wiring(
        pads=any(b.operations[i].kind == "pad2d" for i in extra)
        or any(a.operations[i].kind == "pad2d" for i in missing)
    )
    for side, otherwise in (("b", "extra-op"), ("a", "missing-op")):
        mine = [operation for operation, (home, _) in zip(lone, new, strict=True) if home == side]
        if mine:
            found.findings.append(_of_lone(paired.name(position), mine, side, otherwise, numbers))
    if found.findings and _crossed(paired, position):
        other = b.operations[paired.alignment.pairs[position]].name
        fix = f"give {other} its operands in the order of {a.operations[position].name}"
        found.findings.append(Finding(paired.name(position), "operand-order", f"in another order, {numbers}", fix))
    return found


def _crossed(paired: Paired, position: int) -> bool:
    """Whether the operands, without the operations that only one side has, come in another order."""
    a, b, pairs = paired.a.graph, paired.b.graph, paired.alignment.pairs
    if a.operations[position].kind in SYMMETRIC:
        return False
    back = {theirs: ours for ours, theirs in pairs.items()}
    ours = [_behind(a, p, paired.alignment.only_a) for p, _ in a.operations[position].operands]
    theirs = [back.get(_behind(b, p, paired.alignment.only_b)) for p, _ in b.operations[pairs[position]].operands]
    return ours != theirs and Counter(ours) == Counter(theirs)


def _behind(graph: Graph, position: int, alone: Collection[int]) -> int:
    """The last operation before the ones of one side alone, along their first operands."""
    while position in alone and graph.operations[position].operands:
        position = graph.operations[position].operands[0][0]
    return position


def _lone(graph: Graph, position: int, alone: Collection[int]) -> Iterator[int]:
    """The operations of one side alone that lead into a position."""
    pending = [p for p, _ in graph.operations[position].operands]
    seen: set[int] = set()
    while pending:
        operand = pending.pop()
        if operand in alone and operand not in seen:
            seen.add(operand)
            yield operand
            pending += [p for p, _ in graph.operations[operand].operands]


def _of_lone(layer: str, operations: list[Operation], side: str, otherwise: str, numbers: str) -> Finding:
    names = ", ".join(_shown(operation) for operation in operations)
    evidence = f"on what side b really gave it, {numbers}: before it only side {side} has {names}"
    fix = f"remove {names} from side b" if side == "b" else f"add {names} to side b"
    return Finding(layer, of_lone(operations, otherwise), evidence, fix)


def _shown(operation: Operation) -> str:
    numbers = ", ".join(f"{name}={value}" for name, value in operation.attrs.items())
    return f"{operation.name} ({operation.kind}{': ' + numbers if numbers else ''})"


def _rewired(paired: Paired, position: int, numbers: str) -> Finding:
    """An operand from another place; a function of the right one in its stead is what a change in place looks like."""
    a, b = paired.a.graph, paired.b.graph
    back = {theirs: ours for ours, theirs in paired.alignment.pairs.items()}
    ours, theirs = a.operations[position], b.operations[paired.alignment.pairs[position]]
    for (right, _), (other, _) in zip(ours.operands, theirs.operands, strict=False):
        taken = back.get(other)
        if taken is None or taken == right:
            continue
        wrong, name = b.operations[other], a.operations[right].name
        evidence = f"on the output of {wrong.name} ({wrong.kind}) {numbers}; side a gives it that of {name}"
        changed, origin = (taken, right) if taken > right else (right, taken)
        if origin in [p for p, _ in a.operations[changed].operands]:
            side = "b" if changed == taken else "a"
            evidence += f": on side {side} {a.operations[changed].name} seems to change what it is given in place"
            fix = f"write {wrong.name} without inplace (inplace=False, or no `_` in its name), or keep a copy"
            return Finding(paired.name(position), "inplace", evidence, fix)
        return Finding(paired.name(position), "operand-order", evidence, f"give {theirs.name} the output of {name}")
    evidence = f"on what side b really gave it, {numbers}: side b does something before it that was not seen"
    return Finding(paired.name(position), "missing-op", evidence, f"look at what side b does before {theirs.name}")
