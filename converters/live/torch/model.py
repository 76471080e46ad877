"""The state of a live module, and its run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import torch
from numpy.typing import NDArray

from twinzoo.zoo.errors import ConversionError

Array = NDArray[Any]


def arrays_of(model: torch.nn.Module) -> dict[str, Array]:
    """The state by the module's own names, buffers included, as copies."""
    return {name: array_of(tensor) for name, tensor in model.state_dict().items()}


def array_of(tensor: torch.Tensor) -> Array:
    """A tensor's values as a copy, bfloat16 too."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return np.array(tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16))
    return np.array(tensor.numpy())


def assign(model: torch.nn.Module, state: Mapping[str, Array]) -> None:
    """Set the named tensors of a live model; others stay as they are.

    Raises:
        ConversionError: the framework did not take one of them.
    """
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
    rejected = model.load_state_dict(tensors, strict=False).unexpected_keys
    if rejected:
        raise ConversionError(f"{type(model).__name__} did not take {', '.join(rejected)}")
