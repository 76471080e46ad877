"""What a whole run shows: a side that does not repeat itself, a parameter that never moves, settings as stated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.measure import distances
from twinzoo.parity.steps.causes.cause import Cause, cause
from twinzoo.parity.steps.causes.replays import not_repeated
from twinzoo.parity.steps.deviation import BUFFER, PARAMETER, POOL, Apart, Quantity, losses_apart
from twinzoo.parity.steps.judge import BLIND, Judge, over
from twinzoo.parity.steps.record import Record
from twinzoo.parity.steps.state import is_pool
from twinzoo.parity.steps.tracks import Recorder

Array = NDArray[Any]

_STILL = 2.0**-10
"""A move is one, and no rounding, where it is more than this share of the usual parameter's."""

_STATED = 1e-6
"""How far the same setting may be apart where one side keeps it in float32, relative."""

_SETTINGS = {"lr": "lr", "beta1": "betas", "beta2": "betas", "eps": "optimizer-eps", "weight_decay": "weight-decay"}
"""A number that both optimizers state -> the cause, where they state different ones."""


def still_parameters(record: Record) -> list[Cause]:
    """Parameters that one side trains and the other never moves."""
    tracks = record.paired_tracks()
    far = [tuple(float(np.abs(track.moves).mean()) for track in pair) for pair in tracks.values()]
    usual = float(np.median(far)) if far else 0.0
    found: dict[str, list[str]] = {"a": [], "b": []}
    for key, (ours, theirs) in zip(tracks, far, strict=True):
        side = "b" if theirs == 0 else "a" if ours == 0 else ""
        if side and max(ours, theirs) > _STILL * usual:
            found[side].append(record.pairs.label(key))
    fix = "see that this parameter is trained on both sides: reached by the loss, and given to the optimizer"
    return [
        cause(1, "backward or optimizer", "grad-missing", keys, f"{side} never changes it, the other side does", fix)
        for side, keys in found.items()
        if keys
    ]


def not_itself(record: Record) -> Cause | None:
    """Whether the side that was run again was itself again.

    In the first steps it is held to the bound without an envelope, since draws of a side that does not repeat itself
    are no measure of it; after them to the envelope. All tensors are asked: one loss may agree by chance.
    """
    if record.rerun is None:
        return None
    index = 0 if record.anchor == "a" else 1
    losses, recorders = (record.losses[index], record.rerun[1]), (record.tracks[index], record.rerun[0])
    pairs = _histories(record, *recorders)
    for step, limits in enumerate(record.allowed, 1):
        apart = losses_apart(losses[0][step - 1], losses[1][step - 1])
        apart |= {quantity: _apart(quantity, *pair, step) for quantity, pair in pairs.items()}
        if step <= BLIND:
            ratios = Judge.without(apart, step)[0]
        else:
            ratios = {q: over(found.distance, limits[q]) for q, found in apart.items() if q in limits}
        wrong = max(ratios, key=lambda quantity: ratios[quantity], default=None)
        if wrong is not None and ratios[wrong] > 1:
            values = f"{wrong} after step {step} is {apart[wrong].distance:.3g} away on average"
            return not_repeated(record.anchor, step, [record.pairs.label(wrong.name)], values)
    return None


def _histories(record: Record, had: Recorder, rerun: Recorder) -> dict[Quantity, tuple[Array, Array, float]]:
    """(K + 1, n) of everything that was recorded of two runs of one side, and its unit roundoff."""
    found: dict[Quantity, tuple[Array, Array, float]] = {}
    trained = record.paired_tracks()
    for key in record.pairs.values:
        x, y = had.track(key), rerun.track(key)
        kind = PARAMETER if key in trained else POOL if is_pool(key) else BUFFER
        found[Quantity(kind, key)] = x.values, y.values, x.unit
        for slot in [slot for slot in x.slots if slot in y.slots]:
            found[Quantity(slot, key)] = x.slots[slot], y.slots[slot], x.unit
    return found


def _apart(quantity: Quantity, had: Array, rerun: Array, unit: float, step: int) -> Apart:
    origin = had[0] if quantity.kind == PARAMETER else 0.0
    magnitude = float(np.abs(rerun[step]).mean())
    distance = float(distances(had[step], rerun[step]).mean())
    return Apart(distance, float(np.abs(had[step] - origin).mean()), unit * magnitude)


def stated_settings(record: Record, known: list[Cause]) -> list[Cause]:
    """Numbers that both optimizers state and that are not the same, although nothing has shown it yet."""
    told = {item.finding.cause for item in known}
    found = []
    for step, (ours, theirs) in enumerate(record.numbers, 1):
        for name in [name for name in ours if name in theirs]:
            kind = _SETTINGS.get(name.partition(".")[0])
            x, y = ours[name], theirs[name]
            if kind is None or kind in told or (kind == "lr" and "schedule" in told):
                continue
            if abs(x - y) > _STATED * max(abs(x), abs(y)):
                told.add(kind)
                evidence = f"a's optimizer states {name} {x:g} at step {step}, b's {y:g}"
                found.append(cause(step, "optimizer", kind, [name], evidence, f"b: set {name} to {x:g}"))
    return found
