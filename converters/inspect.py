"""What is in a checkpoint: layers and their kinds, element types, sizes, and values that no model should have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from twinzoo.converters import files
from twinzoo.converters.layers import Layer, Shape, layers_of
from twinzoo.converters.match import match
from twinzoo.converters.targets import spec_target
from twinzoo.zoo import registry
from twinzoo.zoo.spec.show import columns


@dataclass(frozen=True)
class TensorReport:
    """One tensor: what it is, its range, and how many of its values are no numbers."""

    key: str
    kind: str
    shape: Shape
    dtype: str
    minimum: float
    maximum: float
    bad: int


@dataclass(frozen=True)
class Inspection:
    """A checkpoint looked at.

    Attributes:
        fits: models of the zoo, at their default options, that the file converts to without a gap.
        warnings: one line for each thing that looks wrong.
    """

    path: str
    format: str
    metadata: dict[str, str]
    tensors: list[TensorReport]
    nbytes: int
    fits: list[str]
    warnings: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"twinzoo_inspection": 1, **asdict(self)}

    def __str__(self) -> str:
        kinds = Counter({tensor.key.rpartition(".")[0]: tensor.kind for tensor in self.tensors}.values())
        count = sum(int(np.prod(tensor.shape)) for tensor in self.tensors)
        head = f"{self.path}: {self.format}, {len(self.tensors)} tensors, {count:,} values, {self.nbytes:,} bytes"
        rows = [("key", "layer kind", "shape", "dtype", "min", "max")]
        rows += [(t.key, t.kind, str(t.shape), t.dtype, f"{t.minimum:.4g}", f"{t.maximum:.4g}") for t in self.tensors]
        lines = [head, *columns(rows, right=(4, 5))]
        lines.append("layers: " + (", ".join(f"{n} {kind}" for kind, n in kinds.items()) or "none"))
        lines.append("fits: " + (", ".join(self.fits) or "no model of the zoo at its default options"))
        lines += [f"metadata: {key} = {value}" for key, value in self.metadata.items()]
        lines += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def inspect(path: str | PathLike[str]) -> Inspection:
    """Look at a checkpoint without a framework.

    Raises:
        CheckpointError: the file cannot be read.
    """
    checkpoint = files.read(Path(path))
    shapes = {key: entry.shape for key, entry in checkpoint.entries.items()}
    kinds = {t.key: kind_of(layer) for layer in layers_of(shapes).values() for t in layer.tensors.values()}
    tensors = []
    for key, array in checkpoint.items():
        tensors.append(_look(key, kinds[key], array))
        checkpoint.release()
    nbytes = sum(entry.nbytes for entry in checkpoint.entries.values())
    warnings = _warnings(shapes, tensors)
    return Inspection(
        str(path), checkpoint.format, dict(checkpoint.metadata), tensors, nbytes, fitting(shapes), warnings
    )


def kind_of(layer: Layer) -> str:
    """What a layer is, as far as roles and shapes tell."""
    weight = layer.tensors.get("weight")
    if "running_mean" in layer.tensors:
        return "batch norm" if weight or not layer.only_statistics else "norm statistics"
    if weight is None:
        return "other"
    rank = len(weight.shape)
    if rank == 1:
        return "norm" if "bias" in layer.tensors else "PReLU" if weight.shape == (1,) else "scale"
    return {2: "linear", 3: "conv1d", 4: "conv2d", 5: "conv3d"}.get(rank, "other")


def _look(key: str, kind: str, array: np.ndarray[Any, Any]) -> TensorReport:
    shape, dtype = array.shape, str(array.dtype)
    if array.size == 0 or np.iscomplexobj(array):
        return TensorReport(key, kind, shape, dtype, float("nan"), float("nan"), 0)
    values = array if array.dtype.kind in "fiub" else array.astype(np.float32)
    bad = int(values.size - np.count_nonzero(np.isfinite(values)))
    return TensorReport(key, kind, shape, dtype, float(values.min()), float(values.max()), bad)


def _warnings(shapes: Mapping[str, Shape], tensors: list[TensorReport]) -> list[str]:
    found = [f"{t.key} has {t.bad} values that are NaN or infinite" for t in tensors if t.bad]
    layers = layers_of(shapes).values()
    uncounted = sum(
        "running_mean" in layer.tensors and "num_batches_tracked" not in layer.tensors and not _mindspore(layer)
        for layer in layers
    )
    if uncounted:
        found.append(f"{uncounted} batch norms without num_batches_tracked: written before PyTorch 0.4.1")
    lonely = sum(layer.only_statistics for layer in layers)
    if lonely:
        found.append(f"{lonely} norms with statistics alone: an old file's instance norms, which use none")
    return found


def _mindspore(layer: Layer) -> bool:
    return any(tensor.key.endswith((".moving_mean", ".gamma")) for tensor in layer.tensors.values())


def fitting(shapes: Mapping[str, Shape]) -> list[str]:
    """Models of the zoo, at their default options, that hold exactly these tensors by name."""
    registry.load()
    found = []
    for name in registry.MODELS:
        result = match(shapes, spec_target(registry.spec(name)))
        complete = not (result.missing or result.unused or result.ambiguous)
        if complete and result.naming:
            found.append(f"{name} ({result.naming} naming)")
    return found
