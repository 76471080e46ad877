"""From stand-in tensors and the places of their storages to arrays: every tensor is checked before any is read."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from twinzoo.converters.files.checkpoint import Checkpoint, Structure
from twinzoo.converters.files.entries import Array, Entry, entry, quoted
from twinzoo.converters.files.source import Order, Source
from twinzoo.converters.files.state_tree import Leaf, Tree
from twinzoo.converters.files.torch_records import Tensor

_MAX_EXPANSION = 64 * 2**20  # bytes that repeated elements (stride 0) may unfold to, whatever the file's size


@dataclass(frozen=True)
class Place:
    """Where a storage's bytes lie in the file."""

    offset: int
    size: int


def checkpoint(
    source: Source,
    format: str,
    tree: Tree,
    places: Mapping[str, Place],
    metadata: Mapping[str, str],
    order: Order,
    check: Callable[[str], None] = lambda key: None,
    stream: Callable[[str, int, int], Iterator[bytes]] | None = None,
) -> Checkpoint:
    """A checkpoint over the tensors of a torch file.

    Args:
        places: storages by key
        check: raises a CheckpointError where the content of a storage is not what was written
        stream: the bytes of a storage from one offset to another, checked as they pass
    """
    tensors = tree.tensors
    entries = {name: _entry(source, name, leaf, places) for name, leaf in tensors.items()}

    def load(name: str) -> Array:
        leaf = tensors[name]
        if isinstance(leaf, np.ndarray):
            return leaf
        check(leaf.storage.key)
        return _array(source, leaf, places[leaf.storage.key], order)

    def pieces(name: str) -> Iterator[bytes] | None:
        leaf, size = tensors[name], entries[name].nbytes
        if isinstance(leaf, np.ndarray) or not leaf.in_order or order != "little":
            return None
        key, start = leaf.storage.key, leaf.start
        if stream:
            return stream(key, start, start + size)
        return source.pieces([(places[key].offset + start, places[key].offset + start + size)])

    structure = Structure(_aliases(tensors), tree.optimizer, tree.networks)
    return Checkpoint(source.path, format, entries, load, metadata, source.release, pieces=pieces, structure=structure)


def _aliases(tensors: Mapping[str, Leaf]) -> dict[str, str]:
    """Further name -> first name, for tensors that are the same elements of the same storage."""
    firsts: dict[Tensor, str] = {}
    aliases = {}
    for name, leaf in tensors.items():
        if isinstance(leaf, Tensor) and firsts.setdefault(leaf, name) != name:
            aliases[name] = firsts[leaf]
    return aliases


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
    strides = tuple(stride * tensor.dtype.itemsize for stride in tensor.strides)
    array = source.array(place.offset + tensor.start, tensor.shape, tensor.dtype, strides, order)
    if tensor.conjugate:
        array = np.conjugate(array)
    return np.negative(array) if tensor.negative else array
