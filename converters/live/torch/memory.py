"""Which tensors of a run are views of one another."""

from __future__ import annotations

import weakref

import torch


class Memory:
    """The tensors that are known, by the memory that they have a part of; it keeps none of them alive."""

    def __init__(self) -> None:
        self._tensors: dict[int, dict[int, weakref.ref[torch.Tensor]]] = {}

    def add(self, tensor: torch.Tensor) -> None:
        """Remember a tensor."""
        if tensor.layout is torch.strided:
            place = tensor.untyped_storage().data_ptr()
            self._tensors.setdefault(place, {})[id(tensor)] = weakref.ref(tensor)

    def sharing(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """The other tensors that are still there and have a part of the same memory."""
        if tensor.layout is not torch.strided:
            return []
        place = tensor.untyped_storage().data_ptr()
        known = [reference() for reference in self._tensors.get(place, {}).values()]
        found = [other for other in known if other is not None and other is not tensor]
        return [other for other in found if other.untyped_storage().data_ptr() == place]
