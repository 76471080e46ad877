"""A model as layers and the flow of data between them: what both sides of a conversion become before they are matched.

A spec gives its graph exactly (`twinzoo.converters.targets`), a live model by being run once on a small input
(`twinzoo.converters.live`), a bare list of keys only as layers without operations.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from twinzoo.converters.layers import Layer

INPUT = "input"
OUTPUT = "output"
UNSEEN = "unseen"


@dataclass(frozen=True)
class Operation:
    """One step of the execution. A layer that is called twice is two operations with the same `layer`.

    Attributes:
        name: as the user's code has it: the path of the module or cell, or the function and the module it is called in.
        kind: the word of the op table where it has one (`conv2d`, `relu`, `concat`); `input` (attribute `index`);
            `output` (attribute `index`); `unseen` for a tensor that came from where the trace could not look (NumPy, a
            constant made on the fly); else the framework's own word after its name: `torch.einsum`.
        operands: in the order of the op's inputs: (position of the operation that made it, which of its outputs).
        attrs: by the names of the op's schema, in its normal form and with its defaults, where the table has the op;
            else whatever tells two uses apart.
        layer: the key in `Graph.layers` of the layer whose tensors it uses, empty for a function.
        source: `file.py:12`, where the user's code calls it; empty where that is not known. It tells no two operations
            apart.
    """

    name: str
    kind: str
    operands: tuple[tuple[int, int], ...] = ()
    attrs: Mapping[str, Hashable] = field(default_factory=dict)
    layer: str = ""
    source: str = field(default="", compare=False)


@dataclass(frozen=True)
class Graph:
    """Layers by name, and the operations in order of execution.

    Attributes:
        title: what it is, in words.
        layers: every layer that owns tensors, in order of definition, also those that no operation uses.
        operations: empty where the flow of data is not known.
    """

    title: str
    layers: Mapping[str, Layer]
    operations: tuple[Operation, ...] = ()
