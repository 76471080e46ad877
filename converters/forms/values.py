"""One tensor of the target as what is to be done to tensors of the source, and how such steps are joined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.converters.layers import Shape
from twinzoo.zoo.errors import ConversionError

Array = NDArray[Any]
Make = Callable[[Mapping[str, Array]], Array]


@dataclass(frozen=True)
class Value:
    """How one tensor is made.

    Attributes:
        sources: the names of the tensors that it is made of; none for a tensor that is created.
        shape: of the result.
        words: what is done, for reports; empty where the tensor is kept bit for bit and in its shape.
        make: takes the layer's arrays by name and returns an array of `shape`: a view where it can be. Where nothing is
            computed it has the element type of the sources, else float64 or complex128, to be cast by the caller. It
            raises ConversionError where the values themselves forbid it.
        exact: whether no arithmetic is done, so that carrying it back gives the same bits.
    """

    sources: tuple[str, ...]
    shape: Shape
    words: str
    make: Make
    exact: bool = True


def kept(name: str, shape: Shape) -> Value:
    """A tensor as it is."""
    return Value((name,), shape, "", lambda arrays: arrays[name])


def reshaped(value: Value, shape: Shape, words: str) -> Value:
    """The same elements in the same order in another shape."""
    make = value.make
    return replace(
        value, shape=shape, make=lambda arrays: make(arrays).reshape(shape), words=_joined([value.words, words])
    )


def part(name: str, start: int, shape: Shape, words: str) -> Value:
    """As many elements of a tensor as `shape` holds, from the given one on, in its order."""
    stop = start + int(np.prod(shape))
    return Value((name,), shape, words, lambda arrays: arrays[name].reshape(-1)[start:stop].reshape(shape))


def stacked(names: tuple[str, ...], shape: Shape, words: str) -> Value:
    """The elements of several tensors one after the other."""

    def make(arrays: Mapping[str, Array]) -> Array:
        flat: Array = np.concatenate([arrays[name].reshape(-1) for name in names])
        return flat.reshape(shape)

    return Value(names, shape, words, make)


def filled(shape: Shape, value: float, dtype: type[np.generic], words: str) -> Value:
    """A tensor that has no source: the same number everywhere."""
    return Value((), shape, words, lambda arrays: np.full(shape, value, dtype))


def composed(outer: Value, inner: Mapping[str, Value]) -> Value:
    """A value made from tensors that are values themselves: its sources are theirs."""
    steps = [inner[name] for name in outer.sources]
    sources = tuple(dict.fromkeys(source for step in steps for source in step.sources))

    def make(arrays: Mapping[str, Array]) -> Array:
        return outer.make({name: inner[name].make(arrays) for name in outer.sources})

    words = _joined([*(step.words for step in steps), outer.words])
    return Value(sources, outer.shape, words, make, outer.exact and all(step.exact for step in steps))


def guarded(value: Value, constants: Mapping[str, float]) -> Value:
    """A value that is only made where other tensors, which are left out, hold one number everywhere.

    Args:
        constants: the name of a tensor and its number.
    """

    def make(arrays: Mapping[str, Array]) -> Array:
        for name, number in constants.items():
            if not np.all(arrays[name] == number):
                raise ConversionError(f"{name}: the target has no place for it, and it is not {number:g} everywhere")
        return value.make(arrays)

    return replace(value, make=make)


def reordered(value: Value, axis: int, sizes: tuple[int, ...], order: tuple[int, ...]) -> Value:
    """A value whose blocks along an axis come in another order: the input channels of a convolution after a concat.

    Not for convolutions with groups, whose axis 1 counts the inputs of one group.

    Args:
        axis: 1 for the inputs of a convolution or linear layer, 0 for a norm's or a transposed convolution's.
        sizes: of the blocks as the source has them, in its order.
        order: for each block of the result its position among the source's.

    Raises:
        ConversionError: the blocks do not make up the axis, or the order is not one of all blocks.
    """
    if sum(sizes) != value.shape[axis] or sorted(order) != list(range(len(sizes))):
        raise ConversionError(f"blocks {sizes} in order {order}: do not make up axis {axis} of shape {value.shape}")
    starts = np.cumsum([0, *sizes])
    index = np.concatenate([np.arange(starts[i], starts[i] + sizes[i]) for i in order])
    blocks, places = (", ".join(map(str, numbers)) for numbers in (sizes, (place + 1 for place in order)))
    words = f"axis {axis}: blocks of {blocks} put in the order {places}"

    def make(arrays: Mapping[str, Array]) -> Array:
        return np.take(value.make(arrays), index, axis)

    return replace(value, make=make, words=_joined([value.words, words]))


def wide(array: Array) -> Array:
    """In the element type that arithmetic is done in."""
    return array.astype(np.complex128 if np.iscomplexobj(array) else np.float64)


def _joined(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(filter(None, words)))
