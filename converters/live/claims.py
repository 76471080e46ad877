"""Which operation owns which of a model's tensors: the first that uses one owns it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PARAMETER = "parameter"
"""The kind of an operation that is a parameter used in the open, as in `x * self.scale`, and of its layer."""


@dataclass(frozen=True, eq=False)
class Group:
    """Tensors that belong together: role -> key."""

    kind: str
    keys: Mapping[str, str]
    name: str = ""


class Claims:
    """The groups of tensors that operations have claimed, in order.

    Attributes:
        groups: one for each layer that runs.
        owner: key -> the group that claimed it first.
    """

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.owner: dict[str, Group] = {}

    def claim(self, kind: str, keys: Mapping[str, str]) -> tuple[Group, list[str]]:
        """The group of these tensors for an operation, and those that belong to another operation's group."""
        free = {role: key for role, key in keys.items() if key not in self.owner}
        if free:
            group = Group(kind, free)
            self.groups.append(group)
            self.owner |= dict.fromkeys(free.values(), group)
        else:
            group = self.owner[next(iter(keys.values()))]
        return group, [key for key in keys.values() if self.owner[key] is not group]
