"""Published names: where somebody's model keeps each node of a spec."""

from __future__ import annotations

from collections.abc import Iterable

from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.registry import entry
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.graph import Node


def sequential(path: str, nodes: Iterable[str]) -> dict[str, str]:
    """The module paths, `path.0`, `path.1` ..., of nodes that are in this order the modules of a PyTorch Sequential."""
    return {node: f"{path}.{index}" for index, node in enumerate(nodes)}


def module_paths(spec: Spec, naming: str) -> dict[str, str]:
    """Node -> module path in the published model, in the published order; parameter-free layers too where known.

    A node of a called network is named `role.node`.

    Raises:
        SpecError: the model has no naming of that name, or the naming leaves out a layer that has parameters.
    """
    namings = entry(spec.name).namings
    if naming not in namings:
        raise SpecError(f"{spec.name}: naming {naming!r}: must be one of {', '.join(namings) or 'none'}")
    nodes = _all_nodes(spec)
    known = {node: path for node, path in namings[naming](**spec.options).items() if node in nodes}
    for name, node in nodes.items():
        if node.params and name not in known:
            raise SpecError(f"{spec.name}: naming {naming!r}: has no name for {name} ({node.op})")
    return known


def prefixes(spec: Spec, naming: str) -> dict[str, str]:
    """Of `module_paths`, those under which a file may have tensors: of layers with parameters, and of instance norms.

    Instance norms without parameters are among them because files of 2017 and 2018 have running statistics there.

    Raises:
        SpecError: as `module_paths`.
    """
    nodes = _all_nodes(spec)
    known = module_paths(spec, naming)
    return {name: path for name, path in known.items() if nodes[name].params or nodes[name].op == "instance_norm"}


def _all_nodes(spec: Spec) -> dict[str, Node]:
    """The nodes by name, those of called networks as `role.node`."""
    nodes = dict(spec.nodes)
    for role in spec.roles.values():
        nodes |= {f"{role.name}.{name}": node for name, node in _all_nodes(role.spec).items()}
    return nodes
