"""What a checkpoint file is to the rest of the house: named arrays, each read only when it is asked for."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from twinzoo.converters.files.entries import Array, Entry, quoted
from twinzoo.converters.files.training import training_state
from twinzoo.zoo.errors import CheckpointError

CHUNK = 2**18  # bytes that pass through memory at a time: what stays in a processor's cache is copied fastest


def nothing() -> None:
    """What `release` does for tensors that are not mapped."""


class Tensors(Mapping[str, Array]):
    """Named arrays whose shapes and types are known before any is read, and whose bytes can be had in pieces.

    What the writers take without ever holding a whole file, or where it can be avoided a whole tensor.
    """

    entries: Mapping[str, Entry]

    @abstractmethod
    def pieces(self, name: str) -> Iterator[bytes]:
        """The bytes of a tensor in C order, in runs of whole elements of about CHUNK bytes."""

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


@dataclass(frozen=True)
class Structure:
    """What a file says about its tensors beside their names.

    Attributes:
        aliases: name -> the first name of the same tensor, for each further name that it has in the file
        optimizer: the names of what a training run keeps for itself, where the file sets it apart
        networks: the names of the groups that the tensors are kept in, where there is more than one
    """

    aliases: Mapping[str, str] = field(default_factory=dict)
    optimizer: frozenset[str] = frozenset()
    networks: tuple[str, ...] = ()


class Checkpoint(Tensors):
    """The tensors of one file by name, in file order. Indexing reads one tensor; the arrays are read-only.

    Attributes:
        path: the file that was asked for
        files: all files that it consists of
        aliases: name -> the first name of the same tensor, for each further name that a tied tensor has in the file
        optimizer: the names in `entries` that are no weights but what a training run goes on with: moments of the
            optimizer, learning rate, counters of steps
        networks: the names of the groups that the tensors are kept in, where there is more than one
    """

    def __init__(
        self,
        path: Path,
        format: str,
        entries: Mapping[str, Entry],
        load: Callable[[str], Array],
        metadata: Mapping[str, str] | None = None,
        release: Callable[[], None] = nothing,
        *,
        pieces: Callable[[str], Iterator[bytes] | None] = lambda name: None,
        structure: Structure | None = None,
        files: tuple[Path, ...] = (),
    ) -> None:
        """
        Args:
            load: gives the tensor of a name that is in `entries`, memory-mapped where the format allows it
            release: lets go of the memory behind mapped arrays; they stay valid and are read from the file again
            pieces: gives its bytes straight from the file, or None where they do not lie there in order
        """
        self.path = path
        self.files = files or (path,)
        self.format = format
        self.entries = entries
        self.metadata = dict(metadata or {})
        self.release = release
        structure = structure or Structure()
        self.aliases = structure.aliases
        self.optimizer = structure.optimizer | training_state(entries)
        self.networks = structure.networks
        self._load = load
        self._pieces = pieces

    def __getitem__(self, key: str) -> Array:
        wanted = self.entries[key]
        try:
            array = self._load(key)
        except MemoryError as error:
            raise CheckpointError(
                f"{self.path}: tensor {quoted(key)} needs {wanted.nbytes} bytes of memory: free some memory"
            ) from error
        if array.dtype == np.bool_:
            self._check_flags(key, array.view(np.uint8))
        array.setflags(write=False)
        return array

    def pieces(self, name: str) -> Iterator[bytes]:
        wanted = self.entries[name]
        for piece in self._pieces(name) or chunks(self[name], self.release):
            if wanted.dtype == np.bool_:
                self._check_flags(name, np.frombuffer(piece, np.uint8))
            yield piece

    def _check_flags(self, key: str, flags: Array) -> None:
        if flags.size and flags.max() > 1:
            raise CheckpointError(
                f"{self.path}: tensor {quoted(key)} is boolean but holds bytes other than 0 and 1: fetch the file again"
            )

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.path)!r}, format={self.format!r}, tensors={len(self)})"


def chunks(array: Array, release: Callable[[], None] = nothing) -> Iterator[bytes]:
    """The bytes of an array in C order and native byte order.

    Args:
        release: called after each run, or once at the end where a run may lie all over the array
    """
    runs = np.nditer(
        array,
        ["external_loop", "buffered", "zerosize_ok"],
        [["readonly", "nbo"]],
        order="C",
        buffersize=max(CHUNK // array.itemsize, 1),
    )
    for run in runs:
        yield np.asarray(run).tobytes()
        if array.flags.c_contiguous:
            release()
    release()
