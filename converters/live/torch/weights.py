"""Which of the model's own tensors an operation uses as weights, and in which roles."""

from __future__ import annotations

from collections.abc import Hashable

from twinzoo.converters.live.torch.layering import Layers
from twinzoo.converters.live.torch.nodes import Node, Source, made_before

_NORM_PARTS = ("g", "v", "orig", "u")
"""What the roles of tensors that a weight or spectral norm is computed from end in."""


def is_own(source: Source) -> bool:
    """Whether a tensor was made of the model's own alone, be it one of them."""
    return not source[0].live and bool(source[0].sources)


def keys_of(node: Node, layers: Layers) -> tuple[dict[str, str], dict[str, Hashable]]:
    """The model's tensors that an operation uses by their roles, and how a weight is computed from them.

    A weight that is computed from one tensor has that tensor in its role; one from several has them in the roles that
    their names say. How is an attribute (`weight_from`), but for weight and spectral norms, which can be folded.
    """
    if node.key:
        return {"weight": node.key}, {}
    keys: dict[str, str] = {}
    attrs: dict[str, Hashable] = {}
    for role, (made, _) in node.weights.items():
        named = [layers.role(key) for key in made.sources]
        roles = [role] if len(named) == 1 else named
        keys |= {r if r not in keys else key: key for r, key in zip(roles, made.sources, strict=True)}
        norm = {f"{role}_{part}" for part in _NORM_PARTS}.issuperset(named)
        if not made.key and not norm:
            attrs[f"{role}_from"] = _derivation(made)
    return keys, attrs


def _derivation(node: Node) -> Hashable:
    """The functions by which a weight is computed, in order."""
    steps = made_before(node, lambda made: not made.key)
    return tuple((made.kind, *sorted((name, str(value)) for name, value in made.attrs.items())) for made in steps)
