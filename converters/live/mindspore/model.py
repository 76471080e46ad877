"""The state of a live cell, and its run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import mindspore
from mindspore import Parameter, Tensor, nn

from twinzoo.converters.live import Array, Inputs, Loss, Pull, Trace, Whole
from twinzoo.converters.live.inputs import named_inputs, smallest_inputs
from twinzoo.converters.live.mindspore.arguments import arguments_of, called, packed, tensors_for
from twinzoo.converters.live.mindspore.calls import Call
from twinzoo.converters.live.mindspore.compiling import compiled, paths_in, precision, pulled_as_it_stands
from twinzoo.converters.live.mindspore.gradients import pulled
from twinzoo.converters.live.mindspore.layering import Layers
from twinzoo.converters.live.mindspore.parameters import Entry, aliases_of, array_of, arrays_of, assign, entries
from twinzoo.converters.live.mindspore.recording import Recording, flat
from twinzoo.converters.live.mindspore.running import Kept, undisturbed
from twinzoo.converters.live.mindspore.watching import Watch
from twinzoo.converters.live.pulling import of_a_loss
from twinzoo.converters.live.spool import Loaded, Spool
from twinzoo.zoo.errors import ConversionError

__all__ = ["aliases_of", "arrays_of", "assign", "compiled", "device_of", "trace", "whole"]


def device_of(model: nn.Cell) -> str:
    """What MindSpore runs on: `CPU`, `Ascend`, `GPU`."""
    return str(mindspore.get_context("device_target"))


def trace(
    model: nn.Cell,
    inputs: Inputs | tuple[Array, ...] | None = None,
    *,
    values: bool = False,
    train: bool = False,
    pull: Pull | None = None,
    loss: Loss | None = None,
    spool: Spool | None = None,
) -> Trace:
    """Run the cell once as plain Python, and leave it as it was.

    Args:
        inputs: by name or by position; without them the smallest that the cell accepts is looked for.
        values: whether the first output of each operation is kept.
        train: training mode, but for the parts that a model in training mode has in eval mode; else eval mode.
        pull: asks for gradients, and says of what; a loss is pulled with 1 instead.
        loss: is applied to what the cell returned, and its operations are traced too.
        spool: where values and gradients wait, instead of in memory.

    Raises:
        ConversionError: the cell does not run on them, has no gradients there, or nothing was found that it runs on.
    """
    modes = {path: bool(cell.training) for path, cell in model.cells_and_names()}
    state = entries(model)
    layers = Layers(model, state)
    given = _smallest(model, state, layers, train) if inputs is None else _named(model, inputs)
    with undisturbed(model, state, train=train, watched=True) as kept, _explained(model):
        recording = Recording(layers, values=values, gradients=pull is not None, spool=spool)
        run = _Run(model, recording, kept, state, tensors_for(model, given), loss)
        parameters: dict[str, Array] = {}
        if pull:
            _, parameters = pulled(run, run.inputs, _trained(state), of_a_loss if loss else pull)
        else:
            run()
        graph, seen, gradients, idle = recording.graph(type(model).__name__, parameters)
        return Trace(
            graph,
            given,
            {name: array_of(tensor) for name, tensor in run.outputs.items()},
            Loaded(seen),
            Loaded(gradients),
            parameters,
            layers.frozen(),
            kept.changed(),
            modes,
            precision(),
            idle,
            recording.computed(),
        )


class _Run:
    """A run that is recorded."""

    def __init__(
        self,
        model: nn.Cell,
        recording: Recording,
        kept: Kept,
        state: Sequence[Entry],
        tensors: Mapping[str, Any],
        loss: Loss | None,
    ) -> None:
        self._model = model
        self._recording = recording
        self._state = state
        self._tensors = tensors
        self._loss = loss
        self.inputs = dict(flat(tensors))
        self.outputs: dict[str, Tensor] = {}
        paths = {cell: path for path, cell in model.cells_and_names()}
        self._kept = kept
        self._watch = Watch(self._before, recording.add_call, recording.is_one, lambda cell: paths.get(cell, ""))

    def _before(self, call: Call) -> None:
        self._kept.before(call)
        self._recording.before(call)

    def __call__(self) -> Mapping[str, Tensor]:
        """The outputs."""
        for index, (name, tensor) in enumerate(self.inputs.items()):
            self._recording.add_input(name, index, tensor)
        with self._watch([*self.inputs.values(), *(entry.tensor for entry in self._state)]):
            result = _lost(self._loss, called(self._model, self._tensors))
        self.outputs = dict(flat(result))
        for index, (name, tensor) in enumerate(self.outputs.items()):
            self._recording.add_output(name, index, tensor)
        return self.outputs


def whole(
    model: nn.Cell,
    inputs: Inputs | tuple[Array, ...],
    *,
    train: bool = False,
    pull: Pull | None = None,
    loss: Loss | None = None,
) -> Whole:
    """Run the cell once as it stands, compiled where it is compiled, and leave it as it was.

    Args:
        inputs, train, pull, loss: as for `trace`. Inputs inside tuples and mappings get no gradients; a loss must be a
            function that MindSpore compiles where graph mode is set.

    Raises:
        ConversionError: the cell does not run on them, or has no gradients there.
    """
    state, given = entries(model), _named(model, inputs)
    with undisturbed(model, state, train=train, as_it_stands=True) as kept, _explained(model):
        result = _lost(loss, called(model, tensors_for(model, given)))
        outputs = dict(flat(result))
        if pull is None:
            return Whole({name: array_of(tensor) for name, tensor in outputs.items()}, {}, {}, kept.changed())
    with undisturbed(model, state, train=train, as_it_stands=True) as kept, _explained(model):
        made, of_inputs, of_parameters = pulled_as_it_stands(
            model,
            tensors_for(model, given),
            list(paths_in(result)),
            _trained(state),
            of_a_loss if loss else pull,
            loss,
        )
        arrays = {name: array_of(tensor) for name, tensor in zip(outputs, made, strict=True)}
        return Whole(arrays, of_inputs, of_parameters, kept.changed())


def _named(model: nn.Cell, inputs: Any) -> Inputs:
    arguments, required = arguments_of(model)
    return named_inputs(arguments, packed(model, inputs), required)


def _smallest(model: nn.Cell, state: Sequence[Entry], layers: Layers, train: bool) -> Inputs:
    def run(tried: Inputs) -> list[Array]:
        return [array_of(tensor) for _, tensor in flat(called(model, tensors_for(model, tried)))]

    with undisturbed(model, state, train=train):
        return smallest_inputs(arguments_of(model)[1], layers.listed(), run, (Exception,))


def _trained(state: Sequence[Entry]) -> list[tuple[str, Parameter]]:
    """The parameters that require gradients, with their keys."""
    found = [(entry.key, entry.tensor) for entry in state if isinstance(entry.tensor, Parameter)]
    return [(key, parameter) for key, parameter in found if parameter.requires_grad]


def _lost(loss: Loss | None, result: Any) -> Any:
    """The loss of a result, or the result."""
    if loss is None:
        return result
    lost = loss(result)
    if not isinstance(lost, Tensor) or lost.size != 1:
        raise ConversionError("loss: must return a tensor of one number")
    return lost


@contextmanager
def _explained(model: nn.Cell) -> Iterator[None]:
    """Whatever the run of a cell raises, as one line."""
    try:
        yield
    except ConversionError:
        raise
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), "")
        raise ConversionError(
            f"{type(model).__name__} does not run on the inputs: {type(error).__name__}: {reason}"
        ) from error
