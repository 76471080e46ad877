"""A training step cut into blocks: runs of nodes that a framework can compute and differentiate as one function.

A cut lies at every update, and around nodes that an update goes through after another one came between (pix2pix's
generator, whose output is computed before the discriminator's update and differentiated after it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from twinzoo.zoo.spec import Input, Node, Shape, Size, Spec, Value
from twinzoo.zoo.spec.dims import symbol, symbols_of
from twinzoo.zoo.steps.step import Step, Update


@dataclass(frozen=True)
class Block:
    """A run of nodes as a spec of its own, and the updates that follow it.

    Attributes:
        spec: its inputs are values of the step, and the draws of networks that it calls; roles are the step's.
        given, made: references of its inputs (in the order in which its code takes them) and of its outputs.
    """

    spec: Spec
    given: tuple[str, ...]
    made: tuple[str, ...]
    updates: tuple[Update, ...]


def blocks(step: Step) -> list[Block]:
    """The blocks of a step in order."""
    paths = [(update, step.path(update)) for update in step.updates]
    nodes = list(step.nodes.values())
    cuts = [update.after for update in step.updates]

    def place(i: int) -> tuple[int, tuple[int, ...]]:
        """How many updates came before the node, and which of those after the next go through it."""
        before = sum(cut <= i for cut in cuts)
        end = min((cut for cut in cuts if cut > i), default=len(nodes))
        return before, tuple(k for k, (u, path) in enumerate(paths) if u.after > end and nodes[i].name in path)

    runs = [[nodes[i] for i in run] for _, run in groupby(range(len(nodes)), key=place)]
    made, count = [], 0
    for number, run in enumerate(runs, 1):
        count += len(run)
        here = tuple(update for update in step.updates if update.after == count)
        made.append(_block(step, number, run, [node for later in runs[number:] for node in later], here))
    return made


def _block(step: Step, number: int, run: Sequence[Node], later: Sequence[Node], updates: tuple[Update, ...]) -> Block:
    spec = Spec(f"{step.name}_block{number}", doc=_doc(step, number, updates))
    given: list[str] = []
    for node in run:
        drawn = {f"{node.name}_{name}": draw for name, draw in node.draws.items()}
        own = [Value(name, 0, draw.shape) for name, draw in drawn.items()]
        for value in (*node.inputs, *own):
            if value.node not in spec.nodes and value.ref not in given:
                given.append(value.ref)
                spec.inputs[_name(value)] = Input(_fresh(value), {}, (-1.0, 1.0))
        spec.nodes[node.name] = replace(node, inputs=(*node.inputs, *own), draws={})
        if node.op == "call":
            spec.roles[node.attrs["role"]] = step.roles[node.attrs["role"]]
    wanted = {value.ref for node in later for value in node.inputs} | {u.loss.ref for u in step.updates}
    wanted |= {value.ref for value in step.outputs.values()} | {value.ref for value in step.left}
    spec.outputs = {_name(v): v for node in run for v in node.outputs if v.ref in wanted}
    return Block(spec, tuple(given), tuple(value.ref for value in spec.outputs.values()), updates)


def _doc(step: Step, number: int, updates: tuple[Update, ...]) -> str:
    after = f", before the update of {updates[0].optimizer}" if updates else ""
    return f"Block {number} of the training step {step.name}{after}."


def _name(value: Value) -> str:
    return value.ref.replace(":", "_output")


def _fresh(value: Value) -> Value:
    """The value with a symbol of its own for each size that is computed from others: an input has plain sizes."""
    shape: Shape = tuple(d if isinstance(d, int) or _plain(d) else symbol(f"D{i}") for i, d in enumerate(value.shape))
    return replace(value, shape=shape)


def _plain(size: Size) -> bool:
    found = list(symbols_of(size))
    return len(found) == 1 and size == symbol(found[0].name, found[0].multiple)
