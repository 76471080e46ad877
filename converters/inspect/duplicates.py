"""Tensors that hold the same bytes: those with equal statistics are hashed, all others cannot be equal."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Iterator

from twinzoo.converters.files import Checkpoint
from twinzoo.converters.inspect.report import Suspicion, TensorReport


def duplicates_among(tensors: Iterable[TensorReport], checkpoint: Checkpoint) -> list[tuple[str, ...]]:
    """Keys of equal content in file order, one group for each content. Names of one and the same tensor are left out.

    Constants (gains of one, biases of zero) and fixed filters (one kernel for every channel) are equal on purpose, and
    integers are positions and counters: they are left out.
    """
    alike: dict[Hashable, list[TensorReport]] = {}
    for tensor in tensors:
        if (
            tensor.floating
            and tensor.statistics
            and tensor.size
            and not (tensor.statistics.constant or tensor.alias_of)
        ):
            alike.setdefault((tensor.shape, str(tensor.dtype), tensor.statistics), []).append(tensor)
    equal: dict[str, list[str]] = {}
    for candidates in alike.values():
        for tensor in candidates if len(candidates) > 1 else []:
            if not _fixed(tensor, checkpoint):
                digest = hashlib.sha256(f"{tensor.dtype} {tensor.shape}".encode())
                for piece in checkpoint.pieces(tensor.key):
                    digest.update(piece)
                equal.setdefault(digest.hexdigest(), []).append(tensor.key)
    return [tuple(keys) for keys in equal.values() if len(keys) > 1]


def _fixed(tensor: TensorReport, checkpoint: Checkpoint) -> bool:
    """Whether every channel has the same kernel: a blur, a resampling filter."""
    if len(tensor.shape) < 3 or tensor.shape[1] != 1:
        return False
    array = checkpoint[tensor.key]
    return bool((array == array[:1]).all())


def identical(duplicates: Iterable[tuple[str, ...]]) -> Iterator[Suspicion]:
    """One line for each set of places: two tensors, or two whole networks, that are the same."""
    places: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for keys in duplicates:
        places.setdefault(_heads(keys), []).append(keys)
    for heads, groups in places.items():
        names = heads if len(groups) > 1 else groups[0]
        seen = f"{len(groups)} tensors of each are equal" if len(groups) > 1 else "equal"
        effect = "shared on purpose, or copied by accident"
        yield Suspicion("identical", " = ".join(names), f"{seen} bit for bit", effect)


def _heads(keys: tuple[str, ...]) -> tuple[str, ...]:
    """The keys without the words that they end in alike: ("a.conv.weight", "b.conv.weight") -> ("a", "b")."""
    words = [key.split(".") for key in keys]
    while all(len(key) > 1 for key in words) and len({key[-1] for key in words}) == 1:
        words = [key[:-1] for key in words]
    return tuple(".".join(key) for key in words)
