"""How far a float32 gradient may lie from the float64 one: parity.rounding, for the way back.

The question is local here too: the node's inputs and the gradient of its output are float32 numbers that one side
recorded, and only what the node itself does with them is judged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.bounds.gradients import layers, losses, norms, pointwise, reductions, spatial, structure
from twinzoo.parity.bounds.sums import TINY
from twinzoo.parity.rounding import _FLOAT64
from twinzoo.ports.reference.backward.rule import Pulled
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
}
"""(attributes, parameters, gradient, float64 output, how far the output may be off, pulled, *inputs) -> the bounds."""


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
) -> Pulled:
    """The elementwise bounds of |float32 gradient - float64 gradient| for one node (any but a call).

    Args:
        params: the node's tensors by role, as float32 numbers.
        inputs: what the port's node was given, as float32 numbers (or indices).
        outputs: what the reference makes of them.
        gradient: of the first output, as float32 numbers.
        off: how far the port's own first output may lie from outputs[0]: backward kernels reuse it.
        pulled: what the reference makes of the gradient.
        train: the node ran in training mode.

    Returns:
        One array for each entry of `pulled`, of its shape; None where that is None.
    """
    rule = norms.TRAINING.get(node.op, GRADIENT_BOUNDS[node.op]) if train else GRADIENT_BOUNDS[node.op]
    wide = tuple(x if x.dtype.kind in "iu" else x.astype(np.float64) for x in map(np.asarray, inputs))
    held = {role: np.asarray(value, np.float64) for role, value in params.items()}
    with np.errstate(all="ignore"):
        bounds = rule(node.attrs, held, np.asarray(gradient, np.float64), outputs[0], off, pulled, *wide)
    return Pulled(
        tuple(_widened(b, x) for b, x in zip(bounds.inputs, pulled.inputs, strict=True)),
        {role: np.asarray(_widened(bounds.params[role], x)) for role, x in pulled.params.items()},
    )


def _widened(bound: Array | None, gradient: Array | None) -> Array | None:
    if bound is None or gradient is None:
        return None
    widened: Array = np.broadcast_to(bound, gradient.shape) * _FLOAT64 + TINY
    return widened
