"""Values in the places of side a's operations, read from where they wait when they are asked for, and not held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from twinzoo.parity.graphs.drawing import node_name
from twinzoo.parity.graphs.run import Array


@dataclass
class Placed(Mapping[int, Array]):
    """Side b's values by side a's positions.

    Attributes:
        recorded: of side b's operations, by their own positions.
        places: position of side a -> position of side b.
        made: what stands in the places of operations that side b has not.
    """

    recorded: Mapping[int, Array]
    places: dict[int, int] = field(default_factory=dict)
    made: dict[int, Array] = field(default_factory=dict)

    def __getitem__(self, position: int) -> Array:
        return self.made[position] if position in self.made else self.recorded[self.places[position]]

    def __contains__(self, position: object) -> bool:
        return position in self.made or position in self.places

    def __iter__(self) -> Iterator[int]:
        return iter(sorted((*self.places, *self.made)))

    def __len__(self) -> int:
        return len(self.places) + len(self.made)


class Named(Mapping[str, Array]):
    """Values by the names of the drawing's nodes."""

    def __init__(self, values: Mapping[int, Array], positions: Iterable[int]) -> None:
        self._values = values
        self._places = {node_name(position): position for position in positions if position in values}

    def __getitem__(self, name: str) -> Array:
        return self._values[self._places[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def pop(self, name: str, default: Any = None) -> Any:
        """A value, which is then no longer there."""
        position = self._places.pop(name, None)
        return default if position is None else self._values[position]
