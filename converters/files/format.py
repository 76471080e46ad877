"""What a kind of checkpoint file has to offer, ours or a plug-in's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from twinzoo.converters.files.checkpoint import Checkpoint
from twinzoo.converters.files.entries import Array


@dataclass(frozen=True)
class Format:
    """One kind of checkpoint file.

    Attributes:
        suffixes: lower case, with the dot; they pick the format to write and mean nothing when reading
        sniff: whether a file that begins with these bytes is of this format
        read: opens a file; CheckpointError for whatever is wrong with it
        write: writes tensors and metadata to a path that exists and is empty, one tensor at a time; raises
            CheckpointError without the path; None for a format that is only read
        metadata: whether `write` keeps the metadata
    """

    name: str
    suffixes: tuple[str, ...]
    sniff: Callable[[bytes, Path], bool]
    read: Callable[[Path], Checkpoint]
    write: Callable[[Path, Mapping[str, Array], Mapping[str, str]], None] | None = None
    metadata: bool = True
