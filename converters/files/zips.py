"""The directory of a zip file that is not trusted, and the writer of zip files whose members can be mapped.

A member is usable where it is: stored without compression, inside the file, and overlapping no other.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from twinzoo.converters.files.checkpoint import CHUNK
from twinzoo.converters.files.entries import printable, quoted
from twinzoo.converters.files.source import Source

MAGIC = b"PK\x03\x04"
ALIGNMENT = 64
_LOCAL = struct.Struct("<4s5H3I2H")
_ZIP64_EXTRA = 20  # bytes that zipfile adds to a local header for a member that may be large
_PADDING_ID = 0x7A74  # of the extra field that moves a member's content to an aligned offset
_LARGE = 2**31 - 1
_ENCRYPTED = 0x1
_UTF8 = 0x800
_END = b"PK\x05\x06"
_END_64 = b"PK\x06\x06"
_BAD_ZIP = (zipfile.BadZipFile, OSError, ValueError, OverflowError, NotImplementedError, struct.error, MemoryError)
_MAX_DEFLATE = 1032  # deflate never packs tighter than this


@dataclass(frozen=True)
class Member:
    name: str
    offset: int  # of its content
    size: int
    packed: int  # bytes it takes up in the file
    crc: int
    stored: bool


class Archive:
    """The members of a zip file by name, in directory order."""

    def __init__(self, source: Source) -> None:
        self.source = source
        try:
            with zipfile.ZipFile(source.path) as archive:
                infos = archive.infolist()
        except _BAD_ZIP as error:
            raise source.error(
                f"the zip directory at its end is missing or damaged ({printable(str(error))})",
                "the file was cut short or changed: fetch or save it again",
            ) from error
        self._check_count(len(infos))
        self.members: dict[str, Member] = {}
        for info in infos:
            if info.filename in self.members:
                raise source.error(f"two zip members are called {quoted(info.filename)}, expected one")
            self.members[info.filename] = self._member(info)
        self._refuse_overlaps(infos)
        self._checked: set[str] = set()
        self._has_crc = any(member.crc for member in self.members.values())  # torch can be told to leave them out

    def _check_count(self, found: int) -> None:
        """zipfile takes as many members as it comes across; the record at the end says how many there should be."""
        data = self.source.data
        end = data.rfind(_END)
        count = int.from_bytes(data[end + 10 : end + 12], "little")
        if count == 0xFFFF:  # too many for 16 bits: the longer record before it has the number
            end = data.rfind(_END_64, 0, end)
            count = int.from_bytes(data[end + 32 : end + 40], "little")
        if count != found:
            raise self.source.error(
                f"the zip directory has {found} members, but the record at offset {end} says {count}"
            )

    def _member(self, info: zipfile.ZipInfo) -> Member:
        source, name = self.source, quoted(info.filename)
        if info.flag_bits & _ENCRYPTED:
            raise source.error(f"zip member {name} is encrypted", "decrypt the archive first")
        header = source.data[info.header_offset : info.header_offset + _LOCAL.size] if info.header_offset >= 0 else b""
        if len(header) < _LOCAL.size or not header.startswith(MAGIC):
            raise source.error(f"no zip member at offset {info.header_offset}, where the directory has {name}")
        length, extra = _LOCAL.unpack(header)[-2:]
        start = info.header_offset + _LOCAL.size
        encoding = "utf-8" if info.flag_bits & _UTF8 else "cp437"
        if source.data[start : start + length] != info.orig_filename.encode(encoding, "replace"):
            raise source.error(f"the zip member at offset {info.header_offset} is not {name}, as the directory says")
        offset = start + length + extra
        if offset + info.compress_size > source.size:
            raise source.error(
                f"zip member {name} at offset {offset} needs {info.compress_size} bytes, "
                f"but the file ends at {source.size}"
            )
        stored = info.compress_type == zipfile.ZIP_STORED
        if stored and info.compress_size != info.file_size:
            raise source.error(f"zip member {name} is not compressed, but has two sizes")
        if not stored and info.compress_type != zipfile.ZIP_DEFLATED:
            raise source.error(f"zip member {name} is compressed in an unusual way", "save it without compression")
        if not stored and info.file_size > _MAX_DEFLATE * (info.compress_size + 1):
            raise source.error(f"zip member {name} claims to unpack {info.compress_size} bytes to {info.file_size}")
        return Member(info.filename, offset, info.file_size, info.compress_size, info.CRC, stored)

    def _refuse_overlaps(self, infos: Iterable[zipfile.ZipInfo]) -> None:
        end, before = 0, ""
        for info in sorted(infos, key=lambda info: info.header_offset):
            member = self.members[info.filename]
            if info.header_offset < end:
                raise self.source.error(f"zip members {quoted(before)} and {quoted(member.name)} overlap")
            end, before = member.offset + member.packed, member.name

    def check(self, member: Member) -> None:
        """Compare a stored member's content with its checksum, once."""
        if member.name in self._checked or not self._has_crc:
            return
        if self.source.crc32(member.offset, member.offset + member.size) != member.crc:
            raise self._bad_checksum(member)
        self._checked.add(member.name)

    def pieces(self, member: Member, start: int, end: int) -> Iterator[bytes]:
        """The bytes from one offset to another of a stored member's content; its checksum is compared as they pass."""
        where = [(member.offset + start, member.offset + end)]
        if start > CHUNK or end != member.size or member.name in self._checked or not self._has_crc:
            self.check(member)
            yield from self.source.pieces(where)
            return
        crc = zlib.crc32(self.source.data[member.offset : member.offset + start])

        def add(piece: bytes) -> None:
            nonlocal crc
            crc = zlib.crc32(piece, crc)

        yield from self.source.pieces(where, add)
        if crc != member.crc:
            raise self._bad_checksum(member)
        self._checked.add(member.name)

    def unpack(self, member: Member, limit: int | None = None) -> bytes:
        """The content, or at most its first `limit` bytes; the checksum is compared where it is complete."""
        size = member.size if limit is None else min(limit, member.size)
        needed = size if member.stored else member.packed if limit is None else min(member.packed, 2 * size + 1024)
        packed = self.source.data[member.offset : member.offset + needed]
        try:
            content = packed if member.stored else zlib.decompressobj(-15).decompress(packed, max(size, 1))
        except zlib.error as error:
            raise self.source.error(f"zip member {quoted(member.name)} at offset {member.offset} is damaged") from error
        if len(content) != size:
            raise self.source.error(f"zip member {quoted(member.name)} unpacks to other than its {member.size} bytes")
        if size == member.size and self._has_crc and zlib.crc32(content) != member.crc:
            raise self._bad_checksum(member)
        return content

    def _bad_checksum(self, member: Member) -> Exception:
        place = f"the {member.size} bytes of zip member {quoted(member.name)} at offset {member.offset}"
        return self.source.error(f"{place} do not have the checksum that the archive gives for them")


