"""What stands on a side of a comparison of training steps: a stepper, or a function that makes fresh ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.steps.state import GRADIENT, State, read_state
from twinzoo.zoo.errors import ParityError

Array = NDArray[Any]


class Stepper(Protocol):
    """The least that a side must offer.

    It may offer more, and is then told apart more finely:
    `load(state)` takes what `state()` returned, so that it can be restarted;
    `step_moved(batch, move)` is a step some of whose intermediate results are moved, by `move(array)` (of ones, to have
    factors);
    `gradients()` gives those of the last step, by the keys of the parameters; None, or nothing, where there is none.
    """

    def step(self, batch: Mapping[str, Array]) -> Mapping[str, float]:
        """One training step; the losses by name."""

    def state(self) -> Mapping[str, Array]:
        """Parameters and buffers by name, and the optimizer's state under `optimizer.<slot>.<parameter>`."""


class Side:
    """One side: its stepper, with what it returns copied and checked.

    Args:
        label: `a` or `b`, for messages.
        given: a stepper, or a function without arguments that returns a fresh one.

    Raises:
        ParityError: it is neither.
    """

    def __init__(self, label: str, given: Any) -> None:
        self.label = label
        self.factory: Callable[[], Any] | None = None if _steps(given) else given
        if self.factory is not None and not callable(given):
            raise ParityError(
                f"compare_steps: {label} is a {type(given).__name__}: it must have step(batch) and state(), "
                "or be a function that returns such an object"
            )
        self.stepper = given if self.factory is None else self.factory()
        if not _steps(self.stepper):
            raise ParityError(
                f"compare_steps: {label}() returned a {type(self.stepper).__name__} without step(batch) and state()"
            )

    @property
    def loads(self) -> bool:
        """Whether a state can be put back."""
        return callable(getattr(self.stepper, "load", None))

    @property
    def restartable(self) -> bool:
        """Whether the same steps can be run again."""
        return self.loads or self.factory is not None

    def fresh(self) -> Side:
        """A side to run from the start: another stepper where they can be made, else this one, to be loaded."""
        return self if self.factory is None else Side(self.label, self.factory)

    def step(self, batch: Mapping[str, Array], move: Callable[[Array], Array] | None = None) -> dict[str, float]:
        """The losses of one step, as plain numbers; with `move` of a moved one, where the stepper has them.

        Raises:
            ParityError: the stepper returned something else.
        """
        given = {name: value.copy() for name, value in batch.items()}
        moves = move is not None and callable(getattr(self.stepper, "step_moved", None))
        losses = self.stepper.step_moved(given, move) if moves else self.stepper.step(given)
        try:
            return {str(name): float(value) for name, value in losses.items()}
        except (AttributeError, TypeError, ValueError):
            raise ParityError(
                f"compare_steps: {self.label}.step returned a {type(losses).__name__}: "
                "it must return a dict of floats, the losses by name"
            ) from None

    def raw(self) -> dict[str, Array]:
        """A copy of the state, under the stepper's own keys.

        Raises:
            ParityError: it is not a mapping of arrays.
        """
        found = self.stepper.state()
        if not isinstance(found, Mapping):
            raise ParityError(f"compare_steps: {self.label}.state() returned a {type(found).__name__}: not a dict")
        return {str(key): _array(value, f"{self.label}.state()[{key!r}]") for key, value in found.items()}

    def read(self, *, stepped: bool = True) -> State:
        """The state by what is what; after a step with its gradients, where the stepper offers them.

        Raises:
            ParityError: one of them is no array.
        """
        state = read_state(self.raw())
        if stepped and callable(getattr(self.stepper, "gradients", None)):
            state.slots[GRADIENT] = {
                key: _array(value, f"{self.label}.gradients()[{key!r}]")
                for key, value in self.stepper.gradients().items()
                if key in state.tensors and value is not None
            }
        return state

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Put back what `raw` returned."""
        self.stepper.load({key: value.copy() for key, value in arrays.items()})


def _steps(given: Any) -> bool:
    return not isinstance(given, type) and all(callable(getattr(given, name, None)) for name in ("step", "state"))


def _array(value: Any, where: str) -> Array:
    """A copy as an array; a framework refuses its own tensors where they are on a device or part of a graph."""
    try:
        found = np.array(value)
    except Exception as error:
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ParityError(f"compare_steps: {where} is no array: {line}") from error
    if found.dtype.kind not in "fiub" and not found.dtype.name.startswith(("bfloat", "float8")):
        raise ParityError(f"compare_steps: {where} is no array of numbers: {found.dtype}")
    return found


def checked_batch(batch: Any, step: int) -> dict[str, Array]:
    """A batch as arrays.

    Raises:
        ParityError: it is not a mapping of arrays.
    """
    if not isinstance(batch, Mapping):
        raise ParityError(f"compare_steps: batch {step} is a {type(batch).__name__}: it must be a dict of arrays")
    return {str(name): np.asarray(value) for name, value in batch.items()}
