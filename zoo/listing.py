"""What is registered as a list: what it is for, how large it is, where it comes from; and as a Markdown page."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable
from typing import NamedTuple

from twinzoo.zoo import registry
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.spec.show import flops, parameter_count

_TITLES = {"model": "Models", "loss": "Losses", "step": "Training steps"}
_PAGE = """\
# The zoo

Every model, loss and training step with its presets (`name.preset`), at its default options. Not written by hand:
`twinzoo models --markdown docs/zoo.md` writes this page from the registry. `twinzoo models` takes a pattern of names,
`--task` and `--family`; `twinzoo show NAME` prints one of them layer by layer.

A family is a file of the zoo; `any` is what serves every task. A multiply-add counts as two FLOPs, and those of a
training step are of its forward runs, each for one image of the size given, the first input's by default. Parameters
are the scalars that can be trained, in a loss or step those of the networks that it calls.
"""


class Row(NamedTuple):
    """One model, loss, training step or preset.

    Attributes:
        kind: `model`, `loss` or `step`.
        task, family: of its Entry.
        parameters: trained scalars, those of called networks too.
        flops: of one forward run at the default sizes, a multiply-add counted as two.
        size: of the first input by default, without batch and channels: `256x256`.
        source: the paper.
    """

    name: str
    kind: str
    task: str
    family: str
    parameters: int
    flops: int
    size: str
    source: str


HEAD = ("name", "kind", "task", "family", "parameters", "FLOPs", "at", "source")


def rows(pattern: str = "*", task: str = "", family: str = "") -> list[Row]:
    """What a shell pattern fits: models, losses, then steps, sorted by name in each; of one task or family if given.

    Raises:
        SpecError: nothing has that task or family; near ones are suggested.
    """
    everything = _entries("*")
    _check("task", task, {entry.task for _, entry in everything})
    _check("family", family, {entry.family for _, entry in everything})
    return [
        _row(name, entry)
        for name, entry in _entries(pattern)
        if task in ("", entry.task) and family in ("", entry.family)
    ]


def _entries(pattern: str) -> list[tuple[str, registry.Entry]]:
    tables = (registry.MODELS, registry.LOSSES, registry.STEPS)
    return [(name, table[name.partition(".")[0]]) for table in tables for name in registry.matching(table, pattern)]


def _check(what: str, given: str, known: set[str]) -> None:
    if given and given not in known:
        near = difflib.get_close_matches(given, known, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else f"must be one of {', '.join(sorted(known))}"
        raise SpecError(f"{what} {given!r}: {hint}")


def _row(name: str, entry: registry.Entry) -> Row:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is listed is not used: a model that warns does so where it is
        drawn = registry.training_step(name) if entry.kind == "step" else registry.spec(name)
    first = next(iter(drawn.inputs.values())).value
    sizes = zip(drawn.concrete(first)[1:], first.shape[1:], strict=True)
    size = "x".join(str(number) for number, declared in sizes if not isinstance(declared, int))
    return Row(name, entry.kind, entry.task, entry.family, parameter_count(drawn), flops(drawn), size, entry.paper)


def cells(row: Row) -> tuple[str, ...]:
    """A row as it is shown, in the order of HEAD: thousands marked, FLOPs to three digits."""
    return (*row[:4], f"{row.parameters:,}", f"{row.flops:.3g}", row.size, row.source)


def markdown() -> str:
    """The page of what twinzoo itself brings; plug-ins are not in it."""
    own = [_row(name, entry) for name, entry in _entries("*") if entry.draw.__module__.startswith("twinzoo.zoo.")]
    sections = (_section(title, [row for row in own if row.kind == kind]) for kind, title in _TITLES.items())
    return _PAGE + "".join(sections)


def _section(title: str, listed: Iterable[Row]) -> str:
    name, _, *rest = HEAD
    table: list[tuple[str, ...]] = [(name, *rest), ("---", "---", "---", "--:", "--:", "---", "---")]
    for row in listed:
        name, _, *rest = cells(row)
        table.append((f"`{name}`", *rest))
    return f"\n## {title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in table)
