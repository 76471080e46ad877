"""The state of a live module, and its run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from twinzoo.converters.live import Array, Inputs, Loss, Pull, Trace, Whole
from twinzoo.converters.live.inputs import named_inputs, smallest_inputs
from twinzoo.converters.live.pulling import of_a_loss
from twinzoo.converters.live.spool import Loaded, Spool
from twinzoo.converters.live.torch.arguments import arguments_of, call, tensors_for
from twinzoo.converters.live.torch.arrays import array_of
from twinzoo.converters.live.torch.calls import named_tensors
from twinzoo.converters.live.torch.compiling import compiled, precision
from twinzoo.converters.live.torch.gradients import from_leaves, leaves_of, parameters_of, pulled
from twinzoo.converters.live.torch.layering import Layers
from twinzoo.converters.live.torch.recording import Recording
from twinzoo.converters.live.torch.state import aliases_of, arrays_of, assign, check_values, tensors_of
from twinzoo.converters.live.torch.unchanged import unchanged
from twinzoo.converters.live.torch.watching import Watch
from twinzoo.zoo.errors import ConversionError

__all__ = ["aliases_of", "arrays_of", "assign", "compiled", "device_of", "trace", "whole"]


def device_of(model: nn.Module) -> str:
    """Where the first of its tensors is: `cpu`, `cuda:0`."""
    return next((str(tensor.device) for tensor in tensors_of(model).values()), "cpu")


def trace(
    model: nn.Module,
    inputs: Inputs | tuple[Array, ...] | None = None,
    *,
    values: bool = False,
    train: bool = False,
    pull: Pull | None = None,
    loss: Loss | None = None,
    spool: Spool | None = None,
) -> Trace:
    """Run the module once as plain Python, and leave it as it was.

    Args:
        inputs: by name or by position; without them the smallest that the module accepts is looked for.
        values: whether the first output of each operation is kept.
        train: training mode, but for the parts that a model in training mode has in eval mode; else eval mode.
        pull: asks for gradients, and says of what; a loss is pulled with 1 instead.
        loss: is applied to what the module returned, and its operations are traced too.
        spool: where values and gradients wait, instead of in memory.

    Raises:
        ConversionError: the module does not run on them, has no gradients there, or nothing was found that it runs on.
    """
    check_values(model)
    modes = {path: module.training for path, module in model.named_modules()}
    aliases, tensors = aliases_of(model), tensors_of(model)
    layers = Layers(model, {name: tensor for name, tensor in tensors.items() if name not in aliases})
    known = {name: (tensor, aliases.get(name, name)) for name, tensor in tensors.items()}
    given = _smallest(model, layers, train) if inputs is None else _named(model, inputs)
    recording = Recording(layers, known, values=values, gradients=pull is not None, spool=spool)
    trained = parameters_of(tensors, aliases, frozen=False)
    with unchanged(model, train=train, gradients=pull is not None) as kept:
        tensors_given = tensors_for(model, given)
        leaves = leaves_of(tensors_given) if pull else {}
        begun = from_leaves(tensors_given)
        for index, (name, tensor) in enumerate(named_tensors(begun)):
            recording.add_input(name, index, tensor)
        watch = Watch(recording, model)
        with _explained(model, begun), watch.hooks(), watch:
            outputs = _outputs(model, begun, loss)
        for index, (name, tensor) in enumerate(outputs.items()):
            recording.add_output(name, index, tensor)
        parameters: dict[str, Array] = {}
        if pull:
            _, parameters = _pulled(model, outputs, leaves, trained, of_a_loss if loss else pull)
        graph, seen, gradients, idle = recording.graph(type(model).__name__, parameters)
        return Trace(
            graph,
            given,
            {name: array_of(tensor) for name, tensor in outputs.items()},
            Loaded(seen),
            Loaded(gradients),
            parameters,
            frozenset(key for key, _ in parameters_of(tensors, aliases, frozen=True)),
            kept.changed(),
            modes,
            precision(model),
            idle,
            recording.computed(),
        )


def whole(
    model: nn.Module,
    inputs: Inputs | tuple[Array, ...],
    *,
    train: bool = False,
    pull: Pull | None = None,
    loss: Loss | None = None,
) -> Whole:
    """Run the module once as it stands, compiled where it is compiled, and leave it as it was.

    Args:
        inputs, train, pull, loss: as for `trace`.

    Raises:
        ConversionError: the module does not run on them, or has no gradients there.
    """
    check_values(model)
    given = _named(model, inputs)
    trained = parameters_of(tensors_of(model), aliases_of(model), frozen=False)
    with unchanged(model, train=train, gradients=pull is not None, as_it_stands=True) as kept:
        tensors = tensors_for(model, given)
        leaves = leaves_of(tensors) if pull else {}
        begun = from_leaves(tensors)
        with _explained(model, begun):
            outputs = _outputs(model, begun, loss)
        gradients, parameters = (
            _pulled(model, outputs, leaves, trained, of_a_loss if loss else pull) if pull else ({}, {})
        )
        return Whole(
            {name: array_of(tensor) for name, tensor in outputs.items()}, gradients, parameters, kept.changed()
        )


def _named(model: nn.Module, inputs: Any) -> Inputs:
    arguments = arguments_of(model)
    return named_inputs(arguments.names, inputs, arguments.required, *arguments.rest)


def _smallest(model: nn.Module, layers: Layers, train: bool) -> Inputs:
    arguments = arguments_of(model)
    with unchanged(model, train=train):
        return smallest_inputs(
            arguments.required or arguments.rest,
            layers.listed(),
            lambda tried: call(model, tensors_for(model, tried)),
            (Exception,),
        )


def _outputs(model: nn.Module, tensors: Mapping[str, Any], loss: Loss | None) -> dict[str, torch.Tensor]:
    """What the module returns, or the loss of that."""
    result = call(model, tensors)
    if loss is None:
        return dict(named_tensors(result))
    lost = loss(result)
    if not isinstance(lost, torch.Tensor) or lost.numel() != 1:
        raise ConversionError("loss: must return a tensor of one number")
    return {"0": lost}


def _pulled(
    model: nn.Module,
    outputs: Mapping[str, torch.Tensor],
    leaves: Mapping[str, torch.Tensor],
    trained: list[tuple[str, torch.Tensor]],
    pull: Pull,
) -> tuple[dict[str, Array], dict[str, Array]]:
    try:
        return pulled(outputs, leaves, trained, pull)
    except RuntimeError as error:
        raise ConversionError(f"{type(model).__name__} has no gradients: RuntimeError: {_first_line(error)}") from error


@contextmanager
def _explained(model: nn.Module, tensors: Mapping[str, Any]) -> Iterator[None]:
    """Whatever the run of a module raises, as one line."""
    try:
        yield
    except ConversionError:
        raise
    except Exception as error:
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in named_tensors(tensors)) or "no inputs"
        title = type(model).__name__
        raise ConversionError(
            f"{title} does not run on {shapes}: {type(error).__name__}: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")
