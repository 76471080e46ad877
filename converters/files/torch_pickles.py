"""What the pickle inside a torch file may name, and what each name stands for.

This table is the whole allow-list: storages, tensors and parameters, plain containers, dtypes, and NumPy values of
plain numbers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from twinzoo.converters.files.entries import printable, quoted
from twinzoo.converters.files.pickle_machine import Refused, Stub
from twinzoo.converters.files.pickles import load
from twinzoo.converters.files.source import Source
from twinzoo.converters.files.torch_records import DTYPES, STORAGES, NumpyArray, NumpyType, Storage, Tensor, sizes_of


def _tensor(storage: object, offset: object, shape: object, strides: object, *more: object) -> Tensor:
    """torch._utils._rebuild_tensor and _rebuild_tensor_v2(..., requires_grad, hooks, metadata)."""
    if not isinstance(storage, Storage) or not isinstance(offset, int) or offset < 0:
        raise ValueError("a tensor without a storage")
    sizes, steps = sizes_of(shape), sizes_of(strides)
    if len(sizes) != len(steps):
        raise ValueError(f"{len(sizes)} sizes but {len(steps)} strides")
    marks = more[2] if len(more) > 2 and isinstance(more[2], dict) else {}
    return Tensor(storage, offset, sizes, steps, storage.dtype, marks.get("conj") is True, marks.get("neg") is True)


def _tensor_v3(*arguments: object) -> Tensor:
    """torch._utils._rebuild_tensor_v3(..., requires_grad, hooks, dtype, metadata): a tensor of an untyped storage."""
    kind = arguments[6]
    if not isinstance(kind, Stub) or not isinstance(kind.value, np.dtype):
        raise ValueError("a tensor without a type")
    return replace(_tensor(*arguments[:6], *arguments[7:]), dtype=kind.value)


def _first(value: object, *_: object) -> object:
    """Parameters, torch.Size and the like: what counts is the first argument."""
    return value


def _typed(function: object, _: object, arguments: object, *__: object) -> object:
    """torch._tensor._rebuild_from_type_v2(function, class, arguments, state)."""
    if not isinstance(function, Stub) or function.call not in (_tensor, _tensor_v3) or not isinstance(arguments, tuple):
        raise ValueError("a tensor class without a tensor")
    return function.call(*arguments)


def _device_tensor(data: object, kind: object, *_: object) -> object:
    """torch._utils._rebuild_device_tensor_from_numpy(data, dtype, device, requires_grad)."""
    if not isinstance(data, NumpyArray) or data.array is None or not isinstance(kind, Stub):
        raise ValueError("a tensor without its array")
    if isinstance(kind.value, np.dtype):
        data.array = data.array.astype(kind.value)
    return data


def _dictionary(*arguments: object) -> dict[object, object]:
    """OrderedDict(), OrderedDict([[key, value], ...]), Counter({...}) and defaultdict(factory, ...)."""
    items = [argument for argument in arguments if not isinstance(argument, Stub)]
    if not items or isinstance(items[0], dict):
        return dict(items[0]) if items and isinstance(items[0], dict) else {}
    if not isinstance(items[0], list) or not all(isinstance(pair, list | tuple) for pair in items[0]):
        raise ValueError("a dictionary of other than pairs")
    if not all(len(pair) == 2 and isinstance(pair[0], str | int) for pair in items[0]):
        raise ValueError("a dictionary with other keys than names and numbers")
    return dict(items[0])


def _list(items: object = ()) -> list[object]:
    if not isinstance(items, list | tuple):
        raise ValueError("a set of other than a list")
    return list(items)


def _encode(text: object, encoding: object = "latin1") -> bytes:
    """_codecs.encode, with which protocol 2 spells bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("bytes that are no latin-1 text")
    return text.encode("latin-1")


def _scalar(kind: object, content: object) -> object:
    """numpy.core.multiarray.scalar(dtype, bytes)."""
    if not isinstance(kind, NumpyType) or not isinstance(content, bytes) or len(content) != kind.dtype.itemsize:
        raise ValueError("a NumPy number without its bytes")
    return np.frombuffer(content, kind.dtype)[0].item()


