"""PyTorch's own files since 1.6: a zip whose `data.pkl` names tensors, and whose `data/N` are their storages."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from twinzoo.converters.files import zips
from twinzoo.converters.files.checkpoint import Checkpoint
from twinzoo.converters.files.entries import quoted
from twinzoo.converters.files.source import Order, Source
from twinzoo.converters.files.state_tree import flatten
from twinzoo.converters.files.torch_pickles import Storages, load_torch
from twinzoo.converters.files.torch_storages import Place, checkpoint

NAME = "torch"
METADATA = "twinzoo.json"  # the member, ignored by torch.load, in which our writer keeps the metadata
_PICKLE = "data.pkl"
_MEMBER = re.compile(  # what an archive of torch's begins with; .npy is npz.py's
    r"(?!.*\.npy$)[^/]*/($|data\.pkl$|data/|version$|byteorder$|\.|code/|constants|bytecode|attributes|extra/)"
)
_RESAVE = "torch.save(torch.load(path), path) writes an ordinary file"


def sniff(head: bytes, path: Path) -> bool:
    return _MEMBER.match(zips.first_name(head)) is not None


def read(path: Path) -> Checkpoint:
    source = Source(path)
    archive = zips.Archive(source)
    folder = _folder(archive)
    pickled = _stored(archive, f"{folder}{_PICKLE}")
    archive.check(pickled)
    storages = Storages()
    root, _ = load_torch(source, pickled.offset, pickled.offset + pickled.size, storages)
    tree = flatten(source, root)
    members = {
        key: _stored(archive, f"{folder}data/{key}")
        for key in storages.seen
        if f"{folder}data/{key}" in archive.members
    }
    places = {key: Place(member.offset, member.size) for key, member in members.items()}
    metadata = {**tree.metadata, **_metadata(archive, f"{folder}{METADATA}")}
    order = _order(archive, f"{folder}byteorder")

    def check(key: str) -> None:
        archive.check(members[key])

    def stream(key: str, start: int, end: int) -> Iterator[bytes]:
        return archive.pieces(members[key], start, end)

    return checkpoint(source, NAME, tree, places, metadata, order, check, stream)


def _folder(archive: zips.Archive) -> str:
    """The one folder that everything in the archive is in, with its slash."""
    pickles = [name for name in archive.members if name == _PICKLE or name.endswith(f"/{_PICKLE}")]
    if not pickles:
        raise archive.source.error(
            f"a zip file without {_PICKLE} (it has {zips.contents(archive.members)}), expected a torch file",
            "name the checkpoint itself",
        )
    shortest = min(pickles, key=len)
    folder = shortest.removesuffix(_PICKLE)
    if f"{folder}constants.pkl" in archive.members:
        raise archive.source.error(
            "holds a TorchScript program, expected a state_dict",
            "torch.save(torch.jit.load(...).state_dict(), ...) in its place",
        )
    return folder


def _stored(archive: zips.Archive, name: str) -> zips.Member:
    member = archive.members[name]
    if not member.stored:
        raise archive.source.error(
            f"zip member {quoted(name)} is compressed, expected it as torch.save leaves it", _RESAVE
        )
    return member


def _order(archive: zips.Archive, name: str) -> Order:
    if name not in archive.members:
        return "little"
    text = archive.unpack(archive.members[name], limit=16)
    if text not in (b"little", b"big"):
        raise archive.source.error(f"zip member {quoted(name)} holds {text!r}, expected little or big")
    return "big" if text == b"big" else "little"


def _metadata(archive: zips.Archive, name: str) -> dict[str, str]:
    if name not in archive.members:
        return {}
    return parse_metadata(archive.source, name, archive.unpack(archive.members[name]))


def parse_metadata(source: Source, name: str, content: bytes) -> dict[str, str]:
    """A JSON object of strings."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise source.error(f"zip member {quoted(name)} is no JSON") from error
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise source.error(f"zip member {quoted(name)} holds other than strings by name")
    return values
