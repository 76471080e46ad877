"""PyTorch's files before 1.6: five pickles in a row, then the storages one after the other, each behind its length.

Lengths and storages are little-endian, whatever machine wrote them.
"""

from pathlib import Path

from twinzoo.converters.files.checkpoint import Checkpoint
from twinzoo.converters.files.entries import quoted
from twinzoo.converters.files.source import Source
from twinzoo.converters.files.state_tree import flatten
from twinzoo.converters.files.torch_pickles import Storages, load_torch
from twinzoo.converters.files.torch_storages import Place, checkpoint

NAME = "torch-legacy"
_MAGIC = bytes([0x8A, 10]) + (0x1950A86A20F9469CFC6C).to_bytes(10, "little")  # opcode LONG1 and its number
_PROTOCOL = 1001
_COUNT = 8  # bytes of the length before a storage


def sniff(head: bytes, path: Path) -> bool:
    return head.startswith(b"\x80") and _MAGIC in head[:32]


def read(path: Path) -> Checkpoint:
    source = Source(path)
    storages = Storages()
    _, offset = load_torch(source, 0, source.size, storages)
    protocol, offset = load_torch(source, offset, source.size, storages)
    if protocol != _PROTOCOL:
        raise source.error(
            f"torch's file protocol, before offset {offset}, is {quoted(str(protocol))}, expected {_PROTOCOL}"
        )
    _, offset = load_torch(source, offset, source.size, storages)
    root, offset = load_torch(source, offset, source.size, storages)
    keys, offset = load_torch(source, offset, source.size, storages)
    places = _places(source, offset, keys, storages)
    tree = flatten(source, root)
    return checkpoint(source, NAME, tree, places, tree.metadata, "little")


def _places(source: Source, offset: int, keys: object, storages: Storages) -> dict[str, Place]:
    if not isinstance(keys, list) or not all(isinstance(key, str | int) for key in keys):
        raise source.error(f"the list of storages before offset {offset} is damaged")
    places: dict[str, Place] = {}
    for key in map(str, keys):
        storage = storages.seen.get(key)
        if storage is None or key in places:
            raise source.error(f"storage {quoted(key)} at offset {offset} belongs to no tensor, or comes twice")
        count = int.from_bytes(source.data[offset : offset + _COUNT], "little")
        if offset + _COUNT > source.size or count != storage.count:
            raise source.error(
                f"storage {quoted(key)} at offset {offset} has {count} elements, expected {storage.count}"
            )
        offset += _COUNT
        if offset + storage.nbytes > source.size:
            raise source.error(
                f"storage {quoted(key)} at offset {offset} needs {storage.nbytes} bytes, "
                f"but the file ends at {source.size}"
            )
        places[key] = Place(offset, storage.nbytes)
        offset += storage.nbytes
    if offset != source.size:
        raise source.error(f"{source.size - offset} bytes follow the last storage at offset {offset}, expected none")
    return places
