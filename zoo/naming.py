"""Published names: where somebody's model keeps each node of a spec."""

from __future__ import annotations

from collections.abc import Iterable

from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.registry import entry
from twinzoo.zoo.spec import Spec


def sequential(path: str, nodes: Iterable[str]) -> dict[str, str]:
    """The module paths, `path.0`, `path.1` ..., of nodes that are in this order the modules of a PyTorch Sequential."""
    return {node: f"{path}.{index}" for index, node in enumerate(nodes)}


def prefixes(spec: Spec, naming: str) -> dict[str, str]:
    """Node -> module path in the published model, in the published order; parameter-free layers too where known.

    Raises:
        SpecError: the model has no naming of that name, or the naming leaves out a layer that has parameters.
    """
    namings = entry(spec.name).namings
    if naming not in namings:
        raise SpecError(f"{spec.name}: naming {naming!r}: must be one of {', '.join(namings) or 'none'}")
    known = {node: path for node, path in namings[naming](**spec.options).items() if node in spec.nodes}
    for node in spec.nodes.values():
        if node.params and node.name not in known:
            raise SpecError(f"{spec.name}: naming {naming!r}: has no name for {node.name} ({node.op})")
    return known
