"""The difference of two checkpoints as text for a terminal or a pipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from twinzoo.converters.inspect.difference import Difference, Summary, TensorDifference
from twinzoo.converters.inspect.tables import clean, counted, fitted, number_text, size_text, wrapped

EVIDENCE = 4
"""Lines about the structure where not everything is asked for."""

SHOWN = 20
"""Tensors and keys that are listed where not everything is asked for."""

_HEADER = ("tensor", "in the other", "shape", "what", "values", "max abs", "max rel", "ulp")
_NUMBERS = ("values", "max abs", "max rel", "ulp")
_SPARE = (("shape",), ("ulp",), ("in the other",), ("max rel",))


def diff_text(found: Difference, *, width: int | None = None, every: bool = False) -> str:
    """The difference as lines without a trailing newline; the last one is the verdict.

    Args:
        width: of the terminal, None for any.
        every: all tensors, those that are the same too, and all keys of one file alone.
    """
    lines = [f"a  {_summary(found.a)}", f"b  {_summary(found.b)}", _paired(found)]
    changes = Counter(tensor.change for tensor in found.tensors if tensor.change)
    lines += [f"stored in another form, which a conversion knows: {n} x {words}" for words, n in changes.items()]
    for side, excused in (("a", found.excused_a), ("b", found.excused_b)):
        lines += [f"only in {side}, and left out: {n} x {why}" for why, n in Counter(excused.values()).items()]
    lines = [part for line in lines for part in wrapped(clean(line), width)]
    shown = list(found.tensors) if every else [tensor for tensor in found.tensors if not tensor.same]
    if shown:
        lines += ["", *_table(shown, width, None if every else SHOWN)]
    rest = [*_only("a", found.only_a, every), *_only("b", found.only_b, every)]
    rest += [f"alike, not compared: {', '.join(t.sources)} ~ {', '.join(t.targets)}: {t.reason}" for t in found.ties]
    rest += found.structure if every else found.structure[:EVIDENCE]
    if not every and len(found.structure) > EVIDENCE:
        rest.append(f"and {len(found.structure) - EVIDENCE} more differences of structure (--all)")
    return "\n".join(
        [*lines, *([""] if rest or shown else []), *_wrapped(rest, width), *_wrapped([verdict(found)], width)]
    )


def _wrapped(lines: Sequence[str], width: int | None) -> list[str]:
    return [part for line in lines for part in wrapped(clean(line), width)]


def verdict(found: Difference) -> str:
    """One line: whether both are the same, else how much of what differs."""
    away = found.deviation
    looked = f"{away.size:,} values, bit for bit" if found.values else "names, shapes and types; values were not read"
    if found.same:
        return f"same: {counted(len(found.tensors), 'tensor')}, {looked}"
    words = []
    different = [tensor for tensor in found.tensors if not tensor.same]
    if different:
        words.append(f"{len(different)} of {counted(len(found.tensors), 'tensor')}")
    if away.differing:
        worst = max(found.tensors, key=lambda t: t.deviation.absolute if t.deviation else 0.0)
        by = f" by up to {number_text(away.absolute)} ({_name(worst)})" if away.absolute else ""
        words.append(f"{away.differing:,} of {away.size:,} values{by}")
    words += [f"{len(keys)} only in {side}" for side, keys in (("a", found.only_a), ("b", found.only_b)) if keys]
    tied = sum(len(tie.sources) for tie in found.ties)
    words += [f"{tied} layers that nothing tells apart"] if tied else []
    return f"differs: {', '.join(words)}"


def _summary(side: Summary) -> str:
    return f"{side.path}: {side.format}, {counted(side.tensors, 'tensor')}, {size_text(side.nbytes)}"


def _paired(found: Difference) -> str:
    how = ", ".join(f"{count} by {how}" for how, count in Counter(t.how for t in found.tensors).items())
    return f"paired: {how or 'none'}"


def _table(tensors: Sequence[TensorDifference], width: int | None, limit: int | None) -> list[str]:
    lines = fitted([_HEADER, *map(_row, tensors[:limit])], _NUMBERS, _SPARE, width)
    more = len(tensors) - len(tensors[:limit])
    return lines + ([f"and {more} more (--all)"] if more else [])


def _row(tensor: TensorDifference) -> tuple[str, ...]:
    (ours, theirs), (type_a, type_b), away = tensor.shapes, tensor.dtypes, tensor.deviation
    other = tensor.b if (tensor.b,) != tensor.a else ""
    what = [] if tensor.fits else [f"shape {ours} -> {theirs}"]
    what += [f"{type_a} -> {type_b}"] if type_a != type_b else []
    what += [tensor.problem] if tensor.problem else []
    what += ["values"] if away and away.differing and type_a == type_b else []
    what += [f"{away.undefined:,} NaN or infinite"] if away and away.undefined else []
    shape = str(theirs) if tensor.fits else ""
    head = (clean(_name(tensor)), clean(other), shape, clean(", ".join(what) or "same"))
    if away is None or not away.differing:
        return (*head, "", "", "", "")
    distances = (
        (number_text(away.absolute), number_text(away.relative)) if away.differing > away.undefined else ("", "")
    )
    return (*head, f"{away.differing:,} of {away.size:,}", *distances, f"{away.ulp:,}" if away.ulp is not None else "")


def _name(tensor: TensorDifference) -> str:
    return ", ".join(tensor.a) or "(made)"


def _only(side: str, keys: Sequence[str], every: bool) -> Iterator[str]:
    if keys:
        shown = keys if every else keys[:SHOWN]
        more = f" and {len(keys) - len(shown)} more (--all)" if len(shown) < len(keys) else ""
        yield f"only in {side} ({len(keys)}): {', '.join(shown)}{more}"
