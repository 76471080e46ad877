"""One operation by itself, in float64 and with its bound, on any inputs: what it should have given."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.kernels import KERNELS
from twinzoo.parity.measure import Judgement, judge
from twinzoo.parity.rounding import bound
from twinzoo.ports.reference import evaluate
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.spec import Node, Spec
from twinzoo.zoo.spec.schema import OPS

Array = NDArray[Any]


@dataclass(frozen=True)
class Alone:
    """An operation that can be computed: its kind, attributes and tensors by role."""

    kind: str
    attrs: Mapping[str, Hashable]
    params: Mapping[str, Array]

    def node(self, inputs: Sequence[Array]) -> Node | None:
        """The operation on inputs of these shapes, None where the op table does not take it."""
        if self.kind not in OPS:
            return None
        spec = Spec("alone")
        try:
            values = [spec.input(f"x{i}", shape=x.shape, dtype=_dtype(x)) for i, x in enumerate(inputs)]
            getattr(spec, self.kind)("node", *values, **self.attrs)
        except (SpecError, TypeError):
            return None
        node = spec.nodes["node"]
        fits = all(r in self.params and self.params[r].shape == tuple(p.shape) for r, p in node.params.items())
        return node if fits else None

    def judged(self, output: Array, inputs: Sequence[Array], port: str) -> Judgement | None:
        """An output held against what this gives for the inputs, within its bound and the allowance for the kernel.

        None where it cannot be computed on them, or gives another shape.
        """
        node = self.node(inputs)
        if node is None:
            return None
        given = tuple(inputs)
        try:
            with np.errstate(all="ignore"):
                wanted = evaluate(node, self.params, given)
                allowed = bound(node, self.params, given, wanted)[0]
        except (SpecError, ValueError):
            return None
        if wanted[0].shape != output.shape:
            return None
        known = KERNELS.get((port, self.kind))
        if known is not None:
            allowed = allowed + known.absolute + known.relative * np.abs(wanted[0])
        return judge(output, wanted[0], allowed)

    def output(self, inputs: Sequence[Array]) -> Array | None:
        """What this gives for the inputs, in float64."""
        node = self.node(inputs)
        try:
            return None if node is None else evaluate(node, self.params, tuple(inputs))[0]
        except (SpecError, ValueError):
            return None


def _dtype(array: Array) -> str:
    return "int" if array.dtype.kind in "iu" else "float"
