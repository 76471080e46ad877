"""Comparing training: both sides step by step, each quantity held to what rounding explains, and the cause named."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from twinzoo.parity.steps.deviation import LOSS
from twinzoo.parity.steps.diagnose import diagnose
from twinzoo.parity.steps.record import Record, hold, run_both, worst
from twinzoo.parity.steps.report import Divergence, StepRow, StepsReport
from twinzoo.parity.steps.stepper import Side, Stepper, checked_batch
from twinzoo.parity.steps.text import GROUPS
from twinzoo.zoo.errors import ParityError


def compare_steps(
    a: Stepper | Callable[[], Stepper],
    b: Stepper | Callable[[], Stepper],
    batches: Iterable[Mapping[str, ArrayLike]],
    *,
    pairs: Mapping[str, str] | None = None,
    draws: int = 4,
    seed: int = 0,
    progress: Callable[[int], None] = lambda step: None,
) -> StepsReport:
    """Train both sides on the same batches and say where they part, in which stage, and why.

    A side is any object with `step(batch) -> losses` and `state() -> arrays`, or, better, a function that makes a
    fresh one, so that it can be run again. Your own loop takes ten lines:

        class Run:
            def __init__(self):
                self.net = Net()
                self.net.load_state_dict(torch.load("start.pth"))
                self.adam = torch.optim.Adam(self.net.parameters(), lr=2e-4)

            def step(self, batch):
                loss = my_loss(self.net(torch.tensor(batch["x"])), torch.tensor(batch["y"]))
                self.adam.zero_grad(), loss.backward(), self.adam.step()
                return {"loss": loss.item()}

            def state(self):
                found = {k: v.detach().numpy() for k, v in self.net.state_dict().items()}
                for name, p in self.net.named_parameters():
                    if p in self.adam.state:
                        found[f"optimizer.m.{name}"] = self.adam.state[p]["exp_avg"].numpy()
                        found[f"optimizer.v.{name}"] = self.adam.state[p]["exp_avg_sq"].numpy()
                return found

        print(tz.compare_steps(Run, the_same_in_mindspore, batches))

    What a stepper may offer beside that:
    - the optimizer's state in `state()`: `optimizer.m.<parameter>` and `optimizer.v.<parameter>` of Adam,
      `optimizer.momentum.<parameter>` of SGD, and numbers (`optimizer.lr`, `optimizer.step`). torch's and MindSpore's
      own words are understood. With it a mistake of the optimizer is told apart from one of the gradients.
    - `gradients() -> arrays` of the last step by parameter.
    - `step_moved(batch, move)`, a step some of whose intermediate results are moved by a rounding, as `move(array)`
      moves an array (of ones, to have factors): sums that cancel in a step are then allowed what their terms lose.
    - a history of generated images in `state()`, `pool.<name>.images` and `pool.<name>.count`.
    - `load(state)`, which takes what `state()` returned: a side can then be restarted an ulp away, and mixed states be
      tried.

    Args:
        a, b: steppers, or functions without arguments that return fresh ones. Tensors are paired by name, else as a
            conversion would.
        batches: mappings of arrays; they are kept, since a side is run again on them.
        pairs: key of a's state -> key of b's, where it is known; these come before any other way of pairing.
        draws: how many times one side is restarted an ulp away; 0 for no envelope.
        seed: of these draws.
        progress: called with the number of each step that both sides have made.

    Returns:
        The verdict, the first divergence with its stage, findings, and a row for each step.

    Raises:
        ParityError: a side is no stepper or returns something else than it must, there are no batches, or `pairs` names
            what a side has not.
    """
    began = time.perf_counter()
    sides = Side("a", a), Side("b", b)
    given = [checked_batch(batch, i) for i, batch in enumerate(batches, 1)]
    if not given:
        raise ParityError("compare_steps: batches has none: give at least one, and better five")
    record = run_both(sides, given, progress, pairs or {})
    hold(record, draws, seed)
    causes = diagnose(record)
    rows = [_row(record, step, judged=not record.unequal_start) for step in range(1, len(given) + 1)]
    findings = [*record.findings, *(item.finding for item in causes)]
    first = None
    if record.unequal_start:
        start = next(finding for finding in record.findings if finding.cause == "weight-value")
        first = Divergence(0, "start", start.layer)
    elif causes:
        first = Divergence(causes[0].step, causes[0].stage, causes[0].finding.layer)
    envelope = f"{draws} restarts of {record.anchor} an ulp away" if record.anchor else ""
    return StepsReport(
        a=_words(a),
        b=_words(b),
        tensors=len(record.pairs.values),
        steps=rows,
        envelope=envelope,
        first_divergence=first,
        findings=findings,
        notes=record.notes,
        seconds=time.perf_counter() - began,
    )


def _row(record: Record, step: int, *, judged: bool) -> StepRow:
    """One step; nothing is judged where the sides did not start alike."""
    a, b = (losses[step - 1] for losses in record.losses)
    limits = record.noise(step, LOSS) if judged else {}
    ratios = record.ratios[step - 1] if judged else {}
    found = {group: worst(ratios, group) for group in GROUPS}
    return StepRow(
        step=step,
        a=a,
        b=b,
        low={name: a[name] - limit for name, limit in limits.items() if np.isfinite(a[name])},
        high={name: a[name] + limit for name, limit in limits.items() if np.isfinite(a[name])},
        ratios={group: ratio for group, (ratio, _) in found.items()},
        worst={group: name for group, (_, name) in found.items()},
    )


def _words(given: Any) -> str:
    kind = given if hasattr(given, "__qualname__") else type(given)
    return f"{kind.__module__}.{kind.__qualname__}"
