"""What a framework says of an op that the op table has no attribute for, where float64 can follow it all the same."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Sides = tuple[tuple[int, int], tuple[int, int]]

_NONE: Sides = ((0, 0), (0, 0))


@dataclass(frozen=True)
class Reading:
    """An operation in the op table's words, and what surrounds it.

    Attributes:
        attrs: those that the op table has, and those that nobody can follow.
        around: zeros put around the input, (before, behind) along H and W.
        cut: what is cut from the output, likewise.
        train: whether a batch norm uses the statistics of the batch.
    """

    attrs: Mapping[str, Hashable]
    around: Sides = _NONE
    cut: Sides = _NONE
    train: bool = False

    def padded(self, x: Array) -> Array:
        """The input with its zeros around it."""
        return x if self.around == _NONE else np.pad(x, ((0, 0), (0, 0), *self.around))

    def trimmed(self, y: Array) -> Array:
        """The output, or its bound, without what is cut."""
        if self.cut == _NONE:
            return y
        (top, bottom), (left, right) = self.cut
        return y[:, :, top : y.shape[2] - bottom, left : y.shape[3] - right]


def read(kind: str, attrs: Mapping[str, Hashable], shape: Sequence[int]) -> Reading:
    """An operation on an input of this shape; attributes of a framework's own have its name before them."""
    plain: dict[str, Any] = {name: value for name, value in attrs.items() if "." not in name}
    own: dict[str, Any] = {name.rpartition(".")[2]: value for name, value in attrs.items() if "." in name}
    plain |= {name: own.pop(name) for name in ("batch_statistics",) if name in own}
    if kind == "batch_norm" and (plain.pop("batch_statistics", False) or own == {"training": True}):
        return Reading(plain, train=True)
    if not own:
        return Reading(plain)
    if kind == "conv2d" and "padding_tblr" in own:
        top, bottom, left, right = own["padding_tblr"]
        return Reading(plain, around=((top, bottom), (left, right)))
    if kind == "conv2d" and "same" in (own.get("pad_mode"), own.get("padding")):
        return Reading(plain, around=_same(plain, shape))
    if kind == "conv_transpose2d" and {"before", "behind"} <= own.keys():
        (top, left), (bottom, right) = own["before"], own["behind"]
        return Reading(plain, cut=((top, bottom), (left, right)))
    return Reading(attrs)


def _same(attrs: Mapping[str, Any], shape: Sequence[int]) -> Sides:
    """What keeps an output of ceil(size / stride), the smaller half before."""
    windows = zip(shape[2:], attrs["kernel"], attrs["stride"], attrs["dilation"], strict=True)
    totals = [max(0, (-(-size // s) - 1) * s + d * (k - 1) + 1 - size) for size, k, s, d in windows]
    height, width = ((total // 2, total - total // 2) for total in totals)
    return height, width
