"""The report in its three forms."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markupsafe import escape

from twinzoo.parity.causes import TABLE
from twinzoo.parity.compare import compare
from twinzoo.parity.html import page
from twinzoo.parity.inputs import default_inputs
from twinzoo.parity.report import ParityReport
from twinzoo.parity.results import CAUSES, Finding, Heat, LayerResult, SideResult
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
    report = compare((s, fake()), (s, bad), default_inputs(s))
    text = str(report)
    whole = report.text(all_layers=True)
    assert all(f" {layer.name} " in whole for layer in report.layers)
    assert "not shown" not in whole
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
    assert (plain["twinzoo_parity"], plain["ok"], plain["spec"]) == (2, False, "chain")
    assert plain["layers"][1]["b"]["ratio"] == "inf"
    assert list(tmp_path.iterdir()) == [path]


def test_json_of_a_clean_report(clean: ParityReport, tmp_path: Path) -> None:
    clean.to_json(tmp_path / "report.json")
    again = ParityReport.from_json(tmp_path / "report.json")
    assert again.ok
    assert str(again) == str(clean)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"twinzoo_parity": 1}', '{"twinzoo_parity": 2, "ok": true}'])
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
    assert not re.search(r"https?://|<link|<script[^>]|@import|url\((?!#)|src=", html)
    assert html.count('<svg role="img"') == 2
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
    assert html.count('<svg role="img"') == 4
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


RIGHT, WRONG = SideResult(0.5, 1e-7, (0,), 2e-7), SideResult(7.0, 1e-6, (0,), 2e-6, nans=3)


def row(name: str, quantity: str = "output", b: SideResult = RIGHT, source: tuple[str, str] = ("", "")) -> LayerResult:
    numbers = (1e-6, 1e-8, 1e-6, 1.0, 1e-6)
    return LayerResult(name, "conv2d", "", (1, 3, 8, 8), *numbers, RIGHT, b, (), quantity, source, 1234)


def with_rows(report: ParityReport, *rows: LayerResult) -> ParityReport:
    return replace(report, layers=list(rows), findings=[])


def test_rows_of_a_layer_stand_next_to_each_other(clean: ParityReport) -> None:
    """However they came: values forward, then gradients backward; a layer that ran twice is two."""
    given = [row("x"), row("y"), row("x"), row("y", "gradient"), row("y", "gradient of weight"), row("x", "gradient")]
    ordered = [(layer.name, layer.quantity) for layer in with_rows(clean, *given).layers]
    assert ordered == [
        ("x", "output"), ("x", "gradient"), ("y", "output"), ("y", "gradient"), ("y", "gradient of weight"),
        ("x", "output"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "first"),
    [
        (["y", "z, gradient"], "y"),
        (["x, gradient", "z, gradient"], "z, gradient"),
        (["x, gradient", "y, buffer mean"], "y, buffer mean"),
        ([], None),
    ],
)
def test_the_first_divergence_is_what_was_computed_first(
    clean: ParityReport, wrong: list[str], first: str | None
) -> None:
    titles = [f"{name}{what}" for name in "xyz" for what in ("", ", gradient", ", buffer mean")]
    parts = [title.partition(", ") for title in titles]
    rows = [row(n, q or "output", WRONG if f"{n}{c}{q}" in wrong else RIGHT) for n, c, q in parts]
    found = with_rows(clean, *rows).first_divergence
    assert (found and found.title) == first


def test_heat_is_kept_where_somebody_looks(clean: ParityReport) -> None:
    hot = Heat(((1.0,),))
    wrong = [row(f"wrong{i}", b=replace(WRONG, heat=hot)) for i in range(40)]
    right = [row(f"right{i}", b=replace(RIGHT, ratio=i / 100, heat=hot)) for i in range(60)]
    kept = [layer.name for layer in with_rows(clean, *right, *wrong).layers if layer.b.heat]
    assert kept == [*(f"right{i}" for i in range(54, 60)), *(f"wrong{i}" for i in range(32))]


def test_the_text_has_quantity_source_meaning_mode_and_notes(clean: ParityReport) -> None:
    source = ("net_torch.py:3", "net_mindspore.py:9")
    finding = Finding("x", "eps", "with eps", "set it", source)
    report = replace(
        with_rows(clean, row("x", b=WRONG, source=source), row("x", "gradient")),
        findings=[finding, finding],
        notes=["drop has a mask of its own"],
        mode="train with gradients",
        unmatched=(1, 2),
    )
    text = str(report)
    assert (
        "  first divergence: x: conv2d() 1x3x8x8: a 0.50, b 7.00 of the bound, net_torch.py:3 ~ net_mindspore" in text
    )
    assert text.count(f"  eps: {TABLE['eps'].meaning}") == 1
    assert text.count("  source: net_torch.py:3 ~ net_mindspore.py:9") == 2
    assert "mode: train with gradients, operations without a counterpart: 1 only a has, 2 only b has" in text
    assert "  note: drop has a mask of its own" in text
    assert re.search(r"^x +x +output +conv2d +1x3x8x8 +1.00e-06 +1,234 ", text, re.MULTILINE)
    assert re.search(r"^ +x +gradient +conv2d ", text, re.MULTILINE)
    assert "quantity" not in str(clean)


def test_colours_are_asked_for_and_change_no_word(clean: ParityReport, broken: ParityReport) -> None:
    for report, code in ((clean, "32"), (broken, "31")):
        painted = report.text(colour=True)
        assert painted.startswith(f"\033[{code}m{str(report).splitlines()[0]}\033[0m")
        assert re.sub(r"\033\[\d+m", "", painted) == str(report)
        assert "\033" not in str(report)
    assert re.search(r"^\033\[31mx +act .*\033\[0m$", broken.text(colour=True), re.MULTILINE)


def test_the_page_has_both_traces_gradients_heat_and_a_filter(clean: ParityReport) -> None:
    heat = Heat(((0.0, 0.005, 0.5), (0.05, 20.0, math.inf)), ((7, 20.0), (1, 0.5)))
    source = ("net_torch.py:3", "net_mindspore.py:9")
    finding = Finding("enc.x ~ cell.x", "eps", "with eps", "set it", source)
    rows = (row("enc.x ~ cell.x", b=replace(WRONG, heat=heat), source=source), row("y", "gradient of weight"))
    report = replace(with_rows(clean, *rows), findings=[finding], notes=["drop has a mask of its own"])
    html = page([("x", report, "")], heading="x")
    assert html.index("with eps") < html.index("The two traces side by side")
    assert re.search(r">enc\.x<small>net_torch\.py:3</small>", html)
    assert re.search(r">cell\.x<small>net_mindspore\.py:9</small>", html)
    assert html.count('<svg role="img"') == 3  # values twice, gradients once
    assert "y, weight" in html
    (drawn,) = re.findall(r'<svg class="heat".*?</svg>', html)
    assert dict(re.findall(r'class="(h\d)" d="([^"]*)"', drawn)) == {
        "h0": "M0 0h1v1h-1z", "h1": "M1 0h1v1h-1z", "h2": "M0 1h1v1h-1z", "h3": "M2 0h1v1h-1z", "h5": "M1 1h1v1h-1z",
        "h6": "M2 1h1v1h-1z",
    }  # fmt: skip
    assert "worst channels: 7 (20.00), 1 (0.50)" in html
    assert escape(TABLE["eps"].meaning) in html
    assert "drop has a mask of its own" in html
    assert html.count('<tr class="wrong">') == html.count('<tr class="right">') == 1
    assert "3 NaN" in html
    assert "1,234" in html
