"""The operations of a trace while it is taken: they refer to one another, so that some can be folded into others."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(eq=False)
class Node:
    """An operation in the making.

    Attributes:
        operands: (the node that made it, which of its outputs).
        weights: role -> key, of the tensors of the model that it uses.
        whole: whether it is a cell, so that all of the cell's tensors are its weights.
        value: its first output; of a constant always, else where values were asked for.
    """

    name: str
    kind: str
    operands: tuple[tuple[Node, int], ...] = ()
    attrs: Mapping[str, Hashable] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    whole: bool = False
    value: Array | None = None


def uses(nodes: Iterable[Node]) -> dict[Node, int]:
    """How often each node is an operand."""
    counts: dict[Node, int] = {}
    for node in nodes:
        for source, _ in node.operands:
            counts[source] = counts.get(source, 0) + 1
    return counts
