"""Shape and element type of a tensor, checked before anything is allocated, and names fit to be shown."""

import math
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
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize


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
