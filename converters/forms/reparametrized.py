"""Weights that PyTorch stores as something else and computes on every call: weight norm and spectral norm.

The older hooks (`torch.nn.utils.weight_norm`) and the parametrizations (`torch.nn.utils.parametrizations`) differ in
names alone, which `twinzoo.converters.layers.layers_of` has made one already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

import numpy as np

from twinzoo.converters.forms.units import Seen, Unit
from twinzoo.converters.forms.values import Array, Value, wide
from twinzoo.converters.layers import Shape
from twinzoo.zoo.errors import ConversionError

ALIKE, APART = 1e-3, 20
"""How far the cosine of u and W v may be from 1 along the right axis, and how many times farther it must be along the
other.

Training leaves u as the direction of W v before its last step, so that the first is rounding and one step's change.
"""


def weight_norms(seen: Seen) -> Iterator[Unit]:
    """`x_g` and `x_v` for x = g * v / |v|, the norm over all axes that g has not."""
    for role, shape in seen.roles.items():
        name, g, v = role[:-2], role, f"{role[:-2]}_v"
        if role.endswith("_g") and v in seen.roles and _is_norm_of(shape, seen.roles[v]):
            yield _weight_norm(name, {g: shape, v: seen.roles[v]})


def _is_norm_of(norm: Shape, direction: Shape) -> bool:
    """Whether a shape is what is left of another when all axes but at most one are summed up."""
    if norm == ():
        return True
    longer = [size for size in norm if size != 1]
    fits = len(norm) == len(direction) and all(a in (1, b) for a, b in zip(norm, direction, strict=True))
    return fits and len(longer) <= 1


def _weight_norm(name: str, stored: Mapping[str, Shape]) -> Unit:
    g, v = stored
    length, shape = stored[g], stored[v]
    axes = tuple(i for i in range(len(shape)) if length == () or length[i] == 1)

    def lengths(direction: Array) -> Array:
        return np.asarray(np.sqrt((np.abs(direction) ** 2).sum(axes, keepdims=True)))

    def fold(arrays: Mapping[str, Array]) -> Array:
        direction = wide(arrays[v])
        found = lengths(direction)
        if not found.all():
            raise ConversionError(f"{v}: has a direction of length 0, so that the weight is not a number")
        return direction * (wide(arrays[g]) / found)

    def direction_of(arrays: Mapping[str, Array]) -> Array:
        weight = arrays[name]
        return np.where(lengths(wide(weight)) == 0, np.ones((), weight.dtype), weight)

    def length_of(arrays: Mapping[str, Array]) -> Array:
        return lengths(wide(arrays[name])).reshape(length)

    unfold = {
        g: Value((name,), length, "weight_norm unfolded", length_of, exact=False),
        v: Value((name,), shape, "weight_norm unfolded", direction_of, exact=False),
    }
    return Unit(stored, {name: Value((g, v), shape, "weight_norm folded", fold, exact=False)}, unfold)


def spectral_norms(seen: Seen) -> Iterator[Unit]:
    """`x_orig` (or `x_bar`), `x_u` and `x_v` for x = orig / (u W v), W the matrix of orig with one axis as its rows.

    The axis is the outputs': 1 in a transposed convolution, 0 elsewhere. Where neither the lengths of u and v nor the
    layer's kind tell which, the values may: u is the direction of W v.
    """
    for role, shape in seen.roles.items():
        name = role.removesuffix("_orig").removesuffix("_bar")
        u, v = f"{name}_u", f"{name}_v"
        if role != name and {u, v} <= seen.roles.keys():
            axes = [i for i in range(min(2, len(shape))) if _are_sides(seen.roles[u], seen.roles[v], shape, i)]
            if len(axes) == 2 and (seen.kind or shape[0] == 1):
                axes = [1 if "transpose" in seen.kind.lower() else 0]
            if axes:
                yield _spectral_norm(name, {role: shape, u: seen.roles[u], v: seen.roles[v]}, axes)


def _are_sides(u: Shape, v: Shape, shape: Shape, axis: int) -> bool:
    return prod(u) == shape[axis] and prod(v) == prod(shape) // max(1, shape[axis])


def _spectral_norm(name: str, stored: Mapping[str, Shape], axes: list[int]) -> Unit:
    orig, u, v = stored

    def fold(arrays: Mapping[str, Array]) -> Array:
        weight, left, right = wide(arrays[orig]), wide(arrays[u]).reshape(-1), wide(arrays[v]).reshape(-1)
        products = [np.moveaxis(weight, axis, 0).reshape(left.size, -1) @ right for axis in axes]
        product = products[0] if len(axes) == 1 else _own(orig, left, products)
        sigma = left @ product
        if not sigma or not np.isfinite(sigma):
            raise ConversionError(f"{orig}: its spectral norm by {u} and {v} is {sigma}")
        return weight / sigma

    return Unit(
        stored,
        {name: Value((orig, u, v), stored[orig], "spectral_norm folded", fold, exact=False)},
        refusal="a spectral norm cannot be made from a plain weight: another weight would come out of it in training; "
        "take the spectral norm out of the target, or give a source that has one",
    )


def _own(orig: str, left: Array, products: list[Array]) -> Array:
    """Of W v for each axis the one that u was made from."""
    near, far = sorted((_turn(left, product), axis) for axis, product in enumerate(products))
    if near[0] > ALIKE or far[0] < APART * max(near[0], float(np.finfo(np.float32).eps)):
        raise ConversionError(f"{orig}: whether axis 0 or 1 are the rows of its spectral norm is open: give the model")
    return products[near[1]]


def _turn(one: Array, other: Array) -> float:
    """How far the cosine of two vectors is from 1; 1 where one of them is 0."""
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return 1 - abs(float(one @ other)) / lengths if lengths else 1.0
