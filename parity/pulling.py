"""One node's vector-Jacobian product on a side's own values: in float64, with its bound and its kernel's allowance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.bounds.precision import (
    FORMATS,
    SINGLE,
    Format,
    as_computed,
    backward_precision_of,
    precision_of,
)
from twinzoo.parity.gradient_rounding import cast_bound, gradient_bound
from twinzoo.parity.half_kernels import gradient_kernel_of
from twinzoo.parity.kernels import gradient_allowance
from twinzoo.parity.rounding import bound
from twinzoo.parity.verdict import kernel_of
from twinzoo.ports.reference import evaluate
from twinzoo.ports.reference.backward.rule import Pulled
from twinzoo.ports.reference.pull import pull
from twinzoo.zoo.spec import Node
from twinzoo.zoo.spectral import PLAIN

Array = NDArray[Any]

_UNUSED = frozenset(
    ["conv1d", "conv2d", "conv_transpose2d", "linear", "matmul", "blur2d", "blur_transpose2d", "dropout", *PLAIN]
)
"""The ops whose gradients do not depend on what they gave."""

_STORED = frozenset(
    ["tanh", "sigmoid", "exp", "sqrt", "elu", "div", "std", "softmax", "log_softmax", "logsumexp", "cross_entropy"]
)
"""The ops whose kernels may take their gradient from what they gave."""


class Part(NamedTuple):
    """What comes back of one use of a value or a parameter.

    Attributes:
        gradient: in float64.
        allowed: its bound.
        unit: the unit roundoff of a sum with the parts of other uses.
    """

    gradient: Array
    allowed: Array
    unit: float = SINGLE.unit


@dataclass(frozen=True)
class Passed:
    """What a node passes back.

    Attributes:
        pulled, allowed: the gradients and their bounds, in the element type that it computes in.
        dtype: that type, as NumPy names it.
        types: the types of the operands by their references, and of the parameters by their spec names.
        kernel: whether the port's kernel has an allowance.
    """

    node: Node
    pulled: Pulled
    allowed: Pulled
    dtype: str
    types: Mapping[str, Format]
    kernel: bool

    def parts(self) -> Iterator[tuple[str, Part]]:
        """Of each operand by its reference, then of each parameter by its spec name."""
        for value, gradient, allowed in zip(self.node.inputs, self.pulled.inputs, self.allowed.inputs, strict=True):
            if gradient is not None and allowed is not None:
                yield value.ref, self._part(gradient, allowed, self.types[value.ref])
        computed = FORMATS.get(self.dtype, SINGLE)
        for role, gradient in self.pulled.params.items():
            name = f"{self.node.name}.{role}"
            part = self._part(gradient, self.allowed.params[role], self.types[name])
            yield (
                name,
                part._replace(unit=max(part.unit, computed.unit)),
            )  # autocast casts a parameter once for all uses

    def _part(self, gradient: Array, allowed: Array, own: Format) -> Part:
        """A gradient as the operand's own type has it."""
        if own is not SINGLE and own.name != self.dtype:
            allowed = cast_bound(allowed, gradient, own)
        return Part(gradient, allowed, own.unit)


def passed(
    port: str,
    node: Node,
    state: Mapping[str, Array],
    values: Mapping[str, Array],
    gradient: Array,
    training: AbstractSet[str],
    products: str = "",
) -> Passed:
    """What a node passes back of the gradient of its output.

    Args:
        state: the side's tensors by spec name.
        values: the side's values by reference.
        training: the nodes that ran in training mode. What a dropout dropped is read off its values.
        products: what float32 products do with their factors.
    """
    train = node.name in training
    inputs = tuple(values[value.ref] for value in node.inputs)
    params = {role: state[f"{node.name}.{role}"] for role in node.params}
    given = values[node.outputs[0].ref]
    dtype = str(given.dtype)
    types = {value.ref: _type(x) for value, x in zip(node.inputs, inputs, strict=True)}
    types |= {f"{node.name}.{role}": _type(x) for role, x in params.items()}
    precision = backward_precision_of(port, node.op, dtype, train=train, products=products)
    params, inputs = as_computed(params, inputs, precision)
    given = given.astype(np.float64)
    if train and node.op == "dropout":
        params = {"mask": (given != 0) | (inputs[0] == 0)}
    with np.errstate(all="ignore"):
        wanted = given if node.op in _UNUSED else evaluate(node, params, inputs, train=train)[0]
        off = _off(port, node, params, inputs, given, wanted, (dtype, train)) if node.op in _STORED else 0.0
        pulled = pull(node, params, inputs, (wanted,), gradient, train=train)
        allowed = gradient_bound(
            node,
            params,
            inputs,
            (wanted,),
            gradient,
            off,
            pulled,
            train=train,
            precision=precision,
            weights=_widest(node, types) if precision.own else None,
        )
    if train and node.op == "dropout":
        allowed = _either(allowed, inputs[0], pulled)
    known = gradient_kernel_of(port, node.op, dtype)
    if known is not None:
        bounds = tuple(
            None if part is None or limit is None else limit + gradient_allowance(known, node, gradient, part)
            for part, limit in zip(pulled.inputs, allowed.inputs, strict=True)
        )
        allowed = Pulled(bounds, allowed.params)
    return Passed(node, pulled, allowed, dtype, types, known is not None)


def _type(x: Array) -> Format:
    return FORMATS.get(str(x.dtype), SINGLE)


def _widest(node: Node, types: Mapping[str, Format]) -> Format:
    """The type of a node's parameters."""
    return min((types[f"{node.name}.{role}"] for role in node.params), key=lambda kind: kind.unit, default=SINGLE)


def _off(
    port: str,
    node: Node,
    params: Mapping[str, Array],
    inputs: tuple[Array, ...],
    given: Array,
    wanted: Array,
    how: tuple[str, bool],
) -> Array:
    """How far what the backward pass has of the output, stored or computed again, may lie from it.

    Args:
        how: the element type of the output, and whether the node ran in training mode.
    """
    dtype, train = how
    allowed = bound(
        node, params, inputs, (wanted,), train=train, precision=precision_of(port, node.op, dtype, train=train)
    )[0]
    known = kernel_of(port, node.op, dtype)
    if known is not None:
        allowed = allowed + known.absolute + known.relative * np.abs(wanted)
    off: Array = np.maximum(allowed, np.abs(given - wanted))
    return off


def _either(allowed: Pulled, x: Array, pulled: Pulled) -> Pulled:
    """Whether a dropout kept a zero cannot be seen, so that its gradient may be either."""
    (bound,), (gradient,) = allowed.inputs, pulled.inputs
    assert bound is not None and gradient is not None
    return Pulled((np.where(x == 0, np.abs(gradient) + bound, bound),), {})
