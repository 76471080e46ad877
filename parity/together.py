"""Work on large arrays, several calls at once: NumPy lets other threads run while it computes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

LARGE = 2**15
"""Elements from which on threads save more than they cost."""


def together(elements: int, *calls: Callable[[], T]) -> list[T]:
    """What each call returns; threads of their own run them where the arrays have many elements.

    Which numbers NumPy warns of is set for each thread, and is here as in the caller's.
    """
    if elements < LARGE:
        return [call() for call in calls]
    state: dict[str, Any] = dict(np.geterr())

    def run(call: Callable[[], T]) -> T:
        with np.errstate(**state):
            return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))
