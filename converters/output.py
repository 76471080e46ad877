"""The file that a conversion writes: a framework's keys and layouts or a published naming, and where it came from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.converters import files
from twinzoo.converters.files import Checkpoint, Deferred, Digest, Entry, Lazy, Tensors, carried, made
from twinzoo.converters.live import live
from twinzoo.converters.progress import Progress
from twinzoo.converters.result import Conversion
from twinzoo.converters.sides import Side
from twinzoo.converters.targets import file_keys, layer_of
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.vocabulary import native_extras, parameter_ops, to_native

Array = NDArray[Any]


def write_output(
    path: Path, result: Conversion, source: Side, target: Side, naming: str | None, progress: Progress
) -> None:
    """Write the result of a conversion.

    Raises:
        CheckpointError: the file cannot be written.
        ConversionError: a value cannot be made.
    """
    state = _state(path, result, target, naming)
    with progress("writing", 2 * sum(entry.nbytes for entry in state.entries.values())) as advance:
        files.write(path, _Watched(state, advance), _provenance(result, source))


def _state(path: Path, result: Conversion, target: Side, naming: str | None) -> Tensors:
    if target.model is not None:
        arrays = live(target.model).arrays_of(target.model)
        return Lazy({key: carried(arrays, key) for key in arrays})
    assert isinstance(result.state, Tensors)
    return result.state if target.spec is None else _native(result.state, target.spec, path, naming)


def _native(state: Tensors, spec: Spec, path: Path, naming: str | None) -> Lazy:
    """A spec's state under MindSpore's names for a .ckpt, under PyTorch's with its counters elsewhere."""
    port = "mindspore" if path.suffix == ".ckpt" else "torch"
    ops, extras = parameter_ops(spec), native_extras(spec, port)
    filled = {layer_of(name) for name in state}
    items: dict[str, Deferred] = {}
    for name, key in file_keys(spec, port, naming).items():
        if name in state:
            entry = state.entries[name]
            shape = to_native(port, *ops[name], np.broadcast_to(np.float32(0), entry.shape)).shape
            items[key] = carried(state, name, shape)
        elif name in extras and layer_of(name) in filled:
            items[key] = _constant(extras[name])
    return Lazy(items)


def _constant(value: Array) -> Deferred:
    return made(Entry(value.shape, value.dtype), lambda: value)


def _provenance(result: Conversion, source: Side) -> dict[str, str | Digest]:
    """What the metadata of a format that has any says: where each tensor came from."""
    from twinzoo import __version__

    notes: dict[str, str | Digest] = {
        "twinzoo.version": __version__,
        "twinzoo.source": result.source,
        "twinzoo.target": result.target,
        "twinzoo.mapping": json.dumps({pair.target: pair.source for pair in result.pairs}),
    }
    if isinstance(source.arrays, Checkpoint):
        notes["twinzoo.source_sha256"] = Digest(source.arrays.files)
    return notes


class _Watched(Tensors):
    """Tensors that tell how many of their bytes were read."""

    def __init__(self, tensors: Tensors, advance: Callable[[int], None]) -> None:
        self.entries: Mapping[str, Entry] = tensors.entries
        self._tensors, self._advance = tensors, advance

    def __getitem__(self, key: str) -> Array:
        return self._tensors[key]

    def pieces(self, name: str) -> Iterator[bytes]:
        for piece in self._tensors.pieces(name):
            self._advance(len(piece))
            yield piece
