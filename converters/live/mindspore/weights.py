"""Which of the model's own tensors an operation's weights are computed from, and in which roles they are."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from twinzoo.converters.live import Computed
from twinzoo.converters.live.mindspore.layering import Layers
from twinzoo.converters.live.mindspore.nodes import Node
from twinzoo.converters.live.norms import is_norm
from twinzoo.converters.live.spool import loaded


def keys_of(node: Node, layers: Layers) -> tuple[dict[str, str], dict[str, Hashable]]:
    """The tensors that an operation's weights are computed from by their roles, and how a weight is computed.

    A weight from one tensor has that tensor in its role; one from several has them in the roles that their names say.
    How is an attribute (`weight_from`), but for weight and spectral norms, which can be folded.
    """
    keys: dict[str, str] = {}
    attrs: dict[str, Hashable] = {}
    for role, made in node.computed.items():
        named = [layers.role(key) for key in made.sources]
        roles = [role] if len(named) == 1 else named
        keys |= {r if r not in keys else key: key for r, key in zip(roles, made.sources, strict=True)}
        if not is_norm(role, named):
            attrs[f"{role}_from"] = _derivation(made)
    return keys, attrs


def computed_of(node: Node) -> Iterator[Computed]:
    """The weights of an operation that were computed, with their values and gradients as far as these were kept."""
    for role, made in node.computed.items():
        if made.value is not None:
            gradient = None if made.gradient is None else loaded(made.gradient)
            yield Computed(role, made.sources, loaded(made.value), gradient)


def _derivation(node: Node) -> Hashable:
    """The functions by which a weight is computed, in order."""
    steps: list[Node] = []
    todo = [node]
    while todo:
        made = todo.pop()
        if made.operands and made not in steps:
            steps.append(made)
            todo += [source for source, _ in made.operands]
    return tuple((made.kind, *sorted((name, str(value)) for name, value in made.attrs.items())) for made in steps[::-1])
