"""In which element types an operation computes: its results, what it keeps between its kernels, its factors.

Of half kernels measured, all sum in float32, and most do everything in float32 and round once, as they store the
result. Those that are put together from several kernels round what each hands to the next; KEPT lists them.
docs/rounding.md has what follows for the bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from twinzoo.zoo.errors import ParityError
from twinzoo.zoo.spectral import PLAIN

Array = NDArray[Any]


@dataclass(frozen=True)
class Format:
    """An element type.

    Attributes:
        name: as NumPy and `ml_dtypes` name it.
        unit: the unit roundoff: rounding to nearest moves a number by at most this share of it.
        least: by how much a number may be off that is too small for all its digits. float32 and bfloat16 flush what is
            below their smallest normal number; float16 is rounded to a multiple of 2^-24 by all that was measured.
        largest: the largest finite number.
    """

    name: str
    unit: float
    least: float
    largest: float

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of arrays that hold such numbers."""
        return np.dtype(ml_dtypes.bfloat16) if self.name == "bfloat16" else np.dtype(self.name)

    def off(self, constant: float) -> float:
        """How far a constant moves when it becomes a number of this type."""
        return abs(float(np.float64(constant).astype(self.dtype)) - constant)


SINGLE = Format("float32", 2.0**-24, 2.0**-126, float(np.finfo(np.float32).max))
HALF = Format("float16", 2.0**-11, 2.0**-25, 65504.0)
BRAIN = Format("bfloat16", 2.0**-8, 2.0**-126, (2 - 2.0**-7) * 2.0**127)

FORMATS: Mapping[str, Format] = {format.name: format for format in (SINGLE, HALF, BRAIN)}
"""Every element type that a side may compute in, by name."""


@dataclass(frozen=True)
class Precision:
    """How the results of one operation are rounded.

    Attributes:
        stored: the type of its outputs.
        kept: the type of its intermediate results.
        factors: the unit roundoff to which the factors of products are rounded, 0 where they are taken as they are.
        summed: the type of its partial sums.
        own: whether its parameters, and their gradients, keep their own type where that is wider.
    """

    stored: Format = SINGLE
    kept: Format = SINGLE
    factors: float = 0.0
    summed: Format = SINGLE
    own: bool = False

    @property
    def u(self) -> float:
        """The unit roundoff of an intermediate result."""
        return self.kept.unit

    @property
    def again(self) -> float:
        """What a result of float32 arithmetic is rounded by as it is kept: nothing more in float32."""
        return 0.0 if self.kept is SINGLE else self.kept.unit

    @property
    def lost(self) -> float:
        """Up to where a quotient 1 / (1 + exp(x)) vanishes because the exponential is beyond the largest number."""
        return max(self.kept.least, 1 / self.kept.largest)

    @property
    def in_steps(self) -> Precision:
        """The same where every kernel stores its result for the next."""
        return replace(self, kept=self.stored)

    @property
    def tensor_cores(self) -> bool:
        """Whether its products may be left to units that cut off what does not fit, in place of rounding it."""
        return self.stored is not SINGLE or self.factors > 0

    def library(self, count: float) -> float:
        """The relative error of a library function with `count` roundings of float32, kept."""
        return count * SINGLE.unit + self.again


FLOAT32 = Precision()
FLOAT16 = Precision(HALF)
BFLOAT16 = Precision(BRAIN)
TF32 = Precision(factors=2.0**-11)
"""NVIDIA: products of float32 tensors whose factors have 10 explicit digits left."""
HF32 = Precision(factors=2.0**-12)
"""Ascend: the same with 11 explicit digits."""

PRODUCTS: Mapping[str, Precision] = {"": FLOAT32, "tf32": TF32, "hf32": HF32}
"""What a side may do with float32 products, by the name of the mode."""

_LOSSES = ("mse_loss", "cross_entropy")
_ROWS = ("softmax", "log_softmax", "logsumexp", "l2_normalize")

KEPT: Mapping[str, frozenset[str]] = {
    "torch": frozenset(
        [
            *_LOSSES,
            *_ROWS,
            *(
                "affine",
                "standardize",
                "pow",
                "instance_norm",
                "batch_norm train",
                "interpolate",
                "dropout train",
                "linear",
            ),
            *("smooth_l1_loss", "bce_with_logits"),
            *PLAIN,
        ]
    ),
    "mindspore": frozenset(
        [
            *_LOSSES,
            *_ROWS,
            *("conv1d", "conv2d", "conv_transpose2d", "linear", "layer_norm"),
            *("affine", "pow", "dropout", "sigmoid", "silu", "softplus", "leaky_relu", "elu", "gelu"),
            *("var", "cumsum"),
            *PLAIN,
        ]
    ),
}
"""Port -> the ops that round their intermediate results to the type of their tensors; measured on CPU."""

