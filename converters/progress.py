"""How long work says how far it is: whoever starts it decides whether that is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]
"""Told how many bytes have been dealt with since it was last called."""


class Progress(Protocol):
    """Shows the progress of one piece of work; `twinzoo.progress.progress` does so on a terminal."""

    def __call__(self, label: str, total: int) -> AbstractContextManager[Advance]:
        """Around the work.

        Args:
            label: what is being done, in a word.
            total: the bytes to be dealt with in all.
        """


@contextmanager
def silent(label: str, total: int) -> Iterator[Advance]:
    """Shows nothing."""
    yield lambda count: None
