"""What the ports to real frameworks share: source, model, spec of a model, and checks of what is fed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from twinzoo.ports import cache, probe
from twinzoo.ports.port import Array, PortInfo
from twinzoo.ports.probe import Question
from twinzoo.ports.source import Language, write
from twinzoo.zoo.errors import PortError
from twinzoo.zoo.spec import Spec

_ATTRIBUTE = "twinzoo_spec"


class NativePort:
    """A port that writes source and imports it. A framework's port adds what needs the framework."""

    name: str
    language: Language
    question: Question

    def info(self) -> PortInfo:
        """Version and devices, probed in a process of their own."""
        return probe.info(self.question)

    def require(self) -> None:
        """Make sure that the framework is installed, without importing it.

        Raises:
            PortError: it is not.
        """
        if not probe.version(self.question):
            raise probe.missing(self.question)

    def framework(self) -> Any:
        """The framework's top module.

        Raises:
            PortError: it is not installed, or fails to import.
        """
        self.require()
        try:
            return import_module(self.question.module)
        except (ImportError, OSError) as error:
            raise PortError(f"{self.question.title} cannot be imported: {error}") from None

    def source(self, spec: Spec) -> str:
        """The stand-alone source file of the spec."""
        return write(spec, self.language)[0]

    def make(self, spec: Spec, base: type) -> Any:
        """An instance of the generated class, which knows its spec; `base` is the framework's class of models.

        Raises:
            PortError: a layer has a name that the framework's own class uses.
        """
        _check_names(spec, base)
        text, name = write(spec, self.language)
        model = getattr(cache.module_of(self.name, name, spec, text), name)()
        _attach(model, spec)
        return model

    def spec_of(self, model: Any) -> Spec | None:
        """The spec that a model of this port was built from."""
        spec = getattr(model, _ATTRIBUTE, None) if self.is_native(model) else None
        return spec if isinstance(spec, Spec) else None

    def is_native(self, model: Any) -> bool:
        """Whether an object is a model of this framework."""
        raise NotImplementedError

    def known(self, model: Any) -> Spec:
        """The spec of a model.

        Raises:
            PortError: the model was not built by this port.
        """
        spec = self.spec_of(model)
        if spec is None:
            raise PortError(f"{type(model).__name__}: not a model that port {self.name} built")
        return spec


def _check_names(spec: Spec, base: type) -> None:
    used = {_ATTRIBUTE, *dir(base())}
    for name in (*spec.roles, *(node.name for node in spec.nodes.values())):
        if name in used:
            raise PortError(f"{spec.name}: {name}: {base.__name__} uses this name itself: choose another")
    for role in spec.roles.values():
        _check_names(role.spec, base)


def _attach(model: Any, spec: Spec) -> None:
    setattr(model, _ATTRIBUTE, spec)
    for role in spec.roles.values():
        _attach(getattr(model, role.name), role.spec)


def check_inputs(spec: Spec, inputs: Mapping[str, Array]) -> None:
    """Hold inputs and draws against the spec.

    Raises:
        SpecError: one is missing, unknown, or of the wrong shape.
    """
    spec.sizes_of({name: np.shape(value) for name, value in inputs.items()})


def check_cotangents(spec: Spec, cotangents: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Hold cotangents against the outputs.

    Raises:
        PortError: one is not an output, or of another shape.
    """
    for name, value in cotangents.items():
        if name not in shapes:
            raise PortError(f"{spec.name}: cotangent {name}: the outputs with gradients are {', '.join(shapes)}")
        if np.shape(value) != shapes[name]:
            raise PortError(f"{spec.name}: cotangent {name} must be {shapes[name]}, got {np.shape(value)}")
