"""The state of a live module, and its run."""

from __future__ import annotations

from torch import nn

from twinzoo.converters.live import Array, Inputs, Trace
from twinzoo.converters.live.inputs import named_inputs, smallest_inputs
from twinzoo.converters.live.torch.arguments import arguments_of, call, tensors_for
from twinzoo.converters.live.torch.arrays import array_of
from twinzoo.converters.live.torch.calls import named_tensors
from twinzoo.converters.live.torch.layering import Layers
from twinzoo.converters.live.torch.recording import Recording
from twinzoo.converters.live.torch.state import aliases_of, arrays_of, assign, check_values, tensors_of
from twinzoo.converters.live.torch.unchanged import unchanged
from twinzoo.converters.live.torch.watching import Watch
from twinzoo.zoo.errors import ConversionError

__all__ = ["aliases_of", "arrays_of", "assign", "trace"]


def trace(model: nn.Module, inputs: Inputs | tuple[Array, ...] | None = None, *, values: bool = False) -> Trace:
    """Run the module once in eval mode without gradients, and leave it as it was.

    Args:
        inputs: by name or by position; without them the smallest that the module accepts is looked for.
        values: whether the first output of each operation is kept.

    Raises:
        ConversionError: the module does not run on them, or nothing was found that it runs on.
    """
    check_values(model)
    aliases, tensors = aliases_of(model), tensors_of(model)
    layers = Layers(model, {name: tensor for name, tensor in tensors.items() if name not in aliases})
    arguments = arguments_of(model)
    with unchanged(model):
        if inputs is None:
            given: Inputs = smallest_inputs(
                arguments.required or arguments.rest,
                layers.listed(),
                lambda tried: call(model, tensors_for(model, tried)),
                (Exception,),
            )
        else:
            given = named_inputs(arguments.names, inputs, arguments.required, *arguments.rest)
        recording = Recording(
            layers, {name: (tensors[name], aliases.get(name, name)) for name in tensors}, values=values
        )
        return _traced(model, recording, given)


def _traced(model: nn.Module, recording: Recording, inputs: Inputs) -> Trace:
    title = type(model).__name__
    tensors = tensors_for(model, inputs)
    for index, (name, tensor) in enumerate(named_tensors(tensors)):
        recording.add_input(name, index, tensor)
    watch = Watch(recording, model)
    try:
        with watch.hooks(), watch:
            result = call(model, tensors)
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), "")
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in named_tensors(tensors)) or "no inputs"
        raise ConversionError(f"{title} does not run on {shapes}: {type(error).__name__}: {reason}") from error
    outputs = dict(named_tensors(result))
    for index, (name, tensor) in enumerate(outputs.items()):
        recording.add_output(name, index, tensor)
    graph, kept = recording.graph(title)
    return Trace(graph, inputs, {name: array_of(tensor) for name, tensor in outputs.items()}, kept)
