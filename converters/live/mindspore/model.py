"""The state of a live cell, and its run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mindspore import dtype as mstype
from mindspore import nn

from twinzoo.converters.live import Array, Inputs, Trace
from twinzoo.converters.live.inputs import named_inputs, smallest_inputs
from twinzoo.converters.live.mindspore.layering import Layers
from twinzoo.converters.live.mindspore.parameters import (
    Entry,
    aliases_of,
    array_of,
    arrays_of,
    assign,
    entries,
    tensor_of,
)
from twinzoo.converters.live.mindspore.recording import Recording, flat
from twinzoo.converters.live.mindspore.rows.table import cell_row
from twinzoo.converters.live.mindspore.running import undisturbed
from twinzoo.converters.live.mindspore.watching import Watch
from twinzoo.zoo.errors import ConversionError

__all__ = ["aliases_of", "arrays_of", "assign", "trace"]


def trace(model: nn.Cell, inputs: Inputs | tuple[Array, ...] | None = None, *, values: bool = False) -> Trace:
    """Run the cell once in eval mode without gradients, as plain Python, and leave it as it was.

    Args:
        inputs: by name or by position; without them the smallest that the cell accepts is looked for.
        values: whether the first output of each operation is kept.

    Raises:
        ConversionError: the cell does not run on them, or nothing was found that it runs on.
    """
    state = entries(model)
    layers = Layers(model, state)
    arguments, required = _arguments(model)
    with undisturbed(model, state):
        if inputs is None:
            given: Inputs = smallest_inputs(required, layers.listed(), lambda tried: _run(model, tried), (Exception,))
        else:
            given = named_inputs(arguments, _packed(model, inputs), required)
        try:
            return _traced(model, state, layers, given, values)
        except ConversionError:
            raise
        except Exception as error:
            reason = next(iter(str(error).strip().splitlines()), "")
            raise ConversionError(
                f"{type(model).__name__} does not run on the inputs: {type(error).__name__}: {reason}"
            ) from error


def _arguments(model: nn.Cell) -> tuple[list[str], list[str]]:
    """The arguments of `construct`, and those that must be given."""
    parameters = inspect.signature(model.construct).parameters.values()
    named = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
    required = [p for p in named if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
    return [p.name for p in named], [p.name for p in required or named[:1]]


def _packed(model: nn.Cell, inputs: Any) -> Any:
    """Inputs by position, with all that an argument `*inputs` takes in one tuple."""
    parameters = list(inspect.signature(model.construct).parameters.values())
    places = [place for place, p in enumerate(parameters) if p.kind is p.VAR_POSITIONAL]
    if not places or not isinstance(inputs, (tuple, list)):
        return inputs
    return (*inputs[: places[0]], tuple(inputs[places[0] :]))


def _run(model: nn.Cell, inputs: Mapping[str, Any]) -> list[Array]:
    return [array_of(tensor) for _, tensor in flat(_called(model, _tensors(model, inputs)))]


def _called(model: nn.Cell, tensors: Mapping[str, Any]) -> Any:
    """The model's result; an argument `*inputs` takes all items of its tuple."""
    bound = inspect.signature(model.construct).bind_partial()
    for name, value in tensors.items():
        several = bound.signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
        bound.arguments[name] = value if isinstance(value, tuple) or not several else (value,)
    bound.apply_defaults()
    return model(*bound.args, **bound.kwargs)


def _tensors(model: nn.Cell, inputs: Mapping[str, Any]) -> dict[str, Any]:
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


def _traced(model: nn.Cell, state: Sequence[Entry], layers: Layers, inputs: Inputs, values: bool) -> Trace:
    recording = Recording(layers, values=values)
    paths = {cell: path for path, cell in model.cells_and_names()}
    tensors = _tensors(model, inputs)
    named = list(flat(tensors))
    for index, (name, tensor) in enumerate(named):
        recording.add_input(name, index, tensor)
    watch = Watch(recording.add_call, lambda c, code: cell_row(c, code) is not None, lambda c: paths.get(c, ""))
    with watch([*(tensor for _, tensor in named), *(entry.tensor for entry in state)]):
        result = _called(model, tensors)
    outputs = list(flat(result))
    for index, (name, tensor) in enumerate(outputs):
        recording.add_output(name, index, tensor)
    graph, kept = recording.graph(type(model).__name__)
    return Trace(graph, inputs, {name: array_of(tensor) for name, tensor in outputs}, kept)
