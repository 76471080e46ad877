"""One node in float64, on several sets of inputs, and the rounding bound around each: nothing is computed twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.bounds.precision import FLOAT32, SINGLE, Precision, as_computed
from twinzoo.parity.measure import largest_finite
from twinzoo.parity.rounding import FLOORS, bound
from twinzoo.ports.reference import evaluate
from twinzoo.zoo.spec import Node
from twinzoo.zoo.spectral import PLAIN

Array = NDArray[Any]
Arrays = tuple[Array, ...]
Params = Mapping[str, Array]

_PRODUCTS = frozenset(
    ["conv1d", "conv2d", "conv_transpose2d", "linear", "matmul", "blur2d", "blur_transpose2d", *PLAIN],
)
"""The ops whose bound costs many times the op itself, and moves little where all inputs move little."""

_NEARLY = 2.0**-10
"""Inputs that differ by at most this share of the largest of them are nearly the same."""


class Runs:
    """Evaluations of one node."""

    def __init__(self, node: Node, draws: Mapping[str, Array], *, train: bool = False) -> None:
        self._node = node
        self._draws = draws
        self._train = train
        self._done: list[_Done] = []
        self._bounds: dict[tuple[int, bool], Arrays] = {}

    def __call__(self, params: Params, given: Arrays, precision: Precision = FLOAT32) -> Arrays:
        """The outputs in float64; those of an earlier run where parameters (the same object) and inputs are equal.

        Args:
            precision: how the side computed: what a half operation rounds first is rounded here too.
        """
        for done in self._done:
            if done.params is params and done.precision == precision and _equal(done.given, given):
                return done.outputs
        used: tuple[Params, Arrays] = (params, given)
        if precision.stored is not SINGLE:
            used = as_computed(params, given, precision)
        with np.errstate(all="ignore"):
            outputs = evaluate(self._node, *used, train=self._train, draws=self._draws)
        self._done.append(_Done(params, given, precision, used, outputs))
        return outputs

    @property
    def has_floor(self) -> bool:
        """Whether something less than the bound costs less too."""
        return self._node.op in FLOORS

    def bound(self, outputs: Arrays, *, floor: bool = False) -> Arrays:
        """What rounding allows around outputs that were evaluated here; or no more than that, which costs less."""
        done, key = self._run_of(outputs), (id(outputs), floor)
        if key not in self._bounds:
            with np.errstate(all="ignore"):
                self._bounds[key] = bound(
                    self._node, *done.used, outputs, train=self._train, precision=done.precision, floor=floor
                )
        return self._bounds[key]

    def alike(self, one: Arrays, other: Arrays) -> bool:
        """Whether the bound around one run may stand for that around the other where the answer is clear."""
        a, b = self._run_of(one), self._run_of(other)
        if self._node.op not in _PRODUCTS or a.params is not b.params or a.precision != b.precision:
            return False
        with np.errstate(all="ignore"):
            pairs = [
                (np.abs(x - y).max(initial=0.0), largest_finite(x)) for x, y in zip(a.used[1], b.used[1], strict=True)
            ]
        return all(apart <= _NEARLY * largest for apart, largest in pairs)

    def _run_of(self, outputs: Arrays) -> _Done:
        return next(done for done in self._done if done.outputs is outputs)


@dataclass(frozen=True)
class _Done:
    """A run: what it was asked for, what was computed on, and what came out."""

    params: Params
    given: Arrays
    precision: Precision
    used: tuple[Params, Arrays]
    outputs: Arrays


def _equal(some: Arrays, others: Arrays) -> bool:
    return all(x is y or _same(x, y) for x, y in zip(some, others, strict=True))


def _same(x: Array, y: Array) -> bool:
    """Whether two arrays are equal; most that are not differ in their first numbers already."""
    return bool(np.array_equal(x[..., :1], y[..., :1]) and np.array_equal(x, y)) if x.ndim else bool(x == y)
