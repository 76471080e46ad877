"""Hands jobs to child processes, and goes on behind a form that takes its process down."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict

from twinzoo.parity.differences.child import MARK, Job, Outcome
from twinzoo.zoo.errors import ParityError

TIMEOUT = 120.0
"""Seconds that one process may take; the form that it is busy with then counts as hanging."""


def run_all(module: str, jobs: Sequence[Job], timeout: float = TIMEOUT) -> list[Outcome]:
    """The outcome of every job, in order.

    Args:
        module: a framework's, as `twinzoo.ports.torch.differences`.

    Raises:
        ParityError: the framework does not even start.
    """
    outcomes: list[Outcome] = []
    while len(outcomes) < len(jobs):
        made, problem = _run_some(module, jobs[len(outcomes) :], timeout)
        if not made and not outcomes and _starts_not(module, timeout):
            raise ParityError(f"differences: {module} does not start: {problem}")
        outcomes += made
        if len(outcomes) < len(jobs):
            outcomes.append(Outcome(problem=problem))
    return outcomes


def _starts_not(module: str, timeout: float) -> bool:
    return not _run_some(module, [Job("value", "1")], timeout)[0]


def _run_some(module: str, jobs: Sequence[Job], timeout: float) -> tuple[list[Outcome], str]:
    """The outcomes up to where the process ended, and how it ended."""
    command = [sys.executable, "-m", "twinzoo.parity.differences.child", module]
    given = json.dumps([asdict(job) for job in jobs])
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        )
        stdout, problem = done.stdout, _ending(done.returncode, done.stderr)
    except subprocess.TimeoutExpired as error:
        stdout = error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else error.stdout or ""
        problem = f"gives no answer within {timeout:.0f} s"
    lines = [line for line in stdout.splitlines(keepends=True) if line.startswith(MARK) and line.endswith("\n")]
    return [Outcome.from_json(line.removeprefix(MARK)) for line in lines], problem


def _ending(status: int, stderr: str) -> str:
    if status < 0:
        return f"crashes the process ({signal.Signals(-status).name})"
    last = next((line.strip() for line in reversed(stderr.splitlines()) if line.strip()), "")
    return f"ends the process with status {status}{f': {last}' if last else ''}"
