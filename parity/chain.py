"""Float64 from the model's inputs on, a few nodes behind the walk over the two sides, in a thread of its own.

It runs with the weights of side a, and a second time with every output moved at random within its bound: how far that
moves it is what accumulated rounding explains, and how far two runs of the same layers may lie apart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.measure import difference, drift, pieces
from twinzoo.parity.results import LayerResult
from twinzoo.parity.runs import Params, Runs
from twinzoo.parity.together import as_here, together
from twinzoo.parity.verdict import Held

Array = NDArray[Any]

BEHIND = 2
"""So many nodes the chain may stay behind: the arrays of each wait in memory."""


@dataclass
class Slot:
    """A value in its four versions: each side's, the float64 chain's, and the chain's with random rounding.

    The last two are there once the chain has come by.
    """

    sides: tuple[Array, Array]
    chain: Array = field(init=False)
    noisy: Array = field(init=False)

    @property
    def rounding(self) -> float:
        """What accumulated rounding explains."""
        return drift(self.noisy, self.chain)


def given(sides: tuple[Array, Array], chain: Array) -> Slot:
    """A value that no rounding has moved yet."""
    slot = Slot(sides)
    slot.chain = slot.noisy = chain
    return slot


@dataclass(frozen=True)
class Judged:
    """What a row of the report says but for the chain.

    Attributes:
        held: the verdicts on the two sides.
        weights: the tensors, by spec name, that differ.
    """

    name: str
    op: str
    attrs: str
    held: tuple[Held, Held]
    weights: tuple[str, ...] = ()

    def slot(self) -> Slot:
        """The value to go on with."""
        return Slot((self.held[0].array, self.held[1].array))

    def row(self, slot: Slot) -> LayerResult:
        """The row, once the chain has come by."""
        apart = difference(*slot.sides, slot.chain)
        numbers = (apart.max_abs, apart.mean_abs, apart.relative, apart.cosine, slot.rounding)
        a, b = (held.beside(slot.chain) for held in self.held)
        shape, ulp = slot.chain.shape, apart.max_ulp
        return LayerResult(self.name, self.op, self.attrs, shape, *numbers, a, b, self.weights, max_ulp=ulp)


class Chain:
    """The chain of one walk; open it with `with`.

    Attributes:
        rows: of the values that it has come by, in order.
    """

    def __init__(self, seed: int = 0) -> None:
        self.rows: list[LayerResult] = []
        self._random = np.random.default_rng(seed)
        self._pending: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self) -> Chain:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self.wait()
        self._thread.shutdown(cancel_futures=True)

    def node(self, runs: Runs, params: Params, used: list[Slot], made: list[Slot], judged: Sequence[Judged]) -> None:
        """Follow a node.

        Args:
            params: side a's.
            used, made: its inputs, and its outputs.
            judged: of the outputs that were recorded, the first ones.
        """

        def follow() -> None:
            chain, noisy = together(
                sum(slot.chain.size for slot in used) + sum(tensor.size for tensor in params.values()),
                lambda: runs(params, tuple(slot.chain for slot in used)),
                lambda: runs(params, tuple(slot.noisy for slot in used)),
            )
            for slot, exact, moved in zip(made, chain, noisy, strict=True):
                slot.chain, slot.noisy = exact, moved
            for one, slot in zip(judged, made, strict=False):
                slot.noisy = self._moved(slot.noisy, one.held)
                self.rows.append(one.row(slot))

        self._submit(follow)

    def repeated(self, slot: Slot, before: Slot, judged: Judged) -> None:
        """Go on with the value `before` under another name."""

        def follow() -> None:
            slot.chain, slot.noisy = before.chain, before.noisy
            self.rows.append(judged.row(slot))

        self._submit(follow)

    def wait(self, behind: int = 0) -> None:
        """Until the chain is at most so many nodes behind."""
        while len(self._pending) > behind:
            self._pending.popleft().result()

    def _submit(self, follow: Callable[[], None]) -> None:
        self._pending.append(self._thread.submit(as_here(follow)))
        self.wait(BEHIND)

    def _moved(self, noisy: Array, held: tuple[Held, Held]) -> Array:
        """An output moved evenly at random within the wider of the two allowances."""
        if noisy.dtype.kind != "f":
            return noisy
        made = np.empty(noisy.shape)
        for moved, still, *allowed in pieces(made, noisy, held[0].allowed, held[1].allowed):
            size = np.maximum(*allowed)
            moved[...] = self._random.uniform(-1, 1, moved.shape)
            moved *= size if np.isfinite(size.max(initial=0)) else np.where(np.isfinite(size), size, 0.0)
            moved += still
        return made
