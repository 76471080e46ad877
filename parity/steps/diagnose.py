"""From a record to causes: each stage of the first step that differs is asked what explains it.

The optimizers are asked first and in every step, since each is held against its own record and nothing compounds there.
What is left at the first step that differs is explained by stage; what differs later follows from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from twinzoo.parity.steps.causes.cause import STAGES, Cause, cause, sizes, times
from twinzoo.parity.steps.causes.optimizers import optimizer_causes
from twinzoo.parity.steps.deviation import LOSS, PARAMETER, Quantity
from twinzoo.parity.steps.identify import Explained, Identifier
from twinzoo.parity.steps.record import Record
from twinzoo.parity.steps.stage_losses import losses_at, lost_losses, scaled_loss
from twinzoo.parity.steps.stage_tensors import buffers_at, gradients_at, pools_at
from twinzoo.parity.steps.whole_run import not_itself, stated_settings, still_parameters


def diagnose(record: Record) -> list[Cause]:
    """Every cause that can be proved, and for what is left at the first difference one that says so."""
    label = record.pairs.label
    explained = _explained(record)
    if record.anchor:  # so that what goes into every update is judged as well
        _follow(record, explained)
    found = optimizer_causes(explained, label)
    if record.unequal_start:
        return _ordered(found)
    if chance := not_itself(record):
        return _ordered([*found, chance])
    still, first = still_parameters(record), first_wrong(record)
    if first is not None and not any(0 < item.step < first for item in [*found, *still]):
        found += _at(record, first, explained, found, bool(still))
    told = {key for item in found for key in item.keys}
    found += [item for item in still if not told.issuperset(item.keys)]
    return _ordered(found + stated_settings(record, found))


def _follow(record: Record, explained: Mapping[str, Explained]) -> None:
    """Where both sides' records show one and the same update, a parameter follows from what went into it.

    So it counts by how far its own update is from the rule, and not by what training makes of rounding: Adam moves a
    parameter whose gradient is rounding alone anywhere, and draws of one side do not show where the other's goes.
    """
    for key, what in explained.items():
        if what.cost == 0:
            for ratios, of_a, of_b in zip(record.ratios, *(fit.ratio for fit in what.fits), strict=True):
                ratios[Quantity(PARAMETER, key)] = float(max(of_a, of_b))


def first_wrong(record: Record) -> int | None:
    """The first step, from 1, after which something is more than rounding explains."""
    return next((i for i, ratios in enumerate(record.ratios, 1) if any(r > 1 for r in ratios.values())), None)


def _ordered(found: list[Cause]) -> list[Cause]:
    """In the order in which they arose; L2 decay on one side and decoupled decay on the other are one mistake."""
    decays = [item for item in found if item.finding.cause == "weight-decay"]
    if len(decays) == 2 and {*decays[0].keys} & {*decays[1].keys}:
        first = min(decays, key=_when)
        evidence = "; ".join(dict.fromkeys(item.finding.evidence for item in decays))
        found = [item for item in found if item not in decays]
        found.append(replace(first, finding=replace(first.finding, evidence=evidence)))
    return sorted(found, key=_when)


def _when(item: Cause) -> tuple[int, int]:
    return item.step, STAGES.index(item.stage.split(" or ")[0])


def _explained(record: Record) -> dict[str, Explained]:
    """How each parameter's update comes about on both sides, where that is an optimizer's that is known."""
    identifier = Identifier()
    tracks = record.paired_tracks()
    usable = {key: pair for key, pair in tracks.items() if all(np.isfinite(t.values).all() for t in pair)}
    found = {key: identifier.explain(*pair) for key, pair in usable.items()}
    told = {key: what for key, what in found.items() if what is not None}
    return told if 2 * len(told) >= len(found) else {}  # what explains a few is chance, and not the optimizer


def _at(record: Record, step: int, explained: Mapping[str, Explained], known: list[Cause], still: bool) -> list[Cause]:
    """The causes of what differs first, stage by stage.

    Args:
        known: those in the optimizers.
        still: whether a parameter is never moved by one side.
    """
    ratios = record.ratios[step - 1]
    wrong = {quantity for quantity, ratio in ratios.items() if ratio > 1}
    pools = pools_at(record, step, wrong)
    if any(item.finding.cause == "nondeterminism" for item in pools):  # whatever is made of it follows
        return pools
    counts = sizes(value.shape for value in record.batches[step - 1].values())
    found = losses_at(record, step, [q.name for q in ratios if q in wrong and q.kind == LOSS], counts)
    if any(item.finding.cause == "nondeterminism" for item in found):
        return found
    lost = [q.name for q in ratios if q in wrong and q.kind == LOSS and not any(q.name in item.keys for item in found)]
    if any(item.finding.cause == "update-order" for item in found):
        lost = []
    backward = gradients_at(record, step, explained, known, counts)
    if len(lost) == 1 and (scaled := scaled_loss(record, step, lost[0], backward)):
        found.append(scaled)
        lost = []
    agreeing = any(q.kind == LOSS and q not in wrong for q in ratios)
    earlier = [item for item in known if item.step <= step]
    follows = bool(lost) and agreeing and bool(earlier)
    if lost and not follows:
        found.append(lost_losses(record, step, lost, wrong))
    if lost or any(item.stage in ("loss", "optimizer") for item in found):
        backward = [item for item in backward if item.finding.cause == "grad-missing"]
    found += backward
    found += buffers_at(record, step, wrong)
    found += pools if not lost else []
    if not found and not earlier and not still:
        found.append(_unexplained(record, step, wrong))
    return found


def _unexplained(record: Record, step: int, wrong: set[Quantity]) -> Cause:
    """What differs although gradients and buffers do not, and no optimizer that is known explains it."""
    ratios = record.ratios[step - 1]
    worst = max(wrong, key=lambda quantity: ratios[quantity])
    apart = record.apart[step - 1][worst]
    evidence = (
        f"{worst} is {apart.distance:.3g} apart on average, {times(ratios[worst])} what rounding explains; "
        "no optimizer that is known here makes both sides' steps"
    )
    fix = "return the optimizer's state from state() and the gradients from gradients(), to see which of them it is"
    return cause(step, "optimizer", "unexplained", [record.pairs.label(worst.name)], evidence, fix)
