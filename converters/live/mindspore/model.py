"""The state of a live cell, and its run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mindspore
import numpy as np
from numpy.typing import NDArray

from twinzoo.zoo.errors import ConversionError

Array = NDArray[Any]


def arrays_of(model: Any) -> dict[str, Array]:
    """The state by the cell's own names, buffers included, as copies."""
    return {name: np.array(parameter.asnumpy()) for name, parameter in model.parameters_and_names()}


def assign(model: Any, state: Mapping[str, Array]) -> None:
    """Set the named tensors of a live model; others stay as they are.

    Raises:
        ConversionError: the framework did not take one of them.
    """
    by_name = dict(model.parameters_and_names())
    rejected = [name for name in state if name not in by_name]
    for name, value in state.items():
        if name in by_name:
            by_name[name].set_data(mindspore.Tensor(np.ascontiguousarray(value)))
    if rejected:
        raise ConversionError(f"{type(model).__name__} did not take {', '.join(rejected)}")
