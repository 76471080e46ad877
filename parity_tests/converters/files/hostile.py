"""What the tests of hostile files share: what an error must look like, and pickles of tensors put together by hand."""

import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from twinzoo.converters.files import Checkpoint, read
from twinzoo.zoo.errors import CheckpointError


@contextmanager
def one_line(path: Path, seconds: float = 10, megabytes: float = 100) -> Iterator[None]:
    """A CheckpointError of one line that names the file, soon and without much memory."""
    tracemalloc.start()
    begin = time.process_time()
    try:
        with pytest.raises(CheckpointError) as caught:
            yield
        assert time.process_time() - begin < seconds
        assert tracemalloc.get_traced_memory()[1] < megabytes * 1e6
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable() and len(message) < 600
    assert message.count(": ") >= 2, "what is wrong, and what to do"


def read_all(path: Path) -> dict[str, bytes]:
    """The bytes of every tensor, had as arrays and in pieces as a writer takes them: the same, or both raise."""
    arrays = _outcome(lambda: {name: array.tobytes() for name, array in read(path).items()})
    pieces = _outcome(lambda: _joined(read(path)))
    assert type(arrays) is type(pieces), (arrays, pieces)
    if isinstance(arrays, CheckpointError):
        raise arrays
    assert arrays == pieces
    return arrays


def _joined(checkpoint: Checkpoint) -> dict[str, bytes]:
    return {name: b"".join(checkpoint.pieces(name)) for name in checkpoint}


def _outcome(load: Callable[[], dict[str, bytes]]) -> dict[str, bytes] | CheckpointError:
    try:
        return load()
    except CheckpointError as error:
        return error


def unicode(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def tensor(count: int, shape: bytes, strides: bytes, kind: bytes = b"FloatStorage", offset: bytes = b"K\x00") -> bytes:
    """The pickle of one tensor in storage 0, with anything for its numbers."""
    storage = b"(" + unicode("storage") + b"ctorch\n" + kind + b"\n" + unicode("0") + unicode("cpu")
    storage += b"J" + struct.pack("<i", count) + b"tQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + shape + strides + b"\x89}tR"


def pickled(*parts: bytes) -> bytes:
    return b"\x80\x02}(" + unicode("w") + b"".join(parts) + b"u."
