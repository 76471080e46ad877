"""The safetensors format: a length, a JSON header of names, types, shapes and offsets, then the tensors in a row."""

import json
import struct
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import ml_dtypes
import numpy as np

from twinzoo.converters.files.checkpoint import Checkpoint
from twinzoo.converters.files.entries import Array, DType, Entry, entry, quoted
from twinzoo.converters.files.payloads import entries_of, named, payload
from twinzoo.converters.files.provenance import Notes
from twinzoo.converters.files.source import Source
from twinzoo.zoo.errors import CheckpointError

NAME = "safetensors"
_METADATA = "__metadata__"
_MAX_HEADER = 100_000_000  # the format's own limit
_PACKED = "Int4"
_ALIGNMENT = 8
_LENGTH = struct.Struct("<Q")
_DTYPES: Mapping[str, DType] = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "U16": np.dtype(np.uint16),
    "I16": np.dtype(np.int16),
    "U32": np.dtype(np.uint32),
    "I32": np.dtype(np.int32),
    "U64": np.dtype(np.uint64),
    "I64": np.dtype(np.int64),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
    "C64": np.dtype(np.complex64),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "F8_E4M3FNUZ": np.dtype(ml_dtypes.float8_e4m3fnuz),
    "F8_E5M2FNUZ": np.dtype(ml_dtypes.float8_e5m2fnuz),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def sniff(head: bytes, path: Path) -> bool:
    return head[_LENGTH.size : _LENGTH.size + 1] == b"{"


def read(path: Path) -> Checkpoint:
    source = Source(path)
    start, header = _header(source)
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise source.error(f"{_METADATA} in the header at offset {_LENGTH.size} holds other than strings by name")
    entries: dict[str, Entry] = {}
    offsets: dict[str, int] = {}
    spans: list[tuple[int, int, str]] = []
    for name, fields in header.items():
        entries[name], begin, end = _tensor(source, name, fields)
        offsets[name] = start + begin
        spans.append((begin, end, name))
    _check_spans(source, start, spans)
    _refuse_packed(source, entries, metadata)

    def load(name: str) -> Array:
        return source.array(offsets[name], entries[name].shape, entries[name].dtype)

    def pieces(name: str) -> Iterator[bytes]:
        return source.pieces([(offsets[name], offsets[name] + entries[name].nbytes)])

    return Checkpoint(path, NAME, entries, load, metadata, source.release, pieces=pieces)


def _header(source: Source) -> tuple[int, dict[str, object]]:
    """The offset of the first tensor, and the header."""
    if source.size < _LENGTH.size:
        raise source.error(f"ends at {source.size}, within the length of the header")
    (length,) = _LENGTH.unpack_from(source.data)
    start = _LENGTH.size + length
    if length > _MAX_HEADER or start > source.size:
        limit = min(_MAX_HEADER, source.size - _LENGTH.size)
        raise source.error(f"the header at offset {_LENGTH.size} claims {length} bytes, expected at most {limit}")
    try:
        header = json.loads(source.data[_LENGTH.size : start].decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError, MemoryError) as error:
        raise source.error(f"the header at offset {_LENGTH.size} is no valid JSON ({str(error)[:100]!r})") from error
    if not isinstance(header, dict):
        raise source.error(f"the header at offset {_LENGTH.size} is no JSON object")
    return start, header


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"duplicate key {twice[:60]}")
    return result


def _tensor(source: Source, name: str, fields: object) -> tuple[Entry, int, int]:
    """The entry, first and last offset that a header field gives, checked against each other."""
    if not isinstance(fields, dict) or set(fields) != {"dtype", "shape", "data_offsets"}:
        raise source.error(f"the header gives tensor {quoted(name)} other fields than dtype, shape and data_offsets")
    dtype, shape, span = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise source.error(
            f"tensor {quoted(name)} is of type {quoted(str(dtype))}, expected one of {' '.join(_DTYPES)}",
            "convert it to one of these before saving",
        )
    if not _numbers(shape) or not _numbers(span) or len(span) != 2:
        raise source.error(f"the shape or data_offsets of tensor {quoted(name)} are no lists of non-negative numbers")
    result = entry(source.path, name, tuple(shape), _DTYPES[dtype])
    begin, end = span
    if end - begin != result.nbytes:
        raise source.error(
            f"tensor {quoted(name)} is given data_offsets {begin} to {end}, its shape needs {result.nbytes} bytes"
        )
    return result, begin, end


