"""What stands on side b in the place of something of side a: a layer's tensors, and the line of the user's code."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from twinzoo.converters.forms import Value, carry
from twinzoo.converters.layers import ROLE_OF
from twinzoo.parity.graphs.pairs import Paired
from twinzoo.parity.graphs.run import Array
from twinzoo.zoo.errors import ConversionError


def value_of(paired: Paired, name: str) -> Value | None:
    """The tensor of a spec name (`n3.weight`); None where side b's layer does not make it of tensors of its own."""
    position, _, role = name.removeprefix("n").partition(".")
    ours, theirs = paired.operations(int(position))
    if theirs is None or not theirs.layer or not ours.layer:
        return None
    target = paired.a.graph.layers[ours.layer]
    made = carry(paired.b.graph.layers[theirs.layer], target).values
    value = made.get(target.tensors[ROLE_OF.get(role, role)].key)
    return value if value is not None and value.sources else None


def made_of(value: Value, arrays: Mapping[str, Array]) -> Array | None:
    """The tensor from arrays by side b's keys; None where one is missing, or their values forbid it."""
    if not all(source in arrays for source in value.sources):
        return None
    try:
        return np.asarray(value.make(arrays))
    except ConversionError:
        return None


def sources(paired: Paired, position: int) -> tuple[str, str]:
    """The lines of the users' code that call an operation and its counterpart; empty where they are not known."""
    ours, theirs = paired.operations(position)
    return ours.source, "" if theirs is None else theirs.source


def keys_of_b(paired: Paired) -> dict[str, str]:
    """Key of side a -> key of side b, of the tensors that stand in one another's place as they are."""
    found = {}
    for name, key in paired.drawing.keys.items():
        value = value_of(paired, name)
        if value is not None and value.exact and len(value.sources) == 1:
            found[key] = value.sources[0]
    return found
