"""The state of a cell: its parameters under the names of a checkpoint, its buffers under their paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from mindspore import Parameter, Tensor, nn
from mindspore import dtype as mstype
from numpy.typing import NDArray

from twinzoo.zoo.errors import ConversionError

Array = NDArray[Any]


class Entry(NamedTuple):
    """One tensor of the state.

    A parameter's key is `Parameter.name`, which `save_checkpoint` writes and `load_param_into_net` looks for. It is not
    always the path of attributes: a parameter may be given a name of its own, and a cell with two attribute names has
    its last one in the key and its first one in the path.
    """

    key: str
    path: str
    tensor: Tensor


def entries(model: nn.Cell) -> list[Entry]:
    """Every parameter and persistent buffer once, in order of definition.

    Raises:
        ConversionError: two parameters have the same name, so that a checkpoint would hold only one of them.
    """
    found: dict[int, Entry] = {}
    keys: dict[str, str] = {}
    for path, tensor in model.state_dict().items():
        if id(tensor) in found:
            continue
        key = tensor.name if isinstance(tensor, Parameter) else path
        if key in keys:
            raise ConversionError(
                f"{type(model).__name__}: {keys[key]} and {path} are both named {key!r}, so that a checkpoint holds "
                "only one of them: give each parameter a name of its own"
            )
        keys[key] = path
        found[id(tensor)] = Entry(key, path, tensor)
    return list(found.values())


def array_of(tensor: Tensor) -> Array:
    """A tensor's values as a copy, bfloat16 too."""
    if tensor.dtype == mstype.bfloat16:
        return np.array(tensor.astype(mstype.float32).asnumpy().astype(ml_dtypes.bfloat16))
    return np.array(tensor.asnumpy())


def tensor_of(array: Array, dtype: Any = None) -> Tensor:
    """A tensor with the values of an array, in its own element type unless another is given."""
    array = np.array(array, order="C")
    if array.dtype == ml_dtypes.bfloat16:
        made = Tensor(array.astype(np.float32))
        return made.astype(dtype or mstype.bfloat16)
    return Tensor(array) if dtype is None else Tensor(array).astype(dtype)


def arrays_of(model: nn.Cell) -> dict[str, Array]:
    """The state by the names of a checkpoint, persistent buffers included, as copies.

    Raises:
        ConversionError: two parameters have the same name.
    """
    return {entry.key: array_of(entry.tensor) for entry in entries(model)}


def aliases_of(model: nn.Cell) -> dict[str, str]:
    """Path -> name in `arrays_of`, for each further path that leads to a shared tensor.

    Raises:
        ConversionError: two parameters have the same name.
    """
    keys = {id(entry.tensor): entry.key for entry in entries(model)}
    paths: dict[int, list[str]] = {}
    for path, tensor in model.state_dict().items():
        paths.setdefault(id(tensor), []).append(path)
    shared = ((keys[tensor], found) for tensor, found in paths.items() if len(found) > 1)
    return {path: key for key, found in shared for path in found if path != key}


def assign(model: nn.Cell, state: Mapping[str, Array]) -> None:
    """Set the named tensors, in place and in their own element types, others stay as they are.

    Raises:
        ConversionError: the cell has no such tensor, or not of that shape; nothing is changed then.
    """
    tensors = {entry.key: entry.tensor for entry in entries(model)}
    title = type(model).__name__
    values = {name: np.asarray(value) for name, value in state.items()}
    for name, value in values.items():
        if name not in tensors:
            raise ConversionError(f"{title}: has no tensor {name!r}: it has {_in_short(list(tensors))}")
        if value.shape != tuple(tensors[name].shape):
            raise ConversionError(f"{title}: {name} is {tuple(tensors[name].shape)}, the value given is {value.shape}")
        if value.dtype.kind == "c" and not tensors[name].is_complex():
            raise ConversionError(f"{title}: {name} is {tensors[name].dtype}, the value given is {value.dtype}")
    for name, value in values.items():
        write(tensors[name], value)


def write(tensor: Tensor, value: Array) -> None:
    """Set a tensor in place, in its own element type."""
    made = tensor_of(value, tensor.dtype)
    if isinstance(tensor, Parameter):
        tensor.set_data(made)
    else:
        tensor.assign_value(made)


def _in_short(names: list[str]) -> str:
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "") if names else "none"