_CALLS: Mapping[str, Callable[..., object] | None] = {
    "collections.OrderedDict": _dictionary,
    "collections.defaultdict": _dictionary,
    "collections.Counter": _dictionary,
    "builtins.dict": _dictionary,
    "builtins.list": _list,
    "builtins.set": _list,
    "builtins.frozenset": _list,
    "builtins.int": None,
    "builtins.float": None,
    "torch.Size": _first,
    "torch.device": _first,
    "torch.Tensor": None,
    "torch.nn.parameter.Parameter": _first,
    "torch.nn.parameter.Buffer": _first,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._utils._rebuild_device_tensor_from_numpy": _device_tensor,
    "torch._tensor._rebuild_from_type_v2": _typed,
    "numpy.ndarray": None,
    "numpy.dtype": NumpyType,
    "numpy.core.multiarray._reconstruct": NumpyArray,
    "numpy._core.multiarray._reconstruct": NumpyArray,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "_codecs.encode": _encode,
}


def _find(module: str, name: str) -> Stub | None:
    if module == "__builtin__":  # as Python 2 called it
        module = "builtins"
    full = f"{module}.{name}"
    if full in _CALLS:
        return Stub(full, _CALLS[full])
    if module == "torch" and name in DTYPES:
        return Stub(full, value=DTYPES[name])
    if module.split(".")[0] in ("torch", "torch_npu"):  # torch.cuda.FloatStorage, torch.storage.UntypedStorage, ...
        if name in STORAGES:
            return Stub(full, value=DTYPES[STORAGES[name]])
        if name == "UntypedStorage":
            return Stub(full, value=DTYPES["uint8"])
    return None


_SAVE = "re-save the state_dict with torch.save(model.state_dict(), ...)"
_SPECIAL = {
    "torch._utils._rebuild_qtensor": ("a quantized tensor", "call .dequantize() before saving"),
    "torch._utils._rebuild_sparse_tensor": ("a sparse tensor", "call .to_dense() before saving"),
    "torch._utils._rebuild_meta_tensor_no_storage": ("a meta tensor, which has no values", "save a loaded model"),
    "torch._utils._rebuild_nested_tensor": ("a nested tensor", "save its parts"),
}


def _refuse(source: Source, start: int, end: int, module: str, name: str) -> Refused:
    full = printable(f"{module}.{name}")
    if full in _SPECIAL:
        return Refused(f"holds {_SPECIAL[full][0]}", _SPECIAL[full][1])
    if module.startswith("__torch__"):
        return Refused("holds a TorchScript program", "torch.save(torch.jit.load(...).state_dict(), ...) in its place")
    whole = module.startswith(("torch.nn.modules", "torch.nn.parallel")) or any(
        source.data.find(mark, start, end) >= 0 for mark in (b"torch.nn.modules", b"_modules")
    )
    if whole:
        return Refused(f"holds a whole pickled model (it asks for {full}), which is code", _SAVE)
    return Refused(f"pickle asks for {full}: refused, a tensor file needs no such thing", _SAVE)


@dataclass
class Storages:
    """Reads persistent ids, and remembers each storage that the pickle named."""

    seen: dict[str, Storage] = field(default_factory=dict)

    def __call__(self, identity: object) -> Storage:
        """('storage', class, key, device, count) with, in old files, (view key, offset, count) or None behind it."""
        if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
            raise ValueError("a persistent id that is no storage")
        _, kind, key, _, count = identity[:5]
        if not isinstance(kind, Stub) or not isinstance(kind.value, np.dtype) or not isinstance(key, str | int):
            raise ValueError("a storage without a type")
        (size,) = sizes_of((count,))
        storage = Storage(str(key), kind.value, size)
        known = self.seen.setdefault(storage.key, storage)
        if known.nbytes != storage.nbytes:
            raise ValueError(f"storage {quoted(storage.key)} with two sizes")
        view = identity[5] if len(identity) == 6 else None
        if view is None:
            return storage
        if not isinstance(view, tuple) or len(view) != 3:
            raise ValueError("a storage view without offset and size")
        offset, size = sizes_of(view[1:])
        if offset + size > count:
            raise ValueError("a storage view that leaves its storage")
        return Storage(storage.key, kind.value, size, offset)


def load_torch(source: Source, start: int, end: int, storages: Storages) -> tuple[object, int]:
    """The object in a torch file's pickle, made of stand-ins, and the offset behind it."""

    def find(module: str, name: str) -> Stub:
        stub = _find(module, name)
        if stub is None:
            raise _refuse(source, start, end, module, name)
        return stub

    return load(source, start, end, find, storages)
