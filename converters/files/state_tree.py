"""From the nested object of a torch file to tensors with dotted names, and the short values beside them.

Names come from dict keys and list positions joined with dots. A dict that holds all the tensors of the file under one
key (`state_dict`, `params_ema`, `generator`, ...), the state of optimizers aside, is a wrapper: its key is left out of
the names.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from twinzoo.converters.files.entries import Array, quoted
from twinzoo.converters.files.source import Source
from twinzoo.converters.files.torch_records import NumpyArray, Tensor

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
    optimizer: bool  # whether it lies in the state of an optimizer


_Path = tuple[_Step, ...]


@dataclass(frozen=True)
class Tree:
    """What a torch file holds.

    Attributes:
        tensors: by dotted name, in file order
        metadata: the short values beside them (epoch numbers, names)
        optimizer: the names of the tensors in what an optimizer's `state_dict()` gave
        networks: the keys of the dicts that hold the weights, where these are not all in one dict
    """

    tensors: Mapping[str, Leaf]
    metadata: Mapping[str, str]
    optimizer: frozenset[str]
    networks: tuple[str, ...]


def flatten(source: Source, root: object) -> Tree:
    """The tensors under `root` by dotted names."""
    found: list[tuple[_Path, Leaf, bool]] = []
    notes: list[tuple[_Path, str]] = []
    for place, value in _walk(source, root):
        optimizer = place is not None and place.optimizer
        if isinstance(value, NumpyArray):
            value = value.array
        if isinstance(value, Tensor | np.ndarray):
            found.append((_path(place), value, optimizer))
        elif not optimizer and len(notes) < MAX_METADATA and (text := _short(value)):
            path = _path(place)
            if path and all(step.is_key for step in path):
                notes.append((path, text))
    weights = [path for path, _, optimizer in found if not optimizer]
    wrapper = _wrapper(weights)
    tensors: dict[str, Leaf] = {}
    optimizers = set()
    for path, leaf, optimizer in found:
        name = _dotted(_below(path, wrapper)) if path else ALONE
        if name in tensors:
            raise source.error(f"two tensors are both called {quoted(name)}", "rename one and save again")
        tensors[name] = leaf
        if optimizer:
            optimizers.add(name)
    metadata = {_dotted(_below(path, wrapper)): text for path, text in notes}
    return Tree(tensors, metadata, frozenset(optimizers), _networks([path[len(wrapper) :] for path in weights]))


def _below(path: _Path, wrapper: _Path) -> _Path:
    return path[len(wrapper) :] if path[: len(wrapper)] == wrapper else path


def _networks(paths: list[_Path]) -> tuple[str, ...]:
    """The first steps that lead to further dicts or lists, where not all tensors share one."""
    firsts = dict.fromkeys(path[0] for path in paths if path)
    nested = dict.fromkeys(path[0].name for path in paths if len(path) > 1)
    return tuple(nested) if len(firsts) > 1 else ()


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
        inside = (place is not None and place.optimizer) or _is_optimizer(value)
        if isinstance(value, dict):
            children = [(_Place(place, _Step(_text(key), True), depth, inside), child) for key, child in value.items()]
        else:
            children = [
                (_Place(place, _Step(str(index), False), depth, inside), child)
                for index, child in enumerate(value)
                if isinstance(child, _KEPT)
            ]
        visits += len(children)
        if visits > MAX_VISITS:
            raise source.error(f"its pickle unfolds to more than {MAX_VISITS} values, expected tensors by name")
        pending.extend(reversed(children))


def _is_optimizer(value: object) -> bool:
    """Whether this is what `state_dict()` of a torch.optim.Optimizer gives."""
    if not isinstance(value, dict) or not isinstance(value.get("state"), dict):
        return False
    parts = value.get("param_groups")
    return isinstance(parts, list) and bool(parts) and all(isinstance(p, dict) and "params" in p for p in parts)


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
