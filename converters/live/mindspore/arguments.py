"""The arguments of a cell's construct, and calling it with arrays for them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
from mindspore import dtype as mstype
from mindspore import nn

from twinzoo.converters.live.mindspore.parameters import tensor_of


def arguments_of(model: nn.Cell) -> tuple[list[str], list[str]]:
    """The arguments of `construct`, and those that must be given."""
    parameters = inspect.signature(model.construct).parameters.values()
    named = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
    required = [p for p in named if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
    return [p.name for p in named], [p.name for p in required or named[:1]]


def packed(model: nn.Cell, inputs: Any) -> Any:
    """Inputs by position, with all that an argument `*inputs` takes in one tuple."""
    parameters = list(inspect.signature(model.construct).parameters.values())
    places = [place for place, p in enumerate(parameters) if p.kind is p.VAR_POSITIONAL]
    if not places or not isinstance(inputs, (tuple, list)):
        return inputs
    return (*inputs[: places[0]], tuple(inputs[places[0] :]))


def bound(model: nn.Cell, tensors: Mapping[str, Any]) -> inspect.BoundArguments:
    """The arguments of a call; an argument `*inputs` takes all items of its tuple."""
    found = inspect.signature(model.construct).bind_partial()
    for name, value in tensors.items():
        several = found.signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
        found.arguments[name] = value if isinstance(value, tuple) or not several else (value,)
    found.apply_defaults()
    return found


def called(model: nn.Cell, tensors: Mapping[str, Any]) -> Any:
    """The model's result."""
    arguments = bound(model, tensors)
    return model(*arguments.args, **arguments.kwargs)


def tensors_for(model: nn.Cell, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs as tensors, floating-point ones in the model's precision where it has one."""
    precisions = {p.dtype for p in model.get_parameters() if p.dtype in mstype.float_type}
    floating = precisions.pop() if len(precisions) == 1 else None
    return {name: _nested(value, floating) for name, value in inputs.items()}


def _nested(value: Any, floating: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _nested(item, floating) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(_nested(item, floating) for item in value)
    return tensor_of(value, floating if np.issubdtype(value.dtype, np.floating) else None)
