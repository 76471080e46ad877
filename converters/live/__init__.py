"""Live models, a torch.nn.Module or a mindspore.nn.Cell: their state, and what they do when they run.

`torch/model.py` and `mindspore/model.py` have the same functions; a framework is imported with the first of its models.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol, cast

from numpy.typing import NDArray

from twinzoo.converters.graph import Graph
from twinzoo.converters.live.spool import Spool
from twinzoo.zoo.spec import Spec

Array = NDArray[Any]
Inputs = Mapping[str, Array]


Pull = Callable[[int, tuple[int, ...]], Array]
"""Place of an output and its shape -> the cotangent that is pulled back from it, float32 and of that shape."""

Loss = Callable[[Any], Any]
"""What the model returned, in the framework's own tensors -> a tensor of one number."""


@dataclass(frozen=True)
class Idle:
    """A dropout that was called and dropped nothing, as they all do in eval mode: it is no operation of the graph.

    Attributes:
        name, kind, source: as of an operation.
        p: the share that it drops in training mode.
        after: the position of the operation that it was given the output of; -1 where that became part of another.
    """

    name: str
    kind: str
    p: float
    after: int
    source: str = ""


@dataclass(frozen=True)
class Computed:
    """A weight that was computed from the model's own tensors alone: by weight or spectral norm, mostly.

    Attributes:
        role: of the operation that used it.
        sources: the keys of the tensors that it was computed from.
        value: as it was used.
        gradient: of it; None where none was asked for, or nothing came back.
    """

    role: str
    sources: tuple[str, ...]
    value: Array
    gradient: Array | None = None


@dataclass(frozen=True)
class Trace:
    """One run of a model. Gradients are those of sum_i <output i, pull(i)>, or of the loss, where they were asked for.

    Attributes:
        inputs: what it was run on, by the names of its arguments.
        outputs: what it returned: tensors by position (`0`, `1`) or by key, nested ones joined with dots; the loss as
            `0` where there is one.
        values: the first output of each operation by its position in the graph; only where it was asked for.
        gradients: of each operation's first output by its position, inputs included. Absent where nothing flows back,
            and where the framework does not tell: what is changed in place through a view of it, or inside a function
            with a backward of its own. That of an operation of kind `parameter` is the whole of the tensor.
        parameter_gradients: by key, of the parameters that require one; absent where nothing reaches them, zeros where
            the framework gives zeros.
        frozen: the keys of the parameters that do not require a gradient; running statistics are none.
        state_after: the tensors that the run changed, by key.
        training: path of a module or cell -> whether it was in training mode when it was handed over.
        precision: what the framework may round products of float32 numbers to: `tf32`, `hf32`, or empty.
        idle: the dropouts that dropped nothing, in order of execution.
        computed: of the operations by position that have such weights; only where values were asked for.
    """

    graph: Graph
    inputs: Inputs
    outputs: Mapping[str, Array]
    values: Mapping[int, Array] = field(default_factory=dict)
    gradients: Mapping[int, Array] = field(default_factory=dict)
    parameter_gradients: Mapping[str, Array] = field(default_factory=dict)
    frozen: frozenset[str] = frozenset()
    state_after: Mapping[str, Array] = field(default_factory=dict)
    training: Mapping[str, bool] = field(default_factory=dict)
    precision: str = ""
    idle: tuple[Idle, ...] = ()
    computed: Mapping[int, tuple[Computed, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Whole:
    """One run of a model just as it stands, compiled where it is compiled.

    Attributes:
        outputs: as in `Trace`.
        input_gradients: by the name of the argument, those of tensors in it joined with dots.
        parameter_gradients: as in `Trace`.
        state_after: as in `Trace`.
    """

    outputs: Mapping[str, Array]
    input_gradients: Mapping[str, Array]
    parameter_gradients: Mapping[str, Array]
    state_after: Mapping[str, Array]


class Live(Protocol):
    """What each framework's `model` module has."""

    def arrays_of(self, model: Any) -> dict[str, Array]:
        """The state by the model's own names, buffers included, as copies."""

    def aliases_of(self, model: Any) -> dict[str, str]:
        """Name -> the first name of the same tensor, for each further name that a shared tensor has."""

    def assign(self, model: Any, state: Mapping[str, Array]) -> None:
        """Set the named tensors, in place, others stay as they are.

        Raises:
            ConversionError: the model has no such tensor, or not of that shape.
        """

    def trace(
        self,
        model: Any,
        inputs: Inputs | tuple[Array, ...] | None = None,
        *,
        values: bool = False,
        train: bool = False,
        pull: Pull | None = None,
        loss: Loss | None = None,
        spool: Spool | None = None,
    ) -> Trace:
        """Run the model once as plain Python, and leave it as it was.

        Args:
            inputs: by name or by position; without them the smallest that the model accepts is looked for.
            values: whether the first output of each operation is kept.
            train: training mode, but for the parts that a model in training mode has in eval mode; else eval mode.
            pull: asks for gradients, and says of what; a loss is pulled with 1 instead.
            loss: is applied to what the model returned, and its operations are traced too.
            spool: where values and gradients wait, instead of in memory.

        Raises:
            ConversionError: the model does not run on them, has no gradients there, or nothing was found that it runs
                on.
        """

    def whole(
        self,
        model: Any,
        inputs: Inputs | tuple[Array, ...],
        *,
        train: bool = False,
        pull: Pull | None = None,
        loss: Loss | None = None,
    ) -> Whole:
        """Run the model once as it stands, compiled where it is compiled, and leave it as it was.

        Args:
            inputs, train, pull, loss: as for `trace`.

        Raises:
            ConversionError: the model does not run on them, or has no gradients there.
        """

    def device_of(self, model: Any) -> str:
        """Where the model runs, in the framework's word."""

    def compiled(self, model: Any) -> bool:
        """Whether running the model as it stands is not to run its Python code."""


def framework_of(model: Any) -> str:
    """`torch` for an nn.Module, `mindspore` for an nn.Cell, the empty text for anything else."""
    torch, mindspore = sys.modules.get("torch"), sys.modules.get("mindspore")
    if torch is not None and isinstance(model, torch.nn.Module):
        return "torch"
    if mindspore is not None and isinstance(model, mindspore.nn.Cell):
        return "mindspore"
    return ""


def live(model: Any) -> Live:
    """The functions for a model's framework."""
    return cast(Live, import_module(f"twinzoo.converters.live.{framework_of(model)}.model"))


def spec_of(model: Any) -> Spec | None:
    """The spec that a twin was built from, None for a model of somebody else's."""
    spec = getattr(model, "twinzoo_spec", None)
    return spec if isinstance(spec, Spec) else None
