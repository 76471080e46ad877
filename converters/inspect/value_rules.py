"""What makes a tensor's values suspicious: a function for each rule, its thresholds as named constants with reasons.

A healthy trained network and a freshly initialised one give no line that is not true of them: an alarm that rings for
everybody is switched off.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import median

import numpy as np
from numpy.typing import NDArray

from twinzoo.converters.files import Tensors
from twinzoo.converters.inspect.report import LayerReport, Suspicion, TensorReport
from twinzoo.converters.inspect.statistics import Statistics, numbers, runs
from twinzoo.converters.layers import STATISTICS

Layers = Sequence[LayerReport]

LARGE = 1e4
"""Trained weights stay below a few hundred; 1e4 is a mistake of units: 0-255 for 0-1, integers not scaled back."""

FLOAT16_MAX = 65504.0
"""The largest float16."""

TINY_VARIANCE = 1e-10
"""Far below every eps in use (1e-3 to 1e-6), so that eps alone decides; a channel that varies at all is far above."""

SCALE_FACTOR = 300.0
"""Deviations times sqrt(fan in) are within a factor of 12 of their median in all files that were measured."""

SCALE_SIBLINGS = 4
"""Fewer layers of a kind have no median worth the name."""

CONSTANT_SIZE = 9
"""A smaller weight may be constant on purpose or by rounding: a 1x1 scale, a mean of three channels."""

DENORMAL_SHARE = 0.01
"""A few denormals are the tail of weight decay; a share of them is a tensor that has faded away."""

DENORMAL_COUNT = 16
"""In a bias of three channels one denormal is a third of all."""

NAMED_CHANNELS = 6


def all_of(layers: Layers, tensors: Tensors) -> Iterator[Suspicion]:
    """What any of the rules finds, in layers whose values were read.

    Args:
        tensors: for a second look at the values of few.
    """
    for rule in (
        not_finite,
        zero_weights,
        constant_weights,
        dead_channels,
        large_values,
        scale,
        variances,
        statistics_and_counters,
        denormals,
    ):
        yield from rule(layers, tensors)


def not_finite(layers: Layers, tensors: Tensors) -> Iterator[Suspicion]:
    """NaN and infinities; a tensor of zeros and infinities that is no layer's is a mask."""
    for layer, tensor, stats in _looked_at(layers):
        mask = layer.kind.name == "tensor" and not stats.nan and stats.magnitude == 0
        if stats.finite < stats.size and not mask:
            words = [
                f"{stats.nan:,} NaN" if stats.nan else "",
                f"{stats.infinite:,} infinite" if stats.infinite else "",
            ]
            seen = f"{' and '.join(filter(None, words))} of {stats.size:,} values"
            yield Suspicion("not-finite", tensor.key, seen, "everything that they reach becomes NaN or infinite")


def zero_weights(layers: Layers, tensors: Tensors) -> Iterator[Suspicion]:
    """A weight of nothing but zeros; a bias may be."""
    for layer, tensor, stats in _looked_at(layers):
        weight = tensor is layer.main and tensor.role not in STATISTICS and layer.kind.name not in ("tensor", "PReLU")
        if weight and 0 < stats.size == stats.zeros:
            yield Suspicion("zero-weights", tensor.key, "all zero", "the layer gives nothing but its bias")


def constant_weights(layers: Layers, tensors: Tensors) -> Iterator[Suspicion]:
    """A convolution or linear layer whose weights are one and the same number."""
    for layer, stats in _weights(layers):
        if stats.constant and stats.minimum and stats.size >= CONSTANT_SIZE:
            seen = f"all {stats.size:,} values are {stats.minimum:.4g}"
            yield Suspicion(
                "constant-weights", layer.main.key, seen, "its outputs are all alike: drawn or loaded wrongly"
            )


def dead_channels(layers: Layers, tensors: Tensors) -> Iterator[Suspicion]:
    """Output channels of a convolution or linear layer whose weights are all zero, where others are not."""
    for layer, stats in _weights(layers):
        axis = layer.kind.outputs
        assert axis is not None, "a weight has output channels"
        channels = layer.main.shape[axis]
        if not channels or not stats.size // channels <= stats.zeros < stats.size:
            continue
        dead = np.flatnonzero(~_alive(tensors, layer.main, axis))
        if dead.size:
            named = ", ".join(map(str, dead[:NAMED_CHANNELS])) + (", ..." if dead.size > NAMED_CHANNELS else "")
            seen = f"{dead.size} of {channels} output channels are all zero ({named})"
            yield Suspicion("dead-channels", layer.main.key, seen, "they give their bias alone, whatever the input")


