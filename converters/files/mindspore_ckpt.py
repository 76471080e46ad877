"""MindSpore's .ckpt without MindSpore: a protobuf message `Checkpoint`, read and written field by field.

    Checkpoint  { repeated Value value = 1; }
    Value       { string tag = 1; TensorProto tensor = 2; MapTensorProto maptensor = 3; }
    TensorProto { repeated int64 dims = 1; string tensor_type = 2; bytes tensor_content = 3; }

Values with the same tag in a row are slices of one tensor. A scalar has no dims, or the one dim 0. A value of type
`str` is UTF-32 text and becomes metadata. With `crc_check` the file ends in `crc_num` and a ten-byte CRC-32. The format
has no room for metadata that mindspore.load_param_into_net would accept, so the writer drops it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import ml_dtypes
import numpy as np

from twinzoo.converters.files import protobuf
from twinzoo.converters.files.checkpoint import Checkpoint
from twinzoo.converters.files.entries import Array, DType, Entry, entry, printable, quoted
from twinzoo.converters.files.payloads import Run, entries_of, named, payload
from twinzoo.converters.files.protobuf import BYTES, VARINT
from twinzoo.converters.files.source import Source, Span
from twinzoo.zoo.errors import CheckpointError

NAME = "mindspore"
SLICE = 512 * 2**20  # bytes of a tensor in one value, as MindSpore cuts them
_CRC_MARK = b"crc_num"
_CRC_SIZE = len(_CRC_MARK) + 10
_MAX_TEXT = 4096
_DTYPES: Mapping[str, DType] = {
    "Bool": np.dtype(np.bool_),
    "Int8": np.dtype(np.int8),
    "Int16": np.dtype(np.int16),
    "Int32": np.dtype(np.int32),
    "Int64": np.dtype(np.int64),
    "UInt8": np.dtype(np.uint8),
    "UInt16": np.dtype(np.uint16),
    "UInt32": np.dtype(np.uint32),
    "UInt64": np.dtype(np.uint64),
    "Float16": np.dtype(np.float16),
    "Float32": np.dtype(np.float32),
    "Float64": np.dtype(np.float64),
    "BFloat16": np.dtype(ml_dtypes.bfloat16),
}
_READABLE: Mapping[str, DType] = {  # MindSpore 2.10 saves complex tensors, and cannot load them again
    **_DTYPES,
    "Complex64": np.dtype(np.complex64),
    "Complex128": np.dtype(np.complex128),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


@dataclass
class _Value:
    """One tensor or text: what its first slice says, and where the content of each slice is."""

    dims: tuple[int, ...]
    kind: str
    slices: list[Span] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(end - start for start, end in self.slices)


def sniff(head: bytes, path: Path) -> bool:
    """A Value field that begins with a tag and goes on with a tensor."""
    try:
        if head[:1] != protobuf.key(1, BYTES):
            return False
        _, position = protobuf.varint(head, 1, len(head))
        if head[position : position + 1] != protobuf.key(1, BYTES):
            return False
        length, position = protobuf.varint(head, position + 1, len(head))
        head[position : position + length].decode(errors="strict" if position + length < len(head) else "ignore")
        following = head[position + length : position + length + 1]
        return following in (protobuf.key(2, BYTES), protobuf.key(3, BYTES), b"")
    except ValueError:
        return False


def read(path: Path) -> Checkpoint:
    source = Source(path)
    values = _values(source, _end(source))
    entries: dict[str, Entry] = {}
    metadata: dict[str, str] = {}
    for tag, value in values.items():
        if value.kind == "str":
            metadata[tag] = _text(source, tag, value)
        else:
            entries[tag] = _entry(source, tag, value)

    def load(name: str) -> Array:
        item, slices = entries[name], values[name].slices
        if len(slices) == 1:
            return source.array(slices[0][0], item.shape, item.dtype)
        return source.copy(slices, item.shape, item.dtype)

    def pieces(name: str) -> Iterator[bytes] | None:
        size, slices = entries[name].dtype.itemsize, values[name].slices
        whole = all((end - start) % size == 0 for start, end in slices)
        return source.pieces(slices) if whole else None

    return Checkpoint(path, NAME, entries, load, metadata, source.release, pieces=pieces)


def _end(source: Source) -> int:
    """Where the message ends; compares the checksum behind it where there is one."""
    end = source.size - _CRC_SIZE
    if end < 0 or source.data[end : end + len(_CRC_MARK)] != _CRC_MARK:
        return source.size
    if source.crc32(0, end) != int.from_bytes(source.data[end + len(_CRC_MARK) :], "big"):
        raise source.error(f"the {end} bytes before offset {end} do not have the checksum that follows them")
    return end


def _values(source: Source, end: int) -> dict[str, _Value]:
    values: dict[str, _Value] = {}
    last = None
    try:
        for number, kind, start, stop in protobuf.fields(source.data, 0, end):
            if number != 1 or kind != BYTES:
                raise ValueError(f"field {number} at offset {start}, where a parameter should be")
            tag, value = _value(source, start, stop)
            if tag in values and tag != last:
                raise ValueError(f"parameter {quoted(tag)} comes a second time at offset {start}")
            known = values.setdefault(tag, value)
            if (known.dims, known.kind) != (value.dims, value.kind):
                raise ValueError(f"the slices of parameter {quoted(tag)} disagree at offset {start}")
            if known is not value:
                known.slices += value.slices
            last = tag
    except ValueError as error:
        raise source.error(f"not a MindSpore checkpoint as expected: {error}") from error
    return values


def _value(source: Source, start: int, stop: int) -> tuple[str, _Value]:
    tag = tensor = None
    for number, kind, begin, end in protobuf.fields(source.data, start, stop):
        if (number, kind) == (1, BYTES):
            tag = source.data[begin : min(end, begin + _MAX_TEXT)].decode()
        elif (number, kind) == (2, BYTES):
            tensor = _tensor(source, begin, end)
        elif (number, kind) == (3, BYTES):
            raise source.error(
                f"parameter {quoted(tag or '?')} at offset {begin} is a hash table (MapParameter), expected a tensor",
                "export it as a tensor and save again",
            )
    if tag is None or tensor is None:
        raise ValueError(f"a parameter without name or tensor at offset {start}")
    return tag, tensor


def _tensor(source: Source, start: int, stop: int) -> _Value:
    dims: list[int] = []
    name = None
    content = None
    for number, kind, begin, end in protobuf.fields(source.data, start, stop):
        if (number, kind) == (1, VARINT):
            dims.append(protobuf.varint(source.data, begin, end)[0])
        elif (number, kind) == (1, BYTES):
            dims += protobuf.varints(source.data, begin, end)
        elif (number, kind) == (2, BYTES):
            name = printable(source.data[begin : min(end, begin + _MAX_TEXT)].decode())
        elif (number, kind) == (3, BYTES):
            content = (begin, end)
    if name is None or content is None:
        raise ValueError(f"a tensor without type or content at offset {start}")
    return _Value(tuple(dims), name, [content])


def _entry(source: Source, tag: str, value: _Value) -> Entry:
    dtype = _READABLE.get(value.kind)
    if dtype is None:
        raise source.error(
            f"parameter {quoted(tag)} is of type {quoted(value.kind)}, expected one of {' '.join(_DTYPES)}",
            "cast it to one of these before saving",
        )
    scalar = value.dims == (0,) and value.size == dtype.itemsize
    result = entry(source.path, tag, () if scalar else value.dims, dtype)
    if value.size != result.nbytes:
        raise source.error(
            f"parameter {quoted(tag)} at offset {value.slices[0][0]} has {value.size} bytes, expected {result.nbytes}"
        )
    return result


def _text(source: Source, tag: str, value: _Value) -> str:
    content = b"".join(source.data[start : min(end, start + 4 * _MAX_TEXT)] for start, end in value.slices[:1])
    try:
        return content.decode("utf-32-le")
    except UnicodeDecodeError as error:
        raise source.error(f"the text {quoted(tag)} at offset {value.slices[0][0]} is no UTF-32") from error


def write(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Metadata is dropped: see above."""
    entries = entries_of(tensors)
    for name, item in entries.items():
        named(_NAMES, name, item.dtype, "MindSpore")
        if item.shape == (0,):
            raise CheckpointError(
                f"tensor {quoted(name)} of shape (0,) would load as a scalar in MindSpore: leave it out"
            )
    with path.open("r+b") as stream:
        for name, item in entries.items():
            for part in _parts(tensors, name, item):
                stream.write(part)


def _parts(tensors: Mapping[str, Array], name: str, item: Entry) -> Iterator[bytes]:
    """The messages of one tensor, each slice of it behind the field headers that announce it."""
    tag = protobuf.announce(1, len(name.encode())) + name.encode()
    dims = b"".join(protobuf.key(1, VARINT) + protobuf.encoded(size) for size in item.shape)
    kind = _NAMES[item.dtype].encode()
    content = Run(payload(tensors, name, item))
    for start in range(0, max(item.nbytes, 1), SLICE):
        size = min(SLICE, item.nbytes - start)
        inner = dims + protobuf.announce(2, len(kind)) + kind + protobuf.announce(3, size)
        tensor = protobuf.announce(2, len(inner) + size)
        yield protobuf.announce(1, len(tag) + len(tensor) + len(inner) + size) + tag + tensor + inner
        yield from content.take(size)
    assert content.ended(), "payload gives what was announced"
