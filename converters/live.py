"""Live models as named arrays, without importing a framework that the caller has not imported."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from twinzoo.zoo.errors import ConversionError
from twinzoo.zoo.spec import Spec

Array = NDArray[Any]


def framework_of(model: Any) -> str:
    """`torch` for an nn.Module, `mindspore` for an nn.Cell, the empty text for anything else."""
    torch, mindspore = sys.modules.get("torch"), sys.modules.get("mindspore")
    if torch is not None and isinstance(model, torch.nn.Module):
        return "torch"
    if mindspore is not None and isinstance(model, mindspore.nn.Cell):
        return "mindspore"
    return ""


def spec_of(model: Any) -> Spec | None:
    """The spec that a twin was built from, None for a model of somebody else's."""
    spec = getattr(model, "twinzoo_spec", None)
    return spec if isinstance(spec, Spec) else None


def arrays_of(model: Any) -> dict[str, Array]:
    """The state of a live model by its own names, buffers included, as copies."""
    if framework_of(model) == "torch":
        return {name: _torch_array(tensor) for name, tensor in model.state_dict().items()}
    return {name: np.array(parameter.asnumpy()) for name, parameter in model.parameters_and_names()}


def _torch_array(tensor: Any) -> Array:
    tensor = tensor.detach().cpu().contiguous()
    if str(tensor.dtype) == "torch.bfloat16":
        bits: Array = tensor.view(sys.modules["torch"].int16).numpy()
        return np.array(bits.view(ml_dtypes.bfloat16))
    return np.array(tensor.numpy())


def assign(model: Any, state: Mapping[str, Array]) -> None:
    """Set the named tensors of a live model; others stay as they are.

    Raises:
        ConversionError: the framework did not take one of them.
    """
    if framework_of(model) == "torch":
        torch = sys.modules["torch"]
        tensors = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
        rejected = model.load_state_dict(tensors, strict=False).unexpected_keys
    else:
        mindspore = sys.modules["mindspore"]
        by_name = dict(model.parameters_and_names())
        rejected = [name for name in state if name not in by_name]
        for name, value in state.items():
            if name in by_name:
                by_name[name].set_data(mindspore.Tensor(np.ascontiguousarray(value)))
    if rejected:
        raise ConversionError(f"{type(model).__name__} did not take {', '.join(rejected)}")
