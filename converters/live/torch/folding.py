"""Several operations that are one op of the table: folded into it, where nothing else uses what is between them."""

from __future__ import annotations

import numpy as np

from twinzoo.converters.graph import UNSEEN
from twinzoo.converters.live.torch.arrays import Array
from twinzoo.converters.live.torch.nodes import Node, uses


def folded(nodes: list[Node]) -> list[Node]:
    """The nodes with the patterns folded; a folded node is the last one of its pattern."""
    counts = uses(nodes)
    gone: set[Node] = set()
    for node in nodes:
        before = node.operands[0][0] if node.operands else node
        if counts.get(before) == 1:
            gone.update(_affine(node, before) or _standardize(node, before))
    kept = [node for node in nodes if node not in gone]
    counts = uses(kept)
    return [node for node in kept if node.kind != UNSEEN or node in counts]


def _affine(node: Node, before: Node) -> list[Node]:
    """A multiplication by a number and an addition of one."""
    if node.kind != "affine" or before.kind != "affine":
        return []
    (scale, shift), (inner, moved) = _numbers(node), _numbers(before)
    node.operands, node.attrs = before.operands, {"scale": scale * inner, "shift": scale * moved + shift}
    return [before]


def _numbers(node: Node) -> tuple[float, float]:
    scale, shift = node.attrs["scale"], node.attrs["shift"]
    assert isinstance(scale, float) and isinstance(shift, float)
    return scale, shift


def _standardize(node: Node, before: Node) -> list[Node]:
    """(x - mean) / std of images, with constants that have one number a channel."""
    if node.kind != "div" or before.kind != "sub":
        return []
    mean, std = _constant(before), _constant(node)
    if mean is None or std is None or mean.shape != std.shape or mean.ndim < 3 or mean.size != mean.shape[-3]:
        return []
    node.kind, node.operands, node.attrs = (
        "standardize",
        before.operands[:1],
        {"mean": _floats(mean), "std": _floats(std)},
    )
    return [before]


def _constant(node: Node) -> Array | None:
    """The constant right of a function of two."""
    source = node.operands[1][0]
    return source.value if source.kind == UNSEEN and isinstance(source.value, np.ndarray) else None


def _floats(array: Array) -> tuple[float, ...]:
    """The numbers as they are written in code: 0.485, not what is nearest to it in the array's type."""
    return tuple(float(str(value)) for value in array.ravel())
