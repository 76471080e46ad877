"""Bounds of the gradients of layers with spectral norm.

By the input it is the plain layer's, for the weight that it was given. By W it is (G - c u v) / sigma, where G is the
gradient by the normalised weight and c = sum(G W / sigma).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from twinzoo.parity.bounds.gradients import layers
from twinzoo.parity.bounds.precision import FLOAT32, Precision
from twinzoo.parity.bounds.spectral import Estimate, estimate, together
from twinzoo.parity.bounds.sums import Array, sum_bound
from twinzoo.ports.reference.backward.layers import RULES as BACKWARD
from twinzoo.ports.reference.backward.rule import Pulled
from twinzoo.ports.reference.rule import Attrs, Params
from twinzoo.zoo.spectral import PLAIN, moved, normalised, weight_of


def through_norm(
    op: str, found: Estimate, held: Array, weight: Array, off: Array | float, r: Precision = FLOAT32
) -> Array:
    """The bound of the gradient by W.

    Args:
        held: W / sigma.
        weight: the gradient by it.
        off: how far that may be off.
    """
    terms = weight * held
    total, outer = abs(float(terms.sum())), np.abs(weight_of(op, np.outer(found.u, found.v), weight.shape))
    turned = np.outer(found.u_off, np.abs(found.v)) + np.outer(np.abs(found.u), found.v_off)
    summed = float(together(np.abs(held) * off) + together(3 * r.u * np.abs(terms)))
    summed += float(sum_bound(terms, tuple(range(terms.ndim)))) + total * (2 * found.relative + 6 * r.u)
    errors = off + np.abs(weight) * (found.relative + 3 * r.u) + outer * (summed + r.u * total)
    bound: Array = (errors + total * weight_of(op, turned, weight.shape)) / abs(found.sigma)
    return bound


def _rule(op: str, train: bool) -> Callable[..., Pulled]:
    plain = PLAIN[op]

    def rule(
        a: Attrs, p: Params, g: Array, y: Array, off: Array | float, pulled: Pulled, x: Array, r: Precision = FLOAT32
    ) -> Pulled:
        found = estimate(op, a, p, train=train, r=r)
        held = normalised(op, {**p, **(moved(op, a["eps"], p) if train else {})})
        weight = BACKWARD[plain](a, held, g, y, x).params["weight"]
        inner = layers.RULES[plain](a, held, g, y, off, Pulled(pulled.inputs, {}), x, r=r)
        (by_input,), (allowed,) = pulled.inputs, inner.inputs
        assert by_input is not None and allowed is not None
        sizes = BACKWARD[plain](a, {"weight": np.abs(held["weight"])}, np.abs(g), y, np.abs(x)).inputs[0]
        by_x = allowed + np.abs(by_input) * found.relative + r.u * np.asarray(sizes)

        by_orig = through_norm(op, found, held["weight"], weight, inner.params["weight"], r)
        rest = {role: bound for role, bound in inner.params.items() if role != "weight"}
        return Pulled((by_x,), {"weight_orig": by_orig, **rest})

    return rule


RULES: Mapping[str, Callable[..., Pulled]] = {op: _rule(op, False) for op in PLAIN}
TRAINING: Mapping[str, Callable[..., Pulled]] = {op: _rule(op, True) for op in PLAIN}
"""In training mode, where u and v move first."""
