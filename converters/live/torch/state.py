"""The tensors of a module by their names: read, told apart, and set."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from torch import nn

from twinzoo.converters.live.torch.arrays import GIVE_VALUES, Array, array_of, has_values, tensor_of
from twinzoo.zoo.errors import ConversionError


def tensors_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of the state themselves, by the module's own names."""
    state = model.state_dict(keep_vars=True)
    return {name: tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}


def arrays_of(model: nn.Module) -> dict[str, Array]:
    """The state by the module's own names, buffers included, as copies.

    Raises:
        ConversionError: a tensor has no values, or none that an array can hold.
    """
    arrays = {}
    for name, tensor in tensors_of(model).items():
        try:
            arrays[name] = array_of(tensor)
        except ConversionError as error:
            raise ConversionError(f"{type(model).__name__}: {name}: {error}") from None
    return arrays


def check_values(model: nn.Module) -> None:
    """Make sure that there is something to run or to fill.

    Raises:
        ConversionError: a tensor has no elements in memory.
    """
    empty = next((name for name, tensor in tensors_of(model).items() if not has_values(tensor)), None)
    if empty is not None:
        raise ConversionError(f"{type(model).__name__}: {empty} has no values yet: {GIVE_VALUES}")


def aliases_of(model: nn.Module) -> dict[str, str]:
    """Name -> the first name of the same tensor, for each further name that a shared tensor has."""
    first: dict[Hashable, str] = {}
    names = {name: first.setdefault(_memory(tensor), name) for name, tensor in tensors_of(model).items()}
    return {name: shared for name, shared in names.items() if name != shared}


def _memory(tensor: torch.Tensor) -> Hashable:
    """What two tensors have in common that are one and the same, as objects or as views of the same elements."""
    if nn.parameter.is_lazy(tensor) or tensor.layout is not torch.strided or not tensor.data_ptr():
        return id(tensor)
    return tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride()


def assign(model: nn.Module, state: Mapping[str, Array]) -> None:
    """Set the named tensors, in place and in their own element types, others stay as they are.

    Raises:
        ConversionError: the module has no such tensor, or not of that shape, or two names of one tensor are given
            different values; nothing is changed then.
    """
    check_values(model)
    tensors, aliases = tensors_of(model), aliases_of(model)
    title = type(model).__name__
    values = {name: np.asarray(value) for name, value in state.items()}
    for name, value in values.items():
        if name not in tensors:
            raise ConversionError(f"{title}: has no tensor {name!r}: it has {_in_short(list(tensors))}")
        tensor, shared = tensors[name], aliases.get(name, name)
        if value.shape != tuple(tensor.shape):
            raise ConversionError(f"{title}: {name} is {tuple(tensor.shape)}, the value given is {value.shape}")
        if value.dtype.kind == "c" and not tensor.is_complex():
            raise ConversionError(f"{title}: {name} is {tensor.dtype}, the value given is {value.dtype}")
        if shared in values and not np.array_equal(value, values[shared]):
            raise ConversionError(f"{title}: {shared} and {name} are one tensor, and are given different values")
        tensor_of(np.empty(0, value.dtype))  # refuses element types that PyTorch has not
    with torch.no_grad():
        for name, value in values.items():
            tensors[name].copy_(tensor_of(value))


def _in_short(names: list[str]) -> str:
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "") if names else "none"
