"""What every port offers: a spec in, a native model out, and plain arrays in and out of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from twinzoo.zoo.errors import PortError
from twinzoo.zoo.spec import Spec

Array = NDArray[Any]


@dataclass(frozen=True)
class Device:
    """A device that a port could run on, and why it cannot where it cannot."""

    name: str
    available: bool
    detail: str = ""


@dataclass(frozen=True)
class PortInfo:
    """A port as `twinzoo ports` shows it; `problem` says in one line why it cannot be used, or is empty."""

    name: str
    framework: str
    version: str
    devices: tuple[Device, ...]
    problem: str = ""


class Port(Protocol):
    """A framework. Arrays are NumPy's; names are the spec's; a model is an ordinary object of the framework."""

    name: str

    def info(self) -> PortInfo:
        """Version and devices, probed without risk to this process."""

    def source(self, spec: Spec) -> str:
        """The stand-alone source file that a person would have written for the spec.

        Raises:
            PortError: this port writes no source.
        """

    def build(self, spec: Spec) -> Any:
        """A fresh native model in eval mode, from the source; its weights are not yet the spec's initial ones.

        Raises:
            PortError: the framework is missing.
        """

    def spec_of(self, model: Any) -> Spec | None:
        """The spec a model was built from, None for an object that this port did not build."""

    def load(self, model: Any, state: Mapping[str, Array]) -> None:
        """Set every tensor of the state, by spec name.

        Raises:
            PortError: a name is missing or unknown, or a shape differs; nothing is changed then.
        """

    def state(self, model: Any) -> dict[str, Array]:
        """Every tensor of the state by spec name, buffers included, as copies."""

    def run(self, model: Any, inputs: Mapping[str, Array], *, train: bool = False) -> dict[str, Array]:
        """The outputs by name, for inputs (and draws) by name; train mode moves buffers as training does.

        Raises:
            SpecError: an input is missing, unknown or of the wrong shape.
        """

    def gradients(
        self, model: Any, inputs: Mapping[str, Array], cotangents: Mapping[str, Array], *, train: bool = False
    ) -> dict[str, Array]:
        """The gradients of sum(output * cotangent), for each floating-point input and trained parameter by name.

        Raises:
            PortError: this port has no gradients.
        """


def check_state(spec: Spec, state: Mapping[str, Array]) -> None:
    """Hold a state against the spec, name by name and shape by shape.

    Raises:
        PortError: the first name that is missing, unknown, or of another shape.
    """
    params = spec.params
    for name in params:
        if name not in state:
            raise PortError(f"{spec.name}: the state lacks {name}")
    for name, value in state.items():
        if name not in params:
            raise PortError(f"{spec.name}: the state has {name}, which the model has not")
        if np.shape(value) != params[name].shape:
            raise PortError(f"{spec.name}: {name} must be {params[name].shape}, got {np.shape(value)}")
