"""The formats there are, ours and those that other packages add, and which of them a file is in."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path

from twinzoo.converters.files import (
    mindspore_ckpt,
    npz,
    safetensors,
    torch_legacy,
    torch_zip,
    torch_zip_writer,
)
from twinzoo.converters.files.checkpoint import Array, Checkpoint
from twinzoo.converters.files.source import head
from twinzoo.converters.files.unknown import guess
from twinzoo.zoo.errors import CheckpointError, TwinzooError

GROUP = "twinzoo.formats"


@dataclass(frozen=True)
class Format:
    """One kind of checkpoint file.

    Attributes:
        suffixes: lower case, with the dot; they pick the format to write and mean nothing when reading
        sniff: whether a file that begins with these bytes is of this format
        read: opens a file; CheckpointError for whatever is wrong with it
        write: writes tensors and metadata to a path that exists and is empty, one tensor at a time; raises
            CheckpointError without the path; None for a format that is only read
    """

    name: str
    suffixes: tuple[str, ...]
    sniff: Callable[[bytes, Path], bool]
    read: Callable[[Path], Checkpoint]
    write: Callable[[Path, Mapping[str, Array], Mapping[str, str]], None] | None = None


_OWN = (  # in the order of asking: what safetensors' one byte would take for its own comes before it
    Format(torch_zip.NAME, (".pth", ".pt"), torch_zip.sniff, torch_zip.read, torch_zip_writer.write),
    Format(torch_legacy.NAME, (), torch_legacy.sniff, torch_legacy.read),
    Format(mindspore_ckpt.NAME, (".ckpt",), mindspore_ckpt.sniff, mindspore_ckpt.read, mindspore_ckpt.write),
    Format(safetensors.NAME, (".safetensors",), safetensors.sniff, safetensors.read, safetensors.write),
    Format(npz.NAME, (".npz",), npz.sniff, npz.read, npz.write),
)


def formats() -> tuple[Format, ...]:
    """Our formats, then those of installed plug-ins (entry points `twinzoo.formats`, each a Format)."""
    return _OWN + _plugins()[0]


def plugin_problems() -> list[str]:
    """A line for every plug-in that was left out, saying why."""
    return list(_plugins()[1])


def read(path: str | Path) -> Checkpoint:
    """Open a checkpoint; its content, never its suffix, tells the format. Raises CheckpointError."""
    path = Path(path)
    start = head(path)
    for format in formats():
        if format.sniff(start, path):
            return format.read(path)
    raise CheckpointError(f"{path}: {guess(start)}")


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


@functools.cache
def _plugins() -> tuple[tuple[Format, ...], list[str]]:
    found: list[Format] = []
    problems: list[str] = []
    taken = {format.name for format in _OWN}
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
