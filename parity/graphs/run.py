"""One side of a comparison: a live model's graph, and what every operation of it gave on the inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.converters.graph import INPUT, Graph
from twinzoo.converters.live import framework_of, live
from twinzoo.parity.kernels import LIVE
from twinzoo.parity.results import SideInfo
from twinzoo.ports.registry import port
from twinzoo.zoo.errors import ConversionError, ParityError

Array = NDArray[Any]


@dataclass(frozen=True)
class Run:
    """What one side did.

    Attributes:
        info: what stood on this side.
        graph: its layers and operations, under the names of the user's code.
        values: of each operation, its first output, by position.
        state: its tensors by key.
        outputs: what it returned, by position or key.
    """

    info: SideInfo
    graph: Graph
    values: Mapping[int, Array]
    state: Mapping[str, Array]
    outputs: Mapping[str, Array]

    @property
    def port(self) -> str:
        """The key of its kernels."""
        return LIVE + self.info.port

    @property
    def inputs(self) -> dict[str, Array]:
        """What it was run on, by the names of its arguments."""
        return {op.name: self.values[i] for i, op in enumerate(self.graph.operations) if op.kind == INPUT}


def run(label: str, model: Any, inputs: Any) -> Run:
    """Run a live model once and keep everything.

    Args:
        label: `a` or `b`, for messages.
        inputs: arrays by argument, or in order.

    Raises:
        ParityError: it does not run on the inputs.
    """
    functions = live(model)
    given = inputs if isinstance(inputs, Mapping) else inputs if isinstance(inputs, tuple) else (np.asarray(inputs),)
    try:
        trace = functions.trace(model, given, values=True)
        state = functions.arrays_of(model)
    except ConversionError as error:
        raise ParityError(f"compare: {label}: {error}") from error
    found = port(framework_of(model)).info()
    devices = [device.name for device in found.devices if device.available]
    device = devices[0] if len(devices) == 1 else ""
    info = SideInfo(found.name, found.framework, found.version, device, f"{type(model).__name__}'s own weights")
    return Run(info, trace.graph, trace.values, state, trace.outputs)
