"""Where a checkpoint came from: the SHA-256 of its files, computed while other work goes on, and metadata with it."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from twinzoo.converters.files.checkpoint import CHUNK
from twinzoo.converters.files.source import reason
from twinzoo.zoo.errors import CheckpointError

DIGITS = 64


@dataclass(frozen=True)
class Digest:
    """A note for a file's metadata: the `sha256` of these files, computed while the tensors are written."""

    files: tuple[Path, ...]


class Notes(Mapping[str, str]):
    """Metadata of a file that is being written; a digest that is asked for before it is there is waited for."""

    def __init__(self, metadata: Mapping[str, str | Digest], pool: ThreadPoolExecutor) -> None:
        self._values: dict[str, str | Future[str]] = {
            name: pool.submit(sha256, value.files) if isinstance(value, Digest) else value
            for name, value in metadata.items()
        }

    def __getitem__(self, name: str) -> str:
        value = self._values[name]
        return value if isinstance(value, str) else value.result()

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def blank(self) -> dict[str, str]:
        """Texts of the final lengths, without waiting."""
        return {name: value if isinstance(value, str) else "0" * DIGITS for name, value in self._values.items()}


def sha256(files: Iterable[Path]) -> str:
    """The SHA-256 in hexadecimal: of one file what `sha256sum FILE` prints, of several that of its lines for them.

    So `sha256sum model.safetensors.index.json model-0000*.safetensors | sha256sum` gives that of a sharded checkpoint,
    with the files in the order of `Checkpoint.files`.

    Raises:
        CheckpointError: a file cannot be read.
    """
    digests = [(_sha256(path), path.name) for path in files]
    if len(digests) == 1:
        return digests[0][0]
    return hashlib.sha256("".join(f"{digest}  {name}\n" for digest, name in digests).encode()).hexdigest()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as stream:
            while piece := stream.read(CHUNK):
                digest.update(piece)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {reason(error)}") from error
    return digest.hexdigest()
