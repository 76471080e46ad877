"""One side of a comparison: a live model's graph, and what every operation of it gave, forwards and backwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.converters.graph import INPUT, Graph
from twinzoo.converters.live import Idle, Loss, Trace, Whole, framework_of, live
from twinzoo.converters.live.spool import Spool
from twinzoo.parity.graphs.computed import Made, frozen_weights, seen_through
from twinzoo.parity.kernels import LIVE
from twinzoo.parity.results import SideInfo
from twinzoo.ports.probe import MINDSPORE, TORCH, version
from twinzoo.ports.reference.port import ReferenceModel
from twinzoo.zoo.errors import ConversionError, ParityError, SpecError

Array = NDArray[Any]


MEMORY = 2**28
"""Bytes of each side's values and gradients that wait in memory; what is more waits on disk."""


@dataclass(frozen=True)
class How:
    """What both sides are asked to do.

    Attributes:
        train: run in training mode: batch statistics, dropout, buffers that move.
        grad: pull every output back.
        loss: what is returned is a loss.
    """

    train: bool = False
    grad: bool = False
    loss: bool = False

    def pull(self, index: int, shape: tuple[int, ...]) -> Array:
        """What an output is pulled with: a loss with 1, else with the same random numbers on every side and machine."""
        if self.loss:
            return np.ones(shape, np.float32)
        return np.random.default_rng([2026, index]).standard_normal(shape).astype(np.float32)

    def __str__(self) -> str:
        return ("train" if self.train else "eval") + (" with gradients" if self.grad else "")


@dataclass(frozen=True)
class Gradients:
    """What a backward pass gave.

    Attributes:
        values: of each operation's first output, by position; absent where nothing came back.
        parameters: by key; absent where nothing came back.
    """

    values: Mapping[int, Array] = field(default_factory=dict)
    parameters: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """What one side did.

    Attributes:
        info: what stood on this side.
        graph: its layers and operations, under the names of the user's code.
        values: of each operation, its first output, by position.
        state: its tensors by key, before the run.
        outputs: what it returned, by position or key.
        how: what it was asked to do.
        gradients: of what it returned.
        after: the tensors that the run changed, by key.
        frozen: the keys of the parameters that are not trained.
        training: the training flag of each module as it was handed over, by path; the whole model's by the empty one.
        whole: a second run just as the model stands, where that is a compiled one.
        products: what products of float32 numbers may be rounded to: `tf32`, `hf32`, or empty.
        idle: the dropouts that dropped nothing.
        made: the weights that were computed from other tensors, by the position of their operation; the graph has them
            in the place of those.
    """

    info: SideInfo
    graph: Graph
    values: Mapping[int, Array]
    state: Mapping[str, Array]
    outputs: Mapping[str, Array]
    how: How = How()
    gradients: Gradients = Gradients()
    after: Mapping[str, Array] = field(default_factory=dict)
    frozen: frozenset[str] = frozenset()
    training: Mapping[str, bool] = field(default_factory=dict)
    whole: Whole | None = None
    products: str = ""
    idle: tuple[Idle, ...] = ()
    made: Mapping[int, tuple[Made, ...]] = field(default_factory=dict)

    @property
    def port(self) -> str:
        """The key of its kernels."""
        return LIVE + self.info.port

    @property
    def draws(self) -> bool:
        """Whether a second run gives something else, by the random numbers in it."""
        return any(draws(operation.kind) for operation in self.graph.operations)

    @property
    def frozen_modules(self) -> list[str]:
        """The paths of the modules that stayed in eval mode in a run in training mode, as they were handed over."""
        kept = self.how.train and self.training.get("", False)
        return [path for path, training in self.training.items() if not training] if kept else []

    @property
    def returned(self) -> Mapping[str, Array]:
        """What it returned just as it stands."""
        return self.outputs if self.whole is None or self.draws else self.whole.outputs

    @property
    def inputs(self) -> dict[str, Array]:
        """What it was run on, by the names of its arguments."""
        return {op.name: self.values[i] for i, op in enumerate(self.graph.operations) if op.kind == INPUT}


_DRAWN = ("rand", "normal", "bernoulli", "uniform", "dropout", "multinomial", "poisson", "exponential", "gamma")
"""What the name of an operation that draws random numbers contains."""


def draws(kind: str) -> bool:
    """Whether an operation of this kind draws random numbers."""
    word = kind.rpartition(".")[2].lower()
    return any(part in word for part in _DRAWN)


def run(label: str, model: Any, inputs: Any, how: How = How(), loss: Loss | None = None) -> Run:
    """Run a live model once and keep everything; a second time, as it stands, where that is compiled.

    Args:
        label: `a` or `b`, for messages.
        model: an nn.Module, an nn.Cell, or a model of the reference port.
        inputs: arrays by argument, or in order.
        loss: of what the model returns, in its framework; it is then what the model is taken to return.

    Raises:
        ParityError: it does not run on the inputs.
    """
    given = inputs if isinstance(inputs, Mapping) else inputs if isinstance(inputs, tuple) else (np.asarray(inputs),)
    pull = how.pull if how.grad else None
    try:
        if isinstance(model, ReferenceModel):
            from twinzoo.parity.graphs.reference import reference_run  # which makes a Run

            return reference_run(model, given, how)
        functions = live(model)
        state = functions.arrays_of(model)
        trace = functions.trace(model, given, values=True, train=how.train, pull=pull, loss=loss, spool=Spool(MEMORY))
        whole = None
        if functions.compiled(model):
            whole = functions.whole(model, given, train=how.train, pull=pull, loss=loss)
    except (ConversionError, ParityError, SpecError) as error:
        raise ParityError(f"compare: {label}: {error}") from error
    return _of(model, trace, state, how, whole)


_QUESTIONS = {question.port: question for question in (TORCH, MINDSPORE)}


def _of(model: Any, trace: Trace, state: Mapping[str, Array], how: How, whole: Whole | None) -> Run:
    asked = _QUESTIONS[framework_of(model)]
    weights = f"{type(model).__name__}'s own weights"
    info = SideInfo(asked.port, asked.title, version(asked), live(model).device_of(model), weights)
    seen = seen_through(trace.graph, trace.computed)
    return Run(
        info,
        seen.graph,
        trace.values,
        {**state, **seen.weights},
        trace.outputs,
        how,
        Gradients(trace.gradients, {**trace.parameter_gradients, **seen.gradients}),
        trace.state_after,
        trace.frozen.union(frozen_weights(seen.made, trace.frozen)),
        trace.training,
        whole,
        trace.precision,
        trace.idle,
        seen.made,
    )
