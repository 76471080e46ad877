"""From stand-in tensors and the places of their storages to arrays: every tensor is checked before any is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from twinzoo.converters.files.checkpoint import Array, Checkpoint, Entry, entry, quoted
from twinzoo.converters.files.source import Order, Source
from twinzoo.converters.files.state_tree import Leaf
from twinzoo.converters.files.torch_pickles import Tensor

_MAX_EXPANSION = (
    64 * 2**20
)  # bytes that a tensor of repeated elements (stride 0) may unfold to, whatever the file's size


@dataclass(frozen=True)
class Place:
    """Where a storage's bytes lie in the file."""

    offset: int
    size: int


def checkpoint(
    source: Source,
    format: str,
    tensors: Mapping[str, Leaf],
    places: Mapping[str, Place],
    metadata: dict[str, str],
    order: Order,
    check: Callable[[str], None] = lambda key: None,
) -> Checkpoint:
    """A checkpoint over the tensors of a torch file.

    Args:
        places: storages by key
        check: raises a CheckpointError where the content of a storage is not what was written
    """
    entries = {name: _entry(source, name, leaf, places) for name, leaf in tensors.items()}

    def load(name: str) -> Array:
        leaf = tensors[name]
        if isinstance(leaf, np.ndarray):
            return leaf
        check(leaf.storage.key)
        return _array(source, leaf, places[leaf.storage.key], order)

    return Checkpoint(source.path, format, entries, load, metadata, source.release)


def _entry(source: Source, name: str, leaf: Leaf, places: Mapping[str, Place]) -> Entry:
    if isinstance(leaf, np.ndarray):
        return entry(source.path, name, leaf.shape, leaf.dtype)
    result = entry(source.path, name, leaf.shape, leaf.dtype)
    storage, place = leaf.storage, places.get(leaf.storage.key)
    if place is None:
        raise source.error(f"tensor {quoted(name)} is in storage {quoted(storage.key)}, which is not in the file")
    begin = storage.offset * storage.dtype.itemsize
    if begin + storage.nbytes > place.size:
        raise source.error(
            f"storage {quoted(storage.key)} of tensor {quoted(name)} has {place.size} bytes at offset {place.offset}, "
            f"expected {begin + storage.nbytes}"
        )
    if leaf.end * leaf.dtype.itemsize > storage.nbytes:
        raise source.error(
            f"tensor {quoted(name)} reaches to byte {leaf.end * leaf.dtype.itemsize} of a storage of {storage.nbytes}"
        )
    if result.nbytes > max(source.size, _MAX_EXPANSION):
        raise source.error(f"tensor {quoted(name)} unfolds to {result.nbytes} bytes, more than the file has")
    return result


def _array(source: Source, tensor: Tensor, place: Place, order: Order) -> Array:
    size = tensor.dtype.itemsize
    offset = place.offset + tensor.storage.offset * tensor.storage.dtype.itemsize + tensor.offset * size
    strides = tuple(stride * size for stride in tensor.strides)
    array = source.array(offset, tensor.shape, tensor.dtype, strides, order)
    if tensor.conjugate:
        array = np.conjugate(array)
    return np.negative(array) if tensor.negative else array
