"""Holding two checkpoints against each other: the same tensors, in whatever form a conversion can put them."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from twinzoo.converters import files
from twinzoo.converters.files import Checkpoint, Entry, Lazy, Tensors, made
from twinzoo.converters.inspect.deviation import deviation
from twinzoo.converters.inspect.difference import Difference, Summary, TensorDifference
from twinzoo.converters.inspect.pairing import Paired, paired
from twinzoo.converters.progress import Advance, Progress, silent
from twinzoo.converters.sides import Side, file_side
from twinzoo.zoo.errors import ConversionError

STREAMED = 2**20
"""Bytes from which on a tensor that is kept as it is passes through memory in pieces."""


def diff(
    a: str | PathLike[str],
    b: str | PathLike[str],
    *,
    select: str = "",
    stats: bool = True,
    progress: Progress = silent,
) -> Difference:
    """Compare two checkpoints without a framework.

    Args:
        select: of several networks in a file, the one to compare; the other file may hold it alone.
        stats: False compares names, shapes and types alone.
        progress: shows how far the reading is.

    Raises:
        CheckpointError: a file cannot be read, or neither has a network of that name.
    """
    first, second = _sides(Path(a), Path(b), select)
    found = paired(first, second, contents=stats)
    total = 2 * sum(_checkpoint(second).entries[pair.key].nbytes for pair in found.pairs)
    with progress("comparing", total) as advance:
        tensors = [_compared(pair, first, second, advance if stats else None) for pair in found.pairs]
    return Difference(
        a=_summary(a, first),
        b=_summary(b, second),
        tensors=[*tensors, *(_misfit(key, first, second) for key in found.misfits)],
        only_a=found.unused,
        only_b=found.missing,
        ties=found.ties,
        excused_a=found.excused[0],
        excused_b=found.excused[1],
        structure=[f"a as source of b: {line}" for line in found.differences],
        values=stats,
    )


def _sides(a: Path, b: Path, select: str) -> tuple[Side, Side]:
    """Both files, or the selected network of each that has several."""
    if not select:
        return file_side(a), file_side(b)
    names = [select if any(key.startswith(f"{select}.") for key in files.read(path)) else "" for path in (a, b)]
    return file_side(a, names[0] if any(names) else select), file_side(b, names[1])


def _checkpoint(side: Side) -> Checkpoint:
    assert isinstance(side.arrays, Checkpoint), "the side of a file"
    return side.arrays


def _summary(path: str | PathLike[str], side: Side) -> Summary:
    checkpoint = _checkpoint(side)
    sizes = [checkpoint.entries[key].nbytes for key in side.dtypes if key not in side.aliases]
    return Summary(str(path), checkpoint.format, len(side.dtypes), sum(sizes))


def _compared(pair: Paired, a: Side, b: Side, advance: Advance | None) -> TensorDifference:
    """A pair, with the distance of its values where `advance` is given."""
    source, target = _checkpoint(a), _checkpoint(b)
    theirs = target.entries[pair.key]
    ours = source.entries[pair.value.sources[0]] if pair.value.sources else theirs
    away, problem = None, ""
    if advance is not None:
        try:
            tensors, key = _source_form(pair, source, ours, theirs)
            away = deviation(tensors, target, key, pair.key, advance)
        except ConversionError as error:
            problem = str(error)
    return TensorDifference(
        a=pair.value.sources,
        b=pair.key,
        how=pair.how,
        change=pair.value.words,
        dtypes=(str(ours.dtype), str(theirs.dtype)),
        shapes=(ours.shape, theirs.shape),
        deviation=away,
        problem=problem,
    )


def _source_form(pair: Paired, source: Checkpoint, ours: Entry, theirs: Entry) -> tuple[Tensors, str]:
    """The source's tensor in the target's form, and its key there.

    Raises:
        ConversionError: its values do not allow that form.
    """
    value = pair.value
    if not value.words and ours.nbytes >= STREAMED:
        return source, value.sources[0]
    array = value.make(source)
    dtype = array.dtype if value.exact else theirs.dtype
    array = array.astype(dtype, copy=False)
    return Lazy({pair.key: made(Entry(array.shape, dtype), lambda: array)}, source.release), pair.key


def _misfit(key: str, a: Side, b: Side) -> TensorDifference:
    ours, theirs = (_checkpoint(side).entries[key] for side in (a, b))
    dtypes, shapes = (str(ours.dtype), str(theirs.dtype)), (ours.shape, theirs.shape)
    return TensorDifference((key,), key, "name", "", dtypes, shapes, fits=False)
