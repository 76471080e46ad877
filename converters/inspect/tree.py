"""Layers as a tree of modules by their dotted names, in which blocks that are built alike stand together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from twinzoo.converters.inspect.report import LayerReport

MAX_DEPTH = 64
"""Levels of the tree; what a name has beyond them stays together as the last."""

_NUMBERED = re.compile(r"(\D*)(\d+)(.*)")


@dataclass
class Module:
    """A place in the tree: a layer, a module that holds others, or both.

    Attributes:
        name: its own part of the dotted name; of modules that hold one other alone, with that one's: `1.model`.
    """

    name: str
    layer: LayerReport | None = None
    children: dict[str, Module] = field(default_factory=dict)

    def layers(self) -> Iterator[LayerReport]:
        """This module's layer and those below, in order."""
        if self.layer:
            yield self.layer
        for child in self.children.values():
            yield from child.layers()

    @property
    def structure(self) -> tuple[object, ...]:
        """Equal for modules that are built alike: the same kinds and sizes, and the same names below."""
        own = (str(self.layer.kind), tuple(self.layer.tensors)) if self.layer else ()
        return (own, *((name, child.structure) for name, child in self.children.items()))


class Row(NamedTuple):
    """A line of the tree: one module, or several that are built alike.

    Attributes:
        depth: 0 for the outermost modules.
        name: `conv1`, `block2 .. block6`.
        shown: the modules that the line names, in order.
        alike: those and, below a line of several, the modules at the same place in each of them.
    """

    depth: int
    name: str
    shown: tuple[Module, ...]
    alike: tuple[Module, ...]


def tree_of(layers: Iterable[LayerReport]) -> Module:
    """The root, whose children are the outermost modules; a layer without a name is called `(root)`."""
    root = Module("")
    for layer in layers:
        place = root
        for part in (layer.name or "(root)").split(".", MAX_DEPTH):
            place = place.children.setdefault(part, Module(part))
        place.layer = layer
    for child in root.children.values():
        _join(child)
    return root


def rows(root: Module, *, every: bool = False) -> Iterator[Row]:
    """The lines of the tree from the top.

    Args:
        every: a line for each module; without it numbered neighbours that are built alike share one, and what is in
            them is shown once.
    """
    return _rows((root,), 0, every)


def _rows(modules: tuple[Module, ...], depth: int, every: bool) -> Iterator[Row]:
    for keys in _runs(modules[0], every):
        alike = tuple(module.children[key] for module in modules for key in keys)
        shown = alike[: len(keys)]
        name = shown[0].name if len(keys) == 1 else f"{shown[0].name} .. {shown[-1].name}"
        yield Row(depth, name, shown, alike)
        yield from _rows(alike, depth + 1, every)


def _runs(module: Module, every: bool) -> list[list[str]]:
    """The keys of the children, those of numbered neighbours alike together. Layers alone stay apart."""
    runs: list[list[str]] = []
    before: tuple[object, ...] = ()
    for key, child in module.children.items():
        numbered = _NUMBERED.fullmatch(child.name)
        same = (numbered[1], numbered[3], child.structure) if numbered and child.children and not every else ()
        if same and same == before:
            runs[-1].append(key)
        else:
            runs.append([key])
        before = same
    return runs


def _join(module: Module) -> None:
    """Give modules that hold nothing but one other module that one's name and content."""
    while module.layer is None and len(module.children) == 1:
        (child,) = module.children.values()
        module.name, module.layer, module.children = f"{module.name}.{child.name}", child.layer, child.children
    for child in module.children.values():
        _join(child)
