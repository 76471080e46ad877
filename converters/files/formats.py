"""The formats there are, ours and those that other packages add, and which of them a file is in."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from twinzoo.converters.files import (
    mindspore_ckpt,
    npz,
    safetensors,
    sharded,
    torch_legacy,
    torch_zip,
    torch_zip_writer,
)
from twinzoo.converters.files.checkpoint import Checkpoint
from twinzoo.converters.files.format import Format
from twinzoo.converters.files.source import head
from twinzoo.converters.files.unknown import guess
from twinzoo.zoo.errors import CheckpointError


def _read_sharded(path: Path) -> Checkpoint:
    return sharded.read(path, lambda shard: _read(shard, (format for format in formats() if format is not _SHARDED)))


_SHARDED = Format(sharded.NAME, (), sharded.sniff, _read_sharded)
_OWN = (  # in the order of asking: what safetensors' one byte would take for its own comes before it
    _SHARDED,
    Format(torch_zip.NAME, (".pth", ".pt"), torch_zip.sniff, torch_zip.read, torch_zip_writer.write),
    Format(torch_legacy.NAME, (), torch_legacy.sniff, torch_legacy.read),
    Format(mindspore_ckpt.NAME, (".ckpt",), mindspore_ckpt.sniff, mindspore_ckpt.read, mindspore_ckpt.write, False),
    Format(safetensors.NAME, (".safetensors",), safetensors.sniff, safetensors.read, safetensors.write),
    Format(npz.NAME, (".npz",), npz.sniff, npz.read, npz.write),
)


def formats() -> Iterator[Format]:
    """Our formats, then those of installed plug-ins (entry points `twinzoo.formats`, each a Format).

    Plug-ins are looked for when their turn comes: asking every installed package takes a while.
    """
    yield from _OWN
    yield from _plugins()[0]


def _plugins() -> tuple[tuple[Format, ...], list[str]]:
    from twinzoo.converters.files.plugins import plugins

    return plugins(frozenset(format.name for format in _OWN))


def plugin_problems() -> list[str]:
    """A line for every plug-in that was left out, saying why."""
    return list(_plugins()[1])


def read(path: str | Path) -> Checkpoint:
    """Open a checkpoint; its content, never its suffix, tells the format.

    Args:
        path: a file, or a folder with one sharded checkpoint in it

    Raises:
        CheckpointError: it cannot be read, or is no checkpoint.
    """
    path = Path(path)
    return _read(sharded.index_in(path) or path, formats())


def _read(path: Path, known: Iterable[Format]) -> Checkpoint:
    start = head(path)
    for format in known:
        if format.sniff(start, path):
            return format.read(path)
    raise CheckpointError(f"{path}: {guess(start)}")
