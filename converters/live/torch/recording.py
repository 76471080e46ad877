"""From the calls of one run to a graph: which operation made each tensor, and which layer each operation uses.

What is computed from the model's own tensors alone is no operation while it only serves as a weight: that is how the
weight of a layer with weight or spectral norm comes about, and such a layer is still one convolution. Where it is an
operand (`x * self.scale.exp()`), its operations join the graph with the first one that uses it, behind one of kind
`parameter` for each tensor of the model that it starts from.

Where gradients are followed, each operation's first result has a hook that keeps its gradient, and what cuts gradients
off is an operation: `stop_gradient` where code detaches or runs without gradients, one under its own name where an
autograd.Function has a backward of its own.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import torch
from torch.autograd.function import BackwardCFunction

from twinzoo.converters.graph import INPUT, OUTPUT, UNSEEN, Graph, Operation
from twinzoo.converters.live import Computed, Idle
from twinzoo.converters.live.claims import PARAMETER
from twinzoo.converters.live.source import user_line
from twinzoo.converters.live.spool import Keep, Kept, Spool, as_it_is
from twinzoo.converters.live.torch.arrays import Array, array_of
from twinzoo.converters.live.torch.calls import Call, Single, Step
from twinzoo.converters.live.torch.folding import folded
from twinzoo.converters.live.torch.layering import Layers
from twinzoo.converters.live.torch.memory import Memory
from twinzoo.converters.live.torch.nodes import Node, Source, made_before
from twinzoo.converters.live.torch.rows import effect_of
from twinzoo.converters.live.torch.weights import computed_of, is_own, keys_of

STOP = "stop_gradient"

_SMALL = 1024
"""Elements of a constant that is looked at."""


class Recording:
    """The operations of one run. Tensors are known by identity and not kept alive."""

    def __init__(
        self,
        layers: Layers,
        state: Mapping[str, tuple[torch.Tensor, str]],
        *,
        values: bool,
        gradients: bool,
        spool: Spool | None = None,
    ) -> None:
        """Start with nothing.

        Args:
            state: the model's own tensors by name, each with its first name, under which it is known.
            values: whether the first output of each operation is kept.
            gradients: whether gradients are followed.
            spool: where values and gradients wait, instead of in memory.
        """
        self._layers = layers
        self._keep: Keep = spool.put if spool else as_it_is
        self._values = values
        self._gradients = gradients
        self._memory = Memory()
        self._serials = count()
        self._made: dict[int, tuple[weakref.ref[torch.Tensor], Source]] = {}
        self._nodes: list[Node] = []
        self._placed: set[Node] = set()
        self._idle: list[tuple[Node, Step, str, str]] = []
        self._state = {key: tensor for tensor, key in state.values()}
        self._own = {
            key: self._node(
                key, PARAMETER, key=key, sources=(key,), reaches=tensor.requires_grad, recorded=tensor.requires_grad
            )
            for key, tensor in self._state.items()
        }
        for tensor, key in state.values():
            self.know(tensor, (self._own[key], 0))

    def know(self, tensor: torch.Tensor, source: Source) -> None:
        """Say what made a tensor, or has changed it."""
        self._made[id(tensor)] = (weakref.ref(tensor), source)
        self._memory.add(tensor)

    def saw(self, tensor: torch.Tensor) -> bool:
        """Whether it was seen how a tensor was made."""
        return self._knows(tensor) and self._made[id(tensor)][1][0].kind != UNSEEN

    def _knows(self, tensor: torch.Tensor) -> bool:
        """Whether the tensor that had this identity is still there."""
        made = self._made.get(id(tensor))
        return made is not None and made[0]() is tensor

    def add_input(self, name: str, index: int, tensor: torch.Tensor) -> None:
        """An input of the model."""
        node = self._node(name, INPUT, attrs={"index": index}, live=True, value=self._value(tensor))
        self._place(node)
        self.know(tensor, (node, 0))
        self._follow(node, tensor, reaches=tensor.requires_grad)

    def add_output(self, name: str, index: int, tensor: torch.Tensor) -> None:
        """An output of the model."""
        self._place(self._node(name, OUTPUT, (self._source(tensor),), {"index": index}, live=True))

    def add_call(self, call: Call, name: str, *, writes: bool = False) -> None:
        """A call of a function; where it writes to a tensor that was there, others may have a part of its memory."""
        there = [tensor for tensor in call.results if self._knows(tensor)] if writes else []
        before = [self._made[id(tensor)][1] for tensor in there]
        self._add_call(call, name)
        for tensor, source in zip(there, before, strict=True):
            if self._made[id(tensor)][1] is not source:
                self._written(tensor, source[0], name)

    def _written(self, tensor: torch.Tensor, before: Node, name: str) -> None:
        """Other tensors over the same memory are made anew of what they were and of what was written.

        PyTorch tells their gradients, but of the tensor through which it was written only a part.
        """
        now = self._made[id(tensor)][1]
        if not now[0].live:
            return
        for other in self._memory.sharing(tensor):
            parts = (self._made[id(other)][1], now)
            node = self._node(
                name, "torch.written", parts, live=True, value=self._value(other), blinds=(before, now[0]),
                source=now[0].source,
            )  # fmt: skip
            self.know(other, (node, 0))
            self._follow(node, other, reaches=any(part.reaches for part, _ in parts))

    def _add_call(self, call: Call, name: str) -> None:
        effect = effect_of(call)
        if isinstance(effect, list):
            for single, result in zip(effect, call.results, strict=True):
                self._add(single, (result,), name)
        else:
            self._add(effect, call.results, name)

    def _add(self, single: Single, results: Sequence[torch.Tensor], name: str) -> None:
        if isinstance(single, torch.Tensor):
            self.know(results[0], self._source(single))
            return
        if single.idle:
            self._idle.append((self._source(single.inputs[0])[0], single, name, user_line()))
            self.know(results[0], self._source(single.inputs[0]))
            return
        if single.kind == STOP and not (self._gradients and single.inputs[0].is_floating_point()):
            self.know(results[0], self._source(single.inputs[0]))
            return
        operands = [self._source(tensor) for tensor in single.inputs]
        weights = {role: self._source(tensor) for role, tensor in single.weights.items()}
        operands += [source for source in weights.values() if not is_own(source)]
        weights = {role: source for role, source in weights.items() if is_own(source)}
        self._finish(single, name, operands, weights, results)

    def _finish(
        self,
        made: Step,
        name: str,
        operands: Sequence[Source],
        weights: Mapping[str, Source],
        results: Sequence[torch.Tensor],
    ) -> None:
        parts = (*operands, *weights.values())
        live = any(node.live for node, _ in parts)
        sources = tuple(dict.fromkeys(key for node, _ in parts for key in node.sources))
        value = self._value(results[0]) if results else None
        node = self._node(
            name, made.kind, tuple(operands), made.attrs, weights=weights, live=live, sources=sources, value=value,
            source=user_line(),
        )  # fmt: skip
        for index, tensor in enumerate(results):
            self.know(tensor, (node, index))
        if results:
            self._follow(node, results[0], reaches=made.kind != STOP and any(part.reaches for part, _ in parts))
        if live:
            self._place(node)

    def add_module(self, path: str, made: Step, results: Sequence[torch.Tensor]) -> None:
        """A module that is one operation, with the tensors of the layer at its path."""
        operands = [self._source(tensor) for tensor in made.inputs]
        weights = {role: (self._own[key], 0) for role, key in self._layers.at(path).items()}
        self._finish(made, path, operands, weights, results)

    def _source(self, tensor: torch.Tensor) -> Source:
        """What made a tensor; one that came from where the trace cannot look is a constant."""
        if not self._knows(tensor):
            value = array_of(tensor) if self._values or tensor.numel() <= _SMALL else None
            self.know(tensor, (self._node("", UNSEEN, value=value), 0))
        elif self._gradients and torch.is_grad_enabled():
            self._cut(tensor, *self._made[id(tensor)][1])
        return self._made[id(tensor)][1]

    def _cut(self, tensor: torch.Tensor, node: Node, output: int) -> None:
        """An operation that says so, where gradients do not come back to a tensor by way of what made it."""
        own = tensor.grad_fn if isinstance(tensor.grad_fn, BackwardCFunction) else None
        if (
            not node.reaches
            or node.recorded
            or not tensor.is_floating_point()
            or (own is None and tensor.requires_grad)
        ):
            return
        kind = STOP if own is None else f"torch.{type(own).__name__.removesuffix('Backward')}"
        reached = made_before(node, lambda made: made.reaches and not made.recorded)
        begins: dict[Source, None] = (
            {s: None for made in reached for s in made.operands if s[0].recorded} if own is not None else {}
        )
        cut = self._node(node.name, kind, ((node, output), *begins), live=node.live, sources=node.sources,
                         value=self._value(tensor), source=node.source)  # fmt: skip
        self.know(tensor, (cut, 0))
        self._follow(cut, tensor, reaches=own is not None)
        if cut.live:
            self._place(cut)

    def _follow(self, node: Node, tensor: torch.Tensor, *, reaches: bool) -> None:
        """Have the gradient of a node's first output kept when it comes."""
        if self._gradients:
            node.reaches = reaches and tensor.is_floating_point()
            node.recorded = tensor.requires_grad
            if tensor.requires_grad:
                tensor.register_hook(_keeper(node, self._keep))  # type: ignore[no-untyped-call]

    def _node(self, name: str, kind: str, operands: tuple[Source, ...] = (), *args: Any, **fields: Any) -> Node:
        return Node(next(self._serials), name, kind, operands, *args, **fields)

    def _value(self, tensor: torch.Tensor) -> Kept | None:
        return self._keep(array_of(tensor)) if self._values else None

    def _place(self, node: Node) -> None:
        """Make a node an operation, behind everything that it was made of."""
        for made in made_before(node, lambda before: before not in self._placed):
            keys, attrs = keys_of(made, self._layers)
            if keys:
                made.layer, shared = self._layers.claim(made.kind, keys)
                for key in shared:
                    self._place(self._own[key])
                made.operands += tuple((self._own[key], 0) for key in shared)
                made.attrs = {**made.attrs, **attrs}
            if made.key:
                made.value = self._value(self._state[made.key])
            self._placed.add(made)
            self._nodes.append(made)

    def graph(
        self, title: str, gradients: Mapping[str, Array] | None = None
    ) -> tuple[Graph, dict[int, Kept], dict[int, Kept], tuple[Idle, ...]]:
        """The graph, the values and the gradients that were kept by position, and the dropouts that dropped nothing.

        Args:
            gradients: those of the model's own tensors by key.
        """
        nodes = self._nodes = folded(self._nodes)
        blind = {node for made in nodes for node in made.blinds}
        own = gradients or {}
        names, layers = self._layers.used()
        places = {node: place for place, node in enumerate(nodes)}
        operations = tuple(
            Operation(
                node.name,
                node.kind,
                tuple((places[source], output) for source, output in node.operands),
                dict(node.attrs),
                names[node.layer] if node.layer else "",
                node.source,
            )
            for node in nodes
        )
        values = {place: node.value for place, node in enumerate(nodes) if self._values and node.value is not None}
        told = {
            place: own.get(node.key) if node.key else node.gradient
            for place, node in enumerate(nodes)
            if node not in blind
        }
        idle = tuple(
            Idle(name, made.kind, float(str(made.attrs["p"])), places.get(node, -1), source)
            for node, made, name, source in self._idle
            if node.live
        )
        return Graph(title, layers, operations), values, {p: g for p, g in told.items() if g is not None}, idle

    def computed(self) -> dict[int, tuple[Computed, ...]]:
        """The computed weights of each operation by its position, once the graph was asked for."""
        return {place: found for place, node in enumerate(self._nodes) if (found := tuple(computed_of(node)))}


def _keeper(node: Node, put: Keep) -> Callable[[torch.Tensor], None]:
    def keep(gradient: torch.Tensor) -> None:
        node.gradient = put(array_of(gradient))

    return keep


def _recorded_before(node: Node) -> list[Source]:
    """What gradients are recorded of, among that from which a node was made without recording."""
    inside = made_before(node, lambda made: made.reaches and not made.recorded)
    return list(dict.fromkeys(source for made in inside for source in made.operands if source[0].recorded))
