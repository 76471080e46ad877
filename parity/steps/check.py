"""`twinzoo check STEP`: a registered training step on two ports, from the same seed and with the same draws."""

from __future__ import annotations

from dataclasses import replace

from twinzoo.parity.inputs import default_inputs
from twinzoo.parity.steps.compare import compare_steps
from twinzoo.parity.steps.report import StepsReport
from twinzoo.ports.steps import stepper
from twinzoo.zoo.text import step_from_text


def check_step(text: str, sides: tuple[str, str], steps: int, seed: int) -> StepsReport:
    """Train a step's twins on the same random batches, and compare them after every step.

    Args:
        text: a training step and its options, as in `pix2pix,width=8`; its batches have its example size.
        sides: the names of two ports.
        seed: of initial values, batches and draws.

    Raises:
        TwinzooError: the step or a port is not to be had.
    """
    step = step_from_text(text)
    made = [stepper(step, side, seed=seed) for side in sides]
    given = [default_inputs(step, seed + i, {}) for i in range(steps)]
    batches = [{name: inputs[name] for name in step.batch} for inputs in given]
    report = compare_steps(made[0], made[1], batches, seed=seed)
    return replace(report, a=f"{step.name} on {sides[0]}", b=f"{step.name} on {sides[1]}")
