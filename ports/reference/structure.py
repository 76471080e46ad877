"""Ops that move elements."""

from __future__ import annotations

import numpy as np

from twinzoo.ports.reference.rule import Array, Attrs, Params, Rule


def _slice(a: Attrs, p: Params, x: Array) -> Array:
    place: list[slice] = [slice(None)] * x.ndim
    place[a["axis"]] = slice(a["start"], a["stop"], a["step"])
    return x[tuple(place)]


def _reshape(a: Attrs, p: Params, x: Array) -> Array:
    return x.reshape([x.shape[i] if size == 0 else size for i, size in enumerate(a["shape"])])


RULES: dict[str, Rule] = {
    "concat": lambda a, p, *x: np.concatenate(x, a["axis"]),
    "stack": lambda a, p, *x: np.stack(x, a["axis"]),
    "slice": _slice,
    "reshape": _reshape,
    "reshape_like": lambda a, p, x, like: x.reshape(like.shape),
    "flatten": lambda a, p, x: x.reshape(*x.shape[: a["start"]], -1),
    "transpose": lambda a, p, x: x.transpose(a["order"]),
    "flip": lambda a, p, x: np.flip(x, a["axis"]),
    "gather": lambda a, p, x, indices: np.take(x, indices, a["axis"]),
}
