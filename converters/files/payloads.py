"""What every writer needs of the tensors it is given: their shapes and types first, then their bytes, one at a time."""

from collections.abc import Iterator, Mapping

import ml_dtypes
import numpy as np

from twinzoo.converters.files.checkpoint import Tensors, chunks
from twinzoo.converters.files.entries import MAX_DIMENSIONS, Array, DType, Entry, quoted
from twinzoo.zoo.errors import CheckpointError

_LONGEST_NAME = 4096
SMALL_FLOATS: Mapping[str, DType] = {  # the types by name that NumPy does not have itself
    str(np.dtype(kind)): np.dtype(kind)
    for kind in (
        ml_dtypes.bfloat16,
        ml_dtypes.float8_e4m3fn,
        ml_dtypes.float8_e5m2,
        ml_dtypes.float8_e4m3fnuz,
        ml_dtypes.float8_e5m2fnuz,
    )
}


def entries_of(tensors: Mapping[str, Array]) -> dict[str, Entry]:
    """Shape and native dtype of every tensor; where they are known beforehand, without making it."""
    for name in tensors:
        _check_name(name)
    if isinstance(tensors, Tensors):
        return dict(tensors.entries)
    return {name: _entry(name, _ours(tensors[name])) for name in tensors}


def _ours(value: Array) -> Array:
    """The value as an array; a bfloat16 that another library gave to NumPy (MindSpore does) as the usual one."""
    array = np.asarray(value)
    usual = SMALL_FLOATS.get(str(array.dtype))
    return array if usual in (None, array.dtype) else array.view(usual)


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise CheckpointError(
            f"tensor {quoted(str(name))} is named by a {type(name).__name__}, expected a str: rename it"
        )
    try:
        length = len(name.encode())
    except UnicodeEncodeError as error:
        raise CheckpointError(f"the tensor name {quoted(name)} is no valid Unicode: rename it") from error
    if length > _LONGEST_NAME or "\0" in name:
        raise CheckpointError(f"the tensor name {quoted(name)} is too long or holds a NUL: rename it")


def _entry(name: str, array: Array) -> Entry:
    if array.ndim > MAX_DIMENSIONS:
        raise CheckpointError(f"tensor {quoted(name)} has more than {MAX_DIMENSIONS} dimensions: reshape it")
    return Entry(array.shape, array.dtype.newbyteorder("=") if array.dtype.kind in "iufc" else array.dtype)


def named(names: Mapping[DType, str], tensor: str, dtype: DType, format: str) -> str:
    """The format's word for a dtype."""
    if dtype not in names:
        raise CheckpointError(
            f"tensor {quoted(tensor)} is of type {dtype}, which a {format} file cannot hold: convert it, "
            "or choose another format"
        )
    return names[dtype]


def payload(tensors: Mapping[str, Array], name: str, entry: Entry) -> Iterator[bytes]:
    """The bytes of a tensor in C order, in pieces; exactly as many as `entry` says."""
    if isinstance(tensors, Tensors):
        found, pieces = tensors.entries[name], tensors.pieces(name)
    else:
        array = _ours(tensors[name])
        found, pieces = _entry(name, array), chunks(array)
    left = entry.nbytes
    if found == entry:
        for piece in pieces:
            left -= len(piece)
            if left < 0:
                break
            yield piece
    if found != entry or left:
        raise CheckpointError(
            f"tensor {quoted(name)} was announced as {entry.dtype} {entry.shape}, but came as {found.dtype} "
            f"{found.shape} with {entry.nbytes - left} bytes: keep it as it is while it is being written"
        )


class Run:
    """Pieces as one run of bytes, to be taken off in parts of other sizes."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def take(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes, or fewer where there are no more."""
        while size and (piece := self._rest or next(self._pieces, b"")):
            self._rest = piece[size:]
            yield piece[:size] if self._rest else piece
            size -= min(size, len(piece))

    def ended(self) -> bool:
        """Whether nothing is left; asking also lets what gives the pieces look at them as a whole."""
        return not any(self.take(1))
