"""The mapping as a table that a person can read and correct: one line for each layer, `source <tab> target <tab> how`.

A row may name a layer or a single tensor on each side; `-` leaves the other side's out on purpose. Lines that begin
with `#`, and what follows the second column, are for the reader.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from twinzoo.converters.forms import carry
from twinzoo.converters.layers import Layer, Tensor
from twinzoo.converters.matching.tensors import Match
from twinzoo.converters.result import Pair
from twinzoo.zoo.errors import ConversionError
from twinzoo.zoo.files import write_text

NOTHING = "-"
_HEAD = "# source\ttarget\thow (twinzoo convert --map reads the first two columns; - leaves a layer or a tensor out)"


@dataclass(frozen=True)
class Table:
    """What a person has decided.

    Attributes:
        layers: target layer -> source layer.
        tensors: target key -> source key.
        left_out: source keys that are not converted.
        left_alone: target keys that are not filled.
    """

    layers: Mapping[str, str] = field(default_factory=dict)
    tensors: Mapping[str, str] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    left_alone: frozenset[str] = frozenset()

    def undecided(
        self, sources: Mapping[str, Layer], targets: Mapping[str, Layer]
    ) -> tuple[dict[str, Layer], dict[str, Layer]]:
        """The layers of both sides that have a place still to be found."""
        taken = set(self.layers.values())
        gone = self.left_out | self.left_alone | self.tensors.keys() | set(self.tensors.values())
        return (
            {n: layer for n, layer in sources.items() if n not in taken and not _all_in(layer, gone)},
            {n: layer for n, layer in targets.items() if n not in self.layers and not _all_in(layer, gone)},
        )

    def settle(self, match: Match, sources: Mapping[str, Layer], targets: Mapping[str, Layer]) -> None:
        """Put single tensors in the places that the table gives them, and take what it leaves out off the lists."""
        ours, theirs = _tensors(sources), _tensors(targets)
        for target, source in self.tensors.items():
            if target in theirs and source in ours:
                _put(match, ours[source], theirs[target])
        match.unused = [key for key in match.unused if key not in self.left_out]
        match.missing = [key for key in match.missing if key not in self.left_alone]
        match.dropped |= dict.fromkeys(sorted(self.left_out), "left out by the table")


def _all_in(layer: Layer, keys: Collection[str]) -> bool:
    return all(tensor.key in keys for tensor in layer.tensors.values())


def _tensors(layers: Mapping[str, Layer]) -> dict[str, Tensor]:
    return {tensor.key: tensor for layer in layers.values() for tensor in layer.tensors.values()}


def _put(match: Match, source: Tensor, target: Tensor) -> None:
    carried = carry(_alone(source), _alone(target))
    if not carried.fits:
        raise ConversionError(
            f"{source.key} is {source.shape} and {target.key} needs {target.shape}: correct the line of the table"
        )
    match.pairs = [pair for pair in match.pairs if pair.target != target.key and pair.source != source.key]
    match.pairs.append(Pair(source.key, target.key, target.shape, "map"))
    match.values |= carried.values
    match.missing = [key for key in match.missing if key != target.key]
    match.unused = [key for key in match.unused if key != source.key]


def _alone(tensor: Tensor) -> Layer:
    return Layer("", {"tensor": replace(tensor, role="tensor")})


def read_table(path: Path, sources: Mapping[str, Layer], targets: Mapping[str, Layer]) -> Table:
    """Read a table against the layers of both sides.

    Raises:
        ConversionError: a line names what neither side has, or decides the same thing twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConversionError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    layers: dict[str, str] = {}
    tensors: dict[str, str] = {}
    left_out: list[str] = []
    left_alone: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        where = f"{path}, line {number}"
        cells = next(csv.reader([line], delimiter="\t"))
        if len(cells) < 2:
            raise ConversionError(f"{where}: must be source <tab> target, got {line[:80]!r}")
        source = _Cell(cells[0].strip(), sources, f"{where}: the source")
        target = _Cell(cells[1].strip(), targets, f"{where}: the target")
        if source.nothing and target.nothing:
            raise ConversionError(f"{where}: leaves out nothing: name a layer or a tensor on one side")
        if source.nothing:
            left_alone += target.keys
        elif target.nothing:
            left_out += source.keys
        elif source.is_layer and target.is_layer:
            _decide(layers, target.name, source.name, where)
        elif source.is_tensor and target.is_tensor:
            _decide(tensors, target.name, source.name, where)
        else:
            raise ConversionError(f"{where}: {source.name} and {target.name} are a layer and a tensor: name two alike")
    return Table(layers, tensors, frozenset(left_out), frozenset(left_alone))


class _Cell:
    """One cell, and what it names."""

    def __init__(self, name: str, layers: Mapping[str, Layer], where: str) -> None:
        self.name = name
        self.nothing = name == NOTHING
        keys = {tensor.key for layer in layers.values() for tensor in layer.tensors.values()}
        self.is_layer = name in layers
        self.is_tensor = name in keys
        if not (self.nothing or self.is_layer or self.is_tensor):
            raise ConversionError(f"{where} has no layer or tensor {name!r}: correct the line")
        self.keys = [t.key for t in layers[name].tensors.values()] if self.is_layer else [name] * self.is_tensor


def _decide(decided: dict[str, str], target: str, source: str, where: str) -> None:
    if target in decided or source in decided.values():
        raise ConversionError(f"{where}: {target if target in decided else source} has a line already: keep one")
    decided[target] = source


def write_table(path: Path, match: Match, sources: Mapping[str, Layer], targets: Mapping[str, Layer]) -> None:
    """Write what was found, and what is open as comments with the candidates."""
    text = io.StringIO()
    rows = csv.writer(text, delimiter="\t", lineterminator="\n")
    text.write(_HEAD + "\n")
    of_source, of_target = _owners(sources), _owners(targets)
    placed = {(of_source[pair.source], of_target[pair.target]): pair.how for pair in match.pairs}
    for (source, target), how in placed.items():
        rows.writerow([source, target, how])
    for tie in match.ambiguous:
        text.write(f"# tied, {tie.reason}:\n")
        for target in tie.targets:
            text.write(f"# {'|'.join(tie.sources)}\t{target}\n")
    for key in match.missing:
        text.write(f"# missing\t{key}\t{match.misfits.get(key, '')}\n")
    for key in match.unused:
        text.write(f"# unused\t{key}\n")
    write_text(path, text.getvalue())


def _owners(layers: Mapping[str, Layer]) -> dict[str, str]:
    return {tensor.key: name for name, layer in layers.items() for tensor in layer.tensors.values()}
