"""The two sides of a conversion, whatever they were given as: layers, element types, values, and the flow of data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.converters import files
from twinzoo.converters.graph import Graph
from twinzoo.converters.layers import Layer, Shape, Tensor, layers_of
from twinzoo.converters.live import Trace, framework_of, live, spec_of
from twinzoo.converters.matching.names import by_names
from twinzoo.converters.matching.proposal import Target
from twinzoo.converters.matching.tensors import Match, matched
from twinzoo.converters.spec_graph import graph_of_spec, layers_of_spec
from twinzoo.converters.targets import published
from twinzoo.zoo import registry
from twinzoo.zoo.errors import ConversionError, IncompleteConversionError
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.text import spec_from_text

Array = NDArray[Any]
DTypes = Mapping[str, np.dtype[Any]]


@dataclass
class Side:
    """One side of a conversion.

    Attributes:
        title: what it is, in words.
        layers: by the prefix of their keys, or the node of the spec.
        dtypes: by key.
        arrays: values by key; a spec has none.
        namings: the ways its layers may be named, layer -> prefix.
        spec: what it was built from, None for a model of somebody else's and for files.
        model: the live model, None for files and specs.
        aliases: key -> the first key of the same tensor.
        left_out: keys that are no weights, with the reason.
        problem: why the flow of data is not known, empty where it is or was not asked for.
        keys_of_model: key of the model or spec -> key here, where the graph is under the model's own names.
    """

    title: str
    layers: Mapping[str, Layer]
    dtypes: DTypes
    arrays: Mapping[str, Array] = field(default_factory=dict)
    namings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    spec: Spec | None = None
    model: Any = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    keys_of_model: Mapping[str, str] = field(default_factory=dict)
    _graph: Graph | None = None

    def graph(self, inputs: Any = None) -> Graph | None:
        """The flow of data under this side's layer names, None where it cannot be found out."""
        if self._graph is None and not self.problem:
            self._graph = self._found_graph(inputs)
        return self._graph

    def _found_graph(self, inputs: Any) -> Graph | None:
        if self.spec is not None:
            return self._renamed(graph_of_spec(self.spec))
        if self.model is None:
            self.problem = "only keys and shapes are known"
            return None
        try:
            return self._renamed(self.trace(inputs).graph)
        except ConversionError as error:
            self.problem = str(error)
            return None

    def trace(self, inputs: Any = None, *, values: bool = False) -> Trace:
        """A run of the live model."""
        return live(self.model).trace(self.model, inputs, values=values)

    def state_for_model(self) -> dict[str, Array]:
        """The values of a checkpoint under the keys of the live model that it belongs to; nothing for a live source."""
        if self.model is None or self.spec is not None:
            return {}
        return {theirs: self.arrays[ours] for theirs, ours in self.keys_of_model.items()}

    def _renamed(self, graph: Graph) -> Graph:
        shapes = {t.key: t.shape for layer in self.layers.values() for t in layer.tensors.values()}
        return renamed(graph, self.keys_of_model, shapes) if self.keys_of_model else graph

    def target(self) -> Target:
        """As what is to be filled, in order of execution where that is known."""
        layers = dict(self._graph.layers) if self._graph else dict(self.layers)
        executed = self.spec is not None
        if self._graph is not None:
            calls = dict.fromkeys(op.layer for op in self._graph.operations if op.layer)
            layers = {name: layers[name] for name in calls} | layers
            executed = True
        return Target(self.title, layers, self.namings, executed)


def renamed(graph: Graph, keys: Mapping[str, str], shapes: Mapping[str, Shape]) -> Graph:
    """A model's graph under the keys that a file has for its tensors, its layers under what these have in common.

    Args:
        keys: the model's key -> the file's; tensors that the file has not are left out of their layers.
        shapes: of the file's tensors.
    """
    layers: dict[str, Layer] = {}
    names: dict[str, str] = {}
    for name, layer in graph.layers.items():
        own = {role: keys[tensor.key] for role, tensor in layer.tensors.items() if tensor.key in keys}
        names[name] = _common_prefix(own.values())
        tensors = {role: Tensor(key, role, shapes[key]) for role, key in own.items()}
        layers[names[name]] = Layer(names[name], tensors, layer.kind)
    operations = tuple(replace(op, layer=names.get(op.layer, "")) for op in graph.operations)
    return Graph(graph.title, layers, operations)


def _common_prefix(keys: Iterable[str]) -> str:
    """What a layer's keys have in common, up to a dot: the shortest prefix; all of them where they have none."""
    prefixes = sorted({key.rpartition(".")[0] for key in keys}, key=len)
    alike = prefixes and all(f"{prefix}.".startswith(f"{prefixes[0]}.") for prefix in prefixes)
    return prefixes[0] if alike and prefixes[0] else "+".join(keys)


def source_side(source: Any, source_model: Any = None, select: str = "") -> Side:
    """What is converted: a path, a mapping of arrays, or a live model.

    Raises:
        ConversionError: it is something else, or `source_model` is not the network that the checkpoint belongs to.
    """
    if isinstance(source, (str, PathLike)):
        side = file_side(Path(source), select)
    elif framework_of(source):
        side = live_side(source)
    elif isinstance(source, Mapping):
        side = _mapping_side({str(key): np.asarray(value) for key, value in source.items()})
    else:
        raise ConversionError(f"source: must be a path, a mapping of arrays or a model, got {type(source).__name__}")
    return side if source_model is None else _with_model(side, source_model)


