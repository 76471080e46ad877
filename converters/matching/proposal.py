"""What a way of matching proposes: layers in their places, and what it leaves open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NamedTuple

from twinzoo.converters.layers import Layer
from twinzoo.converters.result import Tie


@dataclass(frozen=True)
class Target:
    """What is to be filled.

    Attributes:
        title: what it is, in words.
        layers: those that own tensors, in order of execution where that is known, else in the order of definition.
        namings: for each way a checkpoint may name the layers, layer -> prefix. Layers without a tensor of their own
            (norms without parameters) may be among them: old files carry unused statistics there.
        executed: whether the order of the layers is the order of execution.
    """

    title: str
    layers: Mapping[str, Layer]
    namings: Mapping[str, Mapping[str, str]]
    executed: bool = False


class Blocks(NamedTuple):
    """Channels in blocks that come in another order.

    Attributes:
        axis: of the layer's tensors, along which the blocks lie: 0 for vectors.
        roles: the tensors concerned, all where empty.
        sizes: of the blocks, in the source's order.
        order: for each block of the target its position among the source's.
    """

    axis: int
    sizes: tuple[int, ...]
    order: tuple[int, ...]
    roles: tuple[str, ...] = ()


@dataclass
class Proposal:
    """Source layers in target layers.

    Attributes:
        naming: the naming that decided, empty where names did not.
        places: target layer -> (source layer, how it was found).
        ambiguous: layers with more than one equally good place.
        symmetric: groups of source layers that may be exchanged without changing what the network computes.
        blocks: target layer -> the order of its input channels, where a concat before it has its operands in another.
        idle_sources, idle_targets: layers whose tensors MindSpore keeps without a use.
    """

    naming: str = ""
    places: dict[str, tuple[str, str]] = field(default_factory=dict)
    ambiguous: list[Tie] = field(default_factory=list)
    symmetric: list[tuple[str, ...]] = field(default_factory=list)
    blocks: dict[str, Blocks] = field(default_factory=dict)
    idle_sources: list[str] = field(default_factory=list)
    idle_targets: list[str] = field(default_factory=list)


def allowed(key: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern lets a key stay without a counterpart."""
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def all_allowed(layer: Layer, patterns: Iterable[str]) -> bool:
    """Whether each of a layer's tensors may stay without a counterpart."""
    patterns = tuple(patterns)
    return all(allowed(tensor.key, patterns) for tensor in layer.tensors.values())
