"""Causes in a history of generated images: other choices of what is kept, or images that are not the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.steps.causes.cause import Cause, cause
from twinzoo.parity.text import listed

Array = NDArray[Any]

_OTHER = 4.0
"""A slot holds another image where it is so many times further from the other side's than is explained on average."""


class Held(NamedTuple):
    """One tensor of a history after a step, evenly sampled.

    Attributes:
        a, b: of the two sides.
        slots: how many images it holds; 1 for a count.
        noise: the mean |a - b| that is explained.
    """

    a: Array
    b: Array
    slots: int
    noise: float


def pool_causes(step: int, found: Mapping[str, Held], label: Callable[[str], str]) -> list[Cause]:
    """A cause for every history that rounding does not explain, those alike together.

    Args:
        found: those that are wrong, by side a's name.
    """
    groups: dict[tuple[str, str, str], list[str]] = {}
    for key, held in found.items():
        groups.setdefault(_explained(held), []).append(label(key))
    return [cause(step, "pool", kind, keys, evidence, fix) for (kind, evidence, fix), keys in groups.items()]


def _explained(held: Held) -> tuple[str, str, str]:
    apart = np.abs(held.a - held.b)
    slots = np.arange(len(apart)) * held.slots // len(apart)
    far = [int(slot) for slot in np.unique(slots) if apart[slots == slot].mean() > _OTHER * held.noise]
    if far and len(far) < held.slots:
        evidence = f"of {held.slots} slots {listed([str(slot) for slot in far])} hold another image, the rest agrees"
        fix = "feed both sides the same choices of what the history keeps: in the batch, or from the same seed"
        return "nondeterminism", evidence, fix
    evidence = f"mean |a-b| {apart.mean():.3g} where {held.noise:.3g} is explained"
    return "unexplained", evidence, "compare what is entered into the history: the generator's output, and when"
