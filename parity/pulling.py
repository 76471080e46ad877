"""One node's vector-Jacobian product on a side's own values: in float64, with its bound and its kernel's allowance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.gradient_rounding import gradient_bound
from twinzoo.parity.kernels import GRADIENT_KERNELS, KERNELS, gradient_allowance
from twinzoo.parity.rounding import bound
from twinzoo.ports.reference import evaluate
from twinzoo.ports.reference.backward.rule import Pulled
from twinzoo.ports.reference.pull import pull
from twinzoo.zoo.spec import Node

Array = NDArray[Any]

_UNUSED = frozenset(
    ["conv1d", "conv2d", "conv_transpose2d", "linear", "matmul", "blur2d", "blur_transpose2d", "dropout"]
)
"""The ops whose gradients do not depend on what they gave."""

_STORED = frozenset(
    ["tanh", "sigmoid", "exp", "sqrt", "elu", "div", "std", "softmax", "log_softmax", "logsumexp", "cross_entropy"]
)
"""The ops whose kernels may take their gradient from what they gave."""


@dataclass(frozen=True)
class Passed:
    """What a node passes back.

    Attributes:
        pulled, allowed: the gradients and their bounds.
        kernel: whether the port's kernel has an allowance.
    """

    node: Node
    pulled: Pulled
    allowed: Pulled
    kernel: bool

    def parts(self) -> Iterator[tuple[str, tuple[Array, Array]]]:
        """(gradient, bound) of each operand by its reference, then of each parameter by its spec name."""
        for value, gradient, allowed in zip(self.node.inputs, self.pulled.inputs, self.allowed.inputs, strict=True):
            if gradient is not None and allowed is not None:
                yield value.ref, (gradient, allowed)
        for role, gradient in self.pulled.params.items():
            yield f"{self.node.name}.{role}", (gradient, self.allowed.params[role])


def passed(
    port: str,
    node: Node,
    state: Mapping[str, Array],
    values: Mapping[str, Array],
    gradient: Array,
    training: AbstractSet[str],
) -> Passed:
    """What a node passes back of the gradient of its output.

    Args:
        state: the side's tensors by spec name.
        values: the side's values by reference.
        training: the nodes that ran in training mode. What a dropout dropped is read off its values.
    """
    train = node.name in training
    inputs = tuple(values[value.ref] for value in node.inputs)
    params = {role: state[f"{node.name}.{role}"] for role in node.params}
    given = values[node.outputs[0].ref]
    if train and node.op == "dropout":
        params = {"mask": (given != 0) | (inputs[0] == 0)}
    with np.errstate(all="ignore"):
        wanted = given if node.op in _UNUSED else evaluate(node, params, inputs, train=train)[0]
        off = _off(port, node, params, inputs, given, wanted, train) if node.op in _STORED else 0.0
        pulled = pull(node, params, inputs, (wanted,), gradient, train=train)
        allowed = gradient_bound(node, params, inputs, (wanted,), gradient, off, pulled, train=train)
    if train and node.op == "dropout":
        allowed = _either(allowed, inputs[0], pulled)
    known = GRADIENT_KERNELS.get((port, node.op))
    if known is not None:
        bounds = tuple(
            None if part is None or limit is None else limit + gradient_allowance(known, node, gradient, part)
            for part, limit in zip(pulled.inputs, allowed.inputs, strict=True)
        )
        allowed = Pulled(bounds, allowed.params)
    return Passed(node, pulled, allowed, known is not None)


def _off(
    port: str,
    node: Node,
    params: Mapping[str, Array],
    inputs: tuple[Array, ...],
    given: Array,
    wanted: Array,
    train: bool,
) -> Array:
    """How far what the backward pass has of the output, stored or computed again, may lie from it."""
    allowed = bound(node, params, inputs, (wanted,), train=train)[0]
    known = KERNELS.get((port, node.op))
    if known is not None:
        allowed = allowed + known.absolute + known.relative * np.abs(wanted)
    off: Array = np.maximum(allowed, np.abs(given - wanted))
    return off


def _either(allowed: Pulled, x: Array, pulled: Pulled) -> Pulled:
    """Whether a dropout kept a zero cannot be seen, so that its gradient may be either."""
    (bound,), (gradient,) = allowed.inputs, pulled.inputs
    assert bound is not None and gradient is not None
    return Pulled((np.where(x == 0, np.abs(gradient) + bound, bound),), {})
