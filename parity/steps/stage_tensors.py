"""Gradients, buffers and histories of images of the first step that differs: what explains them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from twinzoo.parity.steps.causes.buffers import Moved, buffer_causes
from twinzoo.parity.steps.causes.cause import Cause
from twinzoo.parity.steps.causes.gradients import Gradient, gradient_causes
from twinzoo.parity.steps.causes.pools import Held, pool_causes
from twinzoo.parity.steps.deviation import BUFFER, LOSS, PARAMETER, POOL, Quantity
from twinzoo.parity.steps.identify import Explained
from twinzoo.parity.steps.moments import gradients, has_moments
from twinzoo.parity.steps.record import Record
from twinzoo.parity.steps.state import GRADIENT


def gradients_at(
    record: Record, step: int, explained: Mapping[str, Explained], known: list[Cause], counts: Mapping[int, str]
) -> list[Cause]:
    """What explains the gradients that differ, or the moves where gradients are not known."""
    pushes, tell = _pushes(record, step, explained)
    off = {key: push for key, push in pushes.items() if np.abs(push.a - push.b).mean() > push.noise}
    if not tell:
        told = {key for item in known if item.step <= step and item.stage != "buffers" for key in item.keys}
        off = {key: push for key, push in off.items() if record.pairs.label(key) not in told}
    stage = "backward" if tell else "backward or optimizer"
    agree = [record.ratios[step - 1].get(Quantity(GRADIENT, key), np.inf) <= 1 for key in off]
    if all(agree):  # what the optimizer was given is the same, what it made of it is not
        stage = "optimizer"
    found = gradient_causes(step, off, counts, stage, record.pairs.label)
    sure = [item for item in found if item.finding.cause != "unexplained"]
    return found if record.anchor or not sure else sure


def _pushes(record: Record, step: int, explained: Mapping[str, Explained]) -> tuple[dict[str, Gradient], bool]:
    """What pushed each parameter in a step, and whether that is a gradient: else it is how the parameter moved."""
    found, tell = {}, True
    limits, at = record.allowed[step - 1], step - 1
    for key, tracks in record.paired_tracks().items():
        past = None
        if all(has_moments(t) for t in tracks):
            betas = [explained[key].betas[i][0] if key in explained else 0.9 for i in (0, 1)]
            pushed = [gradients(t, beta)[at] for t, beta in zip(tracks, betas, strict=True)]
            noise = limits.get(Quantity("m", key), np.nan) / (1 - max(betas))
        elif all("momentum" in t.slots for t in tracks):
            pushed, past = [t.slots["momentum"][step] for t in tracks], tracks[0].slots["momentum"][at]
            noise = limits.get(Quantity("momentum", key), np.nan)
        elif tracks[0].gradients is not None and tracks[1].gradients is not None:
            pushed, noise = (
                [t.gradients[at] for t in tracks if t.gradients is not None],
                limits.get(Quantity(GRADIENT, key), np.nan),
            )
        else:
            pushed, noise, tell = [t.moves[at] for t in tracks], limits.get(Quantity(PARAMETER, key), np.nan), False
        if not np.isnan(noise):
            found[key] = Gradient(pushed[0], pushed[1], tracks[0].values[at], past, noise)
    return found, tell


def buffers_at(record: Record, step: int, wrong: set[Quantity]) -> list[Cause]:
    """What explains running statistics that differ, where the losses agree and so what they were made of."""
    if any(quantity.kind == LOSS for quantity in wrong) and step > 1:
        return []
    moved = {}
    for quantity, limit in record.allowed[step - 1].items():
        if quantity.kind == BUFFER:
            x, y = (recorder.values(quantity.name) for recorder in record.tracks)
            moved[quantity.name] = Moved(x[step - 1], x[step], y[step], limit)
    off = {name: item for name, item in moved.items() if Quantity(BUFFER, name) in wrong}
    rest = {name: item for name, item in moved.items() if name not in off}
    found = buffer_causes(step, off, rest, record.pairs.label)
    lost = any(quantity.kind == LOSS for quantity in wrong)
    return [item for item in found if not (lost and item.finding.cause == "unexplained")]


def pools_at(record: Record, step: int, wrong: set[Quantity]) -> list[Cause]:
    """What explains histories of images that differ."""
    off = {}
    for quantity in sorted(wrong):
        if quantity.kind == POOL:
            x, y = (recorder.values(quantity.name)[step] for recorder in record.tracks)
            shape = record.pairs.values[quantity.name].shape
            limit = record.allowed[step - 1][quantity]
            off[quantity.name] = Held(x, y, shape[0] if shape else 1, limit)
    return pool_causes(step, off, record.pairs.label)
