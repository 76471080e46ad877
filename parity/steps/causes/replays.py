"""Causes that are proved by running a side again: with other labels, from a mixed state, or just once more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.steps.causes.cause import Cause, cause
from twinzoo.parity.steps.stepper import Side
from twinzoo.zoo.errors import ParityError

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Losses = Mapping[str, float]


def again(side: Side, start: Arrays, batch: Arrays) -> dict[str, float]:
    """The losses of a step from a state."""
    run = side.fresh()
    if run.loads:
        run.load(start)
    return run.step(batch)


def label_cause(
    side: Side, start: Arrays, batch: Arrays, wrong: Sequence[str], wanted: Losses, noise: Losses
) -> Cause | None:
    """Whether side a makes side b's losses in the first step, once the labels in its batch are changed.

    Args:
        side, start: restartable, and its state before the first step.
        wanted: side b's losses.
        noise: what is explained of each.
    """
    for name, words, changed in _relabelled(batch):
        try:
            losses = again(side, start, {**batch, name: changed})
        except (ParityError, ValueError, IndexError, RuntimeError):
            continue  # a label that this loss does not take
        if all(abs(losses.get(loss, np.inf) - wanted[loss]) <= noise[loss] for loss in wrong):
            evidence = f"with input {name} {words}, a's step gives b's loss: {wanted[wrong[0]]:.7g}"
            return cause(1, "loss", "label", wrong, evidence, f"b: feed {name} as a has it; b has it {words}")
    return None


def _relabelled(batch: Arrays) -> Iterator[tuple[str, str, Array]]:
    """Each input that may be labels, as somebody may have changed it: (name, in words, changed)."""
    for name, value in batch.items():
        found = np.unique(value)
        if value.size and len(found) <= 2 and value.dtype.kind in "fiub":
            low, high = found[0], found[-1]
            if low != high:
                yield name, "swapped (0 for 1)", np.where(value == low, high, low).astype(value.dtype)
            if value.dtype.kind == "f":
                for smooth in (0.9, 0.1, 0.8):
                    yield name, f"smoothed to {smooth:g} for 1", (value * smooth).astype(value.dtype)
                yield name, "between -1 and 1", (2 * value - 1).astype(value.dtype)
                yield name, "between 0 and 1", ((value + 1) / 2).astype(value.dtype)
        elif value.dtype.kind in "iu" and value.size:
            yield name, "one higher", (value + 1).astype(value.dtype)
            yield name, "one lower", (value - 1).astype(value.dtype)


def order_cause(
    side: Side,
    start: Arrays,
    after: Arrays,
    batch: Arrays,
    wrong: Sequence[str],
    wanted: Losses,
    noise: Losses,
    sides: tuple[str, str],
) -> Cause | None:
    """Whether a side computes a loss before its own update of a network, and the other side after it.

    Args:
        side, start: one that can be loaded, and its state before the first step.
        after: the other side's parameters after that step, under this side's keys.
        wrong: the losses that differ.
        wanted: the other side's losses.
        sides: the labels of this side and of the other.
    """
    ours, theirs = sides
    groups = list(dict.fromkeys(key.partition(".")[0] for key in after if "." in key))
    for group in groups if len(groups) > 1 else []:
        updated = {key: value for key, value in after.items() if key.partition(".")[0] == group}
        losses = again(side, {**start, **updated}, batch)
        hit = [name for name in wrong if abs(losses.get(name, np.inf) - wanted[name]) <= noise[name]]
        if hit:  # the others follow from it
            evidence = (
                f"{ours}'s {hit[0]}, computed with the {group} that {theirs} has after its step, is {theirs}'s: "
                f"{losses[hit[0]]:.7g}; so {theirs} updates {group} before it, {ours} after it"
            )
            return cause(
                1, "optimizer", "update-order", hit, evidence, f"update {group} at the same place in both steps"
            )
    return None


def repeat_cause(side: Side, start: Arrays, batch: Arrays, had: Losses, noise: Losses) -> Cause | None:
    """Whether a side's first step, run again from the same state, gives other losses."""
    losses = again(side, start, batch)
    wrong = [name for name in had if name in losses and abs(losses[name] - had[name]) > noise.get(name, 0.0)]
    if not wrong:
        return None
    values = f"{had[wrong[0]]:.7g}, then {losses[wrong[0]]:.7g}"
    return not_repeated(side.label, 1, wrong, values)


def not_repeated(label: str, step: int, wrong: Sequence[str], values: str) -> Cause:
    """A side that is not the same when it is run again from the same state."""
    evidence = f"{label}, run again from the same state on the same batches, gives another result: {values}"
    fix = (
        f"{label}: put what it draws (dropout masks, noise, augmentation) into the batch, or seed it in the function "
        "that makes the stepper; where it is restarted by load(state), state() must have all that a step changes"
    )
    return cause(step, "forward", "nondeterminism", wrong, evidence, fix)
