"""Published key names: which key of somebody's checkpoint holds which tensor of a spec."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.registry import entry
from twinzoo.zoo.spec import Spec


@dataclass(frozen=True)
class ExtraKey:
    """A key that may be in a published file although no tensor of the spec stands for it.

    Attributes:
        node: the norm that it belongs to.
        shape: () for a `num_batches_tracked` (int64), (C,) for statistics (float32).
        current: True for the counter of a batch norm, which PyTorch writes since 0.4.1: drop it when reading, write 0.
            False for what files of 2017-18 carry for parameter-free instance norms: drop it, never write it.
    """

    node: str
    shape: tuple[int, ...]
    current: bool


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


def published_keys(spec: Spec, naming: str) -> dict[str, str]:
    """Spec parameter name -> published key, one for each of `spec.params`, in the order of the published file.

    `down2_conv.weight` -> `model.model.1.model.1.weight`. Buffers that have values of their own (running statistics,
    blur filters) are included; what has none is left to `extra_keys`. Roles are PyTorch's words in both.

    Raises:
        SpecError: see `prefixes`.
    """
    paths = prefixes(spec, naming).items()
    return {f"{node}.{role}": f"{path}.{role}" for node, path in paths for role in spec.nodes[node].params}


def extra_keys(spec: Spec, naming: str) -> dict[str, ExtraKey]:
    """Published key -> what it is, for each key that a published file may have beyond `published_keys`.

    Raises:
        SpecError: see `prefixes`.
    """
    extra: dict[str, ExtraKey] = {}
    for name, path in prefixes(spec, naming).items():
        node = spec.nodes[name]
        if node.op == "batch_norm":
            extra[f"{path}.num_batches_tracked"] = ExtraKey(name, (), current=True)
        if node.op == "instance_norm":
            channels = node.inputs[0].shape[1]
            assert isinstance(channels, int)
            for statistic in ("running_mean", "running_var"):
                extra[f"{path}.{statistic}"] = ExtraKey(name, (channels,), current=False)
            extra[f"{path}.num_batches_tracked"] = ExtraKey(name, (), current=False)
    return extra


def file_keys(spec: Spec, naming: str) -> dict[str, tuple[int, ...]]:
    """Key -> shape of every tensor in a file that today's published code writes, in its order.

    Raises:
        SpecError: see `prefixes`.
    """
    keys = published_keys(spec, naming)
    shapes = {keys[name]: param.shape for name, param in spec.params.items()}
    counters = {key: extra.shape for key, extra in extra_keys(spec, naming).items() if extra.current}
    order = list(prefixes(spec, naming).values())
    return dict(sorted((shapes | counters).items(), key=lambda item: order.index(item[0].rpartition(".")[0])))
