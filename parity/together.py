"""Work on large arrays, several calls at once: NumPy lets other threads run while it computes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

T = TypeVar("T")

LARGE = 2**15
"""Elements from which on threads save more than they cost."""


def together(elements: int, *calls: Callable[[], T]) -> list[T]:
    """What each call returns; where the arrays have many elements, all but the first run in threads of their own."""
    if elements < LARGE or len(calls) < 2:
        return [call() for call in calls]
    first, *rest = calls
    with ThreadPoolExecutor(len(rest)) as pool:
        others = [pool.submit(as_here(call)) for call in rest]
        return [first(), *(other.result() for other in others)]


def as_here(call: Callable[[], T]) -> Callable[[], T]:
    """The call for another thread: which numbers NumPy warns of is set for each, and is there as it is here."""
    state: dict[str, Any] = dict(np.geterr())

    def run() -> T:
        with np.errstate(**state):
            return call()

    return run


def threads_by_hand() -> AbstractContextManager[object]:
    """Meanwhile no product of matrices takes threads of its own: several at once would wait for each other."""
    limits: AbstractContextManager[object] = threadpool_limits(1, "blas")
    return limits