def _alive(tensors: Tensors, tensor: TensorReport, axis: int) -> NDArray[np.bool_]:
    """For each index along an axis whether there is anything but zeros."""
    alive = np.zeros(tensor.shape[axis], np.bool_)
    inner, start = math.prod(tensor.shape[axis + 1 :]), 0
    for run in runs(tensors, tensor.key):
        alive[(np.flatnonzero(run) + start) // inner % alive.size] = True
        start += run.size
    return alive


def large_values(layers: Layers, tensors: Tensors) -> Iterator[Suspicion]:
    """Huge numbers; running statistics may be, until float16 cannot hold them."""
    for _, tensor, stats in _looked_at(layers):
        seen = f"values up to {stats.magnitude:.4g}"
        if stats.magnitude > LARGE and tensor.role not in STATISTICS:
            yield Suspicion("large-values", tensor.key, seen, "activations overflow easily: was a scale forgotten?")
        if stats.magnitude > FLOAT16_MAX and tensor.dtype != np.float16:
            yield Suspicion("float16-overflow", tensor.key, seen, "a cast to float16 makes them infinite")


def scale(layers: Layers, tensors: Tensors) -> Iterator[Suspicion]:
    """A layer whose weights are far larger or smaller than those of all others of its kind."""
    kinds: dict[str, dict[str, float]] = {}
    for layer, stats in _weights(layers):
        if stats.std and layer.main.role == "weight":
            fan_in = stats.size / layer.main.shape[layer.kind.outputs or 0]
            kinds.setdefault(layer.kind.name, {})[layer.main.key] = stats.std * math.sqrt(fan_in)
    for kind, sizes in kinds.items():
        middle = median(sizes.values())
        for key, size in sizes.items():
            if len(sizes) >= SCALE_SIBLINGS and not 1 / SCALE_FACTOR <= size / middle <= SCALE_FACTOR:
                seen = f"std x sqrt(fan in) is {size:.3g}, the median of {len(sizes)} {kind} layers {middle:.3g}"
                yield Suspicion("scale", key, seen, "a factor applied twice or forgotten, or another layer's tensor")


def variances(layers: Layers, tensors: Tensors) -> Iterator[Suspicion]:
    """Running variances that are negative, or so small that only eps is left under the square root."""
    for _, tensor, stats in _looked_at(layers):
        if tensor.role != "running_var" or stats.minimum is None or stats.minimum >= TINY_VARIANCE:
            continue
        negative = sum(int(np.count_nonzero(numbers(run) < 0)) for run in runs(tensors, tensor.key))
        if negative:
            seen = f"{negative} of {stats.size} variances are negative"
            yield Suspicion("negative-variance", tensor.key, seen, "their square roots are NaN")
        below = sum(int(np.count_nonzero(numbers(run) < TINY_VARIANCE)) for run in runs(tensors, tensor.key))
        tiny = below - negative
        if tiny:
            seen = f"{tiny} of {stats.size} variances are zero or below {TINY_VARIANCE:g}"
            effect = "channels that never varied in training: eps alone scales them, and defaults of eps differ"
            yield Suspicion("tiny-variance", tensor.key, seen, effect)


def statistics_and_counters(layers: Layers, tensors: Tensors) -> Iterator[Suspicion]:
    """Statistics as a fresh layer has them, and statistics that moved under a counter that says they did not."""
    for layer in layers:
        found = {role: tensor.statistics for role, tensor in layer.tensors.items() if tensor.statistics}
        mean, variance, counter = (found.get(r) for r in ("running_mean", "running_var", "num_batches_tracked"))
        if not mean or not variance:
            continue
        fresh = mean.constant and mean.minimum == 0 and variance.constant and variance.minimum == 1
        if fresh:
            effect = "never trained, or its statistics were not loaded, or a norm that uses none"
            yield Suspicion("untouched-statistics", layer.name, "running mean 0 and variance 1 everywhere", effect)
        elif counter and counter.maximum == 0:
            effect = "the statistics come from elsewhere, such as a conversion; matters to a momentum of None alone"
            yield Suspicion("uncounted-batches", layer.name, "statistics that moved in 0 batches", effect, note=True)


def denormals(layers: Layers, tensors: Tensors) -> Iterator[Suspicion]:
    """Tensors that have faded below the smallest normal number."""
    for _, tensor, stats in _looked_at(layers):
        if stats.denormal >= max(DENORMAL_COUNT, DENORMAL_SHARE * stats.size):
            seen = f"{stats.denormal:,} of {stats.size:,} values are denormal"
            yield Suspicion(
                "denormals", tensor.key, seen, "zero on devices that flush denormals, slow on others", note=True
            )


def _looked_at(layers: Layers) -> Iterator[tuple[LayerReport, TensorReport, Statistics]]:
    """The floating-point tensors whose values were read."""
    for layer in layers:
        for tensor in layer.tensors.values():
            if tensor.statistics and tensor.floating:
                yield layer, tensor, tensor.statistics


def _weights(layers: Layers) -> Iterator[tuple[LayerReport, Statistics]]:
    """The weights of convolutions, linear layers and the like."""
    for layer, tensor, stats in _looked_at(layers):
        if tensor is layer.main and layer.kind.outputs is not None:
            yield layer, stats
