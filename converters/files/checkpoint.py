"""What a checkpoint file is to the rest of the house: named arrays, each read only when it is asked for."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from twinzoo.zoo.errors import CheckpointError

Array = npt.NDArray[Any]
DType = np.dtype[Any]

MAX_DIMENSIONS = 32  # NumPy 1's limit
MAX_BYTES = 2**62


@dataclass(frozen=True)
class Entry:
    """Shape and element type of one tensor, known without reading it."""

    shape: tuple[int, ...]
    dtype: DType

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def printable(text: str) -> str:
    """Text from inside a file, fit to stand in a one-line message."""
    return "".join(character if character.isprintable() else "?" for character in text[:120])


def quoted(key: str) -> str:
    return repr(printable(key))


def entry(path: Path, key: str, shape: tuple[int, ...], dtype: DType) -> Entry:
    """The Entry of tensor `key`, or a CheckpointError where no array can have that shape."""
    if len(shape) > MAX_DIMENSIONS:
        raise CheckpointError(
            f"{path}: tensor {quoted(key)} has {len(shape)} dimensions, expected at most {MAX_DIMENSIONS}: reshape it"
        )
    extent = math.prod(max(size, 1) for size in shape) * dtype.itemsize
    if any(size < 0 for size in shape) or extent > MAX_BYTES:
        raise CheckpointError(f"{path}: tensor {quoted(key)} has an impossible shape: fetch the file again")
    return Entry(shape, dtype)


def _nothing() -> None:
    """What `release` does for a file that is not mapped."""


class Checkpoint(Mapping[str, Array]):
    """The tensors of one file by name, in file order. Indexing reads one tensor; the arrays are read-only."""

    def __init__(
        self,
        path: Path,
        format: str,
        entries: dict[str, Entry],
        load: Callable[[str], Array],
        metadata: dict[str, str] | None = None,
        release: Callable[[], None] = _nothing,
    ) -> None:
        """
        Args:
            load: gives the tensor of a name that is in `entries`, memory-mapped where the format allows it
            release: lets go of the memory behind mapped arrays; they stay valid and are read from the file again
        """
        self.path = path
        self.format = format
        self.entries = entries
        self.metadata = metadata or {}
        self.release = release
        self._load = load

    def __getitem__(self, key: str) -> Array:
        wanted = self.entries[key]
        try:
            array = self._load(key)
        except MemoryError as error:
            raise CheckpointError(
                f"{self.path}: tensor {quoted(key)} needs {wanted.nbytes} bytes of memory: free some memory"
            ) from error
        if array.dtype == np.bool_ and array.size and array.view(np.uint8).max() > 1:
            raise CheckpointError(
                f"{self.path}: tensor {quoted(key)} is boolean but holds bytes other than 0 and 1: fetch the file again"
            )
        array.setflags(write=False)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.path)!r}, format={self.format!r}, tensors={len(self)})"
