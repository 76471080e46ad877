"""`twinzoo check`: build registered models on two ports with the same weights and compare them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twinzoo.converters.convert import convert
from twinzoo.parity.compare import compare
from twinzoo.parity.inputs import default_inputs
from twinzoo.parity.report import ParityReport
from twinzoo.ports.build import build
from twinzoo.zoo import registry
from twinzoo.zoo.errors import TwinzooError
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.text import spec_from_text

Sides = tuple[str, str]


def check_one(text: str, sides: Sides, weights: Path | None, size: int | None, seed: int) -> ParityReport:
    """Compare the twins of one model.

    Args:
        text: a model and its options, as in `unet,depth=7`.
        sides: the names of two ports.
        weights: a checkpoint, or None for the spec's initial values.
        size: height and width of the random inputs, or None for the model's example size.
        seed: of initial values and inputs.

    Raises:
        TwinzooError: the model, a port or the checkpoint is not to be had.
    """
    spec = spec_from_text(text)
    state = initial_state(spec, seed) if weights is None else dict(convert(weights, spec).state)
    sizes = {} if size is None else {name: size for name in spec.symbols if name != "N"}
    a, b = (build(spec, side, weights=state) for side in sides)
    return compare(a, b, default_inputs(spec, seed, sizes))


def check_all(sides: Sides, seed: int, say: Callable[[str], None]) -> bool:
    """Compare the twins of every registered model and loss at its small test size, a line each.

    Returns:
        Whether all of them agree.
    """
    for problem in registry.load():
        say(f"twinzoo: {problem}")
    entries = [*registry.MODELS.values(), *registry.LOSSES.values()]
    failed = [entry.name for entry in entries if not _check_small(entry, sides, seed, say)]
    differ = f", these do not: {', '.join(failed)}" if failed else ""
    say(f"{len(entries) - len(failed)} of {len(entries)} models and losses agree on {' and '.join(sides)}{differ}")
    return not failed


def _check_small(entry: registry.Entry, sides: Sides, seed: int, say: Callable[[str], None]) -> bool:
    spec = registry.spec(entry.name, **entry.small)
    try:
        report = _compared(spec, sides, seed)
    except TwinzooError as error:
        say(f"{entry.name}: cannot be compared: {error}")
        return False
    say(str(report).splitlines()[0])
    return report.ok


def _compared(spec: Spec, sides: Sides, seed: int) -> ParityReport:
    a, b = (build(spec, side, seed=seed) for side in sides)
    sizes = {name: _small_size(multiple) for name, multiple in spec.symbols.items() if name != "N"}
    return compare(a, b, default_inputs(spec, seed, sizes))


def _small_size(multiple: int) -> int:
    """At least 32 pixels, and a legal size."""
    return -(-32 // multiple) * multiple
