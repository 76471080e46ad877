"""How far a gradient may lie from the float64 one: parity.rounding, for the way back.

The question is local here too: the node's inputs and the gradient of its output are numbers that one side recorded, in
its element types, and only what the node itself does with them is judged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.bounds.gradients import layers, losses, norms, pointwise, reductions, spatial, spectral, structure
from twinzoo.parity.bounds.precision import FLOAT32, Format, Precision
from twinzoo.parity.rounding import flushed, widened, with_flushed
from twinzoo.ports.reference import evaluate
from twinzoo.ports.reference.backward.rule import Pulled
from twinzoo.ports.reference.pull import pull
from twinzoo.ports.reference.rule import Params
from twinzoo.zoo.spec import Node

Array = NDArray[Any]

GRADIENT_BOUNDS: dict[str, Callable[..., Pulled]] = {
    **layers.RULES,
    **norms.RULES,
    **pointwise.RULES,
    **spatial.RULES,
    **structure.RULES,
    **reductions.RULES,
    **losses.RULES,
    **spectral.RULES,
}
"""(attributes, parameters, gradient, float64 output, how far the output may be off, pulled, *inputs, r: how results are
rounded) -> the bounds."""

TRAINING: dict[str, Callable[..., Pulled]] = {**norms.TRAINING, **spectral.TRAINING}
"""The ops that compute something else in training mode."""


def gradient_bound(
    node: Node,
    params: Params,
    inputs: tuple[Array, ...],
    outputs: tuple[Array, ...],
    gradient: Array,
    off: Array | float,
    pulled: Pulled,
    *,
    train: bool = False,
    precision: Precision = FLOAT32,
    weights: Format | None = None,
) -> Pulled:
    """The elementwise bounds of |gradient - float64 gradient| for one node (any but a call).

    Args:
        params: the node's tensors by role, as the numbers that it computed with.
        inputs: what the port's node was given, as the numbers that it computed with (or indices).
        outputs: what the reference makes of them.
        gradient: of the first output, as numbers of its element type.
        off: how far the port's own first output may lie from outputs[0]: backward kernels reuse it.
        pulled: what the reference makes of the gradient.
        train: the node ran in training mode.
        precision: how its backward pass rounds.
        weights: the type of the gradients of its parameters; None for that of its results.

    Returns:
        One array for each entry of `pulled`, of its shape; None where that is None.
    """
    rule = TRAINING.get(node.op, GRADIENT_BOUNDS[node.op]) if train else GRADIENT_BOUNDS[node.op]
    wide = tuple(x if x.dtype.kind in "iu" else x.astype(np.float64) for x in map(np.asarray, inputs))
    held = {role: np.asarray(value, np.float64) for role, value in params.items()}
    of_weights = precision if weights is None else replace(precision, stored=weights)
    with np.errstate(all="ignore"):
        bounds = rule(node.attrs, held, np.asarray(gradient, np.float64), outputs[0], off, pulled, *wide, r=precision)
        found = Pulled(
            tuple(_widened(b, x, precision) for b, x in zip(bounds.inputs, pulled.inputs, strict=True)),
            {role: np.asarray(_widened(bounds.params[role], x, of_weights)) for role, x in pulled.params.items()},
        )
        return _with_flushed(node, held, wide, np.asarray(gradient, np.float64), pulled, found, train)


def _with_flushed(
    node: Node,
    params: Params,
    inputs: tuple[Array, ...],
    gradient: Array,
    pulled: Pulled,
    bounds: Pulled,
    train: bool,
) -> Pulled:
    """The bounds with what comes of flushing tensors, inputs and gradient before they are used."""
    held, given, due = {r: flushed(x) for r, x in params.items()}, tuple(map(flushed, inputs)), flushed(gradient)
    if all(x is y for x, y in zip((*held.values(), *given, due), (*params.values(), *inputs, gradient), strict=True)):
        return bounds
    if any(draw not in params for draw in node.draws):
        return bounds
    other = pull(node, held, given, evaluate(node, held, given, train=train), due, train=train)
    return Pulled(
        tuple(
            None if b is None else with_flushed(b, x, y)
            for b, x, y in zip(bounds.inputs, pulled.inputs, other.inputs, strict=True)
        ),
        {role: with_flushed(b, pulled.params[role], other.params[role]) for role, b in bounds.params.items()},
    )


def _widened(bound: Array | None, gradient: Array | None, precision: Precision) -> Array | None:
    if bound is None or gradient is None:
        return None
    return widened(np.broadcast_to(bound, gradient.shape), gradient, precision)


def cast_bound(bound: Array, gradient: Array, kind: Format) -> Array:
    """The bound of a gradient once it is cast to an element type that has not all its numbers."""
    rounded: Array = bound + kind.unit * (np.abs(gradient) + bound) + kind.least
    return rounded
