"""What every writer needs of the tensors it is given: their shapes and types first, then their bytes, one at a time."""

from collections.abc import Iterator, Mapping

import ml_dtypes
import numpy as np

from twinzoo.converters.files.checkpoint import MAX_DIMENSIONS, Array, Checkpoint, DType, Entry, quoted
from twinzoo.converters.files.source import CHUNK
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
    """Shape and native dtype of every tensor; of a Checkpoint without reading them."""
    for name in tensors:
        _check_name(name)
    if isinstance(tensors, Checkpoint):
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


def payload(tensors: Mapping[str, Array], name: str, entry: Entry) -> Iterator[memoryview]:
    """The bytes of a tensor in C order, in pieces."""
    yield from pieces(flat_bytes(tensors[name], name, entry), tensors)


def pieces(flat: Array, *owners: Mapping[str, Array]) -> Iterator[memoryview]:
    """A run of bytes in pieces, each given back to the checkpoints that it may be mapped from once it was used."""
    for start in range(0, flat.size, CHUNK):
        yield flat[start : start + CHUNK].data
        for owner in owners:
            if isinstance(owner, Checkpoint):
                owner.release()


def flat_bytes(value: Array, name: str, entry: Entry) -> Array:
    """The tensor as a run of uint8, without a copy where it is contiguous already."""
    array = _ours(value)
    if array.shape != entry.shape or array.dtype.newbyteorder("=") != entry.dtype:
        raise CheckpointError(
            f"tensor {quoted(name)} changed from {entry.dtype} {entry.shape} to {array.dtype} {array.shape} "
            "while it was being written: keep it as it is until then"
        )
    return np.asarray(array, dtype=entry.dtype, order="C").reshape(-1).view(np.uint8)
