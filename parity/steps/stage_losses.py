"""The losses of the first step that differs: what explains them, and what to say where nothing does."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isclose
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.steps.causes.cause import Cause, cause, times
from twinzoo.parity.steps.causes.losses import loss_causes
from twinzoo.parity.steps.causes.replays import label_cause, order_cause, repeat_cause
from twinzoo.parity.steps.deviation import BUFFER, LOSS, Quantity
from twinzoo.parity.steps.record import Record
from twinzoo.parity.steps.state import is_buffer, is_pool

Array = NDArray[Any]


def losses_at(record: Record, step: int, wrong: list[str], counts: Mapping[int, str]) -> list[Cause]:
    """What explains losses that differ: a factor or constant, other labels, an update in between, or chance."""
    if not wrong:
        return []
    noise = [record.noise(i, LOSS) for i in range(1, len(record.batches) + 1)]
    found = loss_causes(step, wrong, *record.losses, noise, counts)
    left = [name for name in wrong if not any(name in item.keys for item in found)]
    if not left or step != 1:
        return found
    limits, batch = noise[0], record.batches[0]
    for index in (0, 1):
        side, start = record.sides[index], record.starts[index]
        if side.restartable and (chance := repeat_cause(side, start, batch, record.losses[index][0], limits)):
            return [*found, chance]
    a, start = record.sides[0], record.starts[0]
    if a.restartable and (label := label_cause(a, start, batch, left, record.losses[1][0], limits)):
        return [*found, label]
    order = _order(record, left, limits)
    return [*found, order] if order else found


def _order(record: Record, left: list[str], limits: Mapping[str, float]) -> Cause | None:
    """Whether one side updates a network before a loss that the other computes first."""
    loose = {name: 4 * limit for name, limit in limits.items()}
    for ours, theirs in ((0, 1), (1, 0)):
        side = record.sides[ours]
        if side.loads:
            labels, wanted = ("ab"[ours], "ab"[theirs]), record.losses[theirs][0]
            after = _parameters_after(record, ours)
            found = order_cause(side, record.starts[ours], after, record.batches[0], left, wanted, loose, labels)
            if found:
                return found
    return None


def _parameters_after(record: Record, ours: int) -> dict[str, Array]:
    """The other side's parameters after the first step, under this side's keys and in its shapes."""
    start, after = record.starts[ours], record.first[1 - ours].tensors
    own = {key: (key, value.sources[0])[ours] for key, value in record.pairs.values.items() if len(value.sources) == 1}
    return {
        name: after[key].reshape(start[name].shape)
        for key, name in own.items()
        if name in start and not is_buffer(key) and not is_pool(key)
    }


def scaled_loss(record: Record, step: int, name: str, backward: list[Cause]) -> Cause | None:
    """A loss that is a multiple of the other side's, as all its gradients are."""
    x, y = (losses[step - 1][name] for losses in record.losses)
    ratio = y / x if x else inf
    known = all(item.finding.cause != "unexplained" and isclose(item.number, ratio, rel_tol=1e-3) for item in backward)
    if not backward or not known:
        return None
    kind = "reduction" if backward[0].finding.cause == "reduction" else "scale"
    evidence = f"{x:.7g} in a, {y:.7g} in b, and {backward[0].finding.evidence}"
    fix = f"b: divide it by {ratio:.6g}" if ratio else "b: give it a's weight, and not 0"
    return cause(step, "loss", kind, [name], evidence, fix)


def lost_losses(record: Record, step: int, lost: list[str], wrong: set[Quantity]) -> Cause:
    """Losses that differ and that nothing explains."""
    moved = any(quantity.kind == BUFFER for quantity in wrong)
    has_buffers = any(quantity.kind == BUFFER for quantity in record.ratios[step - 1])
    stage = "forward" if moved else "loss" if has_buffers else "forward or loss"
    name = lost[0]
    x, y = (losses[step - 1][name] for losses in record.losses)
    ratio = record.ratios[step - 1][Quantity(LOSS, name)]
    evidence = f"{x:.8g} in a, {y:.8g} in b, {times(ratio)} what rounding explains; b/a is {y / x if x else np.nan:.6g}"
    if has_buffers:
        evidence += "; the running statistics " + (
            "differ too" if moved else "agree, so the network ran alike up to its last norm"
        )
    fix = "compare the networks layer by layer on this batch: compare(a, b, inputs, train=True); then the loss alone"
    return cause(step, stage, "unexplained", lost, evidence, fix)
