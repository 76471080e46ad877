"""A comparison's report: data first, then as terminal text, JSON and HTML."""

from __future__ import annotations

import json
import math
import os
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from twinzoo.parity.results import Finding, KernelUse, LayerResult, SideInfo
from twinzoo.parity.text import terminal
from twinzoo.zoo.errors import ParityError

SCHEMA = 2
"""The version of the JSON, in its key `twinzoo_parity`: a reader refuses one that it does not know.

The other keys are the attributes of ParityReport, and `ok`; layers, sides, findings and kernels are objects whose keys
are the attributes of the classes in twinzoo.parity.results: see docs/report.md.
"""

_WRONG_MAPS, _NEAREST_MAPS = 32, 6
"""Of how many wrong rows, and of how many that are nearest to their bound, a report keeps where the error sits."""


@dataclass(frozen=True)
class ParityReport:
    """What a comparison found.

    Attributes:
        spec, spec_hash, parameters: what was compared: its name, its hash, its number of trained scalars.
        inputs: shape, dtype and range of what was fed, in words, by input name.
        a, b: what stood on each side.
        layers: every value of the graph in execution order, then what the models returned. Rows of one layer (its
            output, its gradients, its buffers) stand next to each other, however they were given.
        findings: everything that is wrong, in execution order.
        kernels: measured kernels without whose allowance a layer would not have passed.
        seconds: how long it took.
        notes: what was not comparable and why, and what else there is to know of how it was compared.
        mode: `eval` or `train`, and ` with gradients` where they were compared.
        unmatched: how many operations only side a had, and how many only side b.
    """

    spec: str
    spec_hash: str
    parameters: int
    inputs: dict[str, str]
    a: SideInfo
    b: SideInfo
    layers: list[LayerResult]
    findings: list[Finding]
    kernels: list[KernelUse]
    seconds: float
    notes: list[str] = field(default_factory=list)
    mode: str = "eval"
    unmatched: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", _cooled(_side_by_side(self.layers)))

    @property
    def ok(self) -> bool:
        """Whether something was compared, and all of it is within rounding on both sides with the same weights."""
        return bool(self.layers) and not self.findings and self.first_divergence is None

    @property
    def first_divergence(self) -> LayerResult | None:
        """The wrong row that was computed first: forward from the first layer on, gradients from the last one back."""
        wrong = [row for row in self.layers if not row.ok]
        forward = [row for row in wrong if not row.backward]
        return forward[0] if forward else wrong[-1] if wrong else None

    def __str__(self) -> str:
        return self.text()

    def text(self, *, all_layers: bool = False, colour: bool = False) -> str:
        """The report for a terminal.

        Args:
            all_layers: show every row of a long table, not only those that matter.
            colour: with the escape codes of a terminal.
        """
        return terminal(self, all_layers=all_layers, colour=colour)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write the report as JSON; NaN and infinities are the strings nan, inf and -inf."""
        plain = {"twinzoo_parity": SCHEMA, "ok": self.ok, **asdict(self)}
        write(Path(path), json.dumps(strict(plain), indent=1, allow_nan=False) + "\n")

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> ParityReport:
        """Read what to_json wrote.

        Raises:
            ParityError: the file is missing, or no report of this version.
        """
        try:
            plain = json.loads(Path(path).read_text(encoding="utf-8"))
            if plain.pop("twinzoo_parity") != SCHEMA:
                raise ValueError(f"twinzoo_parity must be {SCHEMA}")
            plain.pop("ok")
            return _typed(cls, plain)  # type: ignore[no-any-return]
        except OSError as error:
            raise ParityError(f"{path}: cannot be read: {error.strerror}") from None
        except (AttributeError, ValueError, KeyError, TypeError) as error:
            raise ParityError(f"{path}: not a parity report: {type(error).__name__}: {error}") from None

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Write the report as one HTML file that needs nothing else."""
        from twinzoo.parity.html import page

        write(Path(path), page([(self.spec, self, "")], heading=f"Parity of {self.spec}"))


def strict(value: Any) -> Any:
    """The value with numbers that JSON lacks as strings."""
    if isinstance(value, dict):
        return {name: strict(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _typed(kind: Any, plain: Any) -> Any:
    """What JSON holds, as the type that asdict made it from.

    Raises:
        KeyError, TypeError, ValueError: it is not of that type; every attribute must be there, and nothing else.
    """
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        if plain.keys() != hints.keys():
            raise ValueError(f"{getattr(kind, '__name__', kind)} must have the keys {', '.join(hints)}")
        return kind(**{name: _typed(hint, plain[name]) for name, hint in hints.items()})  # type: ignore[operator]
    arguments = get_args(kind)
    if get_origin(kind) is UnionType:  # of one type and None
        return None if plain is None else _typed(next(a for a in arguments if a is not NoneType), plain)
    if get_origin(kind) is dict:
        return {name: _typed(arguments[1], item) for name, item in plain.items()}
    if get_origin(kind) is list:
        return [_typed(arguments[0], item) for item in plain]
    if get_origin(kind) is tuple:
        kinds = arguments[:1] * len(plain) if arguments[1:] == (...,) else arguments
        return tuple(_typed(each, item) for each, item in zip(kinds, plain, strict=True))
    return kind(plain)


def _side_by_side(rows: Sequence[LayerResult]) -> list[LayerResult]:
    """The rows of one layer next to each other, where its first one is; a layer that runs again is another one."""
    seen: Counter[tuple[str, str]] = Counter()
    layers: dict[tuple[str, int], list[LayerResult]] = {}
    for row in rows:
        call = seen[row.name, row.quantity]
        seen[row.name, row.quantity] += 1
        layers.setdefault((row.name, call), []).append(row)
    return [row for of_layer in layers.values() for row in of_layer]


def _cooled(rows: list[LayerResult]) -> list[LayerResult]:
    """The rows with heat maps of those alone that somebody will look at: thousands would make a report large."""
    wrong = [i for i, row in enumerate(rows) if not row.ok][:_WRONG_MAPS]
    right = (i for i, row in enumerate(rows) if row.ok)
    kept = {*wrong, *sorted(right, key=lambda i: -rows[i].ratio)[:_NEAREST_MAPS]}
    return [row if i in kept else _cold(row) for i, row in enumerate(rows)]


def _cold(row: LayerResult) -> LayerResult:
    return replace(row, a=replace(row.a, heat=None), b=replace(row.b, heat=None))


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        ParityError: the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ParityError(f"{path}: cannot be written: {error.strerror}") from None
