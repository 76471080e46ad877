"""How far a side strays from itself when it is restarted an ulp away: what long curves are held against.

Training amplifies rounding: a step whose gradient is an ulp off gives a weight that is off, and so on. How fast depends
on the network and the data, so it is measured: the same side is run again several times, and before every step each
element of its state is moved to a neighbouring float, up or down at random, which stands for the roundings that its
kernels would have made in another order. One more run is left as it is: it must repeat what the side did before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.steps.deviation import Apart, Quantity, losses_apart, states_apart
from twinzoo.parity.steps.state import State, read_state
from twinzoo.parity.steps.stepper import Side

Array = NDArray[Any]

_KEPT_IN_FLOAT32 = 2.0**-15
"""How far a step may be off as a whole where 1 - beta2 is computed in float32: u / 2(1 - 0.999); squares twice that."""


@dataclass(frozen=True)
class Restart:
    """One step of the runs from the start.

    Attributes:
        losses, state: of the run that was left as it is.
        spread: the largest distance of a draw from that run, by quantity.
        drawn: the losses of the draws.
    """

    losses: dict[str, float]
    state: State
    spread: dict[Quantity, float]
    drawn: list[dict[str, float]]


def restarts(
    side: Side, start: Mapping[str, Array], batches: Sequence[Mapping[str, Array]], draws: int, seed: int
) -> Iterator[Restart]:
    """Run a side again: once as it was, and `draws` times an ulp away, all of them step by step together.

    Args:
        side: restartable; where it can only be loaded, its stepper serves all runs in turn.
        start: its state before the first step, under its own keys.
    """
    runs = [_Run(side, start, None if i == 0 else np.random.default_rng([seed, i])) for i in range(draws + 1)]
    origin = read_state(start)
    for batch in batches:
        plain, *drawn = [(run.step(batch), run.state) for run in runs]
        spread: dict[Quantity, float] = {}
        for losses, state in drawn:
            for quantity, apart in {
                **losses_apart(plain[0], losses),
                **states_apart(plain[1], state, origin),
            }.items():
                spread[quantity] = max(spread.get(quantity, 0.0), _finite(apart))
        yield Restart(plain[0], plain[1], spread, [losses for losses, _ in drawn])


class _Run:
    """One run from the start, moved by an ulp before every step where it has a generator to draw from."""

    def __init__(self, side: Side, start: Mapping[str, Array], rng: np.random.Generator | None) -> None:
        self._side, self._rng = side.fresh(), rng
        self._arrays: dict[str, Array] = dict(start)
        self.state = State()

    def step(self, batch: Mapping[str, Array]) -> dict[str, float]:
        before = self._arrays
        if self._side.loads:
            moved = before if self._rng is None else _moved(before, self._rng)
            self._side.load(moved)
        elif self._rng is not None:
            batch = {name: _neighbours(value, self._rng) for name, value in batch.items()}
        losses = self._side.step(batch)
        self.state, self._arrays = self._side.read(), self._side.raw()
        if self._rng is not None and self._side.loads:
            self._arrays = _rescaled(before, self._arrays, self._rng)
        return losses


def _moved(arrays: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Every number of parameters, buffers and slots at a neighbouring float; counters and rates stay."""
    state = read_state(arrays)
    known = {id(value) for value in state.tensors.values()}
    known |= {id(value) for slot in state.slots.values() for value in slot.values()}
    return {key: _neighbours(value, rng) if id(value) in known else value for key, value in arrays.items()}


def _neighbours(array: Array, rng: np.random.Generator) -> Array:
    """Each element that is not 0 one float up or down."""
    if array.dtype.kind != "f":
        return array
    away = np.where(rng.random(array.shape) < 0.5, -np.inf, np.inf).astype(array.dtype)
    return np.where(array == 0, array, np.nextafter(array, away)).astype(array.dtype)


def _rescaled(before: Mapping[str, Array], after: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Steps and squares a little larger or smaller as a whole, as a framework's float32 betas make them."""
    factor = float(rng.choice([-_KEPT_IN_FLOAT32, _KEPT_IN_FLOAT32]))
    state = read_state(after)
    squares, trained = {id(value) for value in state.slots.get("v", {}).values()}, state.trained()
    made = dict(after)
    for key, value in after.items():
        if value.dtype.kind == "f" and key in trained:
            moved = value.astype(np.float64) - before[key]
            made[key] = (value + factor * moved).astype(value.dtype)
        elif id(value) in squares:
            made[key] = (value * (1 + 2 * factor)).astype(value.dtype)
    return made


def _finite(apart: Apart) -> float:
    return apart.distance if np.isfinite(apart.distance) else apart.size
