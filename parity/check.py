"""`twinzoo check`: build registered models on two ports with the same weights and compare them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from twinzoo.converters.convert import convert
from twinzoo.parity.compare import compare
from twinzoo.parity.inputs import default_inputs
from twinzoo.parity.report import ParityReport
from twinzoo.parity.steps.check import check_step
from twinzoo.ports.build import build
from twinzoo.zoo import registry
from twinzoo.zoo.errors import TwinzooError
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.text import spec_from_text

Array = NDArray[Any]
Sides = tuple[str, str]


def check_one(
    text: str,
    sides: Sides,
    weights: Path | None,
    size: int | None,
    seed: int,
    *,
    grad: bool = False,
    train: bool = False,
    steps: int = 0,
) -> ParityReport:
    """Compare the twins of one model.

    Args:
        text: a model and its options, as in `unet,depth=7`.
        sides: the names of two ports.
        weights: a checkpoint, or None for the spec's initial values.
        size: height and width of the random inputs, or None for the model's example size.
        seed: of initial values and inputs.
        grad, train, steps: as for compare.

    Raises:
        TwinzooError: the model, a port or the checkpoint is not to be had.
    """
    spec = spec_from_text(text)
    state = initial_state(spec, seed) if weights is None else dict(convert(weights, spec).state)
    sizes = {} if size is None else {name: size for name in spec.symbols if name != "N"}
    a, b = (build(spec, side, weights=state) for side in sides)
    return compare(a, b, default_inputs(spec, seed, sizes), grad=grad, train=train, steps=steps)


def check_all(sides: Sides, seed: int, say: Callable[[str], None]) -> bool:
    """Compare the twins of everything that is registered, at its small test size, a line each.

    Models and losses: the forward pass, and on two frameworks a pass in training mode with all gradients. Training
    steps: one step.

    Returns:
        Whether all of them agree.
    """
    for problem in registry.load():
        say(f"twinzoo: {problem}")
    networks = [*registry.MODELS.values(), *registry.LOSSES.values()]
    passes = [(entry, partial(_check_network, entry, sides, seed)) for entry in networks]
    passes += [(entry, partial(_check_step, entry, sides, seed)) for entry in registry.STEPS.values()]
    failed = [entry.name for entry, check in passes if not _said(entry, check, say)]
    differ = f", these do not: {', '.join(failed)}" if failed else ""
    what = f"{len(passes)} models, losses and training steps"
    say(f"{len(passes) - len(failed)} of {what} agree on {' and '.join(sides)}{differ}")
    return not failed


def _said(entry: registry.Entry, check: Callable[[], tuple[bool, str]], say: Callable[[str], None]) -> bool:
    try:
        ok, line = check()
    except TwinzooError as error:
        ok, line = False, f"{entry.name}: cannot be compared: {error}"
    say(line)
    return ok


def _check_network(entry: registry.Entry, sides: Sides, seed: int) -> tuple[bool, str]:
    spec = registry.spec(entry.name, **entry.small)
    a, b = (build(spec, side, seed=seed) for side in sides)
    inputs = small_inputs(spec, seed)
    forward = compare(a, b, inputs)
    line = str(forward).splitlines()[0]
    if not forward.ok or "reference" in sides:
        return forward.ok, line
    trained = compare(a, b, inputs, grad=True, train=True)
    if not trained.ok:
        return False, f"{entry.name}, in training: {str(trained).splitlines()[0]}"
    return True, f"{line}; in training all {len(trained.layers)} values and gradients too"


def _check_step(entry: registry.Entry, sides: Sides, seed: int) -> tuple[bool, str]:
    options = "".join(f",{name}={value}" for name, value in entry.small.items())
    report = check_step(entry.name + options, sides, 1, seed)
    return report.ok, f"{entry.name}: {str(report).splitlines()[0]}"


def small_inputs(spec: Spec, seed: int) -> dict[str, Array]:
    """Random inputs of the smallest legal sizes from 32 pixels on."""
    sizes = {name: _small_size(multiple) for name, multiple in spec.symbols.items() if name != "N"}
    return default_inputs(spec, seed, sizes)


def _small_size(multiple: int) -> int:
    """At least 32 pixels, and a legal size."""
    return -(-32 // multiple) * multiple
