"""Bounds of sums of products: convolutions, their adjoints, blurs, linear layers, products of matrices."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from twinzoo.parity.bounds.precision import FLOAT32, Precision
from twinzoo.parity.bounds.sliding import Sliding, sliding_bound
from twinzoo.parity.bounds.sums import TINY, Array, Walk, blocks, product_bound, repeated, scaled
from twinzoo.ports.reference.rule import Attrs, Params


def _conv2d(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32, followed: bool = True) -> Array:
    how = Sliding(False, a["kernel"], _size(out), a["stride"], a["padding"], a["dilation"])
    return sliding_bound(how, x, p["weight"], a["groups"], p.get("bias"), out, r, followed=followed)


def _conv1d(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32, followed: bool = True) -> Array:
    how = Sliding(False, (1, a["kernel"]), (1, out.shape[2]), (1, a["stride"]), (0, a["padding"]), (1, a["dilation"]))
    wide = x[:, :, None], p["weight"][:, :, None], a["groups"], p.get("bias"), out[:, :, None]
    flat = sliding_bound(how, *wide, r, followed=followed)
    return flat[:, :, 0]


def _conv_transpose2d(
    a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32, followed: bool = True
) -> Array:
    how = Sliding(True, a["kernel"], _size(out), a["stride"], a["padding"], a["dilation"])
    return sliding_bound(how, x, p["weight"], a["groups"], p.get("bias"), out, r, followed=followed)


def _blur2d(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32, followed: bool = True) -> Array:
    how = Sliding(False, (len(a["taps"]),) * 2, _size(out), (a["stride"],) * 2)
    return sliding_bound(how, x, p["filt"], x.shape[1], None, out, r, followed=followed)


def _blur_transpose2d(
    a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32, followed: bool = True
) -> Array:
    how = Sliding(True, (len(a["taps"]),) * 2, _size(out), (a["stride"],) * 2, (a["padding"],) * 2)
    return sliding_bound(how, x, p["filt"], x.shape[1], None, out, r, followed=followed)


def _size(out: Array) -> tuple[int, int]:
    return out.shape[2], out.shape[3]


def matmul_bound(
    x: Array, y: Array, out: Array, bias: Array | float = 0.0, r: Precision = FLOAT32, followed: bool = True
) -> Array:
    """The bound of x @ y + bias, followed by blocks of the inner axis; each row and each column has its own scale."""
    small, x_scale = scaled(x, -1)
    light, y_scale = scaled(y, -2)
    walk, own = Walk(pieces=r.factors > 0 and (repeated(small) or repeated(light))), np.zeros((), np.float32)
    for block in blocks(x.shape[-1]):
        left, right = small[..., block], light[..., block, :]
        if followed:
            walk.step(left @ right, block.stop - block.start)
        own = own + (left * left) @ (right * right)
    scale, count = x_scale * y_scale, x.shape[-1]
    given, shift = out / scale, bias / scale
    walks = [walk] if followed else []
    inner = product_bound(walks, given - shift, own + TINY * count, count, shift, given, r)
    bound: Array = scale * inner + TINY * (1 + count) * (1 + x_scale + y_scale)
    return bound


def _linear(a: Attrs, p: Params, out: Array, x: Array, r: Precision = FLOAT32, followed: bool = True) -> Array:
    return matmul_bound(x, p["weight"].T, out, p.get("bias", 0.0), r, followed)


def _matmul(
    a: Attrs, p: Params, out: Array, x: Array, y: Array, r: Precision = FLOAT32, followed: bool = True
) -> Array:
    return matmul_bound(x, y, out, r=r, followed=followed)


RULES: dict[str, Callable[..., Array]] = {
    "conv1d": _conv1d,
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "blur2d": _blur2d,
    "blur_transpose2d": _blur_transpose2d,
    "linear": _linear,
    "matmul": _matmul,
}
"""(attributes, parameters, float64 output, *inputs, followed: whether orders of summation are) -> the bound."""

FLOORS: dict[str, Callable[..., Array]] = {op: partial(rule, followed=False) for op, rule in RULES.items()}
"""No more than the bound, for a third of the work."""
