"""How far a float32 output may lie from the float64 answer: a bound derived from rounding, never a chosen tolerance.

The question is local: the node's inputs are float32 numbers, the same on both sides of the comparison, and only what
the node itself does with them is judged. docs/rounding.md has the derivation of every bound.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.bounds import norms, pointwise, products, reductions, spatial
from twinzoo.parity.bounds.pointwise import Rule, exact
from twinzoo.parity.bounds.sums import TINY
from twinzoo.ports.reference.rule import Params
from twinzoo.zoo.spec import Node

Array = NDArray[Any]

_MOVED = (
    *("concat", "stack", "slice", "reshape", "flatten", "transpose", "flip", "gather"),
    *("embedding", "pad2d", "max_pool2d", "pixel_shuffle"),
)

_FLOAT64 = 1 + 2.0**-16
"""The float64 answer and the bound are themselves rounded, and formulas are to first order in u."""

BOUNDS: dict[str, Rule] = {
    **dict.fromkeys(_MOVED, exact),
    **pointwise.RULES,
    **products.RULES,
    **reductions.RULES,
    **norms.RULES,
    **spatial.RULES,
}
"""Every op of the spec language: (attributes, parameters, float64 output, *inputs) -> the bound of its first output."""


def bound(
    node: Node, params: Params, inputs: tuple[Array, ...], outputs: tuple[Array, ...], *, train: bool = False
) -> tuple[Array, ...]:
    """The elementwise bound of |float32 output - float64 output| for one node (any but a call).

    Args:
        params: the node's tensors by role, as float32 numbers.
        inputs: what the port's node was given, as float32 numbers (or indices).
        outputs: what the reference makes of them.
        train: the node ran in training mode.

    Returns:
        One array for each output, of its shape; zeros for indices.
    """
    rule = norms.TRAINING.get(node.op, BOUNDS[node.op]) if train else BOUNDS[node.op]
    wide = tuple(x if x.dtype.kind in "iu" else x.astype(np.float64) for x in map(np.asarray, inputs))
    held = {role: np.asarray(value, np.float64) for role, value in params.items()}
    with np.errstate(all="ignore"):
        allowed = np.broadcast_to(rule(node.attrs, held, outputs[0], *wide), outputs[0].shape) * _FLOAT64 + TINY
    if outputs[0].dtype.kind in "iu":
        allowed = np.zeros(outputs[0].shape)
    return (allowed, *(np.zeros(other.shape) for other in outputs[1:]))
