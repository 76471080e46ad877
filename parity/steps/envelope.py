"""How far a side strays from itself when it is restarted an ulp away: what long curves are held against.

Training amplifies rounding: a step whose gradient is an ulp off gives a weight that is off, and so on. How fast depends
on the network and the data, so it is measured: the same side is run again several times, and before every step each
element of its state is moved to a neighbouring float, up or down at random, which stands for the roundings that its
kernels would have made in another order; where a side can move what it computes within a step, it does that as well.
One more run is left as it is: it must repeat what the side did before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.steps.deviation import Apart, Quantity, is_float, losses_apart, states_apart
from twinzoo.parity.steps.state import State, read_state
from twinzoo.parity.steps.stepper import Side

Array = NDArray[Any]
Move = Callable[[Array], Array]
"""(an array) -> the same with each element at a float nearby."""

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


class Draw:
    """A Move to the float that is `ulps` away, up or down at random; from one seed `mirrored` goes the other way.

    A mirrored pair is for what jumps: of two opposite moves one takes a number that is nearly 0 to its other side.
    """

    def __init__(self, seed: Sequence[int], ulps: int = 1, *, mirrored: bool = False) -> None:
        self.random = np.random.default_rng(seed)
        self._ulps, self._away = ulps, np.inf if mirrored else -np.inf

    def __call__(self, array: Array) -> Array:
        """Move each element that is not 0; whole numbers stay."""
        if not is_float(array):
            return array
        away = np.where(self.random.random(array.shape) < 0.5, self._away, -self._away).astype(array.dtype)
        moved = array
        for _ in range(self._ulps):
            moved = np.nextafter(moved, away)
        return np.where(array == 0, array, moved).astype(array.dtype)


def restarts(
    side: Side, start: Mapping[str, Array], batches: Sequence[Mapping[str, Array]], draws: Sequence[Draw]
) -> Iterator[Restart]:
    """Run a side again: once as it was, and once with each draw, all of them step by step together.

    Args:
        side: restartable; where it can only be loaded, its stepper serves all runs in turn.
        start: its state before the first step, under its own keys.
    """
    runs = [_Run(side, start, draw) for draw in (None, *draws)]
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
    """One run from the start, moved before every step where it has a draw."""

    def __init__(self, side: Side, start: Mapping[str, Array], draw: Draw | None) -> None:
        self._side, self._draw = side.fresh(), draw
        self._arrays: dict[str, Array] = dict(start)
        self.state = State()

    def step(self, batch: Mapping[str, Array]) -> dict[str, float]:
        before = self._arrays
        if self._side.loads:
            self._side.load(before if self._draw is None else _moved(before, self._draw))
        elif self._draw is not None:
            batch = {name: self._draw(value) for name, value in batch.items()}
        losses = self._side.step(batch, self._draw)
        self.state, self._arrays = self._side.read(), self._side.raw()
        if self._draw is not None and self._side.loads:
            self._arrays = _rescaled(before, self._arrays, self._draw.random)
        return losses


def _moved(arrays: Mapping[str, Array], move: Move) -> dict[str, Array]:
    """Every number of parameters, buffers and slots moved; counters and rates stay."""
    state = read_state(arrays)
    known = {id(value) for value in state.tensors.values()}
    known |= {id(value) for slot in state.slots.values() for value in slot.values()}
    return {key: move(value) if id(value) in known else value for key, value in arrays.items()}


def _rescaled(before: Mapping[str, Array], after: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Steps and squares a little larger or smaller as a whole, as a framework's float32 betas make them."""
    factor = float(rng.choice([-_KEPT_IN_FLOAT32, _KEPT_IN_FLOAT32]))
    state = read_state(after)
    squares, trained = {id(value) for value in state.slots.get("v", {}).values()}, state.trained()
    made = dict(after)
    for key, value in after.items():
        if is_float(value) and key in trained:
            moved = value.astype(np.float64) - before[key]
            made[key] = (value + factor * moved).astype(value.dtype)
        elif id(value) in squares:
            made[key] = (value * (1 + 2 * factor)).astype(value.dtype)
    return made


def _finite(apart: Apart) -> float:
    return apart.distance if np.isfinite(apart.distance) else apart.size
