"""Gradients of ops that move, choose or add up elements: each goes back to where its element came from."""

from __future__ import annotations

import numpy as np

from twinzoo.ports.reference.backward.rule import Pulled, Rule
from twinzoo.ports.reference.reductions import RULES as REDUCTIONS
from twinzoo.ports.reference.rule import Array, Attrs, Params
from twinzoo.ports.reference.rule import Rule as ForwardRule
from twinzoo.ports.reference.structure import RULES as FORWARD


def scattered(gradient: Array, places: Array, count: int) -> Array:
    """Add up what goes to each place: gradient (..., M), places (M,) in [0, count) -> (..., count)."""
    order = np.argsort(places, kind="stable")
    used, starts = np.unique(places[order], return_index=True)
    made = np.zeros((*gradient.shape[:-1], count))
    made[..., used] = np.add.reduceat(gradient[..., order], starts, axis=-1)
    return made


def _concat(a: Attrs, p: Params, g: Array, y: Array, *x: Array) -> Pulled:
    ends = np.cumsum([part.shape[a["axis"]] for part in x])[:-1]
    return Pulled(tuple(np.split(g, ends, a["axis"])), {})


def _stack(a: Attrs, p: Params, g: Array, y: Array, *x: Array) -> Pulled:
    return Pulled(tuple(np.moveaxis(g, a["axis"], 0)), {})


def moved(forward: ForwardRule) -> Rule:
    """The rule of an op that moves elements, each at most once: it moved their numbers too."""

    def rule(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
        pulled = np.zeros(x.size)
        pulled[forward(a, p, np.arange(x.size).reshape(x.shape))] = g
        return Pulled((pulled.reshape(x.shape),), {})

    return rule


def _reshaped(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    return Pulled((g.reshape(x.shape),), {})


def _gather(a: Attrs, p: Params, g: Array, y: Array, x: Array, indices: Array) -> Pulled:
    last = scattered(np.moveaxis(g, a["axis"], -1), indices, x.shape[a["axis"]])
    return Pulled((np.moveaxis(last, -1, a["axis"]), None), {})


def _cumsum(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    """Each element is part of its own sum and of all that follow."""
    return Pulled((np.flip(np.cumsum(np.flip(g, a["axis"]), a["axis"]), a["axis"]),), {})


def _topk(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    _, indices = REDUCTIONS["topk"](a, p, x)
    pulled = np.zeros(x.shape)
    np.put_along_axis(pulled, indices, g, a["axis"])
    return Pulled((pulled,), {})


RULES: dict[str, Rule] = {
    "concat": _concat,
    "stack": _stack,
    **{op: moved(FORWARD[op]) for op in ("slice", "transpose", "flip")},
    **dict.fromkeys(("reshape", "flatten"), _reshaped),
    "reshape_like": lambda a, p, g, y, x, like: Pulled((g.reshape(x.shape), np.zeros(like.shape)), {}),
    "gather": _gather,
    "cumsum": _cumsum,
    "topk": _topk,
}
