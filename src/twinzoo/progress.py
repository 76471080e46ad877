"""A bar on the terminal for work that takes long; nothing anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import click

LONG_BYTES = 200 * 10**6
"""Work on more than this gets its bar at once."""

LONG_SECONDS = 1.0
"""Other work gets it when it has taken this long."""


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A function to call with the number of bytes that were dealt with since the last call.

    The bar is on stderr, and only where that is a terminal and the work is long.

    Args:
        label: what is being done, in a word.
        total: bytes to be dealt with in all.
    """
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    start, waiting = time.monotonic(), 0
    bar = click.progressbar(length=max(total, 1), label=label, file=sys.stderr)
    with ExitStack() as shown:

        def advance(count: int) -> None:
            nonlocal waiting
            waiting += count
            long = total > LONG_BYTES or time.monotonic() - start > LONG_SECONDS
            if long and not bar.entered:
                shown.enter_context(bar)
            if bar.entered:
                bar.update(waiting)
                waiting = 0

        yield advance
