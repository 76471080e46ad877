"""Layers that names, shapes and order leave tied, told apart by what is in them."""

from __future__ import annotations

import hashlib

from twinzoo.converters.files import Tensors
from twinzoo.converters.forms.norms import COUNTER
from twinzoo.converters.layers import Layer
from twinzoo.converters.result import Tie
from twinzoo.converters.sides import Side


def by_content(tie: Tie, source: Side, target: Side, ours: Tensors, theirs: Tensors) -> dict[str, str]:
    """Target layer -> source layer, where both hold the same bytes; and the last of each side if only they are left.

    Layers of one side that hold the same are paired in order: they can stand for each other.
    """
    free: dict[str, list[str]] = {}
    for name in tie.sources:
        free.setdefault(_digest(source.layers[name], ours), []).append(name)
    places: dict[str, str] = {}
    for name in tie.targets:
        alike = free.get(_digest(target.layers[name], theirs))
        if alike:
            places[name] = alike.pop(0)
    rest = [name for names in free.values() for name in names]
    left = [name for name in tie.targets if name not in places]
    if len(rest) == len(left) == 1:
        places[left[0]] = rest[0]
    return places


def _digest(layer: Layer, tensors: Tensors) -> str:
    """A hash of the tensors' roles, types and bytes, counters aside; shapes may differ by axes of 1."""
    found = hashlib.sha256()
    for role in sorted(layer.tensors.keys() - {COUNTER}):
        key = layer.tensors[role].key
        found.update(f"{role} {tensors.entries[key].dtype} ".encode())
        for piece in tensors.pieces(key):
            found.update(piece)
    return found.hexdigest()
