"""What is registered as a list: what it is for, how large it is, where it comes from; and as a Markdown page."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from twinzoo.zoo import registry
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.spec.show import flops, parameter_count

_TITLES = {"model": "Models", "loss": "Losses", "step": "Training steps"}
_PAGE = """\
# The zoo

Every model, loss and training step with its presets (`name.preset`), at its default options. Not written by hand:
`twinzoo check --all --markdown docs/zoo.md` measures everything and writes this page. `twinzoo models` takes a pattern
of names, `--task` and `--family`; `twinzoo show NAME` prints one of them layer by layer.

A family is a file of the zoo; `any` is what serves every task. A multiply-add counts as two FLOPs, and those of a
training step are of its forward runs, each for one image of the size given, the first input's by default. Parameters
are the scalars that can be trained, in a loss or step those of the networks that it calls.

{about}
"""


class Measured(NamedTuple):
    """Columns of the page that were measured, as they are shown.

    Attributes:
        about: a paragraph on what they mean, and on what and when they were measured.
        columns: their headings.
        cells: one for each column, by the name of a model, loss, training step or preset.
    """

    about: str
    columns: tuple[str, ...]
    cells: Mapping[str, tuple[str, ...]]


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
        SpecError: nothing has that task or family, or a name without a wildcard; near ones are suggested.
    """
    if not set("*?[") & set(pattern):
        registry.any_entry(pattern)
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
        listed = f"must be one of {', '.join(sorted(known))}"
        raise SpecError(f"{what} {given!r}: {registry.near(given, known) or listed}")


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


def markdown(measured: Measured) -> str:
    """The page of what twinzoo itself brings; plug-ins are not in it."""
    own = [_row(name, entry) for name, entry in _entries("*") if entry.draw.__module__.startswith("twinzoo.zoo.")]
    by_kind = ((title, [row for row in own if row.kind == kind]) for kind, title in _TITLES.items())
    sections = (_section(title, listed, measured) for title, listed in by_kind)
    return _PAGE.format(about=measured.about) + "".join(sections)


def _section(title: str, listed: Iterable[Row], measured: Measured) -> str:
    name, _, *rest = HEAD
    lines = [
        (name, *rest, *measured.columns),
        ("---", "---", "---", "--:", "--:", *["---"] * (2 + len(measured.columns))),
    ]
    for row in listed:
        name, _, *rest = cells(row)
        lines.append((f"`{name}`", *rest, *measured.cells[name]))
    return f"\n## {title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
