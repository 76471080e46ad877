"""Measures the rows: both sides run in child processes, and what they gave is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.differences.child import Job, Outcome
from twinzoo.parity.differences.children import run_all
from twinzoo.parity.differences.row import Row
from twinzoo.parity.differences.rows import SECTIONS
from twinzoo.parity.measure import distances
from twinzoo.ports import probe
from twinzoo.zoo.errors import ParityError

Array = NDArray[Any]

AGREES: Mapping[str, float] = {"layer": 2e-6, "optimizer": 5e-5, "initial": 0.25}
"""Largest error over scale at which two forms agree, by the kind of row.

Layers are so small that float32 leaves at most a few 1e-7; float32 has Adam's 1 - 0.999 to 5e-5; the mean and deviation
of a few hundred drawn weights stray by a tenth.
"""

_READ = ("value", "names", "dropped")
"""Kinds whose text is what is compared."""


@dataclass(frozen=True)
class Verdict:
    """A MindSpore form against the PyTorch form.

    Attributes:
        errors: largest error over scale by what it is of: `forward`, `gradient`, `running_var`, `step 1`, ...
        problem: what no error says, in one line: it fails, another shape, another value; or empty.
        word: `agrees`, `differs` or `fails`.
    """

    errors: Mapping[str, float]
    problem: str
    word: str


@dataclass(frozen=True)
class Measured:
    """A row with what was measured; `torch_read` and `mindspore_read` are the values and defaults found."""

    section: str
    row: Row
    torch_read: str
    mindspore_read: str
    as_written: Verdict
    instead: Verdict | None


@dataclass(frozen=True)
class Table:
    """All rows, with the versions that were measured; MindSpore ran on `device`, PyTorch on the CPU."""

    torch: str
    mindspore: str
    device: str
    rows: Sequence[Measured]


def measure(only: str = "") -> Table:
    """Measure the rows whose topic or section has `only` in it.

    Raises:
        PortError: a framework is not installed.
        ParityError: no row is about `only`, or a framework does not start.
    """
    for question in (probe.TORCH, probe.MINDSPORE):
        if not probe.version(question):
            raise probe.missing(question)
    chosen = [
        (section, row)
        for section, rows in SECTIONS.items()
        for row in rows
        if only.lower() in section.lower() or only.lower() in row.topic.lower()
    ]
    if not chosen:
        raise ParityError(f"differences: no topic has {only!r} in it: the sections are {', '.join(SECTIONS)}")
    rows = [row for _, row in chosen]
    with ThreadPoolExecutor() as pool:
        torch_side = pool.submit(_outcomes, "torch", [_torch_jobs(row) for row in rows])
        mindspore_side = pool.submit(_outcomes, "mindspore", [*map(_mindspore_jobs, rows), {"device": _DEVICE}])
        torch, (*mindspore, device) = torch_side.result(), mindspore_side.result()
    measured = [
        Measured(
            section,
            row,
            _read(a),
            _read(b),
            judge(row, a["form"], b["form"]),
            judge(row, a["form"], b["instead"]) if row.instead else None,
        )
        for (section, row), a, b in zip(chosen, torch, mindspore, strict=True)
    ]
    return Table(probe.version(probe.TORCH), probe.version(probe.MINDSPORE), device["device"].text, measured)


_DEVICE = Job("value", "ms.get_current_device().device_target")


def _torch_jobs(row: Row) -> dict[str, Job]:
    """What PyTorch runs for a row, by what it is for."""
    return {"form": _job(row, row.torch)} | _default_jobs(row.defaults[0])


def _mindspore_jobs(row: Row) -> dict[str, Job]:
    """What MindSpore runs for a row, by what it is for."""
    instead = {"instead": _job(row, row.instead)} if row.instead else {}
    return {"form": _job(row, row.mindspore)} | instead | _default_jobs(row.defaults[1])


def _job(row: Row, form: str) -> Job:
    return Job(row.kind, form, row.inputs, row.train)


def _default_jobs(reference: str) -> dict[str, Job]:
    return {"defaults": Job("defaults", reference)} if reference else {}


def _outcomes(port: str, jobs: Sequence[Mapping[str, Job]]) -> list[dict[str, Outcome]]:
    """The outcomes of each row's jobs, by what they are for."""
    outcomes = iter(run_all(f"twinzoo.ports.{port}.differences", [job for asked in jobs for job in asked.values()]))
    return [{purpose: next(outcomes) for purpose in asked} for asked in jobs]


def _read(outcomes: Mapping[str, Outcome]) -> str:
    """The value that a form is, and the defaults."""
    defaults = outcomes.get("defaults", Outcome())
    return ", ".join(part for part in (outcomes["form"].text, defaults.text or defaults.problem) if part)


def judge(row: Row, torch: Outcome, mindspore: Outcome) -> Verdict:
    """Hold what a MindSpore form gave against what the PyTorch form gave."""
    if torch.problem:
        return Verdict({}, f"PyTorch's fails: {torch.problem}", "fails")
    if row.kind in _READ:
        same = torch.text == mindspore.text
        return Verdict({}, mindspore.problem, "fails" if mindspore.problem else "agrees" if same else "differs")
    errors, problem = _errors(row, torch.arrays, mindspore.arrays)
    if mindspore.problem:
        return Verdict(errors, mindspore.problem, "fails")
    agrees = not problem and all(error <= AGREES[row.kind] for error in errors.values())
    return Verdict(errors, problem, "agrees" if agrees else "differs")


def _errors(row: Row, torch: Mapping[str, Array], mindspore: Mapping[str, Array]) -> tuple[dict[str, float], str]:
    """The largest error of each group of arrays; where shapes differ, or an array is missing, what to say of that."""
    errors: dict[str, float] = {}
    for name, x in torch.items():
        y = mindspore.get(name)
        if y is None:
            return errors, f"no {name}"
        if x.shape != y.shape:
            return errors, f"{name} {y.shape}, PyTorch's {x.shape}"
        group = name.partition(" of ")[0]
        errors[group] = max(errors.get(group, 0.0), _error(x, y, row.relative and group == "forward"))
    extra = [name for name in mindspore if name not in torch]
    return errors, f"{extra[0]}, which PyTorch has not" if extra else ""


def _error(x: Array, y: Array, relative: bool) -> float:
    """The largest difference over the size of x: of each element, or of the largest; infinite where that is 0."""
    apart = distances(y, x)
    size = np.abs(x) if relative else np.full(x.shape, np.abs(x).max(initial=0.0))
    shares = np.full(x.shape, np.inf)
    np.divide(apart, size, out=shares, where=size > 0)
    shares[apart == 0] = 0.0
    return float(shares.max(initial=0.0))
