"""Distances between predictions and targets, element by element or reduced as PyTorch does."""

from __future__ import annotations

from twinzoo.zoo.spec.dims import Shape
from twinzoo.zoo.spec.schema import Attrs, Choice, Float, ShapeMismatch, define, op, volume

_REDUCTION = {"reduction": Choice("mean", choices=("none", "mean", "sum"))}


def _distance(a: Attrs, prediction: Shape, target: Shape) -> Shape:
    if prediction != target:
        raise ShapeMismatch("needs a prediction and a target of one shape")
    return prediction if a["reduction"] == "none" else ()


def _cost(a: Attrs, y: tuple[int, ...], prediction: tuple[int, ...], target: tuple[int, ...]) -> int:
    return 3 * volume(prediction)


_PAIR = {"inputs": ("prediction", "target"), "flops": _cost}

define("l1_loss", _distance, "|prediction - target|", attrs=_REDUCTION, **_PAIR)
define("mse_loss", _distance, "(prediction - target) squared.", attrs=_REDUCTION, **_PAIR)
define(
    "smooth_l1_loss",
    _distance,
    "d²/(2 beta) where d = |prediction - target| < beta, d - beta/2 elsewhere.",
    attrs=_REDUCTION | {"beta": Float(1.0, minimum=1e-12)},
    **_PAIR,
)
define(
    "bce_with_logits",
    _distance,
    "softplus(prediction) - prediction * target: the cross-entropy of sigmoid(prediction) with a target in [0, 1].",
    attrs=_REDUCTION,
    **_PAIR,
)


@op("cross_entropy", inputs=("logits", "labels"), integer_inputs=("labels",), attrs=_REDUCTION, flops=_cost)
def _cross_entropy(a: Attrs, logits: Shape, labels: Shape) -> Shape:
    """-log softmax(logits) at the label: logits (N, C, ...), labels (N, ...) of integers in [0, C)."""
    if len(logits) < 2 or (logits[0], *logits[2:]) != labels:
        raise ShapeMismatch("needs logits (N, C, ...) and labels (N, ...)")
    return labels if a["reduction"] == "none" else ()
