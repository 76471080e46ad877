"""Looking at a checkpoint: every tensor once, in small pieces, then the rules over what was seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path

from twinzoo.converters import files
from twinzoo.converters.files import Checkpoint
from twinzoo.converters.inspect import file_rules, value_rules
from twinzoo.converters.inspect.duplicates import duplicates_among, identical
from twinzoo.converters.inspect.fits import fitting
from twinzoo.converters.inspect.kinds import Kind, belongs, kind_of
from twinzoo.converters.inspect.report import Inspection, LayerReport, TensorReport
from twinzoo.converters.inspect.statistics import statistics_of
from twinzoo.converters.layers import Layer, Tensor, layers_of
from twinzoo.converters.progress import Advance, Progress, silent


def inspect(
    path: str | PathLike[str], *, select: str = "", stats: bool = True, progress: Progress = silent
) -> Inspection:
    """Look at a checkpoint without a framework.

    Args:
        select: of several networks in the file, the one to look at.
        stats: False reads names, shapes and types alone, whatever the size of the file.
        progress: shows how far the reading is.

    Raises:
        CheckpointError: the file cannot be read, or has no network of that name.
    """
    checkpoint = files.read(Path(path))
    if select:
        checkpoint = files.selected(checkpoint, select)
    groups = files.groups(checkpoint)
    known, fits = _known_layers(checkpoint, groups)
    layers = list(_reports(known, checkpoint))
    suspicions = list(file_rules.all_of(layers, checkpoint))
    equal: list[tuple[str, ...]] = []
    if stats:
        with progress("reading", sum(layer.nbytes for layer in layers)) as advance:
            layers = [_read(layer, checkpoint, advance) for layer in layers]
        equal = duplicates_among((t for layer in layers for t in layer.tensors.values()), checkpoint)
        suspicions = [*value_rules.all_of(layers, checkpoint), *identical(equal), *suspicions]
    suspicions.sort(key=lambda suspicion: suspicion.note)
    title = f"{path} ({select})" if select else str(path)
    return Inspection(title, checkpoint.format, dict(checkpoint.metadata), layers, groups, fits, equal, suspicions)


def _known_layers(checkpoint: Checkpoint, groups: list[str]) -> tuple[list[Layer], list[str]]:
    """The layers of the file's weights in file order, with the ops that the models of the zoo say they are."""
    shapes = {key: entry.shape for key, entry in checkpoint.entries.items() if key not in checkpoint.optimizer}
    kinds: dict[str, str] = {}
    fits = []
    for group in groups or [""]:
        prefix = f"{group}." if group else ""
        own = {key.removeprefix(prefix): shape for key, shape in shapes.items() if key.startswith(prefix)}
        for fit in fitting(layers_of(own)):
            fits.append(f"{group}: {fit}" if group else str(fit))
            kinds |= {f"{prefix}{layer}": kind for layer, kind in fit.kinds.items()}
    return [replace(layer, kind=kinds.get(name, "")) for name, layer in layers_of(shapes).items()], fits


def _reports(layers: list[Layer], checkpoint: Checkpoint) -> Iterator[LayerReport]:
    """What the layers are; tensors that are no part of a layer that is known here one by one."""
    for layer, following in zip(layers, [*layers[1:], None], strict=True):
        kind = kind_of(layer, following)
        parts = {role: tensor for role, tensor in layer.tensors.items() if kind and belongs(role)}
        if kind:
            yield LayerReport(layer.prefix, kind, {r: _report(t, kind, checkpoint) for r, t in parts.items()})
        for role, tensor in layer.tensors.items():
            if role not in parts:
                alone = Kind("tensor", "x".join(map(str, tensor.shape)) or "scalar", role)
                yield LayerReport(tensor.key, alone, {role: _report(tensor, alone, checkpoint)})


def _report(tensor: Tensor, kind: Kind, checkpoint: Checkpoint) -> TensorReport:
    dtype, first = checkpoint.entries[tensor.key].dtype, checkpoint.aliases.get(tensor.key, "")
    return TensorReport(tensor.key, tensor.role, kind.name, tensor.shape, dtype, first)


def _read(layer: LayerReport, checkpoint: Checkpoint, advance: Advance) -> LayerReport:
    tensors = {r: replace(t, statistics=statistics_of(checkpoint, t.key, advance)) for r, t in layer.tensors.items()}
    return replace(layer, tensors=tensors)
