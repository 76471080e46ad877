"""One operation by itself, in float64 and with its bound, on any inputs: what it should have given."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.bounds.precision import FORMATS, SINGLE, as_computed, precision_of
from twinzoo.parity.graphs.foreign import Reading, read
from twinzoo.parity.measure import Judgement
from twinzoo.parity.rounding import bound
from twinzoo.parity.verdict import held_to, kernel_of
from twinzoo.ports.reference import evaluate
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.spec import Node, Spec
from twinzoo.zoo.spec.schema import OPS

Array = NDArray[Any]


@dataclass(frozen=True)
class Drawn:
    """An operation in the op table's words, how it was read, and its inputs with what that puts around them."""

    node: Node
    reading: Reading
    given: tuple[Array, ...]


@dataclass(frozen=True)
class Alone:
    """An operation that can be computed: its kind, attributes and tensors by role."""

    kind: str
    attrs: Mapping[str, Hashable]
    params: Mapping[str, Array]

    def drawn(self, inputs: Sequence[Array]) -> Drawn | None:
        """The operation on inputs of these shapes, None where the op table does not take it."""
        if self.kind not in OPS:
            return None
        reading = read(self.kind, self.attrs, inputs[0].shape if inputs else ())
        given = tuple(map(reading.padded, inputs))
        spec = Spec("alone")
        try:
            values = [spec.input(f"x{i}", shape=x.shape, dtype=_dtype(x)) for i, x in enumerate(given)]
            getattr(spec, self.kind)("node", *values, **reading.attrs)
        except (SpecError, TypeError):
            return None
        return Drawn(spec.nodes["node"], reading, given)

    def judged(self, output: Array, inputs: Sequence[Array], port: str) -> Judgement | None:
        """An output held against what this gives for the inputs, within its bound and the allowance for the kernel.

        None where it cannot be computed on them, or gives another shape.
        """
        dtype = str(output.dtype)
        drawn = self.drawn(inputs)
        if drawn is not None and dtype in FORMATS and FORMATS[dtype] is not SINGLE:
            precision = precision_of(port, self.kind, dtype, train=drawn.reading.train)
            params, given = as_computed(self.params, drawn.given, precision)
            return replace(self, params=params)._judged(replace(drawn, given=given), output, port)
        return None if drawn is None else self._judged(drawn, output, port)

    def _judged(self, drawn: Drawn, output: Array, port: str) -> Judgement | None:
        whole, train, dtype = self._whole(drawn), drawn.reading.train, str(output.dtype)
        if whole is None:
            return None
        precision = precision_of(port, self.kind, dtype, train=train)
        with np.errstate(all="ignore"):
            held = self._held(drawn)
            bounds = bound(drawn.node, held, drawn.given, (whole,), train=train, precision=precision)
        wanted, allowed = drawn.reading.trimmed(whole), drawn.reading.trimmed(bounds[0])
        if wanted.shape != output.shape:
            return None
        known = kernel_of(port, self.kind, dtype)
        if known is not None:
            allowed = allowed + known.absolute + known.relative * np.abs(wanted)
        return held_to(output, wanted, allowed)

    def output(self, inputs: Sequence[Array]) -> Array | None:
        """What this gives for the inputs, in float64; None where it cannot be computed on them."""
        drawn = self.drawn(inputs)
        whole = self._whole(drawn)
        return None if drawn is None or whole is None else drawn.reading.trimmed(whole)

    def _whole(self, drawn: Drawn | None) -> Array | None:
        """The first output before anything is cut, None where the tensors do not fit."""
        if drawn is None:
            return None
        params = self._held(drawn)
        if any(r not in params or params[r].shape != tuple(p.shape) for r, p in drawn.node.params.items()):
            return None
        try:
            with np.errstate(all="ignore"):
                return evaluate(drawn.node, params, drawn.given, train=drawn.reading.train)[0]
        except (SpecError, ValueError, IndexError):
            return None

    def _held(self, drawn: Drawn) -> dict[str, Array]:
        """The tensors that the operation uses: with more, it would use those too."""
        return {role: value for role, value in self.params.items() if role in drawn.node.params}


def _dtype(array: Array) -> str:
    return "int" if array.dtype.kind in "iu" else "float"
