"""The reference as a port: arrays in, float64 arrays out; no source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from twinzoo.ports.native import check_cotangents
from twinzoo.ports.port import Device, PortInfo, check_state
from twinzoo.ports.reference.evaluate import trace
from twinzoo.ports.reference.gradients import gradients
from twinzoo.ports.reference.rule import Array
from twinzoo.zoo.errors import PortError
from twinzoo.zoo.spec import Param, Spec


class ReferenceModel:
    """A spec and its state in float64; every tensor starts as zeros, or as the constant that the spec gives it."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.state: dict[str, Array] = {
            name: np.full(param.shape, _constant(param), np.float64) for name, param in spec.params.items()
        }


def _constant(param: Param) -> Array | float:
    return np.reshape(param.value, param.shape) if isinstance(param.value, tuple) else param.value


class ReferencePort:
    """NumPy in float64; the Port protocol says what each method does."""

    name = "reference"

    def info(self) -> PortInfo:
        """NumPy's version; it runs on the CPU."""
        return PortInfo(self.name, "numpy", np.__version__, (Device("cpu", True),))

    def source(self, spec: Spec) -> str:
        """Always raises PortError."""
        raise PortError("the reference port writes no source: export for torch or mindspore")

    def build(self, spec: Spec) -> ReferenceModel:
        """The spec with zeros for weights."""
        return ReferenceModel(spec)

    def spec_of(self, model: Any) -> Spec | None:
        """The spec of a ReferenceModel."""
        return model.spec if isinstance(model, ReferenceModel) else None

    def load(self, model: ReferenceModel, state: Mapping[str, Array]) -> None:
        """Set every tensor, in float64."""
        check_state(model.spec, state)
        model.state = {name: np.array(value, np.float64) for name, value in state.items()}

    def state(self, model: ReferenceModel) -> dict[str, Array]:
        """Every tensor, in float64."""
        return {name: value.copy() for name, value in model.state.items()}

    def run(self, model: ReferenceModel, inputs: Mapping[str, Array], *, train: bool = False) -> dict[str, Array]:
        """The outputs, in float64."""
        done = trace(model.spec, model.state, inputs, train=train)
        model.state = done.state
        return {name: done.values[value.ref] for name, value in model.spec.outputs.items()}

    def gradients(
        self,
        model: ReferenceModel,
        inputs: Mapping[str, Array],
        cotangents: Mapping[str, Array],
        *,
        train: bool = False,
    ) -> dict[str, Array]:
        """The gradients of sum(output * cotangent) in float64, for each floating-point input and trained parameter.

        An output without a cotangent counts nothing; what has no influence has a gradient of zeros.

        Raises:
            SpecError: an input is missing, unknown or of the wrong shape.
            PortError: a cotangent is none of the outputs, or of another shape.
        """
        spec, done = model.spec, trace(model.spec, model.state, inputs, train=train)
        outputs = {name: value for name, value in spec.outputs.items() if value.dtype == "float"}
        check_cotangents(spec, cotangents, {name: done.values[value.ref].shape for name, value in outputs.items()})
        by_value, by_tensor = gradients(spec, done, inputs, cotangents, train=train)
        model.state = done.state
        wanted = {name: done.values[name] for name, item in spec.inputs.items() if item.value.dtype == "float"}
        wanted |= {name: done.state[name] for name, param in spec.params.items() if not param.buffer}
        found = by_value | by_tensor
        return {name: np.array(found.get(name, np.zeros(value.shape))) for name, value in wanted.items()}


PORT = ReferencePort()
