"""The operations of a trace while it is taken: they refer to one another, so that some can be folded into others."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from twinzoo.converters.live.spool import Kept


@dataclass(eq=False)
class Node:
    """An operation in the making.

    Attributes:
        operands: (the node that made it, which of its outputs).
        weights: role -> key, of the tensors of the model that it uses.
        whole: whether it is a cell, so that all of the cell's tensors are its weights.
        value: its first output; of a constant always, else where values were asked for.
        source: the line of the user's code.
        gradient: of its first output, once it was pulled back.
        late: whether its gradient can be asked for only once the result is used, as behind a cell with a `bprop`.
        blinds: nodes whose gradients are not told in full if this one is used.
        computed: role -> what made it, of the weights that were computed from the model's own tensors alone.
        live: whether it depends on the model's inputs. What does not is an operation only if one that does uses it.
        sources: the model's own tensors that it was made of, by their keys.
    """

    name: str
    kind: str
    operands: tuple[tuple[Node, int], ...] = ()
    attrs: Mapping[str, Hashable] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    whole: bool = False
    value: Kept | None = None
    source: str = ""
    gradient: Kept | None = None
    late: bool = False
    blinds: tuple[Node, ...] = ()
    computed: Mapping[str, Node] = field(default_factory=dict)
    live: bool = False
    sources: tuple[str, ...] = ()


def uses(nodes: Iterable[Node]) -> dict[Node, int]:
    """How often each node is an operand."""
    counts: dict[Node, int] = {}
    for node in nodes:
        for source, _ in node.operands:
            counts[source] = counts.get(source, 0) + 1
    return counts
