"""Gradients of the losses by predictions and, where those are no labels, by targets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from twinzoo.ports.reference.backward.rule import Pulled, Rule
from twinzoo.ports.reference.pointwise import sigmoid
from twinzoo.ports.reference.reductions import softmax
from twinzoo.ports.reference.rule import Array, Attrs, Params

Slopes = Callable[[Attrs, Array, Array], tuple[Array, Array]]
"""(attributes, prediction, target) -> the derivative of each element's distance by its prediction and its target."""


def each_gradient(a: Attrs, g: Array, count: int) -> Array:
    """The gradient of each element's distance, from that of the reduced loss of `count` elements."""
    return g / count if a["reduction"] == "mean" else g


def _of_difference(slope: Callable[[Attrs, Array], Array]) -> Slopes:
    def slopes(a: Attrs, x: Array, target: Array) -> tuple[Array, Array]:
        by_x = slope(a, x - target)
        return by_x, -by_x

    return slopes


SLOPES: dict[str, Slopes] = {
    "l1_loss": _of_difference(lambda a, d: np.sign(d)),
    "mse_loss": _of_difference(lambda a, d: 2 * d),
    "smooth_l1_loss": _of_difference(lambda a, d: np.clip(d / a["beta"], -1, 1)),
    "bce_with_logits": lambda a, x, target: (sigmoid(x) * (1 - target) - sigmoid(-x) * target, -x),
}


def _by_slopes(slopes: Slopes) -> Rule:
    def rule(a: Attrs, p: Params, g: Array, y: Array, x: Array, target: Array) -> Pulled:
        each = each_gradient(a, g, x.size)
        by_x, by_target = slopes(a, x, target)
        return Pulled((each * by_x, each * by_target), {})

    return rule


def _cross_entropy(a: Attrs, p: Params, g: Array, y: Array, x: Array, labels: Array) -> Pulled:
    each = np.broadcast_to(each_gradient(a, g, labels.size), labels.shape)
    slopes, own = softmax(x, 1), np.expand_dims(labels, 1)
    np.put_along_axis(slopes, own, 0.0, 1)
    np.put_along_axis(slopes, own, -slopes.sum(1, keepdims=True), 1)  # 1 less than its own share, without cancelling
    return Pulled((np.expand_dims(each, 1) * slopes, None), {})


RULES: dict[str, Rule] = {op: _by_slopes(slopes) for op, slopes in SLOPES.items()} | {"cross_entropy": _cross_entropy}
