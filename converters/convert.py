"""Any checkpoint or model into any other: read, match, refuse what is open, fill, write, look again."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from twinzoo.converters.agreement import Agreement, agreement
from twinzoo.converters.live import live
from twinzoo.converters.matching.find import Finder
from twinzoo.converters.matching.table import read_table, write_table
from twinzoo.converters.matching.tensors import Match
from twinzoo.converters.output import write_output
from twinzoo.converters.progress import Progress, silent
from twinzoo.converters.result import Conversion
from twinzoo.converters.sides import Side, source_side, target_side
from twinzoo.converters.state import state_of
from twinzoo.zoo.errors import ConversionError


def convert(
    source: Any,
    target: Any = None,
    output: str | PathLike[str] | None = None,
    *,
    source_model: Any = None,
    inputs: Any = None,
    allow: tuple[str, ...] = (),
    naming: str | None = None,
    select: str = "",
    table: str | PathLike[str] | None = None,
    progress: Progress = silent,
) -> Conversion:
    """Carry the weights of `source` over to `target`, all of them or none.

    Args:
        source: a checkpoint's path, a mapping of arrays, or a live nn.Module or nn.Cell.
        target: a spec or the name of a model, a live nn.Module or nn.Cell (it is filled), a checkpoint's path used as a
            template, or None to keep the source's keys.
        output: where to write the result; the suffix picks the format (.pth .safetensors .ckpt .npz). A spec is written
            under MindSpore's names in a .ckpt and under PyTorch's elsewhere.
        source_model: the network that the checkpoint belongs to, as a live model, a spec or a model's name: its layers
            are then matched by what surrounds them, not by their names or order.
        inputs: what live models are run on to see the flow of data: arrays by argument, or in order. Without it the
            smallest that the model accepts is looked for.
        allow: patterns of keys (`classifier.*`) that may be missing from the source or unused by the target.
        naming: for a spec, the published naming to write `output` in.
        select: of several networks in one file, the one to convert (`generator`, `params_ema`).
        table: the mapping as a file of lines `source <tab> target`. What it decides is decided; where there is no such
            file it is written, also when the conversion is refused, to be corrected by hand.
        progress: shows how far the writing is.

    Returns:
        The pairs, leftovers and arrays by target key (spec names, where the target is a spec).

    Raises:
        ConversionError: something is missing, unused or ambiguous; nothing is filled or written then.
        CheckpointError: a file cannot be read or written.
    """
    if isinstance(allow, str):
        raise ConversionError(f"allow={allow!r}: must be a sequence of patterns")
    ours = source_side(source, source_model, select)
    theirs = target_side(target, ours)
    if naming is not None and (theirs.spec is None or theirs.model is not None or output is None):
        raise ConversionError(f"naming={naming!r}: only for a spec that is written to an output")
    result = _matched(ours, theirs, tuple(allow), inputs, Path(table) if table is not None else None)
    if theirs.model is not None:
        live(theirs.model).assign(theirs.model, result.state)
        result = replace(result, agreement=_agreement(ours, theirs, inputs))
    if output is not None:
        write_output(Path(output), result, ours, theirs, naming, progress)
    return result


def _matched(source: Side, target: Side, allow: tuple[str, ...], inputs: Any, table: Path | None) -> Conversion:
    """The conversion, refused unless complete but for what `allow` allows."""
    given = read_table(table, source.layers, target.layers) if table is not None and table.exists() else None
    finder = Finder(source, target, allow, inputs, given)
    found = finder.find()
    if table is not None and given is None:
        write_table(table, found, source.layers, target.layers)
    result = Conversion(
        source=source.title,
        target=target.title,
        naming=found.naming,
        pairs=found.pairs,
        missing=found.missing,
        unused=found.unused,
        ambiguous=found.ambiguous,
        symmetric=found.symmetric,
        dropped=found.dropped | dict(source.left_out),
        changes=_changes(found, source, target),
        misfits=found.misfits,
        differences=[] if found.complete() else finder.differences(),
        allowed=allow,
        state=state_of(found.values, source, target.dtypes),
    )
    result.raise_unless_complete(*found.open(allow))
    for key, number in found.constants.items():
        if not np.all(source.arrays[key] == number):
            raise ConversionError(f"{key}: the target has no place for it, and it is not {number:g} everywhere")
    return result


def _changes(found: Match, source: Side, target: Side) -> dict[str, str]:
    """What is done to the values of a target key, in words, where anything is."""
    changes = {}
    for key, value in found.values.items():
        have = {source.dtypes[name] for name in value.sources} - {target.dtypes[key]}
        casts = [f"{dtype} -> {target.dtypes[key]}" for dtype in sorted(have, key=str)]
        changes[key] = ", ".join(filter(None, [value.words, *casts]))
    return {target: words for target, words in changes.items() if words}


def _agreement(source: Side, target: Side, inputs: Any) -> Agreement | None:
    """Whether both models compute the same now, where the source is live too."""
    if source.model is None:
        return None
    return agreement(source.model, source.state_for_model(), target.model, inputs)