def target_side(target: Any, source: Side) -> Side:
    """What is filled: a spec or a model's name, a live model, a checkpoint used as a template, or the source's keys.

    Raises:
        ConversionError: it is something else.
    """
    if target is None:
        return Side("the same keys", source.layers, source.dtypes, namings=_own_names(source.layers))
    if isinstance(target, Spec) or is_model_name(target):
        return spec_side(target if isinstance(target, Spec) else spec_from_text(target))
    if framework_of(target):
        return live_side(target)
    if isinstance(target, (str, PathLike)):
        return file_side(Path(target))
    raise ConversionError(f"target: must be a spec, a model's name, a model or a path, got {type(target).__name__}")


def is_model_name(value: Any) -> bool:
    """Whether a text names a model rather than a file."""
    return isinstance(value, str) and not Path(value).suffix and not Path(value).exists()


def spec_side(spec: Spec) -> Side:
    """A spec of the zoo, under its own names and all its published ones."""
    options = ", ".join(f"{name}={value}" for name, value in spec.options.items())
    dtypes = {name: np.dtype(np.float32) for name in spec.params}
    layers = layers_of_spec(spec)
    namings = {"twinzoo": {name: name for name in layers}, **published(spec)}
    return Side(f"{spec.name}({options})", layers, dtypes, namings=namings, spec=spec)


def file_side(path: Path, select: str = "") -> Side:
    """A checkpoint, its optimizer's state left out."""
    checkpoint = files.selected(files.read(path), select) if select else files.read(path)
    entries = {key: entry for key, entry in checkpoint.entries.items() if key not in checkpoint.optimizer}
    layers = layers_of({key: entry.shape for key, entry in entries.items()})
    return Side(
        path.name,
        layers,
        {key: entry.dtype for key, entry in entries.items()},
        checkpoint,
        _own_names(layers),
        aliases=checkpoint.aliases,
        left_out=dict.fromkeys(checkpoint.optimizer, "the state of an optimizer"),
    )


def live_side(model: Any) -> Side:
    """A live model, under its spec's names where it is a twin, else under its own."""
    functions = live(model)
    arrays = functions.arrays_of(model)
    spec = spec_of(model)
    aliases = functions.aliases_of(model)
    own = {key: value for key, value in arrays.items() if key not in aliases}
    layers = layers_of({key: value.shape for key, value in own.items()})
    dtypes = {key: value.dtype for key, value in own.items()}
    title = f"a {type(model).__name__}"
    namings = _own_names(layers) | (published(spec) if spec else {})
    side = Side(title, layers, dtypes, arrays, namings, spec, model, aliases)
    return replace(side, keys_of_model=_keys_in(side, spec_side(spec))[1]) if spec else side


def _mapping_side(arrays: Mapping[str, Array]) -> Side:
    layers = layers_of({key: value.shape for key, value in arrays.items()})
    dtypes = {key: value.dtype for key, value in arrays.items()}
    return Side(f"a mapping of {len(arrays)} arrays", layers, dtypes, arrays, _own_names(layers))


def _own_names(layers: Iterable[str]) -> dict[str, dict[str, str]]:
    return {"target": {name: name for name in layers}}


def _with_model(side: Side, model: Any) -> Side:
    """A checkpoint whose network is known: the keys must be the model's, in any of its namings."""
    if isinstance(model, Spec) or is_model_name(model):
        known = spec_side(model if isinstance(model, Spec) else spec_from_text(model))
    elif framework_of(model):
        known = live_side(model)
    else:
        raise ConversionError(f"source_model: must be a spec, a model's name or a model, got {type(model).__name__}")
    match, keys = _keys_in(side, known)
    if not match.complete():
        raise IncompleteConversionError(
            f"source_model: {known.title} is not the network of {side.title}: {len(match.missing)} of its tensors are "
            f"not in the checkpoint, {len(match.unused)} of the checkpoint's are not in it: give the one that was saved"
        )
    spec = known.spec if known.model is None else None  # a live model's graph is under its own keys, a twin's too
    return replace(side, spec=spec, model=known.model, keys_of_model=keys)


def _keys_in(side: Side, known: Side) -> tuple[Match, dict[str, str]]:
    """The best match by names of a known network's tensors, and key of the network -> key here."""
    target = known.target()
    found = [matched(proposal, side.layers, target.layers) for proposal in by_names(side.layers, target)]
    best = max(found, key=lambda match: (match.complete(), len(match.pairs)))
    return best, {pair.target: pair.source for pair in best.pairs}


def known_model(side: Side) -> Side:
    """The side with the graph of the zoo's model whose published names its keys have, if there is one."""
    registry.load()
    for name in registry.MODELS:
        known = spec_side(registry.spec(name))
        match, keys = _keys_in(side, known)
        if match.complete():
            return replace(side, spec=known.spec, keys_of_model=keys, problem="")
    return side
