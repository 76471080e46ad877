"""Where only key lists are known: a layer that is the only one of its shapes, and alike layers by their order."""

from __future__ import annotations

from collections.abc import Mapping

from twinzoo.converters.forms import plain
from twinzoo.converters.layers import Layer, numbered_upwards
from twinzoo.converters.matching.proposal import Proposal, Target, all_allowed
from twinzoo.converters.result import Tie

_Groups = dict[object, list[str]]


def by_order(layers: Mapping[str, Layer], target: Target, allow: tuple[str, ...]) -> Proposal:
    """Layers alike in roles and shapes: a single one on each side is certain, several are told apart by order.

    Order of definition alone is a guess: it is believed where all layers, not only the alike ones, come in the target's
    order, and the names are numbered in that order too.
    """
    found = Proposal()
    sources, targets = _kept(layers, target.layers, allow), _kept(target.layers, layers, allow)
    aligned = [plain(layer).signature for layer in sources.values()] == [
        plain(layer).signature for layer in targets.values()
    ]
    groups, wanted = _groups(sources), _groups(targets)
    for signature, names in wanted.items():
        alike = groups.get(signature, [])
        if len(alike) != len(names):
            continue
        reason = _doubt(alike, names, target, aligned)
        if reason:
            found.ambiguous.append(Tie(tuple(alike), tuple(names), reason))
            continue
        how = "graph" if len(names) == 1 else "order"
        found.places |= {name: (source, how) for source, name in zip(alike, names, strict=True)}
    return found


def _kept(layers: Mapping[str, Layer], others: Mapping[str, Layer], allow: tuple[str, ...]) -> dict[str, Layer]:
    """The layers but those that may be left out and have no counterpart."""
    known = {plain(layer).signature for layer in others.values() if not all_allowed(layer, allow)}
    return {
        name: layer
        for name, layer in layers.items()
        if not all_allowed(layer, allow) or plain(layer).signature in known
    }


def _groups(layers: Mapping[str, Layer]) -> _Groups:
    groups: _Groups = {}
    for name, layer in layers.items():
        groups.setdefault(plain(layer).signature, []).append(name)
    return groups


def _doubt(alike: list[str], names: list[str], target: Target, aligned: bool) -> str:
    """Why order does not tell these layers apart, or nothing where it does."""
    if len(names) == 1:
        return ""
    if not aligned:
        return "alike in kind and shape; the source's layers as a whole come in another order than the target's"
    if not numbered_upwards(alike):
        return "alike in kind and shape; the source's names are not numbered in its order"
    if not target.executed and not numbered_upwards(names):
        return "alike in kind and shape; the target's names are not numbered in its order"
    return ""
