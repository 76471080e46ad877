"""The losses of the first step that differs: what explains them, and what to say where nothing does."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from twinzoo.parity.steps.causes.cause import Cause, cause, times
from twinzoo.parity.steps.causes.losses import loss_causes
from twinzoo.parity.steps.causes.replays import label_cause, order_cause, repeat_cause
from twinzoo.parity.steps.deviation import BUFFER, LOSS, Quantity
from twinzoo.parity.steps.record import Record
from twinzoo.parity.steps.state import is_buffer


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
            after = {key: value for key, value in record.first[theirs].tensors.items() if not is_buffer(key)}
            own = {
                key if ours == 0 else record.pairs.values[key].sources[0]: value
                for key, value in after.items()
                if key in record.pairs.values and len(record.pairs.values[key].sources) == 1
            }
            own = {key: value.reshape(record.starts[ours][key].shape) for key, value in own.items()}
            labels = ("ab"[ours], "ab"[theirs])
            wanted = record.losses[theirs][0]
            found = order_cause(side, record.starts[ours], own, record.batches[0], left, wanted, loose, labels)
            if found:
                return found
    return None


def scaled_loss(record: Record, step: int, name: str, backward: list[Cause]) -> Cause | None:
    """A loss that is a multiple of the other side's, as all its gradients are."""
    x, y = (losses[step - 1][name] for losses in record.losses)
    if not backward or x == 0 or any(abs(item.number - y / x) > 1e-3 * abs(y / x) for item in backward):
        return None
    kind = "reduction" if backward[0].finding.cause == "reduction" else "scale"
    evidence = f"{x:.7g} in a, {y:.7g} in b, and {backward[0].finding.evidence}"
    return cause(step, "loss", kind, [name], evidence, f"b: divide it by {y / x:.6g}")


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
