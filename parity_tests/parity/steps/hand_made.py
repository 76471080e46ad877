"""Records of two sides made by hand, for rules that ask about nothing but numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twinzoo.parity.steps.pairs import pair
from twinzoo.parity.steps.record import Record
from twinzoo.parity.steps.state import State, read_state
from twinzoo.parity.steps.stepper import Side
from twinzoo.parity.steps.tracks import Recorder

Array = NDArray[Any]
Told = Mapping[str, ArrayLike]
"""What `state()` returns."""


class Idle:
    """A stepper that does nothing, and so cannot be run again."""

    def step(self, batch: Mapping[str, Array]) -> dict[str, float]:
        return {}

    def state(self) -> dict[str, Array]:
        return {}


def state(told: Told) -> State:
    """In float32, but for arrays of another type than float64; what is called `gradient.<parameter>` is a gradient."""
    plain = {key: np.asarray(value) for key, value in told.items()}
    arrays = {key: value.astype(np.float32) if value.dtype == np.float64 else value for key, value in plain.items()}
    found = read_state({key: value for key, value in arrays.items() if not key.startswith("gradient.")})
    given = {key.removeprefix("gradient."): value for key, value in arrays.items() if key.startswith("gradient.")}
    if given:
        found.slots["gradient"] = given
    return found


def recorder(states: Sequence[Told]) -> Recorder:
    """One side's states, the start first."""
    made = Recorder()
    for told in states:
        made.add(state(told))
    return made


def record(a: Sequence[Told], b: Sequence[Told], names: Mapping[str, str] | None = None) -> Record:
    """Two sides' states, the start first, b's under a's names; `names` are those that b has of its own."""
    own = {(names or {}).get(key, key): value for key, value in b[-1].items()}
    pairs = pair(state(a[-1]), state(own), names or {})
    made = Record((Side("a", Idle()), Side("b", Idle())), ({}, {}), pairs, [{}] * (len(a) - 1))
    made.tracks = recorder(a), recorder(b)
    return made
