"""The arguments of a module's forward, and calling it with arrays for them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from twinzoo.converters.live import Inputs
from twinzoo.converters.live.torch.arrays import tensor_of


class Arguments(NamedTuple):
    """By name and in order: all, those without a default, and the one, if any, that takes all further positions."""

    names: list[str]
    required: list[str]
    rest: list[str]


def arguments_of(model: nn.Module) -> Arguments:
    """The arguments of a module."""
    parameters = [p for p in _signature(model).parameters.values() if p.kind is not p.VAR_KEYWORD]
    rest = [p.name for p in parameters if p.kind is p.VAR_POSITIONAL]
    required = [p.name for p in parameters if p.default is p.empty and p.name not in rest]
    return Arguments([p.name for p in parameters], required, rest)


def _signature(model: nn.Module) -> inspect.Signature:
    """That of `forward`; a wrapper that hands on whatever it is given has that of the one module inside."""
    signature = inspect.signature(model.forward)
    kinds = {p.kind for p in signature.parameters.values()}
    inside = list(model.children())
    if kinds == {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD} and len(inside) == 1:
        return _signature(inside[0])
    return signature


def call(model: nn.Module, tensors: Mapping[str, Any]) -> Any:
    """What the module returns."""
    bound = _signature(model).bind_partial()
    for name, value in tensors.items():
        takes_several = bound.signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
        bound.arguments[name] = (value,) if takes_several and not isinstance(value, tuple) else value
    return model(*bound.args, **bound.kwargs)


def tensors_for(model: nn.Module, inputs: Inputs) -> dict[str, Any]:
    """Inputs as tensors of their own where the module is, floating-point ones in its precision."""
    own = [*chain(model.parameters(), model.buffers())]
    floating = next((tensor.dtype for tensor in own if tensor.is_floating_point()), None)
    device = own[0].device if own else torch.device("cpu")
    return {name: _tensors(value, device, floating) for name, value in inputs.items()}


def _tensors(value: Any, device: torch.device, floating: torch.dtype | None) -> Any:
    if isinstance(value, Mapping):
        return {key: _tensors(item, device, floating) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_tensors(item, device, floating) for item in value)
    tensor = tensor_of(np.asarray(value))
    return tensor.to(device, floating if tensor.is_floating_point() else None)
