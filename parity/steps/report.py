"""What a comparison of training steps found: data first, then as terminal text, JSON and HTML."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from twinzoo.parity.report import strict, write
from twinzoo.parity.results import Finding
from twinzoo.parity.steps.text import terminal
from twinzoo.zoo.errors import ParityError

SCHEMA = 1
"""The version of the JSON, in its key `twinzoo_steps`: a reader refuses one that it does not know.

The other keys are the attributes of StepsReport, and `ok`; `steps`, `findings` and `first_divergence` are objects whose
keys are the attributes of StepRow, Finding and Divergence. NaN and infinities are the strings nan, inf and -inf.
"""


@dataclass(frozen=True)
class Divergence:
    """Where the sides first part.

    Attributes:
        step: from 1; 0 for the state before the first step.
        stage: start, forward, pool, loss, backward, optimizer, schedule or buffers, or several joined by ` or `.
        name: the loss or tensor that shows it.
    """

    step: int
    stage: str
    name: str

    def __str__(self) -> str:
        where = "before the first step" if self.step == 0 else f"at step {self.step}, {self.stage}"
        return f"{where} ({self.name})"


@dataclass(frozen=True)
class StepRow:
    """One step on both sides.

    Attributes:
        step: from 1.
        a, b: the losses.
        low, high: what the losses may be within: the one of side a, less and more what is explained; empty where the
            step was not judged.
        ratios: the largest distance over what is explained, of `loss`, `parameter`, `buffer` and `optimizer`
            quantities; histories of images count as buffers. Above 1 rounding does not explain it; NaN where there are
            none, or none was judged.
        worst: whose ratio that is.
    """

    step: int
    a: dict[str, float]
    b: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    ratios: dict[str, float]
    worst: dict[str, str]

    @property
    def ok(self) -> bool:
        """Whether nothing that was judged is more than rounding explains."""
        return not any(ratio > 1 for ratio in self.ratios.values())


@dataclass(frozen=True)
class StepsReport:
    """What a comparison of training steps found.

    Attributes:
        a, b: what stood on each side, in words.
        tensors: how many parameters and buffers were compared.
        steps: a row for each.
        envelope: the side whose restarts an ulp away the steps were held against, with how many; or empty.
        first_divergence: where the sides first part, None where they agree.
        findings: everything that is wrong, in the order in which it arose.
        notes: what is to be known of how it was judged.
        seconds: how long it took.
    """

    a: str
    b: str
    tensors: int
    steps: list[StepRow]
    envelope: str
    first_divergence: Divergence | None
    findings: list[Finding]
    notes: list[str]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether something was compared and nothing differs by more than rounding explains."""
        return bool(self.steps) and self.tensors > 0 and not self.findings and all(row.ok for row in self.steps)

    def __str__(self) -> str:
        return terminal(self)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write the report as JSON.

        Raises:
            ParityError: the file cannot be written.
        """
        plain = {"twinzoo_steps": SCHEMA, "ok": self.ok, **asdict(self)}
        write(Path(path), json.dumps(strict(plain), indent=1, allow_nan=False) + "\n")

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> StepsReport:
        """Read what to_json wrote.

        Raises:
            ParityError: the file is missing, or no report of this version.
        """
        try:
            return _report(json.loads(Path(path).read_text(encoding="utf-8")))
        except OSError as error:
            raise ParityError(f"{path}: cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise ParityError(f"{path}: no report of training steps: {type(error).__name__}: {error}") from None

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Write the report as one HTML file that needs nothing else.

        Raises:
            ParityError: the file cannot be written.
        """
        from twinzoo.parity.steps.html import page

        write(Path(path), page(self))


def _report(plain: dict[str, Any]) -> StepsReport:
    if plain.pop("twinzoo_steps") != SCHEMA:
        raise ValueError(f"twinzoo_steps must be {SCHEMA}")
    plain.pop("ok")
    first = plain["first_divergence"]
    plain["first_divergence"] = Divergence(**first) if first else None
    plain["findings"] = [Finding(**finding | {"source": tuple(finding["source"])}) for finding in plain["findings"]]
    plain["steps"] = [_row(row) for row in plain["steps"]]
    return StepsReport(**plain)


def _row(plain: dict[str, Any]) -> StepRow:
    names = ("a", "b", "low", "high", "ratios")
    return StepRow(**plain | {name: {key: float(value) for key, value in plain[name].items()} for name in names})
