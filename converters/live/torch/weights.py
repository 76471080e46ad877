"""Which of the model's own tensors an operation uses as weights, and in which roles."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from twinzoo.converters.live import Computed
from twinzoo.converters.live.norms import is_norm
from twinzoo.converters.live.spool import loaded
from twinzoo.converters.live.torch.layering import Layers
from twinzoo.converters.live.torch.nodes import Node, Source, made_before


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
        if not made.key and not is_norm(role, named):
            attrs[f"{role}_from"] = _derivation(made)
    return keys, attrs


def computed_of(node: Node) -> Iterator[Computed]:
    """The weights of an operation that were computed, with their values and gradients as far as these were kept."""
    for role, (made, output) in node.weights.items():
        if made.value is not None and not made.key and output == 0:
            gradient = None if made.gradient is None else loaded(made.gradient)
            yield Computed(role, made.sources, loaded(made.value), gradient)


def _derivation(node: Node) -> Hashable:
    """The functions by which a weight is computed, in order."""
    steps = made_before(node, lambda made: not made.key)
    return tuple((made.kind, *sorted((name, str(value)) for name, value in made.attrs.items())) for made in steps)
