"""From the calls of one run to a graph: which operation made each tensor, and which layer each operation uses.

What is computed from the model's own tensors alone is no operation while it only serves as a weight: that is how the
weight of a layer with weight or spectral norm comes about, and such a layer is still one convolution. Where it is an
operand (`x * self.scale.exp()`), its operations join the graph with the first one that uses it, behind one of kind
`parameter` for each tensor of the model that it starts from.
"""

from __future__ import annotations

import weakref
from collections.abc import Hashable, Mapping, Sequence
from itertools import count
from typing import Any

import torch

from twinzoo.converters.graph import INPUT, OUTPUT, UNSEEN, Graph, Operation
from twinzoo.converters.live.claims import PARAMETER
from twinzoo.converters.live.torch.arrays import Array, array_of
from twinzoo.converters.live.torch.calls import Call, Single, Step
from twinzoo.converters.live.torch.folding import folded
from twinzoo.converters.live.torch.layering import Layers
from twinzoo.converters.live.torch.nodes import Node, Source, made_before
from twinzoo.converters.live.torch.rows import effect_of

_SMALL = 1024
"""Elements of a constant that is looked at."""

_NORM_PARTS = ("g", "v", "orig", "u")
"""What the roles of tensors that a weight or spectral norm is computed from end in."""


class Recording:
    """The operations of one run. Tensors are known by identity and not kept alive."""

    def __init__(self, layers: Layers, state: Mapping[str, tuple[torch.Tensor, str]], *, values: bool) -> None:
        """Start with nothing.

        Args:
            state: the model's own tensors by name, each with its first name, under which it is known.
            values: whether the first output of each operation is kept.
        """
        self._layers = layers
        self._values = values
        self._serials = count()
        self._made: dict[int, tuple[weakref.ref[torch.Tensor], Source]] = {}
        self._nodes: list[Node] = []
        self._placed: set[Node] = set()
        self._state = {key: tensor for tensor, key in state.values()}
        self._own = {key: self._node(key, PARAMETER, key=key, sources=(key,)) for key in self._state}
        for tensor, key in state.values():
            self.know(tensor, (self._own[key], 0))

    def know(self, tensor: torch.Tensor, source: Source) -> None:
        """Say what made a tensor, or has changed it."""
        self._made[id(tensor)] = (weakref.ref(tensor), source)

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

    def add_output(self, name: str, index: int, tensor: torch.Tensor) -> None:
        """An output of the model."""
        self._place(self._node(name, OUTPUT, (self._source(tensor),), {"index": index}, live=True))

    def add_call(self, call: Call, name: str) -> None:
        """A call of a function."""
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
        operands = [self._source(tensor) for tensor in single.inputs]
        weights = {role: self._source(tensor) for role, tensor in single.weights.items()}
        operands += [source for source in weights.values() if not _is_own(source)]
        weights = {role: source for role, source in weights.items() if _is_own(source)}
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
            name, made.kind, tuple(operands), made.attrs, weights=weights, live=live, sources=sources, value=value
        )
        for index, tensor in enumerate(results):
            self.know(tensor, (node, index))
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
            value = array_of(tensor) if tensor.numel() <= _SMALL else None
            self.know(tensor, (self._node("", UNSEEN, value=value), 0))
        return self._made[id(tensor)][1]

    def _node(self, name: str, kind: str, operands: tuple[Source, ...] = (), *args: Any, **fields: Any) -> Node:
        return Node(next(self._serials), name, kind, operands, *args, **fields)

    def _value(self, tensor: torch.Tensor) -> Array | None:
        return array_of(tensor) if self._values else None

    def _place(self, node: Node) -> None:
        """Make a node an operation, behind everything that it was made of."""
        for made in made_before(node, lambda before: before not in self._placed):
            keys, attrs = self._keys(made)
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

    def _keys(self, node: Node) -> tuple[dict[str, str], dict[str, Hashable]]:
        """The model's tensors that an operation uses by their roles, and how a weight is computed from them.

        A weight that is computed from one tensor has that tensor in its role; one from several has them in the roles
        that their names say. How is an attribute (`weight_from`), but for weight and spectral norms, which can be
        folded.
        """
        if node.key:
            return {"weight": node.key}, {}
        keys: dict[str, str] = {}
        attrs: dict[str, Hashable] = {}
        for role, (made, _) in node.weights.items():
            named = [self._layers.role(key) for key in made.sources]
            roles = [role] if len(named) == 1 else named
            keys |= {r if r not in keys else key: key for r, key in zip(roles, made.sources, strict=True)}
            norm = {f"{role}_{part}" for part in _NORM_PARTS}.issuperset(named)
            if not made.key and not norm:
                attrs[f"{role}_from"] = _derivation(made)
        return keys, attrs

    def graph(self, title: str) -> tuple[Graph, dict[int, Array]]:
        """The graph, and the values that were kept by position."""
        nodes = folded(self._nodes)
        names, layers = self._layers.used()
        places = {node: place for place, node in enumerate(nodes)}
        operations = tuple(
            Operation(
                node.name,
                node.kind,
                tuple((places[source], output) for source, output in node.operands),
                dict(node.attrs),
                names[node.layer] if node.layer else "",
            )
            for node in nodes
        )
        values = {place: node.value for place, node in enumerate(nodes) if self._values and node.value is not None}
        return Graph(title, layers, operations), values


def _is_own(source: Source) -> bool:
    """Whether a tensor was made of the model's own alone, be it one of them."""
    return not source[0].live and bool(source[0].sources)


def _derivation(node: Node) -> Hashable:
    """The functions by which a weight is computed, in order."""
    steps = made_before(node, lambda made: not made.key)
    return tuple((made.kind, *sorted((name, str(value)) for name, value in made.attrs.items())) for made in steps)
