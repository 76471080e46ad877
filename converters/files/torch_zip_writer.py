"""Writing what torch.load(path, weights_only=True) reads, without torch: the pickle is made opcode by opcode."""

import json
import pickle
import struct
from collections.abc import Mapping
from pathlib import Path

from twinzoo.converters.files import zips
from twinzoo.converters.files.entries import Array, DType, Entry
from twinzoo.converters.files.payloads import entries_of, named, payload
from twinzoo.converters.files.torch_records import DTYPES, STORAGES
from twinzoo.converters.files.torch_zip import METADATA

_FOLDER = "archive"
_STORAGE_OF: Mapping[DType, str] = {DTYPES[name]: storage for storage, name in STORAGES.items()}
_NAME_OF: Mapping[DType, str] = {dtype: name for name, dtype in DTYPES.items()}


def write(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    entries = entries_of(tensors)
    for name, entry in entries.items():
        named(_NAME_OF, name, entry.dtype, "torch")
    pickled = _pickle(entries)
    with zips.Writer(path) as archive:
        archive.add(f"{_FOLDER}/data.pkl", len(pickled), [pickled])
        archive.add(f"{_FOLDER}/byteorder", 6, [b"little"])
        for number, (name, entry) in enumerate(entries.items()):
            archive.add(f"{_FOLDER}/data/{number}", entry.nbytes, payload(tensors, name, entry))
        if metadata:
            content = json.dumps(dict(metadata)).encode()
            archive.add(f"{_FOLDER}/{METADATA}", len(content), [content])
        archive.add(f"{_FOLDER}/version", 2, [b"3\n"])


def _pickle(entries: Mapping[str, Entry]) -> bytes:
    """An OrderedDict of tensors, protocol 2."""
    parts = [pickle.PROTO, b"\x02", _empty_ordered_dict(), pickle.MARK]
    for number, (name, entry) in enumerate(entries.items()):
        parts += [_text(name), _tensor(str(number), entry)]
    return b"".join([*parts, pickle.SETITEMS, pickle.STOP])


def _tensor(key: str, entry: Entry) -> bytes:
    """A call of _rebuild_tensor_v2, or of _rebuild_tensor_v3 for a dtype without a storage class of its own."""
    count = entry.nbytes // entry.dtype.itemsize
    strides = []
    step = 1
    for size in reversed(entry.shape):
        strides.append(step)
        step *= max(size, 1)
    typed = _STORAGE_OF.get(entry.dtype)
    storage = _tuple(
        _text("storage"),
        _global("torch", typed) if typed else _global("torch.storage", "UntypedStorage"),
        _text(key),
        _text("cpu"),
        _integer(count if typed else entry.nbytes),
    )
    arguments = [
        storage + pickle.BINPERSID,
        _integer(0),
        _tuple(*map(_integer, entry.shape)),
        _tuple(*map(_integer, reversed(strides))),
        pickle.NEWFALSE,
        _empty_ordered_dict(),
    ]
    if typed:
        return _global("torch._utils", "_rebuild_tensor_v2") + _tuple(*arguments) + pickle.REDUCE
    dtype = _global("torch", _NAME_OF[entry.dtype])
    return _global("torch._utils", "_rebuild_tensor_v3") + _tuple(*arguments, dtype) + pickle.REDUCE


def _empty_ordered_dict() -> bytes:
    return _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _text(text: str) -> bytes:
    encoded = text.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded


def _tuple(*items: bytes) -> bytes:
    return pickle.MARK + b"".join(items) + pickle.TUPLE


def _integer(value: int) -> bytes:
    if value < 2**31:
        return pickle.BININT + struct.pack("<i", value)
    encoded = value.to_bytes(8, "little", signed=True)
    return pickle.LONG1 + bytes([len(encoded)]) + encoded
