"""`twinzoo check STEP`: a registered training step on two ports, from the same seed and with the same draws."""

from __future__ import annotations

from dataclasses import replace

from twinzoo.parity.inputs import default_inputs
from twinzoo.parity.steps.compare import compare_steps
from twinzoo.parity.steps.moved import MovableStepper
from twinzoo.parity.steps.report import StepsReport
from twinzoo.zoo.errors import ParityError
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.steps.step import Step


def check_step(step: Step, sides: tuple[str, str], steps: int, seed: int) -> StepsReport:
    """Train a step's twins on the same random batches, and compare them after every step.

    Args:
        step: a registered training step; its batches have its example size, and the `batch_size`.
        sides: the names of two ports.
        seed: of initial values, batches and draws.

    Raises:
        TwinzooError: a port is not to be had.
        ParityError: no gradient but 0 reached any parameter, so that nothing was compared.
    """
    sizes = batch_size(step)
    a, b = (MovableStepper(step, side, seed, sizes) for side in sides)
    given = [default_inputs(step, seed + i, sizes) for i in range(steps)]
    batches = [{name: inputs[name] for name in step.batch} for inputs in given]
    report = compare_steps(a, b, batches, seed=seed)
    if not a.reached:
        raise ParityError(f"{step.name}: every gradient is 0, so nothing was trained: take another seed, or it wider")
    idle = [
        f"every gradient of {name} was 0: what it trains was not moved"
        for name in step.optimizers
        if name not in a.reached
    ]
    return replace(report, a=f"{step.name} on {sides[0]}", b=f"{step.name} on {sides[1]}", notes=[*report.notes, *idle])


def batch_size(spec: Spec) -> dict[str, int]:
    """N = 2 for what normalises over the batch, which a single number a channel cannot train, else nothing."""
    return {"N": 2} if "N" in spec.symbols and _normalises(spec) else {}


def _normalises(spec: Spec) -> bool:
    own = any(node.op == "batch_norm" for node in spec.nodes.values())
    return own or any(_normalises(role.spec) for role in spec.roles.values())
