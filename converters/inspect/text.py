"""An inspection as text for a terminal or a pipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from textwrap import shorten

from twinzoo.converters.inspect.report import Inspection, LayerReport, Suspicion, TensorReport, pooled
from twinzoo.converters.inspect.statistics import Statistics
from twinzoo.converters.inspect.tables import clean, counted, fitted, number_text, size_text, wrapped
from twinzoo.converters.inspect.tree import Row, rows, tree_of

EVIDENCE = 4
"""Lines that a rule gets where not everything is asked for."""

_NOTE = 100
"""Characters of a note in the metadata that are shown; JSON has all."""

_NUMBERS = ("min", "max", "mean", "std", "zeros", "NaN", "Inf")
_SPARE = (("zeros",), ("mean",), ("NaN", "Inf"), ("std",), ("min", "max"), ("bytes",))
_WIDE = 110
"""Columns that a terminal needs for the names of rules beside the tree; a narrower one gets a mark."""


def text_of(found: Inspection, *, width: int | None = None, keys: bool = False, every: bool = False) -> str:
    """The inspection as lines without a trailing newline.

    Args:
        width: of the terminal, None for any.
        keys: a flat table of all tensors instead of the tree.
        every: the tree without lines that stand for several blocks, and each suspicion in full.
    """
    lines = wrapped(clean(_head(found)), width)
    lines += ["", *(_keys_table(found, width) if keys else _tree_table(found, width, every)), ""]
    kinds = Counter(layer.kind.name for layer in found.layers)
    summary = ["layers: " + (", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "none")]
    if found.groups:
        summary.append(f"networks: {', '.join(found.groups)} (--select NAME looks at one of them)")
    summary.append("fits: " + (", ".join(found.fits) or "no model of the zoo at its default options"))
    summary += [f"metadata: {key} = {shorten(value, _NOTE)}" for key, value in found.metadata.items()]
    tied = [f"{tensor.key} = {tensor.alias_of}" for tensor in found.tensors if tensor.alias_of]
    summary += [f"tied: {', '.join(tied)}"] if tied else []
    for line in [*summary, *_suspicions(found, every)]:
        lines += wrapped(clean(line), width)
    return "\n".join(lines)


def _head(found: Inspection) -> str:
    parameters = sum(layer.parameters for layer in found.layers)
    nbytes = sum(layer.nbytes for layer in found.layers)
    types = ", ".join(found.dtypes)
    count = counted(len(found.tensors), "tensor")
    return f"{found.path}: {found.format}, {count}, {parameters:,} parameters, {size_text(nbytes)}, {types}"


def _tree_table(found: Inspection, width: int | None, every: bool) -> list[str]:
    marks: dict[str, list[str]] = {}
    for suspicion in found.suspicions:
        if not suspicion.note:
            marks.setdefault(suspicion.key, []).append(suspicion.rule)
    for key in chain.from_iterable(found.duplicates):
        marks.setdefault(key, []).append("identical")
    table: list[tuple[str, ...]] = [("layer", "kind", "parameters", "bytes", *_NUMBERS, "suspicious")]
    table += [_tree_row(row, marks) for row in rows(tree_of(found.layers), every=every)]
    if width is not None and width < _WIDE:
        table = [(*row[:-1], "!" if row[-1] else "") for row in table]
    return fitted(table, ("parameters", "bytes", *_NUMBERS), _SPARE, width)


def _tree_row(row: Row, marks: dict[str, list[str]]) -> tuple[str, ...]:
    inside = [layer for module in row.shown for layer in module.layers()]
    own = [module.layer for module in row.alike if module.layer]
    tied = f" = {own[0].main.alias_of}" if own and own[0].main.alias_of else ""
    kind = f"{len(row.shown)} x (identical structure)" if len(row.shown) > 1 else f"{own[0].kind}{tied}" if own else ""
    return (
        "  " * row.depth + clean(row.name),
        kind,
        f"{sum(layer.parameters for layer in inside):,}",
        size_text(sum(layer.nbytes for layer in inside)),
        *_numbers(pooled(layer.main for layer in own) if own else None),
        ", ".join(dict.fromkeys(mark for layer in own for mark in _marks(layer, marks))),
    )


def _marks(layer: LayerReport, marks: dict[str, list[str]]) -> Iterator[str]:
    for key in (layer.name, *(t.key for t in layer.tensors.values() if t.key != layer.name)):
        yield from marks.get(key, ())


def _keys_table(found: Inspection, width: int | None) -> list[str]:
    table: list[tuple[str, ...]] = [("key", "layer kind", "shape", "dtype", *_NUMBERS)]
    table += [_key_row(tensor) for tensor in found.tensors]
    spare = (("zeros",), ("layer kind",), *_SPARE[1:], ("dtype",))
    return fitted(table, _NUMBERS, spare, width, share=0.6)


def _key_row(tensor: TensorReport) -> tuple[str, ...]:
    return clean(tensor.key), tensor.kind, str(tensor.shape), str(tensor.dtype), *_numbers(tensor.statistics)


def _numbers(stats: Statistics | None) -> tuple[str, ...]:
    if stats is None:
        return ("",) * len(_NUMBERS)
    zeros = f"{stats.zeros / stats.size:.1%}" if stats.zeros else ""
    counts = (f"{count:,}" if count else "" for count in (stats.nan, stats.infinite))
    ranges = (number_text(value) for value in (stats.minimum, stats.maximum, stats.mean, stats.std))
    return (*ranges, zeros, *counts)


def _suspicions(found: Inspection, every: bool) -> Iterator[str]:
    """A line for each rule that applies once; else one that says what it means, and then the places."""
    rules: dict[str, list[Suspicion]] = {}
    for suspicion in found.suspicions:
        rules.setdefault(suspicion.rule, []).append(suspicion)
    for rule, places in rules.items():
        level = "note" if places[0].note else "warning"
        if len(places) == 1:
            yield f"{level}: {places[0]}"
            continue
        shown = places if every else places[:EVIDENCE]
        more = f" and {len(places) - len(shown)} more (--all)" if len(shown) < len(places) else ""
        if len({place.seen for place in places}) == 1:
            yield f"{level}: {rule} in {len(places)} places: {places[0].seen}: {places[0].effect}"
            yield "  " + ", ".join(place.key for place in shown) + more
            continue
        yield f"{level}: {rule} in {len(places)} places: {places[0].effect}"
        yield from (f"  {place.key}: {place.seen}" for place in shown)
        if more:
            yield f" {more}"
