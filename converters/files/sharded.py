"""Checkpoints in several files: an index in JSON, {"weight_map": {tensor: file}}, with the files beside it.

Hugging Face calls it `*.safetensors.index.json` or `*.bin.index.json`, MindSpore `param_name_map.json`. The index and
the files must agree on every tensor: one that is missing, twice there or not listed is refused, since then one of them
is from another save. The tensors come in the order of the files' names and of each file, since the index is sorted.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from twinzoo.converters.files.checkpoint import Checkpoint, Structure
from twinzoo.converters.files.entries import Array, printable, quoted
from twinzoo.converters.files.source import Source
from twinzoo.zoo.errors import CheckpointError

NAME = "sharded"
MAX_INDEX = 100_000_000
MAX_FILES = 10_000
_MAP = "weight_map"
_INDEX_NAME = re.compile(r".*\.index\.json|param_name_map\.json")
_MARK = re.compile(rb'"weight_map"|:\s*"[^"]*\.safetensors"')
_SAVE = "save it again, index and files together"


def sniff(head: bytes, path: Path) -> bool:
    """JSON that names tensor files; safetensors may begin with a brace too, but the last of its first 8 bytes is 0."""
    return head.lstrip().startswith(b"{") and b"\0" not in head[:8] and _MARK.search(head) is not None


def index_in(folder: Path) -> Path | None:
    """The index of the one sharded checkpoint in a folder, None where there is none or this is no folder.

    Raises:
        CheckpointError: there are several.
    """
    if not os.path.isdir(folder):
        return None
    found = sorted(name for name in os.listdir(folder) if _INDEX_NAME.fullmatch(name))
    if len(found) > 1:
        names = ", ".join(map(quoted, found[:4]))
        raise CheckpointError(f"{folder}: is a folder with several sharded checkpoints ({names}): name one of them")
    return folder / found[0] if found else None


def read(path: Path, read_one: Callable[[Path], Checkpoint]) -> Checkpoint:
    """
    Args:
        read_one: opens a file that is no index
    """
    source = Source(path)
    index = _index(source)
    listed = _listed(source, index)
    shards: dict[str, Checkpoint] = {}
    for name in sorted(set(listed.values())):
        shards[name] = read_one(_beside(source, name))
    owners = _owners(source, listed, shards)
    entries = {key: shard.entries[key] for key, shard in owners.items()}

    def load(key: str) -> Array:
        return owners[key][key]

    def pieces(key: str) -> Iterator[bytes]:
        return owners[key].pieces(key)

    def release() -> None:
        for shard in shards.values():
            shard.release()

    kinds = " + ".join(dict.fromkeys(shard.format for shard in shards.values()))
    structure = Structure({key: first for shard in shards.values() for key, first in shard.aliases.items()})
    files = (path, *(shard.path for shard in shards.values()))
    return Checkpoint(
        path,
        f"{NAME} {kinds}",
        entries,
        load,
        _metadata(index),
        release,
        pieces=pieces,
        structure=structure,
        files=files,
    )


def _index(source: Source) -> dict[str, object]:
    if source.size > MAX_INDEX:
        raise source.error(f"begins like an index in JSON, but has {source.size} bytes, expected at most {MAX_INDEX}")
    try:
        index = json.loads(source.data[:].decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError, MemoryError) as error:
        raise source.error(f"begins like an index in JSON, but is not valid ({printable(str(error))!r})") from error
    assert isinstance(index, dict), "it begins with a brace"
    return index


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result: dict[str, object] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"duplicate key {name[:60]}")
        result[name] = value
    return result


def _listed(source: Source, index: Mapping[str, object]) -> dict[str, str]:
    """Tensor -> file; MindSpore also takes the table alone."""
    flat = bool(index) and all(isinstance(value, str) and value.endswith(".safetensors") for value in index.values())
    table = index if flat else index.get(_MAP)
    if not isinstance(table, dict) or not table:
        raise source.error(
            f"is JSON without a {_MAP}, expected the index of a sharded checkpoint", "name the checkpoint itself"
        )
    wrong = next((key for key, name in table.items() if not isinstance(name, str)), None)
    if wrong is not None:
        raise source.error(f"its {_MAP} gives {quoted(wrong)} no file name", _SAVE)
    if len(set(table.values())) > MAX_FILES:
        raise source.error(f"its {_MAP} names more than {MAX_FILES} files", _SAVE)
    return table


def _beside(source: Source, name: str) -> Path:
    """The file of that name in the index's folder, which nothing in a name or a link may lead out of.

    Hugging Face's cache keeps the files elsewhere: `snapshots/<revision>/<name>` is a link into `blobs`.
    """
    folder = source.path.parent
    if not name or name in (".", "..") or re.search(r"[/\\\0]|^\w:", name):
        raise source.error(f"its {_MAP} names the file {quoted(name)}, which is not in its own folder", _SAVE)
    path = folder / name
    if not os.path.lexists(path):
        raise source.error(f"its file {quoted(name)} is missing", "fetch it as well, or save all again")
    home = Path(os.path.realpath(folder))
    homes = [home, home.parent.parent / "blobs"] if home.parent.name == "snapshots" else [home]
    if Path(os.path.realpath(path)).parent not in homes:
        raise source.error(f"its file {quoted(name)} is a link out of its folder", "copy the file there")
    return path


def _owners(source: Source, listed: Mapping[str, str], shards: Mapping[str, Checkpoint]) -> dict[str, Checkpoint]:
    """The shard of each tensor, in order; the index and the shards must say the same."""
    owners: dict[str, Checkpoint] = {}
    for name, shard in shards.items():
        for key in shard:
            if listed.get(key) != name:
                said = f"lists for {quoted(listed[key])}" if key in listed else "does not list"
                raise source.error(f"file {quoted(name)} has the tensor {quoted(key)}, which the index {said}", _SAVE)
            owners[key] = shard
    lost = next((key for key in listed if key not in owners), None)
    if lost is not None:
        raise source.error(f"the tensor {quoted(lost)} is not in its file {quoted(listed[lost])}", _SAVE)
    return owners


def _metadata(index: Mapping[str, object]) -> dict[str, str]:
    """The short values that the index has about the whole."""
    values = index.get("metadata")
    if not isinstance(values, dict):
        return {}
    return {name: str(value) for name, value in values.items() if isinstance(value, str | int | float)}
