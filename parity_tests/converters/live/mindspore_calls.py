"""Calls of MindSpore as cells, and a trace of one drawn as a spec, which the reference computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.converters.graph import Graph
from twinzoo.converters.live import Trace
from twinzoo.ports.mindspore.runtime import prepare
from twinzoo.ports.reference.port import PORT
from twinzoo.zoo.spec import Node, Spec
from twinzoo.zoo.spec.vocabulary import from_native

prepare()
ms = pytest.importorskip("mindspore")

from mindspore import Parameter, Tensor, nn  # noqa: E402

Array = NDArray[Any]

IMAGE = np.random.default_rng(0).standard_normal((2, 4, 8, 6)).astype(np.float32)
OTHER = np.random.default_rng(1).standard_normal((2, 4, 8, 6)).astype(np.float32)
ROW = IMAGE[:, :, 0, :]


def weight(*shape: int, name: str = "weight") -> Any:
    """A parameter with values of its own."""
    values = np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)
    return Parameter(Tensor(values), name=name)


class Calls(nn.Cell):  # type: ignore[misc]
    """A cell that makes some calls with its parameters and cells."""

    def __init__(self, calls: Callable[..., Any], *parts: Any) -> None:
        super().__init__()
        self.calls = calls
        self.count = len(parts)
        for place, part in enumerate(parts):
            setattr(self, f"part{place}", part)

    def construct(self, *inputs: Any) -> Any:
        """Call with the inputs and then the parts."""
        return self.calls(*inputs, *(getattr(self, f"part{place}") for place in range(self.count)))


def shuffled(cell: Any) -> Any:
    """The cell with other weights and statistics than those it starts with."""
    random = np.random.default_rng(3)
    for parameter in cell.get_parameters():
        values = random.uniform(0.5, 1.5, parameter.shape).astype(np.float32)
        parameter.set_data(Tensor(values, parameter.dtype))
    return cell


def drawn(done: Trace, arrays: dict[str, Array]) -> tuple[Spec, dict[str, Array], dict[str, Array]]:
    """The graph of a trace as a spec, its state, and its inputs."""
    graph, spec = done.graph, Spec("traced")
    made: list[Any] = []
    state: dict[str, Array] = {}
    inputs: dict[str, Array] = {}
    given = [array for value in done.inputs.values() for array in (value if isinstance(value, tuple) else (value,))]
    outputs: dict[str, Any] = {}
    for place, operation in enumerate(graph.operations):
        name = f"n{place}"
        operands = [spec.values(made[source].node)[output] if made[source].node in spec.nodes else made[source]
                    for source, output in operation.operands]  # fmt: skip
        if operation.kind == "input":
            inputs[name] = given[int(str(operation.attrs["index"]))]
            kind = "int" if inputs[name].dtype.kind == "i" else "float"
            made.append(spec.input(name, shape=inputs[name].shape, dtype=kind))
        elif operation.kind == "output":
            outputs[name] = operands[0]
            made.append(None)
        else:
            made.append(getattr(spec, operation.kind)(name, *operands, **operation.attrs))
            if operation.layer:
                state |= weights_of(graph, operation.layer, spec.nodes[name], arrays)
    spec.output(**outputs)
    return spec, state, inputs


def weights_of(graph: Graph, layer: str, node: Node, arrays: dict[str, Array]) -> dict[str, Array]:
    """The tensors that a node of the spec needs, from those of its layer."""
    tensors = graph.layers[layer].tensors
    return {
        f"{node.name}.{role}": from_native("mindspore", node.op, role, arrays[tensors[role].key])
        for role in node.params
    }


def check(done: Trace, arrays: dict[str, Array]) -> None:
    """Hold the outputs of a trace against the reference, given the graph alone."""
    spec, state, inputs = drawn(done, arrays)
    model = PORT.build(spec)
    PORT.load(model, state)
    for ours, theirs in zip(PORT.run(model, inputs).values(), done.outputs.values(), strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=2e-4)


def kinds(done: Trace) -> list[str]:
    """The operations between inputs and outputs."""
    return [op.kind for op in done.graph.operations if op.kind not in ("input", "output")]
