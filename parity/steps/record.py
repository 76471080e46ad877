"""Both sides, step by step together: what they gave, and how far apart they are. Only two states of each are held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.results import Finding
from twinzoo.parity.steps.deviation import (
    BUFFER,
    LOSS,
    PARAMETER,
    POOL,
    Apart,
    Quantity,
    is_float,
    losses_apart,
    roundoff,
    states_apart,
)
from twinzoo.parity.steps.envelope import Draw, restarts
from twinzoo.parity.steps.judge import BLIND, FACTOR, Judge, over
from twinzoo.parity.steps.pairs import Pairs, different_starts, pair, unpaired_slots
from twinzoo.parity.steps.state import GRADIENT, State, read_state
from twinzoo.parity.steps.stepper import Side
from twinzoo.parity.steps.tracks import Recorder, Track

Array = NDArray[Any]
Batches = Sequence[Mapping[str, Array]]

_FAR, _FAR_PAIRS = 8, 6
"""How many ulps away, and how many mirrored pairs of draws at most, before a side is accused.

A relu's gradient jumps where its input is nearly 0. Draws an ulp away may all stay on one side of it while kernels that
err by a few ulps do not. What is smooth is allowed as much by either kind of draw.
"""


@dataclass
class Record:
    """Everything that was seen, under side a's names.

    Attributes:
        sides: what was run.
        starts: the states before the first step, under each side's own keys.
        first: the states after the first step, side b's under side a's names.
        pairs: which tensors belong together.
        batches: what both were fed.
        losses: of side a and b, by step.
        tracks: what parameters and buffers went through, on side a and b.
        apart: by step.
        ratios, allowed: by step; what is not judged is not in them.
        drawn: the losses of the envelope's draws, by step; empty without an envelope.
        anchor: the side that was restarted for the envelope, or empty.
        rerun: what the anchor went through when it was run again as it was, with its losses; None without an envelope.
        findings: of pairing and of the start.
        notes: what the reader must know of how it was judged.
    """

    sides: tuple[Side, Side]
    starts: tuple[dict[str, Array], dict[str, Array]]
    pairs: Pairs
    batches: Batches
    losses: tuple[list[dict[str, float]], list[dict[str, float]]] = field(default_factory=lambda: ([], []))
    tracks: tuple[Recorder, Recorder] = field(default_factory=lambda: (Recorder(), Recorder()))
    first: tuple[State, State] = field(default_factory=lambda: (State(), State()))
    numbers: list[tuple[dict[str, float], dict[str, float]]] = field(default_factory=list)
    apart: list[dict[Quantity, Apart]] = field(default_factory=list)
    ratios: list[dict[Quantity, float]] = field(default_factory=list)
    allowed: list[dict[Quantity, float]] = field(default_factory=list)
    drawn: list[list[dict[str, float]]] = field(default_factory=list)
    anchor: str = ""
    rerun: tuple[Recorder, list[dict[str, float]]] | None = None
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unequal_start: bool = False

    def paired_tracks(self) -> dict[str, tuple[Track, Track]]:
        """What each parameter went through on side a and side b."""
        trained = self.tracks[0].trained | self.tracks[1].trained
        both = [key for key in self.tracks[0].names() if key in self.pairs.values and (not trained or key in trained)]
        return {key: (self.tracks[0].track(key), self.tracks[1].track(key)) for key in both}

    def noise(self, step: int, kind: str) -> dict[str, float]:
        """What is explained of each quantity of a kind after a step (from 1), by name."""
        return {quantity.name: limit for quantity, limit in self.allowed[step - 1].items() if quantity.kind == kind}


def run_both(
    sides: tuple[Side, Side], batches: Batches, say: Callable[[int], None], known: Mapping[str, str]
) -> Record:
    """Run both sides over all batches, and compare them after every step; `known` are pairs of keys, a's first."""
    starts = (sides[0].raw(), sides[1].raw())
    a, own = (side.read(stepped=False) for side in sides)
    record = Record(sides, starts, pair(a, own, known), batches)
    origin, b, there = a, record.pairs.carried(own), (a.tensors.keys(), own.tensors.keys())
    different = different_starts(a, b, record.pairs)
    record.unequal_start = bool(different)
    record.tracks[0].add(a)
    record.tracks[1].add(b)
    for index, batch in enumerate(batches):
        for side, losses in zip(sides, record.losses, strict=True):
            losses.append(side.step(batch))
        a, own = sides[0].read(), sides[1].read()
        if (found := (a.tensors.keys(), own.tensors.keys())) != there:  # some are only there once a batch was
            record.pairs, there = pair(a, own, known), found
        b = record.pairs.carried(own)
        if index == 0:
            record.first = (a, b)
        for recorder, state in zip(record.tracks, (a, b), strict=True):
            recorder.add(state)
        record.numbers.append((a.numbers, b.numbers))
        record.apart.append({**losses_apart(record.losses[0][-1], _renamed(record)), **states_apart(a, b, origin)})
        say(index + 1)
    record.findings = [*record.pairs.findings, *different, *_unpaired_losses(record), *_unpaired_slots(record)]
    return record


