"""Any checkpoint or model into any other: read, match, refuse what is open, fill, write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.converters import files, live
from twinzoo.converters.layers import Shape, layers_of
from twinzoo.converters.match import Match, Target, change_of_shape, match
from twinzoo.converters.result import Conversion, Pair
from twinzoo.converters.targets import file_keys, keys_target, layer_of, spec_target
from twinzoo.zoo import registry
from twinzoo.zoo.errors import ConversionError
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.vocabulary import native_extras, native_names, parameter_ops, to_native

Array = NDArray[Any]
Load = Callable[[], Array]


class LazyState(Mapping[str, Array]):
    """Arrays by key, each made when it is asked for."""

    def __init__(self, loads: Mapping[str, Load]) -> None:
        self._loads = dict(loads)

    def __getitem__(self, key: str) -> Array:
        return self._loads[key]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._loads)

    def __len__(self) -> int:
        return len(self._loads)


@dataclass(frozen=True)
class _Source:
    title: str
    shapes: Mapping[str, Shape]
    dtypes: Mapping[str, np.dtype[Any]]
    arrays: Mapping[str, Array]


def convert(
    source: Any,
    target: Any = None,
    output: str | PathLike[str] | None = None,
    *,
    source_model: Any = None,
    inputs: Any = None,
    allow: tuple[str, ...] = (),
    naming: str | None = None,
) -> Conversion:
    """Carry the weights of `source` over to `target`, all of them or none.

    Args:
        source: a checkpoint's path, a mapping of arrays, or a live nn.Module or nn.Cell.
        target: a spec or the name of a model, a live nn.Module or nn.Cell (it is filled), a checkpoint's path used as a
            template, or None to keep the source's keys.
        output: where to write the result; the suffix picks the format (.pth .safetensors .ckpt .npz). A spec is written
            under MindSpore's names in a .ckpt and under PyTorch's elsewhere.
        source_model, inputs: reserved for matching by the source's graph.
        allow: patterns of keys (`classifier.*`) that may be missing from the source or unused by the target.
        naming: for a spec, the published naming to write `output` in.

    Returns:
        The pairs, leftovers and arrays by target key (spec names, where the target is a spec).

    Raises:
        ConversionError: something is missing, unused or ambiguous; nothing is filled or written then.
        CheckpointError: a file cannot be read or written.
    """
    if source_model is not None or inputs is not None:
        raise ConversionError("source_model, inputs: matching by a live source's graph is not there yet")
    if isinstance(allow, str):
        raise ConversionError(f"allow={allow!r}: must be a sequence of patterns")
    read = _read(source)
    goal, dtypes, spec = _goal(target, read)
    if naming is not None and (spec is None or output is None):
        raise ConversionError(f"naming={naming!r}: only for a spec that is written to an output")
    result = _matched(read, goal, dtypes, tuple(allow))
    framework = live.framework_of(target)
    if framework:
        live.live(target).assign(target, _native(result.state, spec, framework) if spec else result.state)
    if output is not None:
        written = result.state if spec is None else _written(result.state, spec, Path(output), naming)
        files.write(Path(output), written, {"twinzoo": "converted", "source": read.title, "target": goal.title})
    return result


def _matched(read: _Source, goal: Target, dtypes: Mapping[str, np.dtype[Any]], allow: tuple[str, ...]) -> Conversion:
    """The conversion, refused unless complete but for what `allow` allows."""
    found = match(read.shapes, goal, allow)
    fresh = _with_counters(found, read, dtypes)
    loads = {pair.target: _load(read, pair, dtypes[pair.target]) for pair in found.pairs}
    loads |= {key: _constant(np.zeros((), np.int64)) for key in fresh}
    result = Conversion(
        source=read.title,
        target=goal.title,
        naming=found.naming,
        pairs=found.pairs,
        missing=found.missing,
        unused=found.unused,
        ambiguous=found.ambiguous,
        dropped=found.dropped,
        changes=_changes(found.pairs, read, dtypes),
        misfits=found.misfits,
        allowed=allow,
        state=LazyState(loads),
    )
    result.raise_unless_complete(*found.open(allow))
    return result


def _read(source: Any) -> _Source:
    if isinstance(source, (str, PathLike)):
        checkpoint = files.read(Path(source))
        shapes = {key: entry.shape for key, entry in checkpoint.entries.items()}
        dtypes = {key: entry.dtype for key, entry in checkpoint.entries.items()}
        return _Source(Path(source).name, shapes, dtypes, checkpoint)
    if live.framework_of(source):
        arrays: Mapping[str, Array] = live.live(source).arrays_of(source)
        title = f"a {type(source).__name__}"
    elif isinstance(source, Mapping):
        arrays = {str(key): np.asarray(value) for key, value in source.items()}
        title = f"a mapping of {len(arrays)} arrays"
    else:
        raise ConversionError(f"source: must be a path, a mapping of arrays or a model, got {type(source).__name__}")
    return _Source(title, {k: v.shape for k, v in arrays.items()}, {k: v.dtype for k, v in arrays.items()}, arrays)


def _goal(target: Any, read: _Source) -> tuple[Target, Mapping[str, np.dtype[Any]], Spec | None]:
    """The target, the element type of each of its keys, and its spec where it has one."""
    spec = live.spec_of(target) if live.framework_of(target) else None
    if isinstance(target, str) and not Path(target).suffix and not Path(target).exists():
        spec = registry.spec(target)
    elif isinstance(target, Spec):
        spec = target
    if spec is not None:
        return spec_target(spec), {name: np.dtype(np.float32) for name in spec.params}, spec
    if target is None:
        return keys_target("the same keys", read.shapes), read.dtypes, None
    if live.framework_of(target):
        arrays = live.live(target).arrays_of(target)
        shapes = {key: value.shape for key, value in arrays.items()}
        return keys_target(f"a {type(target).__name__}", shapes), {k: v.dtype for k, v in arrays.items()}, None
    if isinstance(target, (str, PathLike)):
        template = files.read(Path(target))
        shapes = {key: entry.shape for key, entry in template.entries.items()}
        dtypes = {key: entry.dtype for key, entry in template.entries.items()}
        return keys_target(Path(target).name, shapes), dtypes, None
    raise ConversionError(f"target: must be a spec, a model's name, a model or a path, got {type(target).__name__}")


def _with_counters(found: Match, read: _Source, goal: Mapping[str, np.dtype[Any]]) -> list[str]:
    """Pair PyTorch's counters of batches where both sides have them; returns the target's that start at 0."""
    sources = layers_of(read.shapes)
    layer_of = {p.target.rpartition(".")[0]: (p.source.rpartition(".")[0], p.how) for p in found.pairs}
    fresh = []
    for key in goal:
        layer, _, role = key.rpartition(".")
        if role != "num_batches_tracked" or layer not in layer_of:
            continue
        prefix, how = layer_of[layer]
        counter = sources[prefix].tensors.get(role)
        if counter is None:
            fresh.append(key)
        else:
            found.dropped.pop(counter.key, None)
            found.pairs.append(Pair(counter.key, key, (), how))
    return fresh


def _load(read: _Source, pair: Pair, dtype: np.dtype[Any]) -> Load:
    def load() -> Array:
        stored = np.asarray(read.arrays[pair.source]).reshape(pair.shape)
        with np.errstate(over="ignore"):
            value = stored.astype(dtype, copy=False)
        if dtype != stored.dtype and not np.array_equal(np.isfinite(value), np.isfinite(stored)):
            raise ConversionError(f"{pair.source}: has values that {dtype} cannot hold: convert to a wider type")
        return value

    return load


def _changes(pairs: list[Pair], read: _Source, dtypes: Mapping[str, np.dtype[Any]]) -> dict[str, str]:
    """What is done to the values of a target key, in words, where anything is."""
    changes = {}
    for pair in pairs:
        have, want = read.dtypes[pair.source], dtypes[pair.target]
        cast = "" if have == want else f"{have} -> {want}"
        words = filter(None, (change_of_shape(tuple(read.shapes[pair.source]), pair.shape), cast))
        changes[pair.target] = ", ".join(words)
    return {target: words for target, words in changes.items() if words}


def _native(state: Mapping[str, Array], spec: Spec, port: str) -> LazyState:
    """A state in spec names under the names and layouts of a framework."""
    ops = parameter_ops(spec)
    names = native_names(spec, port)
    return LazyState({names[name]: _in_layout(state, name, port, *ops[name]) for name in state})


def _in_layout(state: Mapping[str, Array], name: str, port: str, op: str, role: str) -> Load:
    return lambda: to_native(port, op, role, state[name])


def _written(state: Mapping[str, Array], spec: Spec, path: Path, naming: str | None) -> LazyState:
    """What goes into a file: MindSpore's names for a .ckpt, PyTorch's with its counters elsewhere."""
    port = "mindspore" if path.suffix == ".ckpt" else "torch"
    ops, extras = parameter_ops(spec), native_extras(spec, port)
    filled = {layer_of(name) for name in state}
    loads: dict[str, Load] = {}
    for name, key in file_keys(spec, port, naming).items():
        if name in state:
            loads[key] = _in_layout(state, name, port, *ops[name])
        elif name in extras and layer_of(name) in filled:
            loads[key] = _constant(extras[name])
    return LazyState(loads)


def _constant(value: Array) -> Load:
    return lambda: value
