"""Which models of the zoo a checkpoint belongs to, by the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from twinzoo.converters.layers import Layer
from twinzoo.converters.matching.names import by_names, idle_norms
from twinzoo.converters.matching.tensors import matched
from twinzoo.converters.sides import spec_side
from twinzoo.zoo import registry


class Fit(NamedTuple):
    """A model, at its default options, that the layers fill without a gap.

    Attributes:
        kinds: layer -> the op that it is in the model.
    """

    model: str
    naming: str
    kinds: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.model} ({self.naming} naming)"


def fitting(layers: Mapping[str, Layer]) -> Iterator[Fit]:
    """Every model of the zoo that holds exactly these tensors under one of its namings."""
    registry.load()
    for name in registry.MODELS:
        target = spec_side(registry.spec(name)).target()
        for proposal in by_names(layers, target):
            idle = idle_norms(layers, target, proposal)
            if matched(proposal, layers, target.layers, idle).complete():
                kinds = {source: target.layers[layer].kind for layer, (source, _) in proposal.places.items()}
                yield Fit(name, proposal.naming, kinds)
                break
