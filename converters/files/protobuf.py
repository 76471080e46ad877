"""The protobuf wire format: keys, varints and length-delimited fields, over bytes that may be a memory map."""

import mmap
from collections.abc import Iterator

VARINT = 0
BYTES = 2
_FIXED = {1: 8, 5: 4}  # bytes of the wire types with a fixed size
_MAX_VARINT = 10


def fields(data: bytes | mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, and span of the content, of every field of the message in `data[start:end]`.

    Raises ValueError, naming the offset, where a field is damaged or reaches beyond the message.
    """
    position = start
    while position < end:
        begin = position
        tag, position = varint(data, position, end)
        number, kind = tag >> 3, tag & 7
        if kind == BYTES:
            size, position = varint(data, position, end)
        elif kind == VARINT:
            size = varint(data, position, end)[1] - position
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise ValueError(f"no field begins at offset {begin}")
        if number == 0 or size > end - position:
            raise ValueError(f"the field at offset {begin} needs {size} bytes, but {end - position} are left")
        yield number, kind, position, position + size
        position += size


def varint(data: bytes | mmap.mmap, start: int, end: int) -> tuple[int, int]:
    """The number at an offset, and the offset behind it."""
    value = 0
    for index in range(min(_MAX_VARINT, end - start)):
        byte = data[start + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, start + index + 1
    raise ValueError(f"no number at offset {start}")


def varints(data: bytes | mmap.mmap, start: int, end: int) -> list[int]:
    """The numbers of a packed field."""
    values = []
    while start < end:
        value, start = varint(data, start, end)
        values.append(value)
    return values


def encoded(value: int) -> bytes:
    """A number as a varint."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def key(number: int, kind: int) -> bytes:
    return encoded(number << 3 | kind)


def announce(number: int, size: int) -> bytes:
    """What comes before `size` bytes of a length-delimited field."""
    return key(number, BYTES) + encoded(size)
