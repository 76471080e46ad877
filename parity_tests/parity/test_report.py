"""The report in its three forms."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twinzoo.parity.compare import compare
from twinzoo.parity.html import page
from twinzoo.parity.inputs import default_inputs
from twinzoo.parity.report import ParityReport
from twinzoo.parity.results import CAUSES, Finding
from twinzoo.zoo.errors import ParityError
from twinzoo.zoo.spec import Spec

Fake = Callable[..., Any]


@pytest.fixture
def clean(fake: Fake, loss_spec: Spec) -> ParityReport:
    return compare((loss_spec, fake("torch")), (loss_spec, fake("mindspore")), default_inputs(loss_spec))


@pytest.fixture
def broken(fake: Fake, chain_spec: Spec) -> ParityReport:
    bad = fake(
        "mindspore",
        values={"act": lambda x: x * np.float32(np.nan)},
        weights={"second.bias": lambda b: np.full_like(b, 0.25)},
    )
    return compare((chain_spec, fake("torch")), (chain_spec, bad), default_inputs(chain_spec))


def test_the_first_line_is_the_verdict(clean: ParityReport, broken: ParityReport) -> None:
    assert re.fullmatch(
        r"distance: torch and mindspore agree: all 12 values within rounding of float64, "
        r"at most 0\.\d+ of the bound \([\w.]+, torch\)",
        str(clean).splitlines()[0],
    )
    first = "chain: torch and mindspore differ: first at act (b (mindspore) is wrong); 2 of 5 values"
    assert str(broken).splitlines()[0] == first


def test_the_text_has_findings_and_every_layer(clean: ParityReport, broken: ParityReport) -> None:
    text = str(broken)
    assert all(f"{finding.layer}: {finding.cause}: {finding.evidence}" in text for finding in broken.findings)
    assert all(f"fix: {finding.fix}" in text for finding in broken.findings)
    assert re.search(r"^x +act .*NaN$", text, re.MULTILINE)
    assert re.search(r"^x +second ", text, re.MULTILINE)
    assert re.search(r"^ +first ", text, re.MULTILINE)
    assert all(f"  {layer.name}  " in str(clean) for layer in clean.layers)
    assert max(map(len, str(clean).splitlines()[1:])) <= 120


def test_a_long_table_is_cut_to_what_matters(fake: Fake) -> None:
    s = Spec("long")
    x = s.input("image", channels=3, example=4)
    for i in range(60):
        x = s.affine(f"step{i}", x, shift=1.0)
    s.output(output=x)
    bad = fake("bad", values={"step47": lambda x: x + 1})
    text = str(compare((s, fake()), (s, bad), default_inputs(s)))
    assert "step47" in text.splitlines()[0]
    assert "x  step47" in text
    assert "model: output" in text
    assert re.search(r"^\d+ more are not shown$", text, re.MULTILINE)
    assert len(text.splitlines()) < 45


def test_json_holds_everything(broken: ParityReport, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    broken.to_json(path)
    assert ParityReport.from_json(path) == broken
    plain = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert (plain["twinzoo_parity"], plain["ok"], plain["spec"]) == (1, False, "chain")
    assert plain["layers"][1]["b"]["ratio"] == "inf"
    assert list(tmp_path.iterdir()) == [path]


def test_json_of_a_clean_report(clean: ParityReport, tmp_path: Path) -> None:
    clean.to_json(tmp_path / "report.json")
    again = ParityReport.from_json(tmp_path / "report.json")
    assert again.ok
    assert str(again) == str(clean)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"twinzoo_parity": 99}', '{"twinzoo_parity": 1}'])
def test_json_of_something_else_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ParityError, match="not a parity report"):
        ParityReport.from_json(tmp_path / "report.json")


def test_a_missing_file_or_folder_is_one_line(clean: ParityReport, tmp_path: Path) -> None:
    with pytest.raises(ParityError, match="cannot be read"):
        ParityReport.from_json(tmp_path / "none.json")
    with pytest.raises(ParityError, match="cannot be written"):
        clean.to_json(tmp_path / "none" / "report.json")


@pytest.mark.parametrize("step", ["write_text", "replace"])
def test_a_failed_write_leaves_what_was_there(
    clean: ParityReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "report.json"
    path.write_text("before")

    def full(*_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, step, full)
    with pytest.raises(ParityError, match="No space left"):
        clean.to_json(path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_html_needs_nothing_else(broken: ParityReport, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    broken.to_html(path)
    html = path.read_text()
    assert not re.search(r"https?://|<link|<script|@import|url\((?!#)|src=", html)
    assert html.count("<svg") == 2
    assert "#0" not in html.split("</style>")[1].replace("#0072b2", "")  # every colour of the plots is a variable
    for layer in broken.layers:
        assert html.count(layer.name) >= 3  # in both plots and the table
    for finding in broken.findings:
        assert finding.cause in html
    assert "The twins differ" in html


def test_html_of_several_reports(clean: ParityReport, broken: ParityReport) -> None:
    html = page(
        [("One & only", clean, "<p id='extra'>picture</p>"), ("Two", broken, "")], heading="<Both>", intro="<b>Hi</b>"
    )
    assert "<p id='extra'>picture</p>" in html
    assert "One &amp; only" in html
    assert "&lt;Both&gt;" in html
    assert "<b>Hi</b>" in html
    assert html.count("<svg") == 4
    assert html.count("The twins agree") == html.count("The twins differ") == 1


def test_names_in_html_are_escaped(fake: Fake, chain_spec: Spec) -> None:
    report = compare((chain_spec, fake("<img>")), (chain_spec, fake()), default_inputs(chain_spec))
    html = page([("x", report, "")], heading="x")
    assert "<img>" not in html
    assert "&lt;img&gt;" in html


def test_plots_bear_every_number(fake: Fake, chain_spec: Spec) -> None:
    """Zeros, infinities and NaN have no place on a log axis, and must not stop the page."""
    bad = fake("bad", values=dict.fromkeys(chain_spec.nodes, lambda x: np.full_like(x, math.inf)))
    for a, b in ((bad, bad), ("reference", "reference")):
        report = compare((chain_spec, a), (chain_spec, b), default_inputs(chain_spec))
        assert "<svg" in page([("x", report, "")], heading="x")


def test_a_finding_has_a_cause_of_the_table() -> None:
    assert len(CAUSES) == 47
    with pytest.raises(ValueError, match="guess"):
        Finding("layer", "guess", "", "")
