"""What a norm has beyond its counterpart: counters, and constants that MindSpore keeps where PyTorch has none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from twinzoo.converters.forms.values import Value, filled
from twinzoo.converters.layers import Layer

COUNTER = "num_batches_tracked"
STATISTICS = frozenset({"running_mean", "running_var"})
AFFINE = frozenset({"weight", "bias"})
NEUTRAL: Mapping[str, float] = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}
"""What a norm's tensors hold before training."""


def idle(layer: Layer) -> dict[str, float]:
    """For a norm that MindSpore may keep without a use: key -> the number that the tensor then holds everywhere.

    MindSpore's norms have gamma and beta, and batch and instance norms statistics, even with `affine=False`; PyTorch's
    have no tensors at all then, or statistics alone. A layer without counterpart may be left out where its values are
    these, and a target's may be filled with them.

    Returns:
        nothing for any other layer. The statistics of an `instance_norm` do not count: they are never used.
    """
    if not layer.tensors.keys() <= NEUTRAL.keys() or not _spelled_by_mindspore(layer):
        return {}
    counted = AFFINE if layer.kind == "instance_norm" else NEUTRAL.keys()
    return {tensor.key: NEUTRAL[role] for role, tensor in layer.tensors.items() if role in counted}


def created(source: Layer, target: Layer) -> dict[str, Value]:
    """The target's tensors, by role, that have no source and need none."""
    values = {
        role: filled(
            tensor.shape, NEUTRAL[role], np.float32, f"made: {NEUTRAL[role]:g} everywhere, as the source has it"
        )
        for role, tensor in target.tensors.items()
        if role in _surplus(target, source)
    }
    if COUNTER in target.tensors and COUNTER not in source.tensors and "running_mean" in target.tensors:
        values[COUNTER] = filled(
            target.tensors[COUNTER].shape, 0, np.int64, "made: 0, a counter that only PyTorch keeps"
        )
    return values


def left_out(source: Layer, target: Layer) -> dict[str, tuple[str, bool]]:
    """The source's tensors, by role, that need no place, with the reason and whether they must be neutral for it."""
    surplus = _surplus(source, target)
    reasons = {role: (f"{NEUTRAL[role]:g} everywhere, as the target has it", True) for role in surplus & AFFINE}
    reasons |= dict.fromkeys(surplus & STATISTICS, ("statistics of an instance norm, which uses none", False))
    if COUNTER in source.tensors and COUNTER not in target.tensors and "running_mean" in source.tensors:
        reasons[COUNTER] = ("a counter that only PyTorch keeps", False)
    return reasons


def _surplus(layer: Layer, counterpart: Layer) -> frozenset[str]:
    """The roles that only MindSpore's layer has: gamma and beta beside statistics, or an instance norm's statistics."""
    own, its = layer.tensors.keys() - {COUNTER}, counterpart.tensors.keys() - {COUNTER}
    if own != AFFINE | STATISTICS or not _spelled_by_mindspore(layer):
        return frozenset()
    if its == STATISTICS:
        return AFFINE
    if its == AFFINE and "instance_norm" in (layer.kind, counterpart.kind):
        return STATISTICS
    return frozenset()


def _spelled_by_mindspore(layer: Layer) -> bool:
    """Whether the layer has gamma and beta under these names."""
    words = {tensor.key.rpartition(".")[2] for tensor in layer.tensors.values()}
    return {"gamma", "beta"} <= words
