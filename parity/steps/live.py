"""Any two live models trained side by side: each under its own loss, with the same optimizer, from its own weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twinzoo.converters.live import framework_of, live
from twinzoo.parity.steps.compare import compare_steps
from twinzoo.parity.steps.report import StepsReport
from twinzoo.ports.steps.stepper import Move
from twinzoo.zoo.errors import ParityError, TwinzooError
from twinzoo.zoo.steps.optimizer import Optimizer

Array = NDArray[Any]
Loss = Callable[[Any], Any]
"""What the model returned, in the framework's own tensors -> a tensor of one number."""

ADAM = Optimizer("adam", (), lr=1e-3)

_SEED = 4
"""Of the targets of the loss that stands for one."""


class LiveStepper:
    """A live model as one side of a comparison of training steps.

    Its state is kept here between steps and put into the model before each: both sides may share tensors.

    Args:
        label: of the side, for messages.
        model: an nn.Module or nn.Cell; it is changed until `kept` puts it back.
        loss: takes what the model returns; None for the distance of its outputs from fixed random numbers.
        optimizer: its schedule and clipping count too; which networks it trains does not.
        train: whether all but dropout layers, and parts that are in eval mode in a model in training mode, are in
            training mode; else all are in eval mode.

    Attributes:
        dropouts: paths of the dropout layers: they are always off, since no two frameworks draw alike.

    Raises:
        ParityError: the model is none of a framework, or has nothing to train.
    """

    def __init__(self, label: str, model: Any, loss: Loss | None, optimizer: Optimizer, train: bool) -> None:
        framework = framework_of(model)
        if not framework:
            raise ParityError(f"compare: {label} is a {type(model).__name__}: only a live model can be trained")
        native = import_module(f"twinzoo.ports.{framework}.training")
        self._label, self._model, self._settings, self._count = label, model, optimizer, 0
        with _told(label):
            self._training = native.Training(model, loss or native.distance(_target), optimizer, train)
        self._functions = live(model)
        self._tensors = self._read()
        self._counted = {key: value for key, value in self._tensors.items() if _counts(key)}
        self.dropouts: list[str] = self._training.dropouts if train else []

    def step(self, batch: Mapping[str, Array]) -> dict[str, float]:
        """One training step; inputs by name, or by position as `0`, `1`, ...

        Raises:
            ParityError: the model or its loss does not run, or has no gradient.
        """
        ordered = [value for name, value in batch.items() if name.isdigit()]
        named = {name: value for name, value in batch.items() if not name.isdigit()}
        self._functions.assign(self._model, self._tensors)
        move = Move(self._settings.rate(self._count), self._count + 1)
        with _told(self._label):
            loss = self._training.step(ordered, named, move)
        self._tensors, self._count = self._read(), self._count + 1
        return {"loss": loss}

    def state(self) -> dict[str, Array]:
        """Parameters and buffers by key, and the optimizer's state."""
        rate = np.array(self._settings.rate(max(0, self._count - 1)))
        numbers = {"optimizer.step": np.array(self._count), "optimizer.lr": rate}
        return {**{key: x for key, x in self._tensors.items() if not _counts(key)}, **self._training.slots(), **numbers}

    def gradients(self) -> dict[str, Array]:
        """What the optimizer was given in the last step."""
        found: dict[str, Array] = self._training.gradients()
        return found

    def load(self, state: Mapping[str, Array]) -> None:
        """Go on from a state."""
        self._count = int(state["optimizer.step"])
        counted = {key: value + self._count for key, value in self._counted.items()}
        self._tensors = {key: np.asarray(state[key]) for key in self._tensors if key not in counted} | counted
        self._training.load_slots(state, self._count)

    def _read(self) -> dict[str, Array]:
        """The model's tensors, each under its first name."""
        aliases = self._functions.aliases_of(self._model)
        return {key: value for key, value in self._functions.arrays_of(self._model).items() if key not in aliases}


def live_steps(
    a_model: Any,
    b_model: Any,
    inputs: ArrayLike | tuple[ArrayLike, ...] | Mapping[str, ArrayLike],
    steps: int,
    train: bool,
    losses: tuple[Loss | None, Loss | None],
    *,
    pairs: Mapping[str, str] | None = None,
    optimizer: Optimizer = ADAM,
) -> StepsReport:
    """Train two live models on the same inputs, and compare them after every step; both are left as they were.

    Args:
        a_model, b_model: each an nn.Module or nn.Cell, with the same weights.
        inputs: an array, a tuple in the order of the arguments, or a mapping by their names, which both models share.
        steps: how many, all on the same inputs.
        train: training mode with dropout off, in which a model that is in it already keeps the parts that are in eval
            mode; or eval mode.
        losses: of side a and of side b; None for both for the distance from the same random targets.
        pairs: key of side a -> key of side b, where it is known; other tensors are paired as compare_steps does.

    Raises:
        ParityError: a side cannot be trained, or the inputs are no plain arrays.
    """
    batch = _batch(inputs)
    models = (a_model, b_model)
    with kept(a_model), kept(b_model):
        a, b = (
            LiveStepper(label, model, loss, optimizer, train)
            for label, model, loss in zip("ab", models, losses, strict=True)
        )
        report = compare_steps(a, b, [batch] * steps, pairs=pairs)
    notes = [
        f"{label}'s dropout ({', '.join(side.dropouts)}) was off: two sides cannot be made to draw alike"
        for label, side in zip("ab", (a, b), strict=True)
        if side.dropouts
    ]
    words = [f"{framework_of(model)} {type(model).__name__}" for model in models]
    return replace(report, a=words[0], b=words[1], notes=[*notes, *report.notes])


@contextmanager
def kept(model: Any) -> Iterator[None]:
    """The model's tensors are after the block what they were before."""
    functions = live(model) if framework_of(model) else None
    before = functions.arrays_of(model) if functions else {}
    try:
        yield
    finally:
        if functions:
            functions.assign(model, before)


def _batch(inputs: Any) -> dict[str, Array]:
    ordered = inputs if isinstance(inputs, tuple) else (inputs,)
    named: Mapping[Any, Any] = inputs if isinstance(inputs, Mapping) else dict(enumerate(ordered))
    found = {str(name): np.asarray(value) for name, value in named.items()}
    for name, value in found.items():
        if value.dtype.kind not in "fiub":
            raise ParityError(f"compare: input {name}: steps take plain arrays of numbers, got {value.dtype}")
    return found


def _counts(key: str) -> bool:
    """Whether a tensor is PyTorch's counter of batches, which no other framework keeps."""
    return key.endswith("num_batches_tracked")


def _target(place: int, shape: tuple[int, ...]) -> Array:
    return np.random.default_rng([_SEED, place]).standard_normal(shape).astype(np.float32)


@contextmanager
def _told(label: str) -> Iterator[None]:
    """Whatever a stranger's model or loss raises, as one line."""
    try:
        yield
    except Exception as error:
        line = next(iter(str(error).strip().splitlines()), "")
        kind = "" if isinstance(error, TwinzooError) else f"{type(error).__name__}: "
        raise ParityError(f"compare: {label} cannot be trained: {kind}{line}") from error
