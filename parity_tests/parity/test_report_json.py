"""The JSON of any report: nothing is lost, nothing else is taken, and the document knows every key."""

from __future__ import annotations

import json
import math
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twinzoo.parity.report import SCHEMA, ParityReport
from twinzoo.parity.results import CAUSES, Finding, Heat, KernelUse, LayerResult, SideInfo, SideResult
from twinzoo.zoo.errors import ParityError

PAGE = (Path(__file__).parents[2] / "docs" / "report.md").read_text()

TYPES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "list[str]": "list of strings",
    "dict[str, str]": "object of strings",
    "tuple[int, ...]": "list of integers",
    "tuple[str, ...]": "list of strings",
    "tuple[str, str]": "two strings",
    "tuple[int, int]": "two integers",
    "tuple[tuple[float, ...], ...]": "list of lists of numbers",
    "tuple[tuple[int, float], ...]": "list of [integer, number]",
    "list[LayerResult]": "list of LayerResult",
    "list[Finding]": "list of Finding",
    "list[KernelUse]": "list of KernelUse",
    "SideInfo": "SideInfo",
    "SideResult": "SideResult",
    "Heat | None": "Heat or null",
}
"""How the document writes the types of the attributes."""

FLOATS = st.floats(allow_nan=False)
RATIOS = st.floats(min_value=0, allow_nan=False)
HEATS = st.builds(Heat, grid=st.lists(st.lists(RATIOS, max_size=3).map(tuple), max_size=3).map(tuple))
SIDES = st.builds(SideResult, ratio=RATIOS, error=FLOATS, drift=FLOATS, heat=st.none() | HEATS)
LAYERS = st.builds(
    LayerResult,
    name=st.sampled_from("xyz"),
    quantity=st.sampled_from(["output", "gradient", "buffer mean"]),
    a=SIDES,
    b=SIDES,
    **dict.fromkeys(("max_abs", "mean_abs", "relative", "cosine", "rounding", "max_ulp"), FLOATS),
)
FINDINGS = st.builds(Finding, cause=st.sampled_from(sorted(CAUSES)), source=st.tuples(st.text(), st.text()))
KERNELS = st.builds(KernelUse, absolute=FLOATS, relative=FLOATS)
REPORTS = st.builds(
    ParityReport,
    layers=st.lists(LAYERS, max_size=12),
    findings=st.lists(FINDINGS, max_size=3),
    kernels=st.lists(KERNELS, max_size=2),
    seconds=FLOATS,
    notes=st.lists(st.text(), max_size=2),
    mode=st.text(),
    unmatched=st.tuples(st.integers(0), st.integers(0)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(report=REPORTS)
def test_what_was_written_is_what_is_read(report: ParityReport, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "report.json"
    report.to_json(path)
    assert ParityReport.from_json(path) == report
    assert json.loads(path.read_text(), parse_constant=pytest.fail)["ok"] == report.ok


def small() -> ParityReport:
    side = SideResult(0.5, math.nan, (1,), math.inf, heat=Heat(((0.5,),), ((3, 0.5),)))
    layer = LayerResult("x", "relu", "", (2,), 0.0, 0.0, 0.0, 1.0, 0.0, side, side)
    info = SideInfo("p", "f", "1", "cpu", "seeded")
    finding, kernel = Finding("x", "eps", "e", "f"), KernelUse("p", "tanh", 1e-4, 0.0, "n", ("x",))
    return ParityReport("s", "h", 1, {"x": "(1,)"}, info, info, [layer], [finding], [kernel], 0.1)


def test_numbers_that_json_lacks_come_back(tmp_path: Path) -> None:
    small().to_json(tmp_path / "a.json")
    again = ParityReport.from_json(tmp_path / "a.json")
    assert math.isnan(again.layers[0].a.error)
    assert again.layers[0].a.drift == math.inf
    again.to_json(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


PLACES: list[list[Any]] = [[], ["a"], ["layers", 0], ["layers", 0, "a"], ["layers", 0, "b", "heat"], ["findings", 0]]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("change", ["lose", "add"])
def test_a_key_more_or_less_is_refused(tmp_path: Path, place: list[Any], change: str) -> None:
    path = tmp_path / "a.json"
    small().to_json(path)
    plain = json.loads(path.read_text())
    target = plain
    for step in place:
        target = target[step]
    if change == "lose":
        target.pop(list(target)[-1])
    else:
        target["more"] = 1
    path.write_text(json.dumps(plain))
    with pytest.raises(ParityError, match="not a parity report"):
        ParityReport.from_json(path)


@pytest.mark.parametrize("kind", [ParityReport, SideInfo, LayerResult, SideResult, Heat, Finding, KernelUse])
def test_the_document_has_every_key_with_its_type(kind: Any) -> None:
    (section,) = re.findall(rf"^### {kind.__name__}\n(.*?)(?=^### |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| (.{6,}) \|$", section, re.MULTILINE)
    assert [(name, written) for name, written, _ in rows] == [(f.name, TYPES[str(f.type)]) for f in fields(kind)]
    documented = kind.__doc__.partition("Attributes:")[2]
    assert all(re.search(rf"\b{f.name}\b", documented) for f in fields(kind))


def test_the_document_has_the_version() -> None:
    assert f"`twinzoo_parity`, the version of this schema, which\nis {SCHEMA}" in PAGE