KEPT_BACKWARD: Mapping[str, frozenset[str]] = {
    "torch": frozenset(
        [
            *_LOSSES,
            *("logsumexp", "l2_normalize", "var", "std", "sigmoid", "pow", "standardize", "div", "dropout"),
            *("batch_norm", "instance_norm", "group_norm", "bce_with_logits"),
            *("avg_pool2d", "adaptive_avg_pool2d"),
        ]
    ),
    "mindspore": frozenset(
        [
            *_LOSSES,
            *("logsumexp", "l2_normalize", "var", "std", "sigmoid", "pow", "affine", "div", "cumsum"),
            *("silu", "leaky_relu", "elu", "gelu", "tanh"),
            *("batch_norm train", "instance_norm", "group_norm", "layer_norm"),
            *("smooth_l1_loss", "bce_with_logits"),
        ]
    ),
}
"""The same of the backward passes."""

SUMMED_BACKWARD: Mapping[str, frozenset[str]] = {
    "torch": frozenset(
        ["embedding", "gather", "pad2d", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "layer_norm"],
    ),
    "mindspore": frozenset(["embedding", "gather", "pad2d", "max_pool2d"]),
}
"""Port -> the ops whose backward passes add up in the type of their tensors; measured on CPU."""

OWN_TYPE: Mapping[str, frozenset[str]] = {
    "torch": frozenset(["batch_norm", "instance_norm", "group_norm", "layer_norm"]),
    "mindspore": frozenset(["batch_norm train"]),
}
"""Port -> the ops whose parameters, and the gradients of those, stay float32 where their input and output are half."""


def as_computed(
    params: Mapping[str, Array], inputs: tuple[Array, ...], precision: Precision
) -> tuple[dict[str, Array], tuple[Array, ...]]:
    """What an op computes on, in float64: autocast and `to_float` round wider operands to the type of the result.

    Args:
        params: the node's tensors by role, in any element type.
        inputs: what it was given, in any element type; integers stay as they are.
    """
    own = SINGLE if precision.own else precision.stored
    return {role: _as(value, own) for role, value in params.items()}, tuple(_as(x, precision.stored) for x in inputs)


def _as(x: Array, stored: Format) -> Array:
    if x.dtype.kind in "iub":
        return x
    with np.errstate(over="ignore"):
        return (x if stored is SINGLE else x.astype(stored.dtype)).astype(np.float64)


def precision_of(port: str, op: str, dtype: str, *, train: bool = False, products: str = "") -> Precision:
    """The precision of an op on a port, by the element type of its output.

    Args:
        port: its name, with or without `live ` before it.
        dtype: as NumPy names it; float64 is judged as float32, and integers are.
        train: the op ran in training mode.
        products: `tf32`, `hf32` or empty: what float32 products do with their factors.

    Raises:
        ParityError: no mode of products has this name.
    """
    plain = _plain(port, op, dtype, train=train, products=products)
    return plain.in_steps if plain.stored is not SINGLE and _among(KEPT, port, op, train) else plain


def backward_precision_of(port: str, op: str, dtype: str, *, train: bool = False, products: str = "") -> Precision:
    """The precision of the backward pass of an op; arguments and errors as for `precision_of`."""
    plain = _plain(port, op, dtype, train=train, products=products)
    if plain.stored is SINGLE:
        return plain
    made = plain.in_steps if _among(KEPT_BACKWARD, port, op, train) else plain
    return replace(made, summed=made.stored) if _among(SUMMED_BACKWARD, port, op, train) else made


def _plain(port: str, op: str, dtype: str, *, train: bool, products: str) -> Precision:
    """As if all its intermediate results were float32.

    Raises:
        ParityError: no mode of products has this name.
    """
    if products not in PRODUCTS:
        raise ParityError(f"no products are computed in {products!r}: use {', '.join(filter(None, PRODUCTS))} or ''")
    stored = FORMATS.get(dtype, SINGLE)
    return PRODUCTS[products] if stored is SINGLE else Precision(stored, own=_among(OWN_TYPE, port, op, train))


def _among(table: Mapping[str, AbstractSet[str]], port: str, op: str, train: bool) -> bool:
    known = table.get(port.removeprefix("live "), frozenset())
    return op in known or (train and f"{op} train" in known)
