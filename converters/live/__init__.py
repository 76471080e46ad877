"""Live models, a torch.nn.Module or a mindspore.nn.Cell: their state, and what they do when they run.

`torch/model.py` and `mindspore/model.py` have the same functions; a framework is imported with the first of its models.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol, cast

from numpy.typing import NDArray

from twinzoo.converters.graph import Graph
from twinzoo.zoo.spec import Spec

Array = NDArray[Any]
Inputs = Mapping[str, Array]


@dataclass(frozen=True)
class Trace:
    """One run of a model.

    Attributes:
        inputs: what it was run on, by the names of its arguments.
        outputs: what it returned: tensors by position (`0`, `1`) or by key, nested ones joined with dots.
        values: the first output of each operation by its position in the graph; only where it was asked for.
    """

    graph: Graph
    inputs: Inputs
    outputs: Mapping[str, Array]
    values: Mapping[int, Array] = field(default_factory=dict)


class Live(Protocol):
    """What each framework's `model` module has."""

    def arrays_of(self, model: Any) -> dict[str, Array]:
        """The state by the model's own names, buffers included, as copies."""

    def aliases_of(self, model: Any) -> dict[str, str]:
        """Name -> the first name of the same tensor, for each further name that a shared tensor has."""

    def assign(self, model: Any, state: Mapping[str, Array]) -> None:
        """Set the named tensors, in place, others stay as they are.

        Raises:
            ConversionError: the model has no such tensor, or not of that shape.
        """

    def trace(self, model: Any, inputs: Inputs | tuple[Array, ...] | None = None, *, values: bool = False) -> Trace:
        """Run the model once in eval mode without gradients, and leave it as it was.

        Args:
            inputs: by name or by position; without them the smallest that the model accepts is looked for.

        Raises:
            ConversionError: the model does not run on them, or nothing was found that it runs on.
        """


def framework_of(model: Any) -> str:
    """`torch` for an nn.Module, `mindspore` for an nn.Cell, the empty text for anything else."""
    torch, mindspore = sys.modules.get("torch"), sys.modules.get("mindspore")
    if torch is not None and isinstance(model, torch.nn.Module):
        return "torch"
    if mindspore is not None and isinstance(model, mindspore.nn.Cell):
        return "mindspore"
    return ""


def live(model: Any) -> Live:
    """The functions for a model's framework."""
    return cast(Live, import_module(f"twinzoo.converters.live.{framework_of(model)}.model"))


def spec_of(model: Any) -> Spec | None:
    """The spec that a twin was built from, None for a model of somebody else's."""
    spec = getattr(model, "twinzoo_spec", None)
    return spec if isinstance(spec, Spec) else None
