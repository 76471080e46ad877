"""A cause that was proved, with where in the training it arose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from twinzoo.parity.results import Finding
from twinzoo.parity.text import listed

STAGES = ("start", "forward", "pool", "loss", "backward", "optimizer", "schedule", "buffers")
"""The parts of a step, in the order in which they run."""


@dataclass(frozen=True)
class Cause:
    """What was found.

    Attributes:
        step: the first in which it shows, from 1; 0 for the state before it.
        stage: of STAGES, or several joined by ` or `.
        keys: side a's names of the losses or tensors that it explains.
        finding: for the report.
        number: the ratio of the sides that it speaks of, 0 where it speaks of none.
    """

    step: int
    stage: str
    keys: tuple[str, ...]
    finding: Finding
    number: float = 0.0


def cause(step: int, stage: str, kind: str, keys: Sequence[str], evidence: str, fix: str) -> Cause:
    """A cause whose finding names the tensors or losses themselves."""
    return Cause(step, stage, tuple(keys), Finding(listed(keys), kind, evidence, fix))


def times(ratio: float) -> str:
    """A ratio to what rounding explains, in words."""
    return f"{float(f'{ratio:.3g}'):,.10g} times" if ratio > 1 else f"{ratio:.2g}"


def short(value: float, low: float, high: float) -> float:
    """The number with the fewest digits between two bounds, else the value."""
    for digits in range(1, 7):
        rounded = float(f"{value:.{digits - 1}e}")
        if low <= rounded <= high:
            return rounded
    return value


def sizes(shapes: Iterable[tuple[int, ...]]) -> dict[int, str]:
    """What a sum instead of a mean may be larger by: numbers of elements in a batch, in words."""
    found: dict[int, str] = {}
    for shape in shapes:
        for first in range(len(shape)):
            for last in range(first + 1, len(shape) + 1):
                count = 1
                for size in shape[first:last]:
                    count *= size
                whole = first == 0 and last == len(shape)
                words = "the batch size" if (first, last) == (0, 1) else "all elements of an input" if whole else ""
                words = words or f"axes {first} to {last - 1} of an input"
                if count > 2:
                    found.setdefault(count, words)
    return found
