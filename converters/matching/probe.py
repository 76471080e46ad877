"""Telling layers apart by running both models: with the same random weights, does the same come out?

The weights are drawn anew and well scaled, so that a layer in the wrong place shows in the outputs as a large
difference, whatever the weights are that will be converted. Both models get their own values back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice, permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.converters.forms import Value
from twinzoo.converters.live import live
from twinzoo.zoo.errors import ConversionError

Array = NDArray[Any]

AGREES = 2e-3
"""The largest difference of two outputs, of their standard deviation, that rounding and inexact kernels may make."""

APART = 30.0
"""How many times further off every other assignment must be than the one that is believed."""

TRIALS = 120
"""Assignments that are tried at most."""


class Prober:
    """Two live models, and what comes out of them when they are given the same weights.

    Args:
        inputs: what both are run on; without them the smallest that the source accepts.
    """

    def __init__(self, source: Any, target: Any, inputs: Any = None) -> None:
        self._source, self._target = source, target
        self._of_source, self._of_target = live(source), live(target)
        self._state = _random_state(self._of_source.arrays_of(source))
        with weights(source, self._state):
            trace = self._of_source.trace(source, inputs)
        self._inputs = tuple(trace.inputs.values())
        self._outputs = list(trace.outputs.values())

    def distance(self, values: Mapping[str, Value]) -> float:
        """How far the target's outputs are from the source's with its tensors made from the source's.

        Infinity where the target does not run on the source's inputs, or returns something else.
        """
        state = {key: value.make(self._state) for key, value in values.items()}
        try:
            with weights(self._target, state):
                outputs = list(self._of_target.trace(self._target, self._inputs).outputs.values())
        except ConversionError:
            return float("inf")
        return distance(self._outputs, outputs)


def distance(ours: list[Array], theirs: list[Array]) -> float:
    """The largest difference between outputs, of each one's standard deviation; infinity where they do not compare."""
    if [value.shape for value in ours] != [value.shape for value in theirs] or not ours:
        return float("inf")
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        wide = a.astype(np.float64), b.astype(np.float64)
        spread = float(np.std(wide[0])) or float(np.max(np.abs(wide[0]), initial=0)) or 1.0
        off = float(np.max(np.abs(wide[0] - wide[1]), initial=0)) / spread
        worst = max(worst, off if np.isfinite(off) else float("inf"))
    return worst


def assignments(ties: list[tuple[list[str], list[str]]]) -> Iterator[dict[str, str]]:
    """The ways to put tied source layers into tied target layers, target -> source, the order of execution first."""
    ways = [[dict(zip(targets, order, strict=True)) for order in islice(permutations(sources), TRIALS)]
            for sources, targets in ties]  # fmt: skip
    for parts in islice(product(*ways), TRIALS):
        yield {target: source for part in parts for target, source in part.items()}


def _random_state(state: Mapping[str, Array]) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    return {key: _random(key.rpartition(".")[2], value, rng) for key, value in state.items()}


def _random(role: str, value: Array, rng: np.random.Generator) -> Array:
    """Random values that keep the signal's size; what is not floating point stays as it is."""
    if value.dtype.kind not in "fV" or value.size == 0:
        return value
    if role in ("running_var", "moving_variance"):
        made = rng.uniform(0.5, 1.5, value.shape)
    elif value.ndim < 2:
        made = rng.normal(0.5 if role in ("weight", "gamma") else 0.0, 0.4, value.shape)
    else:
        made = rng.normal(0.0, 1.3 / np.sqrt(value[0].size), value.shape)
    return made.astype(value.dtype)


@contextmanager
def weights(model: Any, state: Mapping[str, Array]) -> Iterator[None]:
    """A live model with other values for a while."""
    functions = live(model)
    before = functions.arrays_of(model)
    functions.assign(model, state)
    try:
        yield
    finally:
        functions.assign(model, {key: before[key] for key in state})
