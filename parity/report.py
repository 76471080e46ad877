"""A comparison's report: data first, then as terminal text, JSON and HTML."""

from __future__ import annotations

import json
import math
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from twinzoo.parity.results import Finding, KernelUse, LayerResult, SideInfo, SideResult
from twinzoo.parity.text import terminal
from twinzoo.zoo.errors import ParityError

SCHEMA = 1
"""The version of the JSON, in its key `twinzoo_parity`: a reader refuses one that it does not know.

The other keys are the attributes of ParityReport, and `ok`; layers, sides, findings and kernels are objects whose keys
are the attributes of the classes in twinzoo.parity.results.
"""


@dataclass(frozen=True)
class ParityReport:
    """What a comparison found.

    Attributes:
        spec, spec_hash, parameters: what was compared: its name, its hash, its number of trained scalars.
        inputs: shape, dtype and range of what was fed, in words, by input name.
        a, b: what stood on each side.
        layers: every value of the graph in execution order, then what the models returned.
        findings: everything that is wrong, in execution order.
        kernels: measured kernels without whose allowance a layer would not have passed.
        seconds: how long it took.
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

    @property
    def ok(self) -> bool:
        """Whether something was compared, and all of it is within rounding on both sides with the same weights."""
        return bool(self.layers) and not self.findings and self.first_divergence is None

    @property
    def first_divergence(self) -> LayerResult | None:
        """The first layer, in execution order, where a side is wrong or the weights differ."""
        return next((layer for layer in self.layers if not layer.ok), None)

    def __str__(self) -> str:
        return terminal(self)

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
            return _report(json.loads(Path(path).read_text(encoding="utf-8")))
        except OSError as error:
            raise ParityError(f"{path}: cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError) as error:
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


def _report(plain: dict[str, Any]) -> ParityReport:
    if plain.pop("twinzoo_parity") != SCHEMA:
        raise ValueError(f"twinzoo_parity must be {SCHEMA}")
    plain.pop("ok")
    plain |= {label: SideInfo(**plain[label]) for label in ("a", "b")}
    plain["layers"] = [_layer(layer) for layer in plain["layers"]]
    plain["findings"] = [Finding(**finding) for finding in plain["findings"]]
    plain["kernels"] = [KernelUse(**{**kernel, "layers": tuple(kernel["layers"])}) for kernel in plain["kernels"]]
    return ParityReport(**plain)


def _layer(plain: dict[str, Any]) -> LayerResult:
    numbers = {name: float(plain[name]) for name in ("max_abs", "mean_abs", "relative", "cosine", "rounding")}
    sides = {label: _side(plain[label]) for label in ("a", "b")}
    tuples = {name: tuple(plain[name]) for name in ("shape", "weights")}
    return LayerResult(**{**plain, **numbers, **sides, **tuples})


def _side(plain: dict[str, Any]) -> SideResult:
    numbers = {name: float(plain[name]) for name in ("ratio", "error", "drift")}
    return SideResult(**{**plain, **numbers, "index": tuple(plain["index"])})


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
