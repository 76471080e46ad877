"""Arrays that wait, on disk where they are many: what a run keeps of each operation may be larger than memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Spooled:
    """An array in a spool."""

    file: IO[bytes]
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def load(self) -> Array:
        """The array, read anew each time."""
        count = self.dtype.itemsize * int(np.prod(self.shape))
        data, place = bytearray(count), 0
        view = memoryview(data)
        while place < count:
            got = os.preadv(self.file.fileno(), [view[place:]], self.offset + place)
            if not got:
                raise OSError("the spool ends too early")
            place += got
        return np.frombuffer(data, self.dtype).reshape(self.shape)


Kept = Array | Spooled
Keep = Callable[[Array], Kept]


class Spool:
    """The first arrays in memory, the others in a temporary file, which goes away with the last of them.

    Args:
        memory: so many bytes are kept in memory.
    """

    def __init__(self, memory: int = 0) -> None:
        self._file = TemporaryFile()  # noqa: SIM115
        self._end = 0
        self._left = memory

    def put(self, array: Array) -> Kept:
        """The array, or where it was written; nobody may write into it afterwards."""
        if array.nbytes <= self._left:
            self._left -= array.nbytes
            return array
        place = self._end
        self._end += self._file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data) if array.size else 0
        self._file.flush()
        return Spooled(self._file, place, array.shape, array.dtype)


def loaded(kept: Kept) -> Array:
    """An array from where it waits."""
    return kept.load() if isinstance(kept, Spooled) else kept


def as_it_is(array: Array) -> Kept:
    """An array that waits in memory."""
    return array


class Loaded(Mapping[int, Array]):
    """Arrays by position; those in a spool are read when they are asked for, and not held."""

    def __init__(self, kept: Mapping[int, Kept]) -> None:
        self.kept = kept

    def __getitem__(self, position: int) -> Array:
        return loaded(self.kept[position])

    def __contains__(self, position: object) -> bool:
        return position in self.kept

    def __iter__(self) -> Iterator[int]:
        return iter(self.kept)

    def __len__(self) -> int:
        return len(self.kept)
