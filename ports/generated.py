"""The package that generated modules are imported under, so that a pickled model finds its class in another process."""

from __future__ import annotations

from twinzoo.ports import cache


def __getattr__(name: str) -> list[str]:
    if name == "__path__":  # asked for when a module below is imported by name
        return [str(cache.directory())]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
