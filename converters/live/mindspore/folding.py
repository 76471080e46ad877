"""Several operations that are one op of the table: folded back, where nothing else uses what is between them.

MindSpore has no single function for some ops, so people and our own port write them as several.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from twinzoo.converters.graph import UNSEEN
from twinzoo.converters.live.mindspore.nodes import Node, uses
from twinzoo.converters.live.mindspore.parameters import Array

_BIASED = frozenset({"conv1d", "conv2d", "conv_transpose2d", "linear"})


def folded(nodes: list[Node]) -> list[Node]:
    """The nodes with the patterns folded; a folded node is the last one of its pattern."""
    counts = uses(nodes)
    gone: set[Node] = set()

    def only(node: Node, place: int = 0) -> Node | None:
        """What makes an operand, where nobody else uses it."""
        source, output = node.operands[place]
        return source if output == 0 and counts[source] == 1 else None

    for node in nodes:
        for rule in (_bias, _affine, _tanh, _standardize, _l2_normalize):
            gone.update(rule(node, only))
    return [node for node in nodes if node not in gone]


Only = Callable[..., Node | None]


def _bias(node: Node, only: Only) -> list[Node]:
    """A convolution or product without a bias, and an addition of one."""
    before = only(node) if node.kind == "mindspore.bias_add" and node.weights else None
    if before is None or before.kind not in _BIASED or before.attrs["bias"] or before.whole:
        return []
    node.name, node.kind, node.operands = before.name, before.kind, before.operands
    node.attrs = {**before.attrs, "bias": True}
    node.weights, node.computed = {**before.weights, **node.weights}, before.computed
    return [before]


def _affine(node: Node, only: Only) -> list[Node]:
    """A multiplication by a number and an addition of one."""
    before = only(node) if node.kind == "affine" else None
    if before is None or before.kind != "affine":
        return []
    (scale, shift), (inner, moved) = _numbers(node), _numbers(before)
    node.operands, node.attrs = before.operands, {"scale": scale * inner, "shift": scale * moved + shift}
    return [before]


def _numbers(node: Node) -> tuple[float, float]:
    scale, shift = node.attrs["scale"], node.attrs["shift"]
    assert isinstance(scale, float) and isinstance(shift, float)
    return scale, shift


def _tanh(node: Node, only: Only) -> list[Node]:
    """2 sigmoid(2 x) - 1, which people write because ops.tanh errs by 1e-4 on CPU."""
    if node.kind != "affine" or _numbers(node) != (2.0, -1.0):
        return []
    sigmoid = only(node)
    doubled = only(sigmoid) if sigmoid is not None and sigmoid.kind == "sigmoid" else None
    if sigmoid is None or doubled is None or doubled.kind != "affine" or _numbers(doubled) != (2.0, 0.0):
        return []
    node.kind, node.operands, node.attrs = "tanh", doubled.operands, {}
    return [sigmoid, doubled]


def _standardize(node: Node, only: Only) -> list[Node]:
    """(x - mean) / std with constants that have one number a channel."""
    before = only(node) if node.kind == "div" else None
    if before is None or before.kind != "sub":
        return []
    mean, std = _constant(before), _constant(node)
    if mean is None or std is None or mean.shape != std.shape or mean.ndim < 2 or mean.size != mean.shape[-3:][0]:
        return []
    constants = [before.operands[1][0], node.operands[1][0]]
    node.kind, node.operands = "standardize", before.operands[:1]
    node.attrs = {"mean": _floats(mean), "std": _floats(std)}
    return [before, *(c for c in constants if c.kind == UNSEEN)]


def _l2_normalize(node: Node, only: Only) -> list[Node]:
    """x / sqrt(clamp(sum(x^2), eps^2)), since ops.L2Normalize has a wrong gradient below eps."""
    chain, last = [], node if node.kind == "div" else None
    for place, kind in ((1, "sqrt"), (0, "clamp"), (0, "sum"), (0, "square")):
        last = only(last, place) if last is not None else None
        if last is None or last.kind != kind:
            return []
        chain.append(last)
    _, clamp, total, square = chain
    low, axes = clamp.attrs["low"], total.attrs["axes"]
    one_axis = isinstance(axes, tuple) and len(axes) == 1 and total.attrs["keepdims"]
    if not isinstance(low, float) or clamp.attrs["high"] is not None or not one_axis:
        return []
    if square.operands != node.operands[:1]:
        return []
    assert isinstance(axes, tuple)
    node.kind, node.operands = "l2_normalize", node.operands[:1]
    node.attrs = {"axis": axes[0], "eps": float(f"{low**0.5:.12g}")}
    return chain


def _constant(node: Node) -> Array | None:
    """The constant right of a function of two."""
    source = node.operands[1][0]
    return source.value if source.kind == UNSEEN and isinstance(source.value, np.ndarray) else None


def _floats(array: Array) -> tuple[float, ...]:
    """The numbers as they are written in code: 0.485, not what is nearest to it in the array's type."""
    return tuple(float(str(value)) for value in array.ravel())