def _renamed(record: Record) -> dict[str, float]:
    """Side b's last losses, a single one under the name that a has for its own."""
    a, b = (losses[-1] for losses in record.losses)
    if len(a) == len(b) == 1 and a.keys() != b.keys():
        b = dict(zip(a, b.values(), strict=True))
        record.losses[1][-1] = b
    return b


def _unpaired_losses(record: Record) -> list[Finding]:
    """A line for each loss that one side alone returns, with the first step in which it does."""
    found: dict[str, Finding] = {}
    for step, (ours, theirs) in enumerate(zip(*record.losses, strict=True), 1):
        for name in [*ours, *theirs]:
            if (name in ours) != (name in theirs):
                has = "a" if name in ours else "b"
                evidence = f"only {has} returns a loss of this name in step {step}, so it was not compared"
                fix = "return the same names from step() on both sides"
                found.setdefault(name, Finding(name, "unexplained", evidence, fix))
    return [*found.values()]


def _unpaired_slots(record: Record) -> list[Finding]:
    """What has no counterpart in the optimizers' states after the first step."""
    given = [bool(state.slots.keys() - {GRADIENT}) for state in record.first]
    if given[0] != given[1]:
        only, other = ("a", "b") if given[0] else ("b", "a")
        record.notes.append(f"only {only} gives its optimizer's state: {other}'s was not compared")
    return unpaired_slots(*record.first)


def hold(record: Record, draws: int, seed: int) -> None:
    """Judge every step, against the envelope of a side that can be restarted where there is one."""
    anchor = _anchor(record) if draws else None
    judge = Judge(loaded=anchor is not None and anchor.loads)
    if anchor is None:
        record.notes.append(
            "no envelope for long curves: neither side can be restarted an ulp away (by load(state), or by a function "
            "that makes the stepper, if batches are no whole numbers), so only step 1 was held to a derived bound, the "
            f"parameters up to step {BLIND}, and the optimizers' own arithmetic in every step"
        )
        for step, apart in enumerate(record.apart, 1):
            ratios, allowed = judge.without(apart, step)
            record.ratios.append(ratios)
            record.allowed.append(allowed)
        return
    record.anchor = anchor.label
    index = record.sides.index(anchor)
    recorder, losses = record.rerun = Recorder(), list[dict[str, float]]()
    carry = record.pairs.carried if anchor is record.sides[1] else lambda state: state
    names = {value.sources[0]: key for key, value in record.pairs.values.items() if len(value.sources) == 1}
    recorder.add(carry(read_state(record.starts[index])))
    draw = Draw if anchor.loads else partial(_Coarse, _usual_type(record.starts[index]))
    near = [draw([seed, i]) for i in range(1, draws + 1)]
    for step, run in enumerate(restarts(anchor, record.starts[index], record.batches, near)):
        recorder.add(carry(run.state))
        losses.append(run.losses)
        spread = run.spread if index == 0 else {_own(quantity, names): far for quantity, far in run.spread.items()}
        ratios, allowed = judge.with_envelope(record.apart[step], spread)
        record.ratios.append(ratios)
        record.allowed.append(allowed)
        record.drawn.append(run.drawn)
    for i in range(0 if record.unequal_start else _FAR_PAIRS):
        if all(ratio <= 1 for ratios in record.ratios for ratio in ratios.values()):
            break
        far = [draw([seed, draws + 1 + i], _FAR, mirrored=mirrored) for mirrored in (False, True)]
        _hold_again(record, [run.spread for run in restarts(anchor, record.starts[index], record.batches, far)], names)


