"""Bounds of the gradients of the losses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from twinzoo.parity.bounds import reductions
from twinzoo.parity.bounds.gradients.pointwise import Rule, faded, vanishes
from twinzoo.parity.bounds.gradients.reductions import through_maximum
from twinzoo.parity.bounds.precision import Precision
from twinzoo.parity.bounds.sums import Array
from twinzoo.ports.reference.backward.losses import SLOPES, each_gradient
from twinzoo.ports.reference.backward.rule import Pulled
from twinzoo.ports.reference.pointwise import sigmoid
from twinzoo.ports.reference.reductions import log_softmax
from twinzoo.ports.reference.rule import Attrs, Params

Off = Array | float
Slopes = Callable[[Attrs, Array, Array, Array, Precision], tuple[Array | float, Array | float]]
"""(attributes, gradient of each distance, prediction, target, precision) -> what both derivatives add to roundings."""


def _l1(a: Attrs, each: Array, x: Array, target: Array, r: Precision) -> tuple[Array, Array]:
    """Where both are equal the sign is any."""
    jump = np.where(vanishes(x - target), np.abs(each), 0.0)
    return jump, jump


def _smooth_l1(a: Attrs, each: Array, x: Array, target: Array, r: Precision) -> tuple[Array, Array]:
    """Outside beta the slope is 1, inside a quotient of the difference by the rounded beta, times the gradient."""
    distance = np.abs(x - target)
    share = np.minimum(distance / a["beta"], 1) * (3 * r.u + r.kept.off(a["beta"]) / a["beta"])
    inside = np.where(distance <= a["beta"] * (1 + 2 * r.u), np.abs(each) * share, 0.0)
    return inside, inside


def _bce(a: Attrs, each: Array, x: Array, target: Array, r: Precision) -> tuple[Array, float]:
    """(t + 1 - t) sigmoid(x) - t, as with a weight of positives: the sigmoid errs by 7 u of itself."""
    s = sigmoid(x)
    roundings = s * (r.library(4) + r.u * (5 + np.abs(1 - target))) + r.u * np.abs(s - target)
    return np.abs(each) * (roundings + r.lost), 0.0


_EACH: dict[str, tuple[Slopes, int]] = {
    "l1_loss": (_l1, 0),
    "mse_loss": (lambda a, each, x, target, r: (0.0, 0.0), 2),
    "smooth_l1_loss": (_smooth_l1, 0),
    "bce_with_logits": (_bce, 1),
}
"""The bound of each slope and how many more roundings the products have, but for those by a rounded 1 / n."""


def _shared(a: Attrs) -> int:
    """Roundings of the gradient that each element is given."""
    return 2 if a["reduction"] == "mean" else 0


def _by_slopes(op: str, slopes: Slopes, count: int) -> Rule:
    def rule(
        a: Attrs, p: Params, g: Array, y: Array, off: Off, pulled: Pulled, x: Array, target: Array, r: Precision
    ) -> Pulled:
        spoiled = slopes(a, each_gradient(a, g, x.size), x, target, r)
        roundings = (count + _shared(a)) * r.u
        made = zip(spoiled, SLOPES[op](a, x, target), map(np.asarray, pulled.inputs), strict=True)
        return Pulled(tuple(s + roundings * np.abs(by) + faded(r, g, slope) for s, slope, by in made), {})

    return rule


def _cross_entropy(
    a: Attrs, p: Params, g: Array, y: Array, off: Off, pulled: Pulled, x: Array, labels: Array, r: Precision
) -> Pulled:
    """exp(log_softmax) - 1 at the label: the exponential errs by what the logarithm is off, and by 4 u."""
    each = np.abs(np.expand_dims(np.broadcast_to(each_gradient(a, g, labels.size), labels.shape), 1))
    logs = log_softmax(x, 1)
    logs_off = reductions.RULES["log_softmax"]({"axis": 1}, {}, logs, x, r=r)
    slopes_off = np.exp(logs) * (logs_off + r.library(4) + r.u) + through_maximum(x, (1,), r)
    bound = each * slopes_off + (2 + _shared(a)) * r.u * np.abs(np.asarray(pulled.inputs[0]))
    return Pulled((bound + faded(r, np.abs(g).max(initial=0.0), 1.0), None), {})


RULES: dict[str, Rule] = {
    **{op: _by_slopes(op, slopes, count) for op, (slopes, count) in _EACH.items()},
    "cross_entropy": _cross_entropy,
}
