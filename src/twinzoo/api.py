"""The public functions, each a thin door to the folder that does the work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from twinzoo.converters.convert import convert
from twinzoo.zoo import registry
from twinzoo.zoo.registry import spec

if TYPE_CHECKING:
    from twinzoo.parity.report import ParityReport
    from twinzoo.parity.steps.report import StepsReport
    from twinzoo.parity.steps.stepper import Stepper
    from twinzoo.ports.port import PortInfo
    from twinzoo.ports.steps import Stepper as TrainingStepper
    from twinzoo.zoo.spec import Spec
    from twinzoo.zoo.steps.step import Step

__all__ = [
    "build",
    "compare",
    "compare_steps",
    "convert",
    "losses",
    "models",
    "ports",
    "record",
    "spec",
    "stepper",
    "steps",
]


def models(pattern: str = "*") -> list[str]:
    """The models that a shell pattern fits, as in `color*`, plug-ins' too; presets are named `model.preset`."""
    return registry.matching(registry.MODELS, pattern)


def losses(pattern: str = "*") -> list[str]:
    """The losses that a shell pattern fits, plug-ins' too."""
    return registry.matching(registry.LOSSES, pattern)


def steps(pattern: str = "*") -> list[str]:
    """The training steps that a shell pattern fits, plug-ins' too; presets are named `step.preset`."""
    return registry.matching(registry.STEPS, pattern)


def ports() -> list[PortInfo]:
    """Every port, with its framework's version and devices."""
    from twinzoo.ports.registry import ports

    return ports()


def build(
    spec_or_name: Spec | str,
    port: str,
    *,
    weights: str | PathLike[str] | Mapping[str, Any] | None = None,
    seed: int = 0,
    **options: Any,
) -> Any:
    """A native model in eval mode: `torch.nn.Module`, `mindspore.nn.Cell`, or the reference's.

    Args:
        spec_or_name: a spec, or a model's name to be drawn with `options`.
        port: `torch`, `mindspore`, `reference` or a plug-in's.
        weights: a checkpoint's path or a mapping of arrays, in any naming that `convert` knows; without it the spec's
            own initial values from `seed`, the same numbers on every port.

    Raises:
        SpecError, PortError, ConversionError, CheckpointError: the one that names the cause.
    """
    from twinzoo.ports.build import build as build_native

    if isinstance(spec_or_name, str):
        spec_or_name, options = spec(spec_or_name, **options), {}
    state = None if weights is None else dict(convert(weights, spec_or_name).state)
    return build_native(spec_or_name, port, weights=state, seed=seed, **options)


def stepper(
    step_or_name: Step | str,
    port: str,
    *,
    seed: int = 0,
    weights: Mapping[str, Any] | None = None,
    device: str | None = None,
    **options: Any,
) -> TrainingStepper:
    """A training step on a port, ready for its first batch: see twinzoo.ports.steps.stepper."""
    from twinzoo.ports.steps import stepper as make

    return make(step_or_name, port, seed=seed, weights=weights, device=device, **options)


def compare(
    a: Any,
    b: Any,
    inputs: Any = None,
    *,
    grad: bool = False,
    train: bool = False,
    steps: int = 0,
    loss: Any = None,
) -> ParityReport:
    """Run both sides, layer by layer, and hold each against float64: see twinzoo.parity.compare."""
    from twinzoo.parity.compare import compare as compare_sides

    return compare_sides(a, b, inputs, grad=grad, train=train, steps=steps, loss=loss)


def record(
    model: Any,
    inputs: Any,
    path: str | PathLike[str],
    *,
    grad: bool = False,
    train: bool = False,
    loss: Callable[[Any], Any] | None = None,
) -> None:
    """Run a live model once and write down all that a comparison needs: see twinzoo.parity.graphs.record."""
    from twinzoo.parity.graphs.record import record as record_run

    record_run(model, inputs, path, grad=grad, train=train, loss=loss)


def compare_steps(
    a: Stepper | Callable[[], Stepper],
    b: Stepper | Callable[[], Stepper],
    batches: Iterable[Mapping[str, Any]],
    *,
    pairs: Mapping[str, str] | None = None,
    draws: int = 4,
    seed: int = 0,
    progress: Callable[[int], None] = lambda step: None,
) -> StepsReport:
    """Train both sides on the same batches and say where they part, and why: see twinzoo.parity.steps.compare."""
    from twinzoo.parity.steps.compare import compare_steps as compare_sides

    return compare_sides(a, b, batches, pairs=pairs, draws=draws, seed=seed, progress=progress)
