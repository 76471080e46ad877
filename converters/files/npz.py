"""NumPy's .npz: a zip file of .npy arrays. Types that NumPy does not know are named in an extra member."""

import ast
import itertools
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twinzoo.converters.files import zips
from twinzoo.converters.files.checkpoint import Checkpoint
from twinzoo.converters.files.entries import Array, DType, Entry, entry, quoted
from twinzoo.converters.files.payloads import SMALL_FLOATS, entries_of, named, payload
from twinzoo.converters.files.source import Order, Source
from twinzoo.zoo.errors import CheckpointError

NAME = "npz"
_MEMBER = "__metadata__"  # JSON: {"metadata": {name: text}, "types": {tensor: type}}; numpy.load gives its bytes
_SUFFIX = ".npy"
_MAGIC = b"\x93NUMPY"
_LENGTHS = {1: struct.Struct("<H"), 2: struct.Struct("<I"), 3: struct.Struct("<I")}  # of the header, by major version
_MAX_HEADER = 10_000
_ALIGNMENT = 64
_CODES = "?bBhHiIlLqQefdFD"
_PLAIN = frozenset(np.dtype(code).str[1:] for code in _CODES)
_NAMES: Mapping[DType, str] = {
    **{np.dtype(code): np.dtype(code).str for code in _CODES},
    **{dtype: f"|V{dtype.itemsize}" for dtype in SMALL_FLOATS.values()},
}


@dataclass(frozen=True)
class _Array:
    member: zips.Member
    start: int  # of the elements, in the unpacked member
    strides: tuple[int, ...]
    in_order: bool  # whether the elements lie in C order
    swapped: bool


def sniff(head: bytes, path: Path) -> bool:
    name = zips.first_name(head)
    return name.endswith(_SUFFIX) or name == _MEMBER


def read(path: Path) -> Checkpoint:
    source = Source(path)
    archive = zips.Archive(source)
    metadata, types = _extras(archive)
    entries: dict[str, Entry] = {}
    arrays: dict[str, _Array] = {}
    for member in archive.members.values():
        if member.name == _MEMBER:
            continue
        if not member.name.endswith(_SUFFIX):
            raise source.error(f"zip member {quoted(member.name)} is no {_SUFFIX} array", "take it out of the archive")
        name = member.name.removesuffix(_SUFFIX)
        entries[name], arrays[name] = _array(archive, member, name, types.get(name))

    def load(name: str) -> Array:
        return _load(archive, entries[name], arrays[name])

    def pieces(name: str) -> Iterator[bytes] | None:
        array = arrays[name]
        plain = array.member.stored and array.in_order and not array.swapped
        return archive.pieces(array.member, array.start, array.member.size) if plain else None

    return Checkpoint(path, NAME, entries, load, metadata, source.release, pieces=pieces)


def _extras(archive: zips.Archive) -> tuple[dict[str, str], dict[str, str]]:
    """The metadata, and the types that NumPy has no name for."""
    if _MEMBER not in archive.members:
        return {}, {}
    try:
        content = json.loads(archive.unpack(archive.members[_MEMBER]))
        metadata, types = content["metadata"], content["types"]
        texts = [*metadata.values(), *types.values()]
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise archive.source.error(f"zip member {_MEMBER!r} is damaged") from error
    if not all(isinstance(text, str) for text in texts):
        raise archive.source.error(f"zip member {_MEMBER!r} holds other than strings by name")
    return metadata, types


def _array(archive: zips.Archive, member: zips.Member, name: str, kind: str | None) -> tuple[Entry, _Array]:
    source = archive.source
    start, descr, fortran, shape = _header(archive, member)
    stored = _dtype(source, name, descr, kind)
    result = entry(source.path, name, shape, stored.newbyteorder("=") if kind is None else stored)
    if start + result.nbytes != member.size:
        raise source.error(
            f"array {quoted(name)} has {member.size - start} bytes, expected {result.nbytes} for its shape"
        )
    strides = []
    step = stored.itemsize
    for size in shape if fortran else reversed(shape):
        strides.append(step)
        step *= size
    in_order = not fortran or len(shape) < 2
    return result, _Array(
        member, start, tuple(strides if fortran else reversed(strides)), in_order, descr.startswith(">")
    )


