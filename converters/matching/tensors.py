"""From layers in their places to tensors: which value each target key gets, and what is left over on either side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from twinzoo.converters.forms import Value, carry, idle, reordered
from twinzoo.converters.layers import STATISTICS, Layer
from twinzoo.converters.matching.proposal import Blocks, Proposal, allowed
from twinzoo.converters.result import Pair, Tie

COUNTER = "num_batches_tracked"
_COUNTER_DROPPED = "a counter that only PyTorch keeps"
_IDLE_NORM = "statistics of an instance norm, which uses none"
_UNUSED_AFFINE = "the gamma and beta of a norm that uses none"


@dataclass
class Match:
    """Every tensor of both sides: placed, open, or left out with a reason.

    Attributes:
        values: target key -> how its value is made.
        misfits: why a missing target key whose layer has its place could not be filled.
        constants: source keys that are left out because they hold this number everywhere: still to be looked at.
    """

    naming: str = ""
    pairs: list[Pair] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    ambiguous: list[Tie] = field(default_factory=list)
    symmetric: list[tuple[str, ...]] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    misfits: dict[str, str] = field(default_factory=dict)
    constants: dict[str, float] = field(default_factory=dict)

    def open(self, allow: Iterable[str] = ()) -> tuple[list[str], list[str]]:
        """The missing and the unused keys that no pattern allows."""
        patterns = tuple(allow)
        return (
            [key for key in self.missing if not allowed(key, patterns)],
            [key for key in self.unused if not allowed(key, patterns)],
        )

    def complete(self, allow: Iterable[str] = ()) -> bool:
        """Whether nothing is open or tied."""
        return not any(self.open(allow)) and not self.ambiguous


def matched(
    proposal: Proposal, sources: Mapping[str, Layer], targets: Mapping[str, Layer], statistics: Iterable[str] = ()
) -> Match:
    """The tensors of a proposal.

    Args:
        statistics: source layers that hold statistics of norms that use none.
    """
    found = Match(proposal.naming, ambiguous=list(proposal.ambiguous), symmetric=list(proposal.symmetric))
    for target, (source, how) in proposal.places.items():
        _place_layer(found, sources[source], targets[target], how)
    for name, blocks in proposal.blocks.items():
        _put_in_order(found, targets[name], blocks)
    for name in statistics:
        tensors = sources[name].tensors.values()
        found.dropped |= {tensor.key: _IDLE_NORM for tensor in tensors if tensor.role in STATISTICS}
    for name in proposal.idle_sources:
        found.constants |= idle(sources[name])
    found.dropped |= dict.fromkeys(found.constants, _UNUSED_AFFINE)
    for name in proposal.idle_targets:
        found.values |= {key: _full(targets[name], key, number) for key, number in idle(targets[name]).items()}
    tied = {name for tie in proposal.ambiguous for name in tie.sources}
    used = {pair.source for pair in found.pairs} | found.dropped.keys()
    for name, layer in sources.items():
        found.unused += [t.key for t in layer.tensors.values() if t.key not in used and name not in tied]
    tied = {name for tie in proposal.ambiguous for name in tie.targets}
    for name, layer in targets.items():
        found.missing += [t.key for t in layer.tensors.values() if t.key not in found.values and name not in tied]
    _drop_counters(found, sources)
    return found


def _place_layer(found: Match, source: Layer, target: Layer, how: str) -> None:
    carried = carry(source, target)
    for key, value in carried.values.items():
        found.values[key] = value
        found.pairs += [Pair(name, key, value.shape, how) for name in value.sources]
    found.dropped |= carried.dropped
    found.misfits |= carried.missing


def _full(layer: Layer, key: str, number: float) -> Value:
    shape = next(tensor.shape for tensor in layer.tensors.values() if tensor.key == key)
    words = f"made: {number:g} everywhere, as a norm without weights has it"
    return Value((), shape, words, lambda arrays: np.full(shape, number, np.float32))


def _put_in_order(found: Match, layer: Layer, blocks: Blocks) -> None:
    """Permute the input channels of a placed layer."""
    for tensor in layer.tensors.values():
        value = found.values.get(tensor.key)
        if value is not None and value.shape and (not blocks.roles or tensor.role in blocks.roles):
            found.values[tensor.key] = reordered(value, blocks.axis, blocks.sizes, blocks.order)


def _drop_counters(found: Match, sources: Mapping[str, Layer]) -> None:
    """Counters of layers without a place are no loss of their own."""
    counters = {
        layer.tensors[COUNTER].key
        for layer in sources.values()
        if COUNTER in layer.tensors and "running_mean" in layer.tensors
    }
    found.dropped |= {key: _COUNTER_DROPPED for key in found.unused if key in counters}
    found.unused = [key for key in found.unused if key not in counters]
