"""The operations of a trace while it is taken: they refer to one another, so that some can be folded into others."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from twinzoo.converters.live.claims import Group
from twinzoo.converters.live.spool import Kept


@dataclass(eq=False)
class Node:
    """An operation in the making.

    Attributes:
        serial: rises in the order in which they are made.
        operands: (the node that made it, which of its outputs).
        weights: role -> what it was given for it, where that was made of the model's own tensors alone.
        live: whether it depends on the model's inputs. What does not is an operation only if one that does uses it.
        key: the name of the tensor, where it is one of the model's own.
        sources: the model's own tensors that it was made of, by their names.
        value: its first output; of a small constant always, else where values were asked for.
        source: the line of the user's code.
        reaches: whether its result depends, in floating-point numbers, on something that gradients are taken of.
        recorded: whether PyTorch records gradients of its result.
        gradient: of its first output, once it was pulled back.
        blinds: nodes whose gradients are not told in full if this one is used.
        layer: what it has of the model's tensors, once it is an operation.
    """

    serial: int
    name: str
    kind: str
    operands: tuple[Source, ...] = ()
    attrs: Mapping[str, Hashable] = field(default_factory=dict)
    weights: Mapping[str, Source] = field(default_factory=dict)
    live: bool = False
    key: str = ""
    sources: tuple[str, ...] = ()
    value: Kept | None = None
    source: str = ""
    reaches: bool = False
    recorded: bool = False
    gradient: Kept | None = None
    blinds: tuple[Node, ...] = ()
    layer: Group | None = None


Source = tuple[Node, int]


def made_before(node: Node, wanted: Callable[[Node], bool]) -> list[Node]:
    """A node and the operands that it was made of, as far back as they are wanted, in the order of their making."""
    found: dict[int, Node] = {}
    todo = [node]
    while todo:
        node = todo.pop()
        if wanted(node) and node.serial not in found:
            found[node.serial] = node
            todo += [source for source, _ in node.operands]
    return [found[serial] for serial in sorted(found)]


def uses(nodes: Iterable[Node]) -> dict[Node, int]:
    """How often each node is an operand."""
    counts: dict[Node, int] = {}
    for node in nodes:
        for source, _ in node.operands:
            counts[source] = counts.get(source, 0) + 1
    return counts
