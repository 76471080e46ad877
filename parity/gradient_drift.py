"""How far rounding alone may carry the gradients of a whole model: a backward pass in which every value is moved."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.gradients import OUTPUT, Backward, Due
from twinzoo.parity.measure import distances
from twinzoo.zoo.spec import Spec

Array = NDArray[Any]


def gradient_drift(
    spec: Spec,
    side: Backward,
    values: Mapping[str, Array],
    training: AbstractSet[str],
    owners: Mapping[str, str],
    seed: int = 0,
) -> dict[str, float]:
    """The largest distance, by input and by spec name of a parameter, that accumulated rounding is expected to reach.

    Args:
        side: what was recorded; distances are from it.
        values: the side's values by reference, each moved by what rounding had explained by then.
        training: the nodes that ran in training mode.
        owners: spec name of a parameter -> the first spec name that it has.
    """
    random = np.random.default_rng(seed)
    dues: dict[str, Due] = {}
    for ref, part in side.pulled():
        dues.setdefault(ref, Due()).add(OUTPUT, part)
    for node in reversed(spec.nodes.values()):
        total = dues.pop(node.outputs[0].ref, Due()).total()
        if total is None:
            continue
        gradient = _moved(random, *total)
        typed = {
            value.ref: _typed(values[value.ref], side.values[value.ref])
            for value in (*node.inputs, *node.outputs)
            if value.ref in side.values  # a stranger's further outputs are not recorded
        }
        for name, part in side.back(node, typed, gradient, training).parts():
            dues.setdefault(owners.get(name, name), Due()).add(node.name, part)
    found = {}
    for name, due in dues.items():
        total, recorded = due.total(), side.gradients.get(name)
        if total is not None and recorded is not None and recorded.shape == total[0].shape:
            found[name] = float(distances(_moved(random, *total), recorded.astype(np.float64)).max(initial=0.0))
    return found


def _typed(moved: Array, recorded: Array) -> Array:
    """A moved value in the half type that was recorded; in float32's place float64 will do."""
    return moved.astype(recorded.dtype) if str(recorded.dtype) in ("float16", "bfloat16") else moved


def _moved(random: np.random.Generator, gradient: Array, allowed: Array) -> Array:
    size = np.where(np.isfinite(allowed), allowed, 0.0)
    moved: Array = gradient + (2 * random.random(gradient.shape) - 1) * size
    return moved
