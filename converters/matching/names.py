"""Layers that have the same name on both sides, in one of the namings that the target is known under."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from twinzoo.converters.layers import Layer, unwrapped
from twinzoo.converters.matching.proposal import Proposal, Target


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


def idle_norms(layers: Mapping[str, Layer], target: Target, naming: str) -> set[str]:
    """Source layers of statistics that stand where the target has a norm without tensors: an instance norm of 2017."""
    prefixes = {prefix for layer, prefix in target.namings.get(naming, {}).items() if layer not in target.layers}
    return {
        name
        for name, layer in layers.items()
        if layer.only_statistics and any(f".{name}".endswith(f".{prefix}") for prefix in prefixes)
    }
