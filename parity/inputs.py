"""What is fed to both sides: checked and cast where it is given, drawn where it is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twinzoo.zoo.errors import ParityError
from twinzoo.zoo.spec import Node, Spec, Value

Array = NDArray[Any]


def checked_inputs(spec: Spec, given: ArrayLike | Mapping[str, ArrayLike]) -> dict[str, Array]:
    """The inputs by name, float32 or int64 as the spec wants them; one array will do where there is one input.

    Raises:
        ParityError: an array for a spec of several inputs, or numbers of the wrong kind.
        SpecError: a name or a shape does not fit.
    """
    if not isinstance(given, Mapping):
        if len(spec.inputs) != 1:
            raise ParityError(f"{spec.name} takes inputs {', '.join(spec.inputs)}: give a mapping of them by name")
        given = {next(iter(spec.inputs)): given}
    arrays = {name: np.asarray(value) for name, value in given.items()}
    spec.sizes_of({name: array.shape for name, array in arrays.items()})
    return {name: _cast(spec, name, array) for name, array in arrays.items()}


def _cast(spec: Spec, name: str, array: Array) -> Array:
    integer = name in spec.inputs and spec.inputs[name].value.dtype == "int"
    if array.dtype.kind not in ("iu" if integer else "fiub"):
        kind = "integers" if integer else "real numbers"
        raise ParityError(f"{spec.name}: input {name} must hold {kind}, got {array.dtype}")
    return np.ascontiguousarray(array, np.int64 if integer else np.float32)


def default_inputs(spec: Spec, seed: int = 0, sizes: Mapping[str, int] | None = None) -> dict[str, Array]:
    """Random inputs at the example's sizes, or those given.

    Numbers are drawn from the span of the input, integers from what they index.

    Raises:
        SpecError: a size does not fit.
    """
    inputs: dict[str, Array] = {}
    for place, (name, item) in enumerate(spec.inputs.items()):
        random = np.random.default_rng([seed, place])
        shape = spec.concrete(item.value, sizes)
        if item.value.dtype == "int":
            count = min(_indexed(spec, item.value, sizes), default=2)
            inputs[name] = random.integers(0, count, shape)
        else:
            low, high = item.span
            inputs[name] = (low + (high - low) * random.random(shape)).astype(np.float32)
    spec.sizes_of({name: array.shape for name, array in inputs.items()})
    return inputs


def _indexed(spec: Spec, value: Value, sizes: Mapping[str, int] | None) -> Iterable[int]:
    """The sizes of all that the integers of a value index: through nodes that only move them, and in networks."""
    for node in spec.nodes.values():
        if value not in node.inputs:
            continue
        first = node.inputs[0]
        if node.op == "embedding":
            yield node.attrs["entries"]
        elif node.op == "gather" and value != first:
            yield spec.concrete(first, sizes)[node.attrs["axis"]]
        elif node.op == "cross_entropy" and value != first:
            yield spec.concrete(first, sizes)[1]
        else:
            if node.op == "call":
                yield from _indexed_inside(spec, node, value, sizes)
            for output in node.outputs:
                if output.dtype == "int":
                    yield from _indexed(spec, output, sizes)


def _indexed_inside(spec: Spec, node: Node, value: Value, sizes: Mapping[str, int] | None) -> Iterable[int]:
    """The same in a called network, at the sizes that it is called with."""
    called = spec.roles[node.attrs["role"]].spec
    shapes = {n: spec.concrete(v, sizes) for n, v in zip(called.inputs, node.inputs, strict=True)}
    own = called.sizes_of(shapes)
    for item, given in zip(called.inputs.values(), node.inputs, strict=True):
        if given == value:
            yield from _indexed(called, item.value, own)
