"""Which tensors of a run are views of one another."""

from __future__ import annotations

from dataclasses import dataclass, field

from mindspore import Tensor

from twinzoo.converters.live.mindspore.calls import memory_of


@dataclass(eq=False)
class _Group:
    tensors: list[Tensor] = field(default_factory=list)
    places: set[int] = field(default_factory=set)


class Memory:
    """The tensors that are known, by the memory that they have a part of; it keeps all of them alive.

    While MindSpore records gradients, a write through a view gives every tensor of its group new memory, and yet all of
    them show it. So groups stay together after a write, at their new places.
    """

    def __init__(self) -> None:
        self._groups: dict[int, _Group] = {}
        self._at: dict[int, _Group] = {}

    def add(self, tensor: Tensor) -> None:
        """Remember a tensor."""
        if id(tensor) not in self._groups:
            place = memory_of(tensor)
            group = self._at.setdefault(place, _Group())
            group.tensors.append(tensor)
            group.places.add(place)
            self._groups[id(tensor)] = group

    def written(self, tensor: Tensor) -> list[Tensor]:
        """The other tensors that show what was just written to this one."""
        group = self._groups[id(tensor)]
        for place in group.places:
            del self._at[place]
        group.places = {memory_of(other) for other in group.tensors}
        self._at |= dict.fromkeys(group.places, group)
        return [other for other in group.tensors if other is not tensor]
