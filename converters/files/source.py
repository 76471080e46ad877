"""One untrusted file, opened for reading: mapped into memory, never loaded, and never read past its end."""

import contextlib
import errno
import math
import mmap
import os
import stat
import sys
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from twinzoo.converters.files.checkpoint import CHUNK
from twinzoo.converters.files.entries import Array, DType
from twinzoo.zoo.errors import CheckpointError

HEAD = 4096  # bytes that a format gets to see when it is asked whether a file is its own

Order = Literal["little", "big"]
Span = tuple[int, int]  # first offset and one past the last


class Source:
    """A regular, non-empty file: mapped for whole tensors, and read in pieces for all that only passes through.

    Pages of a map count as memory of the process for as long as they stay, so the pieces are not taken from it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with _open(path) as descriptor:
                self.data = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
                self._descriptor = os.dup(descriptor)
            weakref.finalize(self, os.close, self._descriptor)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path}: cannot be read: {reason(error)}") from error
        self.size = len(self.data)

    def error(self, problem: str, remedy: str = "the file is damaged: fetch or save it again") -> CheckpointError:
        """An error about this file; `problem` says where, what was found and what was expected."""
        return CheckpointError(f"{self.path}: {problem}: {remedy}")

    def array(
        self,
        offset: int,
        shape: tuple[int, ...],
        dtype: DType,
        strides: tuple[int, ...] | None = None,
        order: Order = "little",
    ) -> Array:
        """The tensor at a byte offset: mapped where it is aligned and in the machine's byte order, else a copy.

        The caller has checked that it lies inside the file; `strides` are in bytes.
        """
        if 0 in shape:
            return np.empty(shape, dtype)
        array: Array = np.ndarray(shape, dtype, self.data, offset, strides)
        if order != sys.byteorder and dtype.itemsize > 1:
            return _swapped(array)
        if array.flags.aligned:
            return array
        return array.copy() if strides is not None else self.copy([(offset, offset + array.nbytes)], shape, dtype)

    def copy(self, spans: Iterable[Span], shape: tuple[int, ...], dtype: DType) -> Array:
        """A tensor put together from runs of bytes."""
        joined = np.empty(math.prod(shape) * dtype.itemsize, np.uint8)
        position = 0
        for piece in self.pieces(spans):
            joined[position : position + len(piece)] = np.frombuffer(piece, np.uint8)
            position += len(piece)
        return joined.view(dtype).reshape(shape)

    def crc32(self, start: int, end: int) -> int:
        crc = 0
        for piece in self.pieces([(start, end)]):
            crc = zlib.crc32(piece, crc)
        return crc

    def pieces(self, spans: Iterable[Span], seen: Callable[[bytes], object] | None = None) -> Iterator[bytes]:
        """The bytes of the spans in runs of at most CHUNK; `seen` is called with each."""
        for start, end in spans:
            for begin in range(start, end, CHUNK):
                yield self._read(begin, min(begin + CHUNK, end), seen)

    def _read(self, start: int, end: int, seen: Callable[[bytes], object] | None) -> bytes:
        piece = os.pread(self._descriptor, end - start, start) if hasattr(os, "pread") else self.data[start:end]
        if len(piece) != end - start:
            raise self.error(f"ends before offset {end}, which it had when it was opened", "leave it alone meanwhile")
        if seen:
            seen(piece)
        return piece

    def release(self) -> None:
        """Let go of the pages that were read; whoever still holds an array reads them again from the file."""
        if hasattr(self.data, "madvise"):
            self.data.madvise(mmap.MADV_DONTNEED)


def head(path: Path) -> bytes:
    """The first bytes of a regular, non-empty file."""
    try:
        with _open(path) as descriptor:
            return os.read(descriptor, HEAD)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read: {reason(error)}") from error


def reason(error: Exception) -> str:
    """What the operating system objects to, and what to do, in one line."""
    text = getattr(error, "strerror", None) or str(error)
    remedies = {
        errno.ENOENT: "check the path",
        errno.ENOTDIR: "check the path",
        errno.EACCES: "change the permissions of the file or its folder",
        errno.EPERM: "change the permissions of the file or its folder",
        errno.EROFS: "choose another folder",
        errno.ENOSPC: "free some space, or choose another folder",
        errno.EDQUOT: "free some space, or choose another folder",
        errno.EFBIG: "raise the limit on file sizes, or choose another folder",
        errno.ENAMETOOLONG: "choose a shorter name",
        errno.ENOMEM: "free some memory",
    }
    number = getattr(error, "errno", None) or 0
    return f"{text.lower()}: {remedies.get(number, 'check the path and the disk')}"


@contextlib.contextmanager
def _open(path: Path) -> Iterator[int]:
    """A descriptor of a regular, non-empty file; a pipe or a device is turned away without waiting for it."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise CheckpointError(f"{path}: is a folder, expected a checkpoint file: name the file inside it")
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(f"{path}: is a pipe or a device, expected a file: save it to a file first")
        if status.st_size == 0:
            raise CheckpointError(f"{path}: is empty, expected a checkpoint: fetch or save it again")
        yield descriptor
    finally:
        os.close(descriptor)


def _swapped(array: Array) -> Array:
    """A copy of the values that these bytes have in the other byte order."""
    if array.dtype.kind == "c":
        swapped: Array = array.view(array.dtype.newbyteorder("S")).astype(array.dtype)
        return swapped
    return array.view(f"u{array.dtype.itemsize}").byteswap().view(array.dtype)
