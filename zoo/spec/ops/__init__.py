"""The op table, filled by one file per kind of op."""

from twinzoo.zoo.spec.ops import layers, losses, pointwise, reductions, spatial, spectral, structure

__all__ = ["layers", "losses", "pointwise", "reductions", "spatial", "spectral", "structure"]
