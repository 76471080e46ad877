"""Tensors as NumPy arrays and back, also of the element types that NumPy has not."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import torch
from numpy.typing import NDArray

from twinzoo.zoo.errors import ConversionError

Array = NDArray[Any]

GIVE_VALUES = "run the model once, or move it off the meta device"

_SAME_SIZE = {1: torch.uint8, 2: torch.int16}
"""Bytes of an element -> an integer type that both libraries have."""

_FOREIGN = {
    getattr(torch, name): np.dtype(getattr(ml_dtypes, name))
    for name in ("bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu")
    if hasattr(torch, name) and hasattr(ml_dtypes, name)
}
_NATIVE = {foreign: dtype for dtype, foreign in _FOREIGN.items()}


def array_of(tensor: torch.Tensor) -> Array:
    """A tensor's values as a copy, with the element type kept; half-precision complex numbers become complex64.

    Raises:
        ConversionError: it has no values (the meta device, a layer that was not run yet), or not in a dense form.
    """
    if not has_values(tensor):
        raise ConversionError(f"has no values yet: {GIVE_VALUES}")
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise ConversionError(f"is {tensor.layout}, {tensor.dtype}: convert it to an ordinary dense tensor")
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    if tensor.dtype in _FOREIGN:
        same_size = tensor.contiguous().view(_SAME_SIZE[tensor.element_size()])
        return np.array(same_size.numpy().view(_FOREIGN[tensor.dtype]))
    return np.array((tensor.to(torch.complex64) if tensor.dtype == torch.complex32 else tensor).numpy())


def has_values(tensor: torch.Tensor) -> bool:
    """Whether a tensor has elements in memory: those of the meta device and of layers that never ran have none."""
    return not (torch.nn.parameter.is_lazy(tensor) or tensor.is_meta)


def tensor_of(array: Array) -> torch.Tensor:
    """An array's values as a tensor of its own on the CPU.

    Raises:
        ConversionError: the element type is none of PyTorch's.
    """
    if array.dtype in _NATIVE:
        dtype = _NATIVE[array.dtype]
        same_size = np.dtype(np.uint8 if array.itemsize == 1 else np.int16)
        return torch.from_numpy(np.array(array, order="C").view(same_size)).view(dtype)
    try:
        return torch.from_numpy(np.array(array.astype(array.dtype.newbyteorder("="), copy=False), order="C"))
    except TypeError:
        raise ConversionError(f"PyTorch has no tensors of {array.dtype}: convert to another type first") from None
