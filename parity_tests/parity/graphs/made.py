"""Runs made by hand from NumPy arrays: a comparison of graphs needs no framework, and neither do its tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.converters.graph import INPUT, OUTPUT, Graph, Operation
from twinzoo.converters.layers import ROLE_OF, Layer, Tensor
from twinzoo.parity.graphs.compare import compare_runs
from twinzoo.parity.graphs.run import Run
from twinzoo.parity.report import ParityReport
from twinzoo.parity.results import SideInfo
from twinzoo.ports.reference import evaluate
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.schema import OPS

Array = NDArray[Any]

RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=(2, 3, 8, 8)).astype(np.float32)
KERNEL = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32)
BIAS = RNG.normal(size=4).astype(np.float32)


@dataclass
class Side:
    """One side in the making: every method returns the position of the operation that it adds.

    An op of the table computes its value in float64 and rounds it to float32, as a clean side would.
    """

    port: str = "torch"
    operations: list[Operation] = field(default_factory=list)
    layers: dict[str, Layer] = field(default_factory=dict)
    values: dict[int, Array] = field(default_factory=dict)
    state: dict[str, Array] = field(default_factory=dict)
    outputs: dict[str, Array] = field(default_factory=dict)

    def input(self, value: Array = IMAGE, name: str = "image") -> int:
        index = sum(op.kind == INPUT for op in self.operations)
        return self._add(Operation(name, INPUT, (), {"index": index}), value)

    def op(self, kind: str, *operands: int, name: str = "", **attrs: Any) -> int:
        """A function of the table."""
        return self.layer("", kind, *operands, tensors={}, name=name, **attrs)

    def layer(
        self, path: str, kind: str, *operands: int, tensors: Mapping[str, Array], name: str = "", **attrs: Any
    ) -> int:
        """A layer of the table with its tensors by role; a path that is there already is used again."""
        given = tuple(self.values[place] for place in operands)
        spec = Spec("made")
        inputs = [
            spec.input(f"x{i}", shape=x.shape, dtype="int" if x.dtype.kind == "i" else "float")
            for i, x in enumerate(given)
        ]
        getattr(spec, kind)("node", *inputs, **attrs)
        node = spec.nodes["node"]
        value = evaluate(node, tensors, given)[0].astype(np.float32)
        self._own(path, kind, tensors)
        places = tuple((place, 0) for place in operands)
        full = {n: node.attrs[n] for n in OPS[kind].attrs}
        return self._add(Operation(name or path or kind, kind, places, full, path), value)

    def other(self, kind: str, value: Array, *operands: int, name: str = "", **attrs: Any) -> int:
        """An operation with this value, whatever it is."""
        return self._add(Operation(name or kind, kind, tuple((p, 0) for p in operands), attrs), value)

    def output(self, position: int, value: Array | None = None, name: str = "") -> int:
        """What the model returns at the next place; another value than its trace's where one is given."""
        index = len(self.outputs)
        returned = self.values[position] if value is None else value
        self.outputs[str(index)] = returned
        self.operations.append(Operation(name or str(index), OUTPUT, ((position, 0),), {"index": index}))
        return len(self.operations) - 1

    def _own(self, path: str, kind: str, tensors: Mapping[str, Array]) -> None:
        if tensors:
            owned = {ROLE_OF.get(r, r): Tensor(f"{path}.{r}", ROLE_OF.get(r, r), x.shape) for r, x in tensors.items()}
            self.layers[path] = Layer(path, owned, kind)
            self.state |= {f"{path}.{role}": x for role, x in tensors.items()}

    def _add(self, operation: Operation, value: Array) -> int:
        self.operations.append(operation)
        self.values[len(self.operations) - 1] = value
        return len(self.operations) - 1

    def run(self) -> Run:
        """The run."""
        info = SideInfo(self.port, {"torch": "PyTorch", "mindspore": "MindSpore"}[self.port], "1", "cpu", "")
        graph = Graph("Net", self.layers, tuple(self.operations))
        return Run(info, graph, self.values, self.state, self.outputs)


def convolution(
    side: Side, x: int, path: str = "conv", kernel: Array = KERNEL, bias: Array | None = BIAS, **attrs: Any
) -> int:
    """A convolution with these tensors."""
    tensors = {"weight": kernel} if bias is None else {"weight": kernel, "bias": bias}
    numbers = {"channels": len(kernel), "kernel": kernel.shape[2:], "padding": 1, "bias": bias is not None}
    return side.layer(path, "conv2d", x, tensors=tensors, **{**numbers, **attrs})


def report(a: Side, b: Side) -> ParityReport:
    """The comparison of two sides."""
    return compare_runs(a.run(), b.run(), 0.0)


def told(a: Side, b: Side) -> list[tuple[str, str]]:
    """Layers and causes of the findings."""
    return [(finding.layer, finding.cause) for finding in report(a, b).findings]
