"""From a training step to an object that runs it, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from twinzoo.ports import registry
from twinzoo.ports.port import Array
from twinzoo.ports.steps.stepper import Stepper
from twinzoo.zoo.errors import PortError, SpecError
from twinzoo.zoo.registry import training_step
from twinzoo.zoo.steps.step import Step

_STEPPERS = {name: f"twinzoo.ports.{name}.steps" for name in ("torch", "mindspore", "reference")}


def stepper(
    step_or_name: Step | str,
    port: str,
    *,
    seed: int = 0,
    weights: Mapping[str, Array] | None = None,
    device: str | None = None,
    **options: Any,
) -> Stepper:
    """A training step on a port, ready for its first batch.

    Args:
        step_or_name: a step, or the name of one that is drawn with `options`.
        seed: of initial values and random draws, which are equal on every port.
        device: as PyTorch names it (`cuda`), else the CPU; MindSpore trains where it is set to.
        weights: states of networks by `role.node.parameter`; a role that is not there starts from the seed.

    Raises:
        SpecError: no such step or option.
        PortError: the port cannot train, its framework or the device is missing, or the weights do not fit.
    """
    if options and not isinstance(step_or_name, str):
        raise SpecError(f"{step_or_name.name}: option {next(iter(options))}: a step is drawn already; give its name")
    drawn = training_step(step_or_name, **options) if isinstance(step_or_name, str) else step_or_name
    registry.port(port)
    if port not in _STEPPERS:
        raise PortError(f"port {port} cannot train: take {', '.join(_STEPPERS)}")
    made: Stepper = import_module(_STEPPERS[port]).STEPPER(drawn, seed, device)
    if weights:
        made.load_networks(weights)
    return made
