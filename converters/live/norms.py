"""Weights that a layer computes from others of its own: how a weight norm or a spectral norm is told by its roles."""

from __future__ import annotations

from collections.abc import Iterable

_PARTS = ("g", "v", "orig", "bar", "u")


def is_norm(role: str, sources: Iterable[str]) -> bool:
    """Whether a weight is computed from what a weight norm, or a spectral norm, keeps for it, by the roles of those."""
    return {f"{role}_{part}" for part in _PARTS}.issuperset(sources)
