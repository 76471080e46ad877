"""How far an output may lie from the float64 answer: a bound derived from rounding, never a chosen tolerance.

The question is local: the node's inputs are numbers of its element type, the same on both sides of the comparison, and
only what the node itself does with them is judged. docs/rounding.md has the derivation of every bound.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.bounds import norms, pointwise, products, reductions, spatial, spectral
from twinzoo.parity.bounds.pointwise import Rule, exact
from twinzoo.parity.bounds.precision import FLOAT32, SINGLE, Precision
from twinzoo.ports.reference import evaluate
from twinzoo.ports.reference.rule import Params
from twinzoo.zoo.spec import Node

Array = NDArray[Any]

_MOVED = (
    *("concat", "stack", "slice", "reshape", "reshape_like", "flatten", "transpose", "flip", "gather"),
    *("embedding", "pad2d", "max_pool2d", "pixel_shuffle"),
)

_FLOAT64 = 1 + 2.0**-16
"""The float64 answer and the bound are themselves rounded, and formulas are to first order in u."""

_SEVERAL = 8
"""Of k roundings in a row, the terms of second order are about k u / 2 of those of first order; k is at most 16."""

BOUNDS: dict[str, Rule] = {
    **dict.fromkeys(_MOVED, exact),
    **pointwise.RULES,
    **products.RULES,
    **reductions.RULES,
    **norms.RULES,
    **spatial.RULES,
    **spectral.RULES,
}
"""Every op of the spec language: (attributes, parameters, float64 output, *inputs) -> the bound of its first output."""

FLOORS: dict[str, Rule] = products.FLOORS
"""The ops whose bound costs more than all the rest: what is no more than it, and costs less."""

TRAINING: dict[str, Rule] = {**norms.TRAINING, **spectral.TRAINING}
"""The ops that compute something else in training mode."""


def bound(
    node: Node,
    params: Params,
    inputs: tuple[Array, ...],
    outputs: tuple[Array, ...],
    *,
    train: bool = False,
    precision: Precision = FLOAT32,
    floor: bool = False,
) -> tuple[Array, ...]:
    """The elementwise bound of |output - float64 output| for one node (any but a call).

    Args:
        params: the node's tensors by role, as the numbers that it computed with; buffers as they were before the run.
        inputs: what the port's node was given, as the numbers that it computed with (or indices).
        outputs: what the reference makes of them.
        train: the node ran in training mode.
        precision: how its results are rounded.
        floor: give what is no more than the bound, where the op has a floor. Who is within it is within the bound.

    Returns:
        One array for each output, of its shape; zeros for indices, but of equals a top-k may name any.
    """
    rules = BOUNDS | FLOORS if floor else BOUNDS
    rule = TRAINING.get(node.op, rules[node.op]) if train else rules[node.op]
    wide = tuple(x if x.dtype.kind in "iu" else x.astype(np.float64) for x in map(np.asarray, inputs))
    held = {role: np.asarray(value, np.float64) for role, value in params.items()}
    with np.errstate(all="ignore"):
        inner = np.broadcast_to(rule(node.attrs, held, outputs[0], *wide, r=precision), outputs[0].shape)
        allowed = widened(inner, outputs[0], precision)
        allowed = with_flushed(allowed, outputs[0], _of_flushed(node, held, wide, train))
    if outputs[0].dtype.kind in "iu":
        allowed = np.zeros(outputs[0].shape)
    if node.op == "topk" and len(outputs) == 2:
        return allowed, reductions.tied_places(node.attrs, wide[0], *outputs)
    return (allowed, *(np.zeros(other.shape) for other in outputs[1:]))


def flushed(x: Array) -> Array:
    """With zeros for what is too small to have all its digits, as a processor may be told to read it; else the same."""
    small = (np.abs(x) < SINGLE.least) & (x != 0)
    return np.where(small, 0.0, x) if small.any() else x


def with_flushed(bound: Array, some: Array | None, other: Array | None) -> Array:
    """A bound around one result of float64, wider where another, of flushed numbers, is not yet within it."""
    if some is None or other is None:
        return bound
    apart = np.abs(np.asarray(some) - np.asarray(other))
    return np.where(np.isfinite(apart) & (apart > bound), bound + apart, bound)


def _of_flushed(node: Node, params: Params, inputs: tuple[Array, ...], train: bool) -> Array | None:
    """The output where the inputs and tensors are flushed before they are used; None where that changes none of them.

    Sums of products have what it changes in their bounds.
    """
    if node.op in FLOORS or any(draw not in params for draw in node.draws):
        return None
    held, given = {role: flushed(value) for role, value in params.items()}, tuple(map(flushed, inputs))
    if all(x is y for x, y in zip((*held.values(), *given), (*params.values(), *inputs), strict=True)):
        return None
    return evaluate(node, held, given, train=train)[0]


def widened(inner: Array, out: Array, precision: Precision) -> Array:
    """The bound with what formulas leave out: the rounding of the result, where they have not counted it, and terms of
    second order. What is exact stays so.
    """
    inner = inner * (_FLOAT64 + _SEVERAL * precision.again)
    if precision.stored is precision.kept:
        inner += precision.stored.least
        return inner
    rounded = np.where(inner > 0, precision.stored.unit * (np.abs(out) + inner), 0.0)
    allowed: Array = inner + rounded + SINGLE.least + precision.stored.least
    return allowed
