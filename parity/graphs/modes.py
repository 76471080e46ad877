"""The modes that the two models were handed over in, and ran in."""

from __future__ import annotations

from twinzoo.parity.graphs.pairs import Paired
from twinzoo.parity.graphs.run import Run
from twinzoo.parity.results import Finding

_CAUSES = {"batch_norm": "norm-mode", "dropout": "dropout"}
"""The kinds that do something else in training mode, and what is the matter where the sides do not agree."""

_NAMED = 4
"""Of so many modules at most the names are told."""


def mode_notes(paired: Paired) -> list[str]:
    """A line where one model as a whole was handed over in another mode than the other, or kept parts in eval mode."""
    modes = [_mode(run) for run in (paired.a, paired.b)]
    notes = [
        f"side {label} rounds float32 products to {run.products}, and is judged by that"
        for label, run in zip("ab", (paired.a, paired.b), strict=True)
        if run.products
    ]
    notes += [
        f"side {label} ran with {_listed(run.frozen_modules)} in eval mode, as it was handed over"
        for label, run in zip("ab", (paired.a, paired.b), strict=True)
        if run.frozen_modules
    ]
    if modes[0] == modes[1] or "mixed" in modes:
        return notes
    ran = _words(paired.a.how.train)
    return [*notes, f"side a was handed over in {modes[0]} mode, side b in {modes[1]} mode; both ran in {ran} mode"]


def _mode(run: Run) -> str:
    flags = set(run.training.values())
    return "mixed" if len(flags) > 1 else _words(True in flags)


def _listed(paths: list[str]) -> str:
    """The first paths, without those of modules inside others that are named."""
    outer = [path for path in paths if not any(path.startswith(f"{other}.") for other in paths)]
    return ", ".join(outer[:_NAMED]) + (f" and {len(outer) - _NAMED} more" if len(outer) > _NAMED else "")


def _words(training: bool) -> str:
    return "training" if training else "eval"


def flag_findings(paired: Paired) -> list[tuple[int, Finding]]:
    """Layers whose modes differ where no call of train() or eval() on a whole model explains it.

    In training mode those that they ran in, else those that they were handed over in: a model that was handed over in
    eval mode does not say what it freezes when it trains.
    """
    train = paired.a.how.train
    whole = paired.a.training.get(""), paired.b.training.get("")
    if not train and whole[0] != whole[1]:
        return []
    pairs = []
    for position in paired.alignment.pairs:
        ours, theirs = paired.operations(position)
        if theirs is not None and ours.kind == theirs.kind and ours.kind in _CAUSES:
            flags = paired.a.training.get(ours.name), paired.b.training.get(theirs.name)
            if train and None not in flags:
                flags = ours.name not in paired.a.frozen_modules, theirs.name not in paired.b.frozen_modules
            if None not in flags:
                pairs.append((position, flags))
    if len({flags for _, flags in pairs}) < 2:
        return []
    return [(position, _finding(paired, position, flags[0])) for position, flags in pairs if flags[0] != flags[1]]


def _finding(paired: Paired, position: int, ours: bool | None) -> Finding:
    kind = paired.operations(position)[0].kind
    words = (_words(bool(ours)), _words(not ours))
    evidence = f"it was handed over in {words[0]} mode on side a and in {words[1]} mode on side b, unlike other layers"
    return Finding(paired.name(position), _CAUSES[kind], evidence, f"put it in {words[0]} mode on side b")
