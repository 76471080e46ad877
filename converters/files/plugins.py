"""Formats that other packages add: entry points `twinzoo.formats`, each a Format."""

import functools
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

from twinzoo.converters.files.checkpoint import Checkpoint
from twinzoo.converters.files.entries import Array
from twinzoo.converters.files.format import Format
from twinzoo.zoo.errors import CheckpointError, TwinzooError

GROUP = "twinzoo.formats"


@functools.cache
def plugins(own: frozenset[str]) -> tuple[tuple[Format, ...], list[str]]:
    """The formats of installed packages, and a line for each one that was left out, saying why.

    Args:
        own: names that are taken
    """
    found: list[Format] = []
    problems: list[str] = []
    taken = set(own)
    for point in entry_points(group=GROUP):
        try:
            format = point.load()
        except (Exception, SystemExit) as error:
            problems.append(
                f"format plug-in {point.name} ({point.value}) does not load: {type(error).__name__}: {error}"
            )
            continue
        if not isinstance(format, Format):
            problems.append(f"format plug-in {point.name} ({point.value}) is a {type(format).__name__}, not a Format")
        elif format.name in taken:
            problems.append(f"format plug-in {point.name} ({point.value}): there is a format {format.name} already")
        else:
            taken.add(format.name)
            found.append(_guarded(format, problems))
    return tuple(found), problems


def _guarded(format: Format, problems: list[str]) -> Format:
    """A plug-in's format whose own mistakes become one line, and which is passed over where it cannot even look."""

    def failure(error: Exception) -> str:
        text = " ".join(str(error).split())
        return f"the plug-in for format {format.name} failed ({type(error).__name__}: {text}): tell its authors"

    def sniff(start: bytes, path: Path) -> bool:
        try:
            return format.sniff(start, path)
        except Exception as error:
            problems.append(failure(error))
            return False

    def read(path: Path) -> Checkpoint:
        try:
            return format.read(path)
        except TwinzooError:
            raise
        except Exception as error:
            raise CheckpointError(f"{path}: {failure(error)}") from error

    def write(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
        assert format.write is not None
        try:
            format.write(path, tensors, metadata)
        except (TwinzooError, OSError):
            raise
        except Exception as error:
            raise CheckpointError(failure(error)) from error

    return replace(format, sniff=sniff, read=read, write=write if format.write is not None else None)
