"""Shapes that hold the same elements in the same order, and which of them mean the same in two layers."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from twinzoo.converters.layers import Layer, Shape, plain_shape


@dataclass(frozen=True)
class Fit:
    """What may be reshaped between two layers.

    Attributes:
        kernels: whether a kernel that covers its whole input is a linear layer's matrix: not in transposed
            convolutions, whose axis 0 are the inputs.
        vectors: whether a `weight` may be a vector of channels, as in norms and PReLU: else (1, C, 1, 1) is a kernel.
    """

    kernels: bool
    vectors: bool

    def change(self, role: str, source: Shape, target: Shape) -> str | None:
        """What makes a tensor fit, in words: the empty text for nothing, None where it does not fit."""
        if source == target:
            return ""
        if plain_shape(source) == target:
            return "axis 2 removed"
        if plain_shape(target) == source:
            return "axis 2 added"
        if {source, target} == {(), (1,)}:
            return "one element as a scalar" if target == () else "scalar as one element"
        if (self.vectors or role != "weight") and _same_vector(source, target):
            return "axes of 1 removed" if len(target) == 1 else "axes of 1 added"
        if self.kernels and _matrix_of(source) == target:
            return f"{_size(source)} kernel as a matrix"
        if self.kernels and _matrix_of(target) == source:
            return f"matrix as a {_size(target)} kernel"
        return None


def channels(shape: Shape) -> int:
    """C for a vector of channels, (C,), (C, 1, 1) or (1, C, 1, 1) with any number of axes of 1 at the end; else 0."""
    if len(shape) > 3 and shape[0] == 1:
        shape = shape[1:]
    elif len(shape) not in (1, 3):
        return 0
    return shape[0] if set(shape[1:]) <= {1} else 0


def all_vectors(layer: Layer) -> bool:
    """Whether every tensor is a vector of the same channels in the same shape, counters aside."""
    shapes = {tensor.shape for tensor in layer.tensors.values() if tensor.role != "num_batches_tracked"}
    return len(shapes) == 1 and channels(*shapes) != 0


def transposed(layer: Layer) -> bool:
    """Whether the layer is known to be a transposed convolution: (I, O, ...) instead of (O, I, ...)."""
    return "transpose" in layer.kind.lower()


def without_kernel(shape: Shape) -> Shape:
    """(O, I) for the weight of a convolution with a kernel of one element, whose work is a linear layer's."""
    return shape[:2] if len(shape) > 2 and set(shape[2:]) == {1} else shape


def _same_vector(source: Shape, target: Shape) -> bool:
    return 1 in (len(source), len(target)) and channels(source) == channels(target) != 0


def _matrix_of(shape: Shape) -> Shape | None:
    return (shape[0], prod(shape[1:])) if len(shape) > 2 else None


def _size(shape: Shape) -> str:
    return "x".join(map(str, shape[2:]))