def _refuse_packed(source: Source, entries: Mapping[str, Entry], metadata: Mapping[str, str]) -> None:
    """MindSpore keeps two 4-bit numbers in each byte of an Int4 tensor, and says so in the metadata alone."""
    packed = next((name for name in entries if metadata.get(name) == _PACKED), None)
    if packed is not None:
        raise source.error(f"tensor {quoted(packed)} is of MindSpore's type {_PACKED}", "dequantize it before saving")


def _numbers(value: object) -> bool:
    return isinstance(value, list) and all(type(number) is int and 0 <= number < 2**62 for number in value)


def _check_spans(source: Source, start: int, spans: list[tuple[int, int, str]]) -> None:
    """The tensors must fill the rest of the file, without a gap and without sharing a byte."""
    position = 0
    for begin, end, name in sorted(spans):
        if begin != position:
            kind = "overlaps the one before it" if begin < position else "leaves a gap before it"
            raise source.error(
                f"tensor {quoted(name)} begins at offset {start + begin}, expected {start + position}: it {kind}"
            )
        position = end
    if start + position != source.size:
        raise source.error(f"the header describes a file of {start + position} bytes, but it has {source.size}")


def write(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Header and data have one order, without which MindSpore refuses the file."""
    entries = entries_of(tensors)
    if _METADATA in entries:
        raise CheckpointError(f"a safetensors file cannot hold a tensor called {_METADATA}: rename it")
    order = _aligned(entries)
    fields = _fields(entries, order)
    with path.open("r+b") as stream:
        stream.write(_encoded(fields, metadata.blank() if isinstance(metadata, Notes) else metadata))
        for name in order:
            for part in payload(tensors, name, entries[name]):
                stream.write(part)
        if isinstance(metadata, Notes):
            stream.seek(0)
            stream.write(_encoded(fields, metadata))


def _aligned(entries: Mapping[str, Entry]) -> list[str]:
    """The names in their order, but that a tensor waits until it would begin at a multiple of its element size.

    The format has no gaps, and torch cannot use a tensor that begins elsewhere. Where some would wait for ever, wide
    elements come first.
    """
    order: list[str] = []
    position = 0
    waiting: dict[int, deque[tuple[int, str]]] = {}  # by element size: place in the given order, name
    for place, (name, item) in enumerate(entries.items()):
        waiting.setdefault(item.dtype.itemsize, deque()).append((place, name))
        while ready := [size for size, names in waiting.items() if names and position % size == 0]:
            size = min(ready, key=lambda size: waiting[size][0])
            order.append(waiting[size].popleft()[1])
            position += entries[order[-1]].nbytes
    return order if len(order) == len(entries) else sorted(entries, key=lambda name: -entries[name].dtype.itemsize)


def _fields(entries: Mapping[str, Entry], order: Iterable[str]) -> dict[str, object]:
    """What the header says of each tensor, with the data in the given order."""
    spans: dict[str, list[int]] = {}
    position = 0
    for name in order:
        spans[name] = [position, position + entries[name].nbytes]
        position = spans[name][1]
    return {
        name: {
            "dtype": named(_NAMES, name, entries[name].dtype, NAME),
            "shape": list(entries[name].shape),
            "data_offsets": span,
        }
        for name, span in spans.items()
    }


def _encoded(fields: Mapping[str, object], metadata: Mapping[str, str]) -> bytes:
    """The header behind its length; as long for any metadata of the same lengths."""
    header = {_METADATA: dict(metadata), **fields} if metadata else fields
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return _LENGTH.pack(len(text)) + text
