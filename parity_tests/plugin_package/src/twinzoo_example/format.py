"""A checkpoint format of a third party: a line of text for each value of each tensor."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.converters.files import Checkpoint, Entry, Format

_MAGIC = b"EXAMPLE CHECKPOINT\n"


def _sniff(head: bytes, path: Path) -> bool:
    return head.startswith(_MAGIC)


def _read(path: Path) -> Checkpoint:
    arrays: dict[str, NDArray[Any]] = {}
    for line in path.read_text().splitlines()[1:]:
        key, shape, values = line.split("|")
        sizes = tuple(int(size) for size in shape.split("x") if size)
        arrays[key] = np.array([float.fromhex(v) for v in values.split()], np.float32).reshape(sizes)
    entries = {key: Entry(array.shape, array.dtype) for key, array in arrays.items()}
    return Checkpoint(path, "example", entries, arrays.__getitem__)


def _write(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    lines = [
        f"{key}|{'x'.join(map(str, value.shape))}|{' '.join(float(v).hex() for v in value.ravel())}"
        for key, value in tensors.items()
    ]
    path.write_bytes(_MAGIC + "\n".join(lines).encode())


FORMAT = Format("example", (".example",), _sniff, _read, _write)
