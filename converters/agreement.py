"""After a conversion between live models: both are run once on the same input, and what comes out is compared."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from twinzoo.converters.live import Array, live
from twinzoo.converters.matching.probe import AGREES, distance, weights
from twinzoo.zoo.errors import ConversionError


@dataclass(frozen=True)
class Agreement:
    """Whether the filled target computes what the source does.

    Attributes:
        ok: the outputs differ by no more than rounding and inexact kernels can explain.
        difference: the largest, in standard deviations of the source's output; infinity where shapes differ.
        allowed: the largest that counts as agreeing.
        problem: why the two could not be compared, empty where they were.
    """

    ok: bool
    difference: float
    allowed: float = AGREES
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        if self.problem:
            return f"not run: {self.problem}"
        words = "agree" if self.ok else "DIFFER: the weights are in their places, so the networks are not the same"
        return f"outputs {words}: {self.difference:.1e} of their standard deviation, allowed {self.allowed:.0e}"


def agreement(source: Any, state: dict[str, Array], target: Any, inputs: Any = None) -> Agreement:
    """Run both models on the same input.

    Args:
        source: the live source; `state` is put into it for the run, where its values come from a file.
        target: the live target, filled.
        inputs: what to run them on; without it the smallest that the source accepts.
    """
    try:
        with weights(source, state):
            ours = live(source).trace(source, inputs)
        theirs = live(target).trace(target, tuple(ours.inputs.values()))
    except ConversionError as error:
        return Agreement(False, float("nan"), problem=str(error))
    off = distance(list(ours.outputs.values()), list(theirs.outputs.values()))
    return Agreement(off <= AGREES, off)
