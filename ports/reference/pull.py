"""The gradient of one node in float64, given the gradient of its output: reverse mode, one op at a time."""

from __future__ import annotations

import numpy as np

from twinzoo.ports.reference.backward import layers, losses, norms, pointwise, reductions, spatial, structure
from twinzoo.ports.reference.backward.rule import Pulled, Rule
from twinzoo.ports.reference.rule import Array, Params
from twinzoo.zoo import spectral
from twinzoo.zoo.spec import Node

TABLE: dict[str, Rule] = {
    **layers.RULES,
    **norms.RULES,
    **pointwise.RULES,
    **spatial.RULES,
    **structure.RULES,
    **reductions.RULES,
    **losses.RULES,
}
"""Every op of the spec language, as a function of attributes, parameters, gradient, output and inputs."""


def pull(
    node: Node,
    params: Params,
    inputs: tuple[Array, ...],
    outputs: tuple[Array, ...],
    gradient: Array,
    *,
    train: bool = False,
    draws: Params | None = None,
) -> Pulled:
    """The gradient of sum(first output * gradient) by the inputs and trained parameters of one node (any but a call).

    Args:
        params: the node's tensors by role, buffers too, as they were before the run.
        inputs: one for each input of the node; those of type `int` hold indices.
        outputs: what `evaluate` makes of them.
        gradient: of the first output, of its shape.
        train, draws: as `evaluate` was given them.
    """
    held = {role: np.asarray(value, np.float64) for role, value in {**params, **(draws or {})}.items()}
    given = (
        np.asarray(x, np.int64 if value.dtype == "int" else np.float64)
        for x, value in zip(inputs, node.inputs, strict=True)
    )
    if train and node.op in spectral.PLAIN:
        held |= spectral.moved(node.op, node.attrs["eps"], held)
    rule = norms.TRAINING.get(node.op, TABLE[node.op]) if train else TABLE[node.op]
    return rule(node.attrs, held, np.asarray(gradient, np.float64), outputs[0], *given)
