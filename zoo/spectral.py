"""Spectral norm in NumPy: a weight as a matrix, a step of the power method, and the normalised weight.

Miyato et al. 2018, arXiv:1802.05957, Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.zoo.spec.ops.spectral import PLAIN, rows_axis

Array = NDArray[Any]

__all__ = ["PLAIN", "matrix_of", "moved", "normalised", "sigma_of", "weight_of"]


def matrix_of(op: str, weight: Array) -> Array:
    """A weight as a matrix (outputs, all other axes)."""
    axis = rows_axis(op)
    return np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)


def weight_of(op: str, matrix: Array, shape: tuple[int, ...]) -> Array:
    """The weight of this shape whose matrix it is."""
    axis = rows_axis(op)
    rest = (*shape[:axis], *shape[axis + 1 :])
    return np.moveaxis(matrix.reshape(shape[axis], *rest), 0, axis)


def moved(op: str, eps: float, params: Mapping[str, Array]) -> dict[str, Array]:
    """u and v by role after one step of the power method, u first."""
    matrix = matrix_of(op, params["weight_orig"])
    u = _of_length_1(matrix @ params["weight_v"], eps)
    return {"weight_u": u, "weight_v": _of_length_1(u @ matrix, eps)}


def _of_length_1(x: Array, eps: float) -> Array:
    shortened: Array = x / max(float(np.sqrt(x @ x)), eps)
    return shortened


def sigma_of(op: str, params: Mapping[str, Array]) -> float:
    """u W v: the largest singular value, as far as u and v have found it."""
    return float(params["weight_u"] @ (matrix_of(op, params["weight_orig"]) @ params["weight_v"]))


def normalised(op: str, params: Mapping[str, Array]) -> dict[str, Array]:
    """The tensors of the plain layer: its weight is W / (u W v), its bias is kept."""
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = params["weight_orig"] / np.float64(sigma_of(op, params))
    return {"weight": weight} | ({"bias": params["bias"]} if "bias" in params else {})
