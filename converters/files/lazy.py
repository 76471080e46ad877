"""Tensors that are made from others when they are asked for, and that still pass through a writer in pieces.

state = Lazy({
    "conv.weight": carried(checkpoint, "model.0.weight"),                      # the same bytes under another name
    "fc.weight": carried(checkpoint, "model.1.weight", dtype=np.dtype("f2"), change=to_half),  # run by run
    "lstm.weight": made(Entry((8, 4), np.dtype("f4")), reorder_gates),          # as a whole, one at a time
}, checkpoint.release)
files.write("x.ckpt", state)
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from twinzoo.converters.files.checkpoint import Tensors, chunks, nothing
from twinzoo.converters.files.entries import Array, DType, Entry
from twinzoo.converters.files.payloads import payload


@dataclass(frozen=True)
class Deferred:
    """A tensor that is made when it is asked for; `pieces` gives its bytes without making it, where that can be."""

    entry: Entry
    load: Callable[[], Array]
    pieces: Callable[[], Iterator[bytes]] | None = None


class Lazy(Tensors):
    """Deferred tensors by name.

    Args:
        release: called after each run of a tensor that was made as a whole: `release` of the checkpoint behind it
    """

    def __init__(self, items: Mapping[str, Deferred], release: Callable[[], None] = nothing) -> None:
        self._items = dict(items)
        self.entries = {name: item.entry for name, item in items.items()}
        self.release = release

    def __getitem__(self, key: str) -> Array:
        return self._items[key].load()

    def pieces(self, name: str) -> Iterator[bytes]:
        item = self._items[name]
        return item.pieces() if item.pieces else chunks(item.load(), self.release)


def made(entry: Entry, load: Callable[[], Array]) -> Deferred:
    """A tensor that needs to be made as a whole: its elements change places, or come from several tensors."""
    return Deferred(entry, load)


def carried(
    tensors: Mapping[str, Array],
    name: str,
    shape: tuple[int, ...] | None = None,
    dtype: DType | None = None,
    change: Callable[[Array], Array] | None = None,
) -> Deferred:
    """A tensor whose elements stay in their order.

    Args:
        shape: another shape of as many elements
        dtype: the element type that `change` gives
        change: what is done to the elements, each for itself; it is given them in runs
    """
    have = tensors.entries[name] if isinstance(tensors, Tensors) else _entry(tensors[name])
    want = Entry(have.shape if shape is None else shape, dtype or have.dtype)

    def load() -> Array:
        stored = np.asarray(tensors[name])
        return (change(stored) if change else stored).reshape(want.shape)

    def pieces() -> Iterator[bytes]:
        for piece in payload(tensors, name, have):
            yield change(np.frombuffer(piece, have.dtype)).tobytes() if change else piece

    return Deferred(want, load, pieces)


def _entry(array: Array) -> Entry:
    return Entry(array.shape, array.dtype)
