"""Layers that have the same name on both sides, in one of the namings that the target is known under."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from twinzoo.converters.layers import Layer, unwrapped
from twinzoo.converters.matching.proposal import Proposal, Target
from twinzoo.converters.matching.views import INSTANCE_NORM

_COUNTER = "num_batches_tracked"


def by_names(layers: Mapping[str, Layer], target: Target) -> Iterator[Proposal]:
    """One proposal for each known naming and each prefix that wraps all the keys (`module.`)."""
    keys = [tensor.key for layer in layers.values() for tensor in layer.tensors.values()]
    for wrapper in unwrapped(keys):
        inner = {f"{name}.".removeprefix(wrapper).removesuffix("."): name for name in layers}
        for naming, prefixes in target.namings.items():
            places = {
                layer: (inner[prefix], "name")
                for layer, prefix in prefixes.items()
                if prefix in inner and layer in target.layers
            }
            yield Proposal(naming, places)


def idle_norms(layers: Mapping[str, Layer], target: Target, proposal: Proposal) -> set[str]:
    """Source layers with statistics of an instance norm, which uses none: PyTorch before 0.4.1 saved them.

    They stand alone where the target's norm has no tensors, and beside gain and offset where it has these. A counter
    beside those is of a later norm, which may use its statistics: then they stay.
    """
    known = target.namings.get(proposal.naming, {})
    prefixes = {prefix for layer, prefix in known.items() if layer not in target.layers}
    alone = {
        name
        for name, layer in layers.items()
        if layer.only_statistics and any(f".{name}".endswith(f".{prefix}") for prefix in prefixes)
    }
    beside = {
        name
        for place, (name, _) in proposal.places.items()
        if target.layers[place].kind == INSTANCE_NORM and _COUNTER not in layers[name].tensors
    }
    return alone | beside