def _header(archive: zips.Archive, member: zips.Member) -> tuple[int, str, bool, tuple[int, ...]]:
    """Where the elements begin in a .npy member, their type, whether they are in Fortran order, and the shape."""
    source, name = archive.source, quoted(member.name)
    limit = len(_MAGIC) + 2 + 4 + _MAX_HEADER
    content = archive.unpack(member, limit)
    length = _LENGTHS.get(content[6]) if content.startswith(_MAGIC) and len(content) > 12 else None
    if length is None:
        raise source.error(f"zip member {name} at offset {member.offset} is no {_SUFFIX} array")
    begin = len(_MAGIC) + 2 + length.size
    (size,) = length.unpack_from(content, begin - length.size)
    if size > _MAX_HEADER or begin + size > len(content):
        raise source.error(f"the header of {name} at offset {member.offset} claims {size} bytes, more than there are")
    try:
        fields = ast.literal_eval(content[begin : begin + size].decode("latin-1").strip())
        descr, fortran, shape = fields["descr"], fields["fortran_order"], fields["shape"]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise source.error(f"the header of {name} at offset {member.offset} is damaged") from error
    if not isinstance(shape, tuple) or not all(type(axis) is int and 0 <= axis < 2**62 for axis in shape):
        raise source.error(f"the header of {name} at offset {member.offset} has no valid shape")
    return begin + size, str(descr), bool(fortran), shape


def _dtype(source: Source, name: str, descr: str, kind: str | None) -> DType:
    """The element type: plain numbers, or the one that the extra member names."""
    if kind is not None:
        if kind not in SMALL_FLOATS or not descr.endswith(f"V{SMALL_FLOATS[kind].itemsize}"):
            raise source.error(f"array {quoted(name)} of type {quoted(descr)} cannot be {quoted(kind)}")
        return SMALL_FLOATS[kind]
    plain = descr[1:] in _PLAIN and descr[:1] in ("<", ">", "|", "=")
    if not plain:
        objects = ", Python objects, which only run as code" if descr[1:].startswith("O") else ""
        raise source.error(
            f"array {quoted(name)} is of type {quoted(descr)}{objects}, expected plain numbers",
            "save it as an array of numbers",
        )
    return np.dtype(descr)


def _load(archive: zips.Archive, item: Entry, array: _Array) -> Array:
    member = array.member
    if member.stored:
        archive.check(member)
        order: Order = "big" if array.swapped else "little"
        return archive.source.array(member.offset + array.start, item.shape, item.dtype, array.strides, order)
    content = archive.unpack(member)
    kind = item.dtype.newbyteorder(">") if array.swapped else item.dtype
    found: Array = np.ndarray(item.shape, kind, content, array.start, array.strides)
    return found.astype(item.dtype) if array.swapped or not found.flags.aligned else found


def write(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    entries = entries_of(tensors)
    if _MEMBER in entries:
        raise CheckpointError(f"an npz file cannot hold a tensor called {_MEMBER}: rename it")
    headers = {name: _npy_header(name, item) for name, item in entries.items()}
    types = {name: str(item.dtype) for name, item in entries.items() if str(item.dtype) in SMALL_FLOATS}
    with zips.Writer(path) as archive:
        for name, item in entries.items():
            size = len(headers[name]) + item.nbytes
            archive.add(name + _SUFFIX, size, itertools.chain([headers[name]], payload(tensors, name, item)))
        if metadata or types:
            content = json.dumps({"metadata": dict(metadata), "types": types}).encode()
            archive.add(_MEMBER, len(content), [content])


def _npy_header(name: str, item: Entry) -> bytes:
    """Version 1.0, padded so that the elements begin at a multiple of the alignment."""
    descr = named(_NAMES, name, item.dtype, NAME)
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {item.shape!r}, }}"
    length = _LENGTHS[1]
    begin = len(_MAGIC) + 2 + length.size
    text += " " * (-(begin + len(text) + 1) % _ALIGNMENT) + "\n"
    return _MAGIC + b"\x01\x00" + length.pack(len(text)) + text.encode()
