"""Weights that a model computes from other tensors of its own: in a run they stand in the place of those.

A layer with weight norm or spectral norm is judged as the plain layer that it is, with the weight that it used. How
that weight came about is judged by itself, in `computed_rows`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.converters.graph import Graph
from twinzoo.converters.layers import Layer, Tensor
from twinzoo.converters.live import Computed

Array = NDArray[Any]


@dataclass(frozen=True)
class Made:
    """A weight that was computed, of one operation.

    Attributes:
        key: under which it stands in the state, and its gradient among those of the parameters.
        role: of the operation.
        layer: with the tensors that it was computed from, in the place of it.
        sources: their keys.
    """

    key: str
    role: str
    layer: Layer
    sources: tuple[str, ...]


@dataclass(frozen=True)
class SeenThrough:
    """A graph whose layers have the weights that they used.

    Attributes:
        weights, gradients: of the computed weights by key; the latter only where something came back.
        made: by the position of the operation.
    """

    graph: Graph
    weights: Mapping[str, Array]
    gradients: Mapping[str, Array]
    made: Mapping[int, tuple[Made, ...]]


def seen_through(graph: Graph, computed: Mapping[int, Sequence[Computed]]) -> SeenThrough:
    """Put the weights that operations used in the place of what they were computed from.

    A layer that is called again has the same weight again, unless it changes from call to call, as a spectral norm does
    in training: then each call is a layer of its own.
    """
    layers, operations = dict(graph.layers), list(graph.operations)
    weights: dict[str, Array] = {}
    gradients: dict[str, Array] = {}
    made: dict[int, tuple[Made, ...]] = {}
    for position, found in computed.items():
        operation = operations[position]
        stored = graph.layers.get(operation.layer)
        if stored is None:
            continue
        name = _name(operation.layer, position, found, weights)
        made[position] = tuple(Made(f"{name}.{c.role}", c.role, stored, c.sources) for c in found)
        layers[name] = _with(stored, name, found)
        operations[position] = replace(operation, layer=name)
        for one, part in zip(made[position], found, strict=True):
            weights[one.key] = part.value
            if part.gradient is not None:
                gradients[one.key] = gradients.get(one.key, 0) + part.gradient
    used = {operation.layer for operation in operations}
    kept = {name: layer for name, layer in layers.items() if name in used or not _replaced(name, graph, computed)}
    return SeenThrough(Graph(graph.title, kept, tuple(operations)), weights, gradients, made)


def _replaced(name: str, graph: Graph, computed: Mapping[int, object]) -> bool:
    return any(graph.operations[position].layer == name for position in computed)


def _name(layer: str, position: int, found: Sequence[Computed], weights: Mapping[str, Array]) -> str:
    """The layer's, where no other call of it had other weights."""
    earlier = [weights.get(f"{layer}.{part.role}") for part in found]
    alike = all(old is None or np.array_equal(old, part.value) for old, part in zip(earlier, found, strict=True))
    return layer if alike else f"{layer} at {position}"


def _with(stored: Layer, name: str, found: Sequence[Computed]) -> Layer:
    """The layer with its computed weights, and without what those were computed from."""
    gone = {key for part in found for key in part.sources}
    tensors = {role: tensor for role, tensor in stored.tensors.items() if tensor.key not in gone}
    tensors |= {p.role: Tensor(f"{name}.{p.role}", p.role, p.value.shape) for p in found}
    return Layer(stored.prefix, tensors, stored.kind)


def frozen_weights(made: Mapping[int, Sequence[Made]], frozen: frozenset[str]) -> Iterator[str]:
    """The keys of the computed weights that no gradient is taken through."""
    return (one.key for ones in made.values() for one in ones if frozen.issuperset(one.sources))
