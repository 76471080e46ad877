"""What an inspection found, as data and as JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from twinzoo.converters.inspect.kinds import Kind
from twinzoo.converters.inspect.statistics import Statistics
from twinzoo.converters.layers import STATISTICS, Shape

_BUFFERS = STATISTICS | {"weight_u"}

DType = np.dtype[Any]


@dataclass(frozen=True)
class TensorReport:
    """One tensor.

    Attributes:
        role: its plain word in its layer (weight, bias, running_mean, ...), whatever the file calls it.
        kind: of the layer that it belongs to, `tensor` where it belongs to none.
        alias_of: the first key of the same tensor, where the file has it under several.
        statistics: None where no values were read.
    """

    key: str
    role: str
    kind: str
    shape: Shape
    dtype: DType
    alias_of: str = ""
    statistics: Statistics | None = None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def floating(self) -> bool:
        """Whether it holds floating-point numbers: NumPy's own (f), complex (c), or bfloat16 and float8 (V)."""
        return self.dtype.kind in "fcV"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        known = {"key": self.key, "role": self.role, "shape": list(self.shape), "dtype": str(self.dtype)}
        alias = {"alias_of": self.alias_of} if self.alias_of else {}
        return {**known, "bytes": self.nbytes, **alias, **(self.statistics.to_dict() if self.statistics else {})}


@dataclass(frozen=True)
class LayerReport:
    """The tensors under one prefix that make a layer, or a single tensor that belongs to none.

    Attributes:
        name: the prefix; the key of a single tensor.
        tensors: by role, in file order.
    """

    name: str
    kind: Kind
    tensors: dict[str, TensorReport]

    @property
    def main(self) -> TensorReport:
        """The tensor whose numbers stand for the layer."""
        return self.tensors[self.kind.main]

    @property
    def parameters(self) -> int:
        """The number of trained values: running statistics and counters are none, and a tied tensor counts once."""
        own = (tensor for tensor in self.tensors.values() if not tensor.alias_of)
        return sum(tensor.size for tensor in own if tensor.floating and tensor.role not in _BUFFERS)

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors.values() if not tensor.alias_of)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "name": self.name,
            "kind": self.kind.name,
            "sizes": self.kind.sizes,
            "parameters": self.parameters,
            "bytes": self.nbytes,
            "tensors": [tensor.to_dict() for tensor in self.tensors.values()],
        }


@dataclass(frozen=True)
class Suspicion:
    """Something that looks wrong, or is worth knowing.

    Attributes:
        rule: its id: `dead-channels`, `not-finite`, ...
        key: the tensor or layer, empty for the file as a whole.
        seen: what was found there.
        effect: what it does, or comes from.
        note: worth knowing, but no fault.
    """

    rule: str
    key: str
    seen: str
    effect: str
    note: bool = False

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.key, self.seen, self.effect)))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        level = "note" if self.note else "warning"
        return {"rule": self.rule, "level": level, "key": self.key, "seen": self.seen, "effect": self.effect}


@dataclass(frozen=True)
class Inspection:
    """A checkpoint looked at.

    Attributes:
        layers: in file order, without what an optimizer keeps.
        groups: the networks in the file, where there are several.
        fits: models of the zoo, at their default options, that the file converts to without a gap; `group: model` where
            there are several networks.
        duplicates: keys whose tensors hold the same bytes, constants aside.
        suspicions: what looks wrong, and what is worth knowing.
    """

    path: str
    format: str
    metadata: dict[str, str]
    layers: list[LayerReport]
    groups: list[str]
    fits: list[str]
    duplicates: list[tuple[str, ...]] = field(default_factory=list)
    suspicions: list[Suspicion] = field(default_factory=list)

    @property
    def tensors(self) -> list[TensorReport]:
        """All tensors, layer by layer."""
        return [tensor for layer in self.layers for tensor in layer.tensors.values()]

    @property
    def warnings(self) -> list[str]:
        """A line for each thing that looks wrong or is worth knowing."""
        return [str(suspicion) for suspicion in self.suspicions]

    @property
    def dtypes(self) -> dict[str, int]:
        """The number of values of each element type, most first."""
        counts: Counter[str] = Counter()
        for tensor in self.tensors:
            counts[str(tensor.dtype)] += tensor.size
        return dict(counts.most_common())

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON.

        `layers` holds the tensors; their statistics are left out where no values were read, and a range, mean or
        deviation is null where a tensor has no finite values.
        """
        return {
            "twinzoo_inspection": 2,
            "path": self.path,
            "format": self.format,
            "metadata": self.metadata,
            "tensors": len(self.tensors),
            "parameters": sum(layer.parameters for layer in self.layers),
            "bytes": sum(layer.nbytes for layer in self.layers),
            "dtypes": self.dtypes,
            "groups": self.groups,
            "fits": self.fits,
            "layers": [layer.to_dict() for layer in self.layers],
            "duplicates": [list(keys) for keys in self.duplicates],
            "suspicions": [suspicion.to_dict() for suspicion in self.suspicions],
        }


def pooled(tensors: Iterable[TensorReport]) -> Statistics | None:
    """The statistics of all values of the tensors together, None where one was not read."""
    parts = [tensor.statistics for tensor in tensors]
    return reduce(add, (part for part in parts if part), Statistics()) if all(parts) else None
