"""Writing a checkpoint so that nobody ever sees half of one: a hidden file, read back, compared, renamed into place."""

import contextlib
import os
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from twinzoo.converters.files.checkpoint import Checkpoint
from twinzoo.converters.files.entries import Array, Entry, quoted
from twinzoo.converters.files.format import Format
from twinzoo.converters.files.formats import formats
from twinzoo.converters.files.payloads import Run, entries_of, payload
from twinzoo.converters.files.provenance import Digest, Notes
from twinzoo.converters.files.source import reason
from twinzoo.zoo.errors import CheckpointError


def write(path: str | Path, tensors: Mapping[str, Array], metadata: Mapping[str, str | Digest] | None = None) -> None:
    """Write a checkpoint whose suffix picks the format: .pth .pt .safetensors .ckpt .npz, or a plug-in's.

    The old file stays until the new one has been read back and compared bit for bit. A process that is killed leaves
    the old file or the new one, and perhaps a hidden `.twinzoo-*.partial`. Metadata, in which a Digest is computed
    meanwhile, is dropped where the format has no room for it (.ckpt). Raises CheckpointError.
    """
    path = Path(path)
    format = _format(path)
    notes = dict(metadata or {})
    if not all(isinstance(key, str) and isinstance(value, str | Digest) for key, value in notes.items()):
        raise CheckpointError(f"{path}: metadata holds other than strings by name: make each value a str")
    try:
        target = _target(path)
        temporary = target.with_name(f".twinzoo-{secrets.token_hex(6)}.partial")
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            _write(format, temporary, tensors, notes)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        _sync(target.parent)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}", error.table) from error
    except (OSError, MemoryError) as error:
        raise CheckpointError(f"{path}: cannot be written: {reason(error)}") from error


def _format(path: Path) -> Format:
    suffixes: list[str] = []
    for format in formats():
        if format.write is not None:
            if path.suffix.lower() in format.suffixes:
                return format
            suffixes += format.suffixes
    what = path.suffix or "a name without suffix"
    raise CheckpointError(f"{path}: no format is written to {what}: use {' '.join(suffixes)}")


def _target(path: Path) -> Path:
    """The file itself where `path` is a link to it."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise CheckpointError("is a folder, expected a file to write: name a file inside it")
    if target.exists() and not target.is_file():
        raise CheckpointError("is a pipe or a device, expected a file to write: choose another name")
    if not target.parent.is_dir():
        raise CheckpointError(f"there is no folder {target.parent}: make it first")
    return target


def _write(format: Format, temporary: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str | Digest]) -> None:
    assert format.write is not None
    entries = entries_of(tensors)
    if not entries:
        raise CheckpointError("there are no tensors to write: check where they should have come from")
    with ThreadPoolExecutor(1) as pool:
        format.write(temporary, tensors, Notes(metadata if format.metadata else {}, pool))
        synced = pool.submit(_sync, temporary)
        _compare(_written(format, temporary), tensors, entries)
        synced.result()


def _written(format: Format, temporary: Path) -> Checkpoint:
    try:
        return format.read(temporary)
    except CheckpointError as error:
        raise CheckpointError(f"what was written cannot be read back: {error}") from error


def _compare(written: Checkpoint, tensors: Mapping[str, Array], entries: dict[str, Entry]) -> None:
    if dict(written.entries) != entries:
        raise CheckpointError("what was read back has other names, shapes or types: report this, nothing was replaced")
    for name, entry in entries.items():
        wanted = Run(payload(tensors, name, entry))
        if not all(_begins(wanted, piece) for piece in written.pieces(name)) or not wanted.ended():
            raise CheckpointError(
                f"tensor {quoted(name)} read back with other values: check the disk, nothing was replaced"
            )


def _begins(wanted: Run, found: bytes) -> bool:
    """Whether these are the next bytes of the run."""
    parts = list(wanted.take(len(found)))
    return (parts[0] if len(parts) == 1 else b"".join(parts)) == found


def _sync(path: Path) -> None:
    """Have the operating system put a file or a folder on the disk; some systems cannot open a folder."""
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR
    with contextlib.suppress(PermissionError) if path.is_dir() else contextlib.nullcontext():
        descriptor = os.open(path, flags)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
