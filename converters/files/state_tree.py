"""From the nested object of a torch file to tensors with dotted names, and the short values beside them.

Names come from dict keys and list positions joined with dots. A dict that holds all the tensors of the file under one
key (`state_dict`, `params_ema`, `generator`, ...) is a wrapper: its key is left out of the names.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from twinzoo.converters.files.checkpoint import Array, quoted
from twinzoo.converters.files.source import Source
from twinzoo.converters.files.torch_pickles import NumpyArray, Tensor

MAX_DEPTH = 64
MAX_VISITS = 500_000
MAX_METADATA = 1000
MAX_VALUE = 200  # characters of a value that is kept as metadata

Leaf = Tensor | Array
ALONE = "tensor"  # the name of the one tensor of a file that holds no dict at all


_KEPT = (dict, list, tuple, Tensor, NumpyArray)  # what matters in a list: short values have no name there


class _Step(NamedTuple):
    name: str
    is_key: bool


class _Place(NamedTuple):
    """A step below another place: what two places have in common they share."""

    above: "_Place | None"
    step: _Step
    depth: int


_Path = tuple[_Step, ...]


def flatten(source: Source, root: object) -> tuple[dict[str, Leaf], dict[str, str]]:
    """The tensors and the short values (epoch numbers, names) under `root`."""
    found: list[tuple[_Path, Leaf]] = []
    notes: list[tuple[_Path, str]] = []
    for place, value in _walk(source, root):
        if isinstance(value, NumpyArray):
            value = value.array
        if isinstance(value, Tensor | np.ndarray):
            found.append((_path(place), value))
        elif len(notes) < MAX_METADATA and (text := _short(value)):
            path = _path(place)
            if path and all(step.is_key for step in path):
                notes.append((path, text))
    wrapper = _wrapper([path for path, _ in found])
    tensors: dict[str, Leaf] = {}
    for path, leaf in found:
        name = _dotted(path[len(wrapper) :]) if path else ALONE
        if name in tensors:
            raise source.error(f"two tensors are both called {quoted(name)}", "rename one and save again")
        tensors[name] = leaf
    metadata = {
        _dotted(path[len(wrapper) :] if path[: len(wrapper)] == wrapper else path): text for path, text in notes
    }
    return tensors, metadata


def _walk(source: Source, root: object) -> Iterator[tuple[_Place | None, object]]:
    """Every value in order, containers too, depth first and without recursion."""
    pending: list[tuple[_Place | None, object]] = [(None, root)]
    visits = 1
    while pending:
        place, value = pending.pop()
        yield place, value
        if not isinstance(value, dict | list | tuple) or not value:
            continue
        depth = place.depth + 1 if place else 1
        if depth > MAX_DEPTH:
            raise source.error(f"its pickle is nested deeper than {MAX_DEPTH} levels, or contains itself")
        if isinstance(value, dict):
            children = [(_Place(place, _Step(_text(key), True), depth), child) for key, child in value.items()]
        else:
            children = [
                (_Place(place, _Step(str(index), False), depth), child)
                for index, child in enumerate(value)
                if isinstance(child, _KEPT)
            ]
        visits += len(children)
        if visits > MAX_VISITS:
            raise source.error(f"its pickle unfolds to more than {MAX_VISITS} values, expected tensors by name")
        pending.extend(reversed(children))


def _path(place: _Place | None) -> _Path:
    steps = []
    while place is not None:
        steps.append(place.step)
        place = place.above
    return tuple(reversed(steps))


def _wrapper(paths: list[_Path]) -> _Path:
    """The keys that every tensor's path begins with."""
    depth = 0
    while paths and all(len(path) > depth + 1 for path in paths):
        step = paths[0][depth]
        if not step.is_key or any(path[depth] != step for path in paths):
            break
        depth += 1
    return paths[0][:depth] if paths else ()


def _text(key: object) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else str(key)


def _dotted(path: _Path) -> str:
    return ".".join(step.name for step in path)


def _short(value: object) -> str:
    """The value as metadata; empty where it has no place there."""
    if isinstance(value, str | bool | int | float):
        text = str(value)
        return text if len(text) <= MAX_VALUE else ""
    return ""
