"""Dropouts that dropped nothing in these runs: in training mode they would, and by the same share on both sides."""

from __future__ import annotations

from twinzoo.converters.live import Idle
from twinzoo.parity.graphs.causes import same_number
from twinzoo.parity.graphs.pairs import Paired
from twinzoo.parity.graphs.words import written
from twinzoo.parity.results import Finding

Pair = tuple[Idle, Idle]


def idle_findings(paired: Paired) -> list[tuple[int, Finding]]:
    """The pairs of idle dropouts that would not drop alike, by the position behind which side a's comes."""
    return [
        (ours.after, _finding(paired, ours, theirs))
        for ours, theirs in _matched(paired)[0]
        if _word(ours) != _word(theirs) or not same_number(ours.p, theirs.p)
    ]


def idle_notes(paired: Paired) -> list[str]:
    """A line for each side with idle dropouts that the other has not: a model for inference may do without."""
    notes = []
    for label, alone in zip("ab", _matched(paired)[1:], strict=True):
        names = [f"{dropout.name} (p {dropout.p:g})" for dropout in alone if dropout.p]
        if names:
            notes.append(f"only side {label} has dropout at {', '.join(names)}, which eval mode does not show")
    return notes


def _matched(paired: Paired) -> tuple[list[Pair], list[Idle], list[Idle]]:
    """Pairs, and what is left of each side: first those behind a pair of operations, then, where equally many are left
    (an activation and a dropout may stand either way round), the others in their order."""
    ours, theirs, pairs = list(paired.a.idle), list(paired.b.idle), list[Pair]()
    for dropout in paired.a.idle:
        place = paired.alignment.pairs.get(dropout.after)
        beside = next((other for other in theirs if place is not None and other.after == place), None)
        if beside is not None:
            pairs.append((dropout, beside))
            ours.remove(dropout)
            theirs.remove(beside)
    if len(ours) == len(theirs):
        return pairs + list(zip(ours, theirs, strict=True)), [], []
    return pairs, ours, theirs


def _word(dropout: Idle) -> str:
    return dropout.kind.rpartition(".")[2]


def _finding(paired: Paired, ours: Idle, theirs: Idle) -> Finding:
    name = ours.name if ours.name == theirs.name else f"{ours.name} ~ {theirs.name}"
    evidence = (
        f"{_word(theirs)} with p {theirs.p:g} on side b, which eval mode does not show; side a has {_word(ours)} with "
        f"p {ours.p:g}"
    )
    fix = f"drop as side a does: {written(paired.b.info.port, _word(ours), 'p', ours.p)}"
    return Finding(name, "dropout", evidence, fix, (ours.source, theirs.source))
