"""`twinzoo check`: build registered models on two ports with the same weights and compare them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib import import_module
from math import isnan
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from twinzoo.converters.convert import convert
from twinzoo.parity.compare import compare
from twinzoo.parity.inputs import default_inputs
from twinzoo.parity.report import ParityReport
from twinzoo.parity.steps.check import batch_size, check_step
from twinzoo.parity.steps.report import StepsReport
from twinzoo.parity.steps.text import GROUPS
from twinzoo.ports.build import build
from twinzoo.zoo import registry
from twinzoo.zoo.errors import ParityError, TwinzooError
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.spec import Spec, spec_hash
from twinzoo.zoo.steps.serial import step_hash
from twinzoo.zoo.steps.step import Step
from twinzoo.zoo.text import spec_from_text

Array = NDArray[Any]

PASSES = ("forward", "gradient", "buffer")
"""What is judged of a model or loss."""


@dataclass(frozen=True)
class Sides:
    """The two ports of a comparison.

    Attributes:
        graph: MindSpore compiles what it runs (graph mode).
    """

    a: str
    b: str
    graph: bool = False

    def __str__(self) -> str:
        return f"{self.a} and {self.b}{', graph mode' if self.graph else ''}"

    def mode(self) -> Any:
        """A context in which MindSpore is in the mode that is asked for.

        Raises:
            ParityError: graph mode is asked for, and neither side is MindSpore.
        """
        if not self.graph:
            return nullcontext()
        if "mindspore" not in (self.a, self.b):
            raise ParityError(f"graph mode is MindSpore's, and the ports are {self.a} and {self.b}: leave it out")
        return import_module("twinzoo.ports.mindspore.modes").graph_mode()


@dataclass(frozen=True)
class Outcome:
    """What the comparison of one registered model, loss or training step found.

    Attributes:
        ratios: the largest error over what rounding explains: of a model or loss by PASSES, of a training step of its
            `loss`, `parameter`, `buffer` and `optimizer` quantities; what it has not is not there.
        line: the outcome in words.
    """

    name: str
    ok: bool
    ratios: Mapping[str, float]
    line: str


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
    with sides.mode():
        a, b = (build(spec, side, weights=state) for side in (sides.a, sides.b))
        return compare(a, b, default_inputs(spec, seed, sizes), grad=grad, train=train, steps=steps)


def check_all(sides: Sides, seed: int, steps: int, say: Callable[[str], None]) -> list[Outcome]:
    """Compare the twins of everything that is registered, presets too, at the small test size of each, a line each.

    Models and losses: the forward pass, and on two frameworks a pass in training mode with all gradients. Training
    steps: so many steps. A preset that is the same as another one at this size shares its outcome.
    """
    for problem in registry.load():
        say(f"twinzoo: {problem}")
    found: dict[str, Outcome] = {}
    outcomes = []
    for table in (registry.MODELS, registry.LOSSES, registry.STEPS):
        for name in registry.matching(table):
            drawn = _small(name, table[name.partition(".")[0]])
            key = step_hash(drawn) if isinstance(drawn, Step) else spec_hash(drawn)
            if key not in found:
                found[key] = _outcome(name, drawn, sides, seed, steps)
                say(found[key].line)
            outcomes.append(replace(found[key], name=name))
    failed = [outcome.name for outcome in outcomes if not outcome.ok]
    differ = f", these do not: {', '.join(failed)}" if failed else ""
    say(f"{len(outcomes) - len(failed)} of {len(outcomes)} models, losses and training steps agree on {sides}{differ}")
    return outcomes


def _small(name: str, entry: registry.Entry) -> Spec:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what warns is to be compared as well
        return (registry.training_step if entry.kind == "step" else registry.spec)(name, **entry.small)


def _outcome(name: str, drawn: Spec, sides: Sides, seed: int, steps: int) -> Outcome:
    try:
        with sides.mode():
            if isinstance(drawn, Step):
                return _of_step(name, check_step(drawn, (sides.a, sides.b), steps, seed))
            return _of_network(name, drawn, sides, seed)
    except TwinzooError as error:
        return Outcome(name, False, {}, f"{name}: cannot be compared: {error}")


def _of_network(name: str, spec: Spec, sides: Sides, seed: int) -> Outcome:
    a, b = (build(spec, side, seed=seed) for side in (sides.a, sides.b))
    inputs = small_inputs(spec, seed)
    forward = compare(a, b, inputs)
    line = f"{name}: {str(forward).splitlines()[0].partition(': ')[2]}"
    if not forward.ok or "reference" in (sides.a, sides.b):
        return Outcome(name, forward.ok, _ratios(forward), line)
    trained = compare(a, b, inputs, grad=True, train=True)
    more = f"; in training all {len(trained.layers)} values and gradients too"
    said = line + more if trained.ok else f"{name}, in training: {str(trained).splitlines()[0]}"
    return Outcome(name, trained.ok, _ratios(forward, trained), said)


def _ratios(*reports: ParityReport) -> dict[str, float]:
    """The largest ratio of each of PASSES."""
    found: dict[str, float] = {}
    for row in (row for report in reports for row in report.layers):
        kind = "gradient" if row.backward else "buffer" if row.quantity.startswith("buffer") else "forward"
        found[kind] = max(found.get(kind, 0.0), row.ratio)
    return found


def _of_step(name: str, report: StepsReport) -> Outcome:
    found = {
        group: max(ratios)
        for group in GROUPS
        if (ratios := [row.ratios[group] for row in report.steps if not isnan(row.ratios[group])])
    }
    return Outcome(name, report.ok, found, f"{name}: {str(report).splitlines()[0]}")


def small_inputs(spec: Spec, seed: int) -> dict[str, Array]:
    """Random inputs of the smallest legal sizes from 32 pixels on."""
    sizes = {name: _small_size(multiple) for name, multiple in spec.symbols.items() if name != "N"}
    return default_inputs(spec, seed, sizes | batch_size(spec))


def _small_size(multiple: int) -> int:
    """At least 32 pixels, and a legal size."""
    return -(-32 // multiple) * multiple
