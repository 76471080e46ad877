"""A training step whose intermediate results are moved by a rounding each, for the envelope of the step itself.

An ulp in the weights moves two calls of one network alike. Where what they give cancels (the bias behind a
discriminator's logits, drawn towards 0.9 by real images and 0.1 by false ones), their own roundings do not, and nothing
that is moved before the step shows it. So what every call returns is multiplied by numbers next to 1, which moves the
gradient that goes back through it as well, one draw for each call and element.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.steps.envelope import Move
from twinzoo.ports.steps import Stepper, stepper
from twinzoo.zoo.registry import step_entry
from twinzoo.zoo.spec import Role, Value
from twinzoo.zoo.steps.step import Step

Array = NDArray[Any]

_RATE = 2.0**-30
"""Dropout at this rate divides by what float32 takes for 1, so that the numbers fed as its mask are the factors."""


class MovableStepper:
    """A stepper with steps that are moved: `step_moved`, which a second one of the same training step makes.

    Args:
        step: a registered training step.
        port: where it trains.
        seed: of initial values and draws.
        sizes: of the batches, where they are not the example's.

    Attributes:
        reached: the optimizers to which a gradient came that is not 0.

    Raises:
        PortError: the port cannot train.
    """

    def __init__(self, step: Step, port: str, seed: int, sizes: Mapping[str, int]) -> None:
        self._spec, self._port, self._seed, self._sizes = step, port, seed, sizes
        self._plain = self._last = stepper(step, port, seed=seed)
        self._moved: Stepper | None = None
        self.reached: set[str] = set()

    def step(self, batch: Mapping[str, Array]) -> dict[str, float]:
        """One step as it is; the losses by name."""
        self._last = self._plain
        losses = self._plain.step(batch)
        found = self._plain.gradients()
        self.reached |= {
            optimizer
            for optimizer, names in self._plain.trained.items()
            if any(name in found and found[name].any() for name in names)
        }
        return losses

    def step_moved(self, batch: Mapping[str, Array], move: Move) -> dict[str, float]:
        """One step in which what each call returns is multiplied by ones that were moved."""
        if self._moved is None:
            self._moved = stepper(_moved(self._spec), self._port, seed=self._seed)
        spec = self._moved.spec
        values = {f"{name}_mask": node.outputs[0] for name, node in spec.nodes.items() if _moves(name)}
        ones = {name: np.ones(spec.concrete(value, self._sizes), np.float32) for name, value in values.items()}
        factors = {name: move(array) for name, array in ones.items()}
        self._moved.load(self._plain.state())
        losses = self._moved.step({**batch, **factors})
        self._plain.load(self._moved.state())
        self._last = self._moved
        return losses

    def state(self) -> dict[str, Array]:
        """What the next step rests on."""
        return self._plain.state()

    def load(self, state: Mapping[str, Array]) -> None:
        """Go on from a state."""
        self._plain.load(state)

    def gradients(self) -> dict[str, Array]:
        """What the optimizers were given in the last step, moved or not."""
        return self._last.gradients()


class _Moved(Step):
    """A step in which what a call returns goes through a dropout that drops nothing and can be fed."""

    def call(self, name: str, role: Role, *inputs: Value) -> tuple[Value, ...]:
        made = super().call(name, role, *inputs)
        return tuple(
            self.dropout(f"{name}_{_MOVED}{i}", value, p=_RATE) if value.dtype == "float" else value
            for i, value in enumerate(made)
        )


_MOVED = "moved"


def _moves(name: str) -> bool:
    return name.rpartition("_")[2].startswith(_MOVED)


def _moved(step: Step) -> Step:
    """The same step drawn again, with what moves it in it."""
    made = _Moved(step.name, options=step.options)
    made.output(**step_entry(step.name).draw(made, **step.options))
    return made
