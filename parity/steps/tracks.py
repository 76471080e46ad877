"""What one parameter went through on one side, step by step: a sample of its elements, in float64."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.steps.deviation import roundoff
from twinzoo.parity.steps.state import GRADIENT, NUMBERS, State, is_buffer, is_pool

Array = NDArray[Any]

SAMPLE = 1024
"""Optimizers treat every element alike, so this many of a tensor, evenly spaced, show what they do."""


@dataclass
class Track:
    """One parameter on one side, for K steps and n elements.

    Attributes:
        unit: the unit roundoff of its element type.
        values: (K + 1, n), the start first.
        slots: slot -> (K + 1, n); zeros before the first step where nothing was kept yet.
        gradients: (K, n), or None where the side does not offer them.
        count: (K,), the optimizer's number of each step, from 1.
        numbers: what the side says of its optimizer: `lr`, `eps`, ...
        blur: (K, n), the relative error of a step whose moments were not recorded but made from the gradients.
    """

    unit: float
    values: Array
    slots: dict[str, Array]
    gradients: Array | None
    count: Array
    numbers: dict[str, float]
    blur: Array | None = None

    @property
    def steps(self) -> int:
        """K."""
        return len(self.values) - 1

    @property
    def moves(self) -> Array:
        """(K, n), what each step added."""
        moved: Array = np.diff(self.values, axis=0)
        return moved


@dataclass
class Recorder:
    """Collects what one side's parameters and buffers go through.

    Attributes:
        trained: the parameters that its optimizer keeps something for.
    """

    trained: set[str] = field(default_factory=set)
    _units: dict[str, float] = field(default_factory=dict)
    _values: dict[str, dict[int, Array]] = field(default_factory=dict)
    _slots: dict[tuple[str, str], dict[int, Array]] = field(default_factory=dict)
    _states: list[State] = field(default_factory=list)

    def add(self, state: State) -> None:
        """One more state; the first is that before the first step."""
        at = len(self._states)
        self._states.append(State(numbers=state.numbers))
        self.trained |= state.trained()
        for key, value in state.tensors.items():
            self._units.setdefault(key, roundoff(value))
            self._values.setdefault(key, {})[at] = _sampled(value)
        for slot, arrays in state.slots.items():
            for key, value in arrays.items():
                self._slots.setdefault((slot, key), {})[at] = _sampled(value)

    def names(self) -> list[str]:
        """All tensors that may be parameters: no running statistics, no history of images."""
        return [key for key in self._values if not is_buffer(key) and not is_pool(key)]

    def values(self, key: str) -> Array:
        """(K + 1, n) of a tensor; zeros before it was there."""
        return self._stacked(self._values[key])

    def track(self, key: str) -> Track:
        """What a parameter went through."""
        slots = {slot: self._stacked(found) for (slot, owner), found in self._slots.items() if owner == key}
        gradients = slots.pop(GRADIENT, None)
        counts = [state.number("step", key) for state in self._states[1:]]
        count = [float(i) if known is None or known <= 0 else known for i, known in enumerate(counts, 1)]
        last = self._states[-1]
        told = {word: number for word in set(NUMBERS.values()) if (number := last.number(word, key)) is not None}
        taken = None if gradients is None else gradients[1:]
        return Track(self._units[key], self.values(key), slots, taken, np.array(count), told)

    def _stacked(self, found: dict[int, Array]) -> Array:
        nothing = np.zeros_like(next(iter(found.values())))
        return np.stack([found.get(i, nothing) for i in range(len(self._states))])


def _sampled(array: Array) -> Array:
    flat = array.reshape(-1)
    if flat.size > SAMPLE:
        flat = flat[np.linspace(0, flat.size - 1, SAMPLE).astype(np.int64)]
    return flat.astype(np.float64)
