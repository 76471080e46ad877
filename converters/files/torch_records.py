"""The inert records that stand in for what a torch file's pickle describes: storages, tensors, NumPy values.

Every one of them is data; none touches torch or NumPy's own unpickling.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from twinzoo.converters.files.entries import MAX_DIMENSIONS, Array, DType, quoted
from twinzoo.converters.files.pickle_machine import Refused, Standin

DTYPES: Mapping[str, DType] = {
    "bool": np.dtype(np.bool_),
    "uint8": np.dtype(np.uint8),
    "int8": np.dtype(np.int8),
    "int16": np.dtype(np.int16),
    "int32": np.dtype(np.int32),
    "int64": np.dtype(np.int64),
    "float16": np.dtype(np.float16),
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "complex64": np.dtype(np.complex64),
    "complex128": np.dtype(np.complex128),
    "uint16": np.dtype(np.uint16),
    "uint32": np.dtype(np.uint32),
    "uint64": np.dtype(np.uint64),
    "float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "float8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "float8_e4m3fnuz": np.dtype(ml_dtypes.float8_e4m3fnuz),
    "float8_e5m2fnuz": np.dtype(ml_dtypes.float8_e5m2fnuz),
}
STORAGES: Mapping[str, str] = {  # dtypes of DTYPES that are not here have no storage class: torch pickles them untyped
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "HalfStorage": "float16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "BFloat16Storage": "bfloat16",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}


@dataclass(frozen=True)
class Storage:
    """A run of elements in the file; `offset` elements into the record called `key` for a view of old torch's."""

    key: str
    dtype: DType
    count: int
    offset: int = 0

    @property
    def nbytes(self) -> int:
        return self.count * self.dtype.itemsize


@dataclass(frozen=True)
class Tensor(Standin):
    """A tensor's place in its storage, counted in elements of its dtype."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: DType
    conjugate: bool = False
    negative: bool = False

    @property
    def end(self) -> int:
        """One past the last element that the tensor uses, from the beginning of its storage."""
        if 0 in self.shape:
            return 0
        reach = sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        return self.offset + reach + 1

    @property
    def start(self) -> int:
        """The offset in bytes of its first element from the beginning of the record in the file."""
        return self.storage.offset * self.storage.dtype.itemsize + self.offset * self.dtype.itemsize

    @property
    def in_order(self) -> bool:
        """Whether its elements lie in the file in C order, as they are."""
        step = 1
        for size, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if size != 1 and stride != step:
                return False
            step *= size
        return not (self.conjugate or self.negative)


class NumpyType(Standin):
    """`numpy.dtype(code)`: plain numbers only."""

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or code not in _NUMPY_CODES:
            raise Refused(f"the pickle holds a NumPy value of type {quoted(str(code))}", "save plain numbers only")
        self.dtype: DType = np.dtype(code)

    def build(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise ValueError("a NumPy type without a byte order")
        if state[1] in "<>":
            self.dtype = self.dtype.newbyteorder(state[1])


class NumpyArray(Standin):
    """A NumPy array whose bytes are inside the pickle."""

    def __init__(self, *_: object) -> None:
        self.array: Array | None = None

    def build(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("a NumPy array without its state")
        _, shape, kind, fortran, content = state
        if not isinstance(kind, NumpyType) or not isinstance(content, bytes | bytearray):
            raise ValueError("a NumPy array of other than plain numbers")
        flat = np.frombuffer(content, kind.dtype)
        self.array = flat.reshape(sizes_of(shape), order="F" if fortran else "C").astype(kind.dtype.newbyteorder("="))


_NUMPY_CODES = frozenset(["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"])


def sizes_of(value: object) -> tuple[int, ...]:
    """Sizes or strides; ValueError for anything else."""
    if (
        not isinstance(value, tuple | list)
        or len(value) > MAX_DIMENSIONS
        or not all(type(size) is int and 0 <= size < 2**62 for size in value)
    ):
        raise ValueError("sizes or strides that are no short list of non-negative numbers")
    return tuple(value)
