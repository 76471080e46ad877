"""Distances between predictions and targets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from twinzoo.ports.reference.pointwise import softplus
from twinzoo.ports.reference.reductions import log_softmax
from twinzoo.ports.reference.rule import Array, Attrs, Params, Rule


def _smooth_l1(a: Attrs, x: Array, target: Array) -> Array:
    distance, beta = np.abs(x - target), a["beta"]
    return np.where(distance < beta, distance**2 / (2 * beta), distance - beta / 2)


def _cross_entropy(a: Attrs, x: Array, labels: Array) -> Array:
    return -np.take_along_axis(log_softmax(x, 1), labels[:, None], 1)[:, 0]


ELEMENTS: dict[str, Callable[[Attrs, Array, Array], Array]] = {
    "l1_loss": lambda a, x, target: np.abs(x - target),
    "mse_loss": lambda a, x, target: (x - target) ** 2,
    "smooth_l1_loss": _smooth_l1,
    "bce_with_logits": lambda a, x, target: (
        softplus(-np.abs(x)) + np.maximum(x, 0) * (1 - target) - np.minimum(x, 0) * target
    ),
    "cross_entropy": _cross_entropy,
}
"""The distance of each element, before any reduction."""


def _reduced(elements: Callable[[Attrs, Array, Array], Array]) -> Rule:
    def rule(a: Attrs, p: Params, x: Array, target: Array) -> Array:
        each = elements(a, x, target)
        reduced: dict[str, Callable[[], Array]] = {"none": lambda: each, "mean": each.mean, "sum": each.sum}
        return reduced[a["reduction"]]()

    return rule


RULES: dict[str, Rule] = {name: _reduced(elements) for name, elements in ELEMENTS.items()}