class _Coarse(Draw):
    """A Draw of batches for a side whose own numbers are coarser, which would not see an ulp of a double."""

    def __init__(self, own: np.dtype[Any], seed: Sequence[int], ulps: int = 1, *, mirrored: bool = False) -> None:
        super().__init__(seed, ulps, mirrored=mirrored)
        self._own = own

    def __call__(self, array: Array) -> Array:
        """Move each element that is not 0 by ulps of the side's type, in the type that it has."""
        near = array.astype(self._own)
        if not is_float(array) or roundoff(array) >= roundoff(near):
            return super().__call__(array)
        return np.asarray(array + (super().__call__(near).astype(array.dtype) - near.astype(array.dtype)))


def _usual_type(start: Mapping[str, Array]) -> np.dtype[Any]:
    """The type of most numbers that the side computes with."""
    counts: Counter[np.dtype[Any]] = Counter()
    for value in filter(is_float, read_state(start).tensors.values()):
        counts[value.dtype] += value.size
    return max(counts, key=lambda kind: counts[kind], default=np.dtype(np.float32))


def _anchor(record: Record) -> Side | None:
    """The side to be restarted: a, or b where its numbers are coarser, since an ulp of a double explains no float32.

    A side that is not loaded can be moved by its batches alone.
    """
    moved = any(is_float(value) for batch in record.batches for value in batch.values())
    sides = zip(record.sides, record.starts, strict=True)
    able = [(side, start) for side, start in sides if side.loads or (side.restartable and moved)]
    return max(able, key=lambda item: _coarseness(item[1]), default=(None, {}))[0]


def _coarseness(start: Mapping[str, Array]) -> float:
    return max((roundoff(value) for value in start.values() if is_float(value)), default=0.0)


def _hold_again(record: Record, spreads: Sequence[Mapping[Quantity, float]], names: Mapping[str, str]) -> None:
    """Allow what draws that are _FAR ulps away reach, by step, FACTOR times for an ulp of it."""
    reached: dict[Quantity, float] = {}
    for apart, ratios, allowed, spread in zip(record.apart, record.ratios, record.allowed, spreads, strict=True):
        for quantity, distance in spread.items():
            own = _own(quantity, names) if record.anchor == record.sides[1].label else quantity
            reached[own] = max(reached.get(own, 0.0), distance)
        for quantity in ratios:
            allowed[quantity] = max(allowed[quantity], FACTOR / _FAR * reached.get(quantity, 0.0))
            ratios[quantity] = over(apart[quantity].distance, allowed[quantity])


def _own(quantity: Quantity, names: Mapping[str, str]) -> Quantity:
    return quantity if quantity.kind == LOSS else Quantity(quantity.kind, names.get(quantity.name, quantity.name))


def worst(ratios: Mapping[Quantity, float], group: str) -> tuple[float, str]:
    """The largest ratio among `loss`, `parameter`, `buffer` (pools too) or `optimizer` quantities, and whose it is."""
    groups = {LOSS: LOSS, PARAMETER: PARAMETER, BUFFER: BUFFER, POOL: BUFFER}
    found = [
        (ratio, str(quantity)) for quantity, ratio in ratios.items() if groups.get(quantity.kind, "optimizer") == group
    ]
    return max(found, default=(float(np.nan), ""), key=lambda item: item[0])
