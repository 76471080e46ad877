"""Runs forms in one framework, in a process of its own: `python -m twinzoo.parity.differences.child MODULE`.

The module has the functions of twinzoo.ports.torch.differences. Jobs come as a JSON list on stdin; for each one a line
goes to stdout as soon as it is done, so that a crash or a hang costs one job. Whatever a form raises is its result.
"""

from __future__ import annotations

import inspect
import json
import sys
import textwrap
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.differences.arrays import INPUTS, draw
from twinzoo.parity.differences.row import Kind

Array = NDArray[Any]

MARK = "twinzoo-outcome:"
_LONGEST = 100


@dataclass(frozen=True)
class Job:
    """One form to run; `kind` is that of a row, or `defaults`."""

    kind: Kind | str
    form: str
    inputs: tuple[str, ...] = ()
    train: bool = False


@dataclass
class Outcome:
    """What a form gave.

    Attributes:
        arrays: numbers by what they are: `forward`, `gradient of weight`, `running_var`, `step 1`, `mean of bias`, ...
        text: what is compared as it is written: a value, the names of tensors, defaults.
        problem: how it failed, in one line, or empty.
    """

    arrays: dict[str, Array] = field(default_factory=dict)
    text: str = ""
    problem: str = ""

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self) | {"arrays": {name: x.tolist() for name, x in self.arrays.items()}})

    @staticmethod
    def from_json(line: str) -> Outcome:
        """What `to_json` wrote."""
        plain = json.loads(line)
        arrays = {name: np.asarray(x, np.float64) for name, x in plain["arrays"].items()}
        return Outcome(arrays, plain["text"], plain["problem"])


def run(framework: Any, job: Job) -> Outcome:
    """Run a form; what it raises becomes `problem`."""
    outcome = Outcome()
    try:
        _RUNNERS[job.kind](framework, job, outcome)
    except Exception as error:  # the frameworks raise whatever they like, and that is what is asked for here
        outcome.problem += f"{type(error).__name__}: {_first_line(str(error))}"
    return outcome


def _first_line(message: str) -> str:
    """The first line that says something, without headings, cut to a length."""
    lines = (line.strip(" -\t") for line in message.splitlines())
    first = next((line for line in lines if line and not line.endswith(":")), "")
    return textwrap.shorten(first, _LONGEST, placeholder=" ...")


def _layer(framework: Any, job: Job, outcome: Outcome) -> None:
    inputs = [INPUTS[name].copy() for name in job.inputs]
    made = framework.make(job.form, draw, job.train)
    outcome.arrays |= framework.forward(made, inputs)
    outcome.problem = "gradient: "
    outcome.arrays |= framework.gradients(made, inputs, draw)
    outcome.problem = ""


def _optimizer(framework: Any, job: Job, outcome: Outcome) -> None:
    slopes = INPUTS[job.inputs[0]]
    start = draw("weight", slopes[0].shape)
    after = framework.optimize(job.form, start, list(slopes))
    outcome.arrays |= {"step 1": after[0] - start, f"step {len(after)}": after[-1] - start}


def _initial(framework: Any, job: Job, outcome: Outcome) -> None:
    for role, values in framework.initial(job.form).items():
        outcome.arrays[role] = np.array([values.mean(), values.std()])
    outcome.text = ", ".join(f"{role} {mean:.3f} ± {std:.3f}" for role, (mean, std) in outcome.arrays.items())


def _value(framework: Any, job: Job, outcome: Outcome) -> None:
    outcome.text = str(framework.evaluate(job.form))


def _names(framework: Any, job: Job, outcome: Outcome) -> None:
    outcome.text = ", ".join(
        f"{name} {'x'.join(map(str, shape)) or 'scalar'}" for name, shape in framework.names(job.form).items()
    )


def _dropped(framework: Any, job: Job, outcome: Outcome) -> None:
    outcome.text = f"drops {framework.dropped(job.form):.1f}"


def _defaults(framework: Any, job: Job, outcome: Outcome) -> None:
    called, *names = job.form.split()
    parameters = inspect.signature(framework.evaluate(called)).parameters
    outcome.text = ", ".join(f"{name}={parameters[name].default!r}" for name in names)


_RUNNERS: dict[str, Callable[[Any, Job, Outcome], None]] = {
    "layer": _layer,
    "optimizer": _optimizer,
    "value": _value,
    "names": _names,
    "initial": _initial,
    "dropped": _dropped,
    "defaults": _defaults,
}


def main() -> None:
    """Run the jobs of stdin in the framework whose module the first argument names."""
    jobs = [Job(**plain) for plain in json.load(sys.stdin)]
    framework = import_module(sys.argv[1])
    for job in jobs:
        print(f"\n{MARK}{run(framework, job).to_json()}", flush=True)  # a framework may have left a line open


if __name__ == "__main__":
    main()