class Writer:
    """Writes members uncompressed, each beginning at a multiple of ALIGNMENT."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("r+b")
        self._archive = zipfile.ZipFile(self._stream, "w", zipfile.ZIP_STORED, allowZip64=True)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._archive.close()
        finally:
            self._archive.fp = None  # after a failure, such as a full disk: leave the directory unwritten
            self._stream.close()

    def add(self, name: str, size: int, parts: Iterable[bytes]) -> None:
        info = zipfile.ZipInfo(name)
        large = size > _LARGE
        start = self._stream.tell() + _LOCAL.size + len(name.encode()) + 4 + (_ZIP64_EXTRA if large else 0)
        padding = -start % ALIGNMENT
        info.extra = struct.pack("<HH", _PADDING_ID, padding) + bytes(padding)
        info.file_size = size
        with self._archive.open(info, "w", force_zip64=large) as member:
            for part in parts:
                member.write(part)


def first_name(head: bytes) -> str:
    """The name of the first member, from the first bytes of a zip file; empty where there is none."""
    if not head.startswith(MAGIC) or len(head) < _LOCAL.size:
        return ""
    length = _LOCAL.unpack_from(head)[-2]
    return head[_LOCAL.size : _LOCAL.size + length].decode("utf-8", "replace")


def contents(members: Mapping[str, Member]) -> str:
    """The first few names, for a message."""
    return ", ".join(quoted(name) for name in list(members)[:3]) or "nothing"
