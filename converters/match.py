"""Which tensor goes where: by names, by what only one place fits, by order; and what stays open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from twinzoo.converters.layers import Layer, Shape, layers_of, numbered_upwards, plain_shape, unwrapped
from twinzoo.converters.result import Pair, Tie


@dataclass(frozen=True)
class Slot:
    """A place for one tensor: its key, the layer it belongs to, its role there, its shape."""

    key: str
    layer: str
    role: str
    shape: Shape


@dataclass(frozen=True)
class Target:
    """What is to be filled.

    Attributes:
        title: what it is, in words.
        slots: in order of execution where that is known, else in the order of definition.
        namings: for each way a checkpoint may name the layers, layer -> prefix. Layers without a tensor of their own
            (norms without parameters) may be among them: old files carry unused statistics there.
        executed: whether the order of the slots is the order of execution.
    """

    title: str
    slots: tuple[Slot, ...]
    namings: Mapping[str, Mapping[str, str]]
    executed: bool = False

    @property
    def layers(self) -> dict[str, dict[str, Slot]]:
        """The slots by layer and role, in order."""
        layers: dict[str, dict[str, Slot]] = {}
        for slot in self.slots:
            layers.setdefault(slot.layer, {})[slot.role] = slot
        return layers


@dataclass
class Match:
    """A proposal: pairs, and everything that is left over."""

    naming: str = ""
    pairs: list[Pair] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    ambiguous: list[Tie] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    misfits: dict[str, str] = field(default_factory=dict)
    """Missing target keys whose counterpart is there with another shape, in words."""

    def open(self, allow: Iterable[str]) -> tuple[list[str], list[str]]:
        """The missing and the unused keys that no pattern allows."""
        patterns = tuple(allow)

        def kept(keys: list[str]) -> list[str]:
            return [key for key in keys if not any(fnmatchcase(key, pattern) for pattern in patterns)]

        return kept(self.missing), kept(self.unused)


def match(shapes: Mapping[str, Shape], target: Target, allow: Iterable[str] = ()) -> Match:
    """Find a place for each tensor.

    Args:
        shapes: the source's keys in file order, and their shapes.
        allow: patterns of keys that may stay without a counterpart.
    """
    allow = tuple(allow)
    named = list(_named(shapes, target))
    whole = [m for m in named if not any(m.open(allow))]
    if whole:
        return _agreed(whole)
    layers = layers_of(shapes)
    ordered = _by_signature(layers, target)
    if not any(ordered.open(allow)):
        return ordered
    return max([*named, ordered], key=lambda m: (len(m.pairs), -len(m.unused)))


def _named(shapes: Mapping[str, Shape], target: Target) -> Iterable[Match]:
    """One proposal for each known naming and wrapper."""
    for wrapper in unwrapped(shapes):
        inner = {key[len(wrapper) :]: shape for key, shape in shapes.items()}
        layers = layers_of(inner)
        for naming, prefixes in target.namings.items():
            yield _by_name(layers, target, naming, prefixes, wrapper)


def _by_name(
    layers: Mapping[str, Layer], target: Target, naming: str, prefixes: Mapping[str, str], wrapper: str
) -> Match:
    found = Match(naming)
    used: set[str] = set()
    for slot in target.slots:
        layer = layers.get(prefixes.get(slot.layer, ""))
        tensor = layer.tensors.get(slot.role) if layer else None
        if tensor is None or change_of_shape(tensor.shape, slot.shape) is None:
            found.missing.append(slot.key)
            if tensor is not None:
                found.misfits[slot.key] = f"{wrapper + tensor.key} is {tensor.shape}, the target needs {slot.shape}"
            continue
        found.pairs.append(Pair(wrapper + tensor.key, slot.key, slot.shape, "name"))
        used.add(tensor.key)
    known = {prefix: name for name, prefix in prefixes.items()}
    owners = target.layers
    for layer in layers.values():
        for tensor in layer.tensors.values():
            if tensor.key in used:
                continue
            reason = _droppable(layer, tensor.role, known.get(layer.prefix), owners)
            if reason:
                found.dropped[wrapper + tensor.key] = reason
            else:
                found.unused.append(wrapper + tensor.key)
    return found


def _droppable(layer: Layer, role: str, node: str | None, owners: Mapping[str, Mapping[str, Slot]]) -> str:
    """Why a tensor that has no place may be left out, or nothing."""
    if role == "num_batches_tracked" and "running_mean" in layer.tensors:
        return "a counter that only PyTorch keeps"
    if node is not None and node not in owners and layer.only_statistics:
        return "statistics of an instance norm, which uses none"
    return ""


def change_of_shape(source: Shape, target: Shape) -> str | None:
    """What makes a tensor fit: nothing (the empty text), one axis of 1 more or less, or None: it does not fit."""
    if source == target:
        return ""
    if plain_shape(source) == target:
        return "axis 2 removed"
    if plain_shape(target) == source:
        return "axis 2 added"
    return None


def _agreed(whole: list[Match]) -> Match:
    """The proposal that all complete ones agree on, or a tie between them."""
    first = whole[0]
    for other in whole[1:]:
        differing = sorted(set(other.pairs) ^ set(first.pairs))
        if {p[:2] for p in other.pairs} != {p[:2] for p in first.pairs}:
            reason = f"the {first.naming} and the {other.naming} naming both fit and disagree"
            tie = Tie(tuple({p.source: 0 for p in differing}), tuple({p.target: 0 for p in differing}), reason)
            return Match(first.naming, first.pairs, ambiguous=[tie], dropped=first.dropped)
    return first


def _by_signature(layers: Mapping[str, Layer], target: Target) -> Match:
    """Layers alike in roles and shapes: a single one on each side is certain, several are told apart by order."""
    found = Match()
    sources: dict[tuple[tuple[str, Shape], ...], list[Layer]] = {}
    for layer in layers.values():
        sources.setdefault(layer.signature, []).append(layer)
    targets: dict[tuple[tuple[str, Shape], ...], list[str]] = {}
    owners = target.layers
    wanted = [tuple(sorted((s.role, plain_shape(s.shape)) for s in slots.values())) for slots in owners.values()]
    for name, signature in zip(owners, wanted, strict=True):
        targets.setdefault(signature, []).append(name)
    aligned = [layer.signature for layer in layers.values()] == wanted
    for signature, names in targets.items():
        alike = sources.pop(signature, [])
        if len(alike) != len(names):
            found.missing += [slot.key for name in names for slot in owners[name].values()]
            found.unused += [tensor.key for layer in alike for tensor in layer.tensors.values()]
            continue
        _pair_layers(found, alike, names, target, aligned)
    for layer in (layer for group in sources.values() for layer in group):
        found.unused += [tensor.key for tensor in layer.tensors.values()]
    return found


def _pair_layers(found: Match, alike: list[Layer], names: list[str], target: Target, aligned: bool) -> None:
    owners = target.layers
    reason = _doubt(alike, names, target, aligned)
    if reason:
        found.ambiguous.append(Tie(tuple(layer.prefix for layer in alike), tuple(names), reason))
    for layer, name in zip(alike, names, strict=True):
        slots = owners[name]
        for tensor in layer.tensors.values():
            if tensor.role not in slots:
                found.dropped[tensor.key] = "a counter that only PyTorch keeps"
                continue
            slot = slots[tensor.role]
            assert change_of_shape(tensor.shape, slot.shape) is not None, "equal signatures fit"
            how = "graph" if len(names) == 1 else "order"
            found.pairs.append(Pair(tensor.key, slot.key, slot.shape, how))


def _doubt(alike: list[Layer], names: list[str], target: Target, aligned: bool) -> str:
    """Why order does not tell these layers apart, or nothing where it does.

    Order of definition alone is a guess: it is believed where all layers, not only the alike ones, come in the target's
    order, and the names are numbered in that order too.
    """
    if len(names) == 1:
        return ""
    if not aligned:
        return "alike in kind and shape; the source's layers as a whole come in another order than the target's"
    if not numbered_upwards(layer.prefix for layer in alike):
        return "alike in kind and shape; the source's names are not numbered in its order"
    if not target.executed and not numbered_upwards(names):
        return "alike in kind and shape; the target's names are not numbered in its order"
    return ""
