"""MindSpore's two modes: PyNative, which is its default, and graph mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twinzoo.ports.mindspore.port import PORT
from twinzoo.ports.mindspore.runtime import prepare


@contextmanager
def graph_mode() -> Iterator[None]:
    """Inside the block MindSpore compiles what it runs; afterwards it is in the mode that it was in.

    Raises:
        PortError: MindSpore is missing.
    """
    prepare()
    mindspore = PORT.framework()
    before = mindspore.get_context("mode")
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    try:
        yield
    finally:
        mindspore.set_context(mode=before)
