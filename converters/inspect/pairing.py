"""Which tensors of two checkpoints belong together: the same keys, else whatever a conversion would pair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from twinzoo.converters.files import Tensors
from twinzoo.converters.forms import carry
from twinzoo.converters.forms.norms import COUNTER
from twinzoo.converters.forms.values import Value, kept
from twinzoo.converters.inspect.content import by_content
from twinzoo.converters.layers import Shape, unwrapped
from twinzoo.converters.matching.find import Finder
from twinzoo.converters.matching.tensors import Match
from twinzoo.converters.result import Tie
from twinzoo.converters.sides import Side, known_model

ONLY_PYTORCH = "a counter that only PyTorch keeps"


class Paired(NamedTuple):
    """A tensor of the target, and how it is made of the source's.

    Attributes:
        how: what decided, as in `twinzoo.converters.result.Pair`; or `content`, where only values tell layers apart.
    """

    key: str
    value: Value
    how: str


@dataclass
class Pairing:
    """What belongs together, and what is left over.

    Attributes:
        source, target: the two sides.
        pairs: for each tensor of the target that has a counterpart.
        misfits: keys of both files whose shapes do not fit.
        missing, unused: keys of the target and of the source without a counterpart.
        ties: layers with more than one equally good counterpart.
        excused: keys of the source and of the target that a conversion leaves out too -> the reason.
        differences: what one network has and the other has not, in words.
    """

    source: Side
    target: Side
    pairs: list[Paired] = field(default_factory=list)
    misfits: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    ties: list[Tie] = field(default_factory=list)
    excused: tuple[dict[str, str], dict[str, str]] = field(default_factory=lambda: ({}, {}))
    differences: list[str] = field(default_factory=list)


def paired(source: Side, target: Side, *, contents: bool = True) -> Pairing:
    """Pair by key where both files have the same keys and shapes, else as a conversion between them does.

    Args:
        contents: whether layers that are tied then may be read, to pair those that hold the same.
    """
    ours, theirs = _shapes(source), _shapes(target)
    if ours == theirs:
        found = Pairing(source, target, [Paired(key, kept(key, shape), "name") for key, shape in theirs.items()])
    else:
        found = _converted(source, target, contents)
    for side, reasons in zip((source, target), found.excused, strict=True):
        reasons.update(side.left_out)
    return found


def _converted(source: Side, target: Side, contents: bool) -> Pairing:
    """Whatever has the same key and shape, where a conversion does not know better, and all that it pairs."""
    finder = Finder(known_model(source), _unwrapped(known_model(target)))
    match = finder.find()
    found = Pairing(source, target)
    values = {key: value for key, value in match.values.items() if value.sources or not _is_counter(key)}
    how = {pair.target: pair.how for pair in match.pairs}
    if not match.complete():
        ours, theirs = _shapes(source), _shapes(target)
        same = {key: kept(key, shape) for key, shape in theirs.items() if ours.get(key) == shape}
        values, how = values | same, how | dict.fromkeys(same, "name")
        for tie in match.ambiguous if contents else []:
            alike = _held_alike(tie, source, target, values)
            values, how = values | alike, how | dict.fromkeys(alike, "content")
    found.pairs = [Paired(key, values[key], how.get(key, "name")) for key in _shapes(target) if key in values]
    _sort_leftovers(found, match, {name for value in values.values() for name in value.sources})
    if found.missing or found.unused or found.misfits:
        found.differences = finder.differences()
    return found


def _unwrapped(target: Side) -> Side:
    """The target, known by its names without what wraps them all (`module.`) too; of a source, a match knows that."""
    layers = target.layers
    namings = {
        wrapper: {name: f"{name}.".removeprefix(wrapper)[:-1] for name in layers}
        for wrapper in unwrapped(_shapes(target))
    }
    return replace(target, namings={**target.namings, **namings})


def _held_alike(tie: Tie, source: Side, target: Side, placed: Mapping[str, Value]) -> dict[str, Value]:
    """The tensors of those tied layers that hold the same, of layers that nothing is placed in or taken from yet."""
    ours, theirs = source.arrays, target.arrays
    assert isinstance(ours, Tensors) and isinstance(theirs, Tensors), "the sides of files"
    used = {name for value in placed.values() for name in value.sources}
    free = Tie(
        tuple(name for name in tie.sources if not used & _keys(source, [name])),
        tuple(name for name in tie.targets if not placed.keys() & _keys(target, [name])),
        tie.reason,
    )
    values: dict[str, Value] = {}
    for to, place in by_content(free, source, target, ours, theirs).items():
        values |= carry(source.layers[place], target.layers[to]).values
    return {key: value for key, value in values.items() if value.sources}


def _sort_leftovers(found: Pairing, match: Match, used: set[str]) -> None:
    """Everything that has no counterpart: excused, tied, of another shape, or really missing."""
    placed = {pair.key for pair in found.pairs}
    ours = [key for key in _shapes(found.source) if key not in used]
    theirs = [key for key in _shapes(found.target) if key not in placed]
    found.excused[0].update(_aliased(found.source, used) | _counters(found.source, used))
    dropped = {key: match.dropped.get(key, ONLY_PYTORCH) for key in ours}
    found.excused[0].update({key: why for key, why in dropped.items() if why != ONLY_PYTORCH})
    found.excused[1].update(_aliased(found.target, placed) | _counters(found.target, placed))
    ours = [key for key in ours if key not in found.excused[0]]
    theirs = [key for key in theirs if key not in found.excused[1]]
    found.misfits = [key for key in ours if key in theirs]
    for tie in match.ambiguous:
        tied, others = _keys(found.source, tie.sources), _keys(found.target, tie.targets)
        if tied & set(ours) and others & set(theirs):
            found.ties.append(tie)
            ours = [key for key in ours if key not in tied]
            theirs = [key for key in theirs if key not in others]
    found.unused = [key for key in ours if key not in found.misfits]
    found.missing = [key for key in theirs if key not in found.misfits]


def _counters(side: Side, placed: set[str]) -> dict[str, str]:
    """PyTorch's counters without a counterpart, in layers whose other tensors have one."""
    layers = [{t.key for t in layer.tensors.values()} for layer in side.layers.values()]
    return {
        key: ONLY_PYTORCH
        for keys in layers
        for key in keys - placed
        if _is_counter(key) and keys & placed and keys - placed == {key}
    }


def _aliased(side: Side, placed: set[str]) -> dict[str, str]:
    """Further names of tensors that have a counterpart under their first."""
    return {
        key: f"another name of {first}" for key, first in side.aliases.items() if first in placed and key not in placed
    }


def _is_counter(key: str) -> bool:
    return key.rpartition(".")[2] == COUNTER


def _keys(side: Side, layers: Iterable[str]) -> set[str]:
    return {tensor.key for name in layers for tensor in side.layers[name].tensors.values()}


def _shapes(side: Side) -> dict[str, Shape]:
    return {t.key: t.shape for layer in side.layers.values() for t in layer.tensors.values()}
