"""The report of training steps in its three forms, and the bounds behind it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import twinzoo as tz
from parity_tests.parity.steps.numpy_run import Loading, Run, batches
from twinzoo.parity.results import Finding
from twinzoo.parity.steps.compare import compare_steps
from twinzoo.parity.steps.deviation import LOSS, PARAMETER, Apart, Quantity
from twinzoo.parity.steps.judge import FACTOR, Judge
from twinzoo.parity.steps.report import Divergence, StepRow, StepsReport
from twinzoo.parity.steps.text import ratio

NAN = float("nan")


@pytest.fixture(scope="module")
def clean() -> StepsReport:
    return compare_steps(Run, partial(Run, backwards=True), batches(40))


@pytest.fixture(scope="module")
def broken() -> StepsReport:
    b = partial(Run, backwards=True, lr=0.02, bn_momentum=0.9)
    return compare_steps(Run, b, batches(5))


def test_the_first_line_is_the_verdict(clean: StepsReport, broken: StepsReport) -> None:
    first = str(clean).splitlines()[0]
    assert re.fullmatch(r"40 steps agree, losses and 8 tensors: at most 0\.\d+ of what rounding explains", first)
    assert str(broken).splitlines()[0].startswith("5 steps differ: first at step 1, optimizer (first.weight, ")
    assert str(broken).splitlines()[0].endswith("): lr, momentum")


def test_the_text_has_findings_fixes_and_steps_and_fits(clean: StepsReport, broken: StepsReport) -> None:
    text = str(broken)
    assert all(
        f"{finding.layer}: {finding.cause}: " in text and f"fix: {finding.fix}" in text for finding in broken.findings
    )
    assert re.search(r"^x +1 ", text, re.MULTILINE) and re.search(r"^x +5 ", text, re.MULTILINE)
    assert "more steps are not shown" in str(clean) and re.search(r"^ +40 ", str(clean), re.MULTILINE)
    assert max(map(len, str(clean).splitlines())) <= 120


def row(step: int, loss: float, buffer: float = NAN) -> StepRow:
    """A step with three losses, whose parameters were not judged."""
    losses = {"l1": 0.25 * step, "gan": 1.0, "third": 2.0}
    ratios = {"loss": loss, "parameter": NAN, "buffer": buffer, "optimizer": 0.0}
    return StepRow(step, losses, {**losses, "gan": 1.5}, {}, {}, ratios, {})


def made(rows: list[StepRow], **what: Any) -> StepsReport:
    """A report of three tensors, with nothing to say but what is given."""
    plain: dict[str, Any] = {"envelope": "", "first_divergence": None, "findings": [], "notes": [], "tensors": 3}
    return StepsReport(**{"a": "mine", "b": "yours", "steps": rows, "seconds": 0.0, **plain, **what})


FOUND = Finding("last.bias", "lr", "evidence", "fix it", ("a.py:1", "b.py:2"))
DIFFERS = {"envelope": "4 restarts of a", "findings": [FOUND, FOUND], "notes": ["a note"]}


def test_the_whole_text() -> None:
    report = made([row(1, 0.5), row(2, 250.0, 1e6)], first_divergence=Divergence(2, "loss", "l1"), **DIFFERS)
    assert str(report).splitlines() == [
        "2 steps differ: first at step 2, loss (l1): lr",
        "  a: mine",
        "  b: yours",
        "  held against 4 restarts of a",
        "  note: a note",
        "",
        "last.bias: lr: evidence",
        "  fix: fix it",
        "last.bias: lr: evidence",
        "  fix: fix it",
        "",
        "   step  l1 a  l1 b  gan a  gan b  loss/  parameter/  buffer/  optimizer/",
        "-  ----  ----  ----  -----  -----  -----  ----------  -------  ----------",
        "      1  0.25  0.25      1    1.5   0.50           -        -        0.00",
        "x     2   0.5   0.5      1    1.5    250           -  1.0e+06        0.00",
        "name/: the largest distance of these over what rounding explains; above 1 it does not",
    ]
    assert str(made([row(1, 0.5)])).splitlines()[:4] == [
        "1 step agree, losses and 3 tensors: at most 0.5 of what rounding explains",
        "  a: mine",
        "  b: yours",
        "",
    ]


def test_a_verdict_without_a_step_a_tensor_or_a_first_difference() -> None:
    assert str(made([])).splitlines()[0] == "nothing was compared: 0 steps, 3 tensors"
    assert str(made([row(1, 0.5)], tensors=0)).splitlines()[0] == "nothing was compared: 1 step, 0 tensors"
    blind = made([row(1, NAN), row(2, 0.5)])  # the losses of the first step were not judged
    assert str(blind).splitlines()[0].startswith("2 steps agree, losses and 3 tensors: at most 0.5 of")
    alone = made([row(1, 0.5)], findings=[FOUND, replace(FOUND, cause="betas")])
    assert str(alone).splitlines()[0] == "1 step differ: last.bias: lr: evidence"
    start = made([row(1, 2.0)], first_divergence=Divergence(0, "start", "last.bias"), findings=[FOUND])
    assert str(start).splitlines()[0] == "1 step differ: first before the first step (last.bias): lr"


def test_a_report_is_ok_where_something_was_compared_and_nothing_found() -> None:
    assert made([row(1, 1.0)]).ok and made([row(1, 0.5)], tensors=1).ok
    assert not made([]).ok and not made([row(1, 0.5)], tensors=0).ok
    assert not made([row(1, 0.5)], findings=[FOUND]).ok
    assert not made([row(1, 0.5), row(2, 1.01)]).ok


def test_ratios_have_as_many_digits_as_they_need() -> None:
    values = (NAN, 0.0, 99.991, 100.0, 999_999.0, 1e6, float("inf"))
    assert [ratio(value) for value in values] == ["-", "0.00", "99.99", "100", "999,999", "1.0e+06", "inf"]


def test_hidden_steps_are_counted_and_the_middle_of_a_clean_run_is_hidden() -> None:
    lines = str(made([row(step, 0.5) for step in range(1, 26)])).splitlines()
    assert lines[-1] == "9 more steps are not shown"
    assert [line.split()[0] for line in lines[6:-2]] == [str(step) for step in [*range(1, 9), *range(18, 26)]]
    assert "not shown" not in str(made([row(step, 0.5) for step in range(1, 25)]))


def test_a_report_that_was_read_is_the_one_that_was_written(tmp_path: Path) -> None:
    ratios = dict.fromkeys(("loss", "parameter", "buffer", "optimizer"), float("inf"))
    report = made([replace(row(1, 2.0), ratios=ratios)], first_divergence=Divergence(1, "loss", "l1"), **DIFFERS)
    for given in (report, made([replace(row(1, 2.0), ratios=ratios)])):
        given.to_json(tmp_path / "r.json")
        assert StepsReport.from_json(tmp_path / "r.json") == given
    text = (tmp_path / "r.json").read_text()
    assert text.endswith("}\n") and '"loss": "inf"' in text
    (tmp_path / "r.json").write_text(text.replace('"twinzoo_steps": 1', '"twinzoo_steps": 2'))
    with pytest.raises(tz.ParityError, match="twinzoo_steps must be 1"):
        StepsReport.from_json(tmp_path / "r.json")


def test_json_round_trip(clean: StepsReport, broken: StepsReport, tmp_path: Path) -> None:
    for report in (clean, broken):
        report.to_json(tmp_path / "r.json")
        plain = json.loads((tmp_path / "r.json").read_text())
        assert plain["twinzoo_steps"] == 1 and plain["ok"] == report.ok
        assert str(StepsReport.from_json(tmp_path / "r.json")) == str(report)
    (tmp_path / "r.json").write_text('{"twinzoo_steps": 2}')
    with pytest.raises(tz.ParityError, match="no report of training steps"):
        StepsReport.from_json(tmp_path / "r.json")
    with pytest.raises(tz.ParityError, match="cannot be read"):
        StepsReport.from_json(tmp_path / "none.json")


def test_html_is_one_page_with_curves_and_findings(broken: StepsReport, tmp_path: Path) -> None:
    broken.to_html(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert text.count("<svg") == 2 and "src=" not in text and "http" not in text.replace("http-equiv", "")
    assert all(finding.cause in text for finding in broken.findings)
    assert "var(--band)" in text


def test_the_public_function_is_this_one() -> None:
    report = tz.compare_steps(Run, partial(Run, backwards=True), batches(2), draws=2)
    assert report.ok and report.envelope.startswith("2 restarts of a")


def test_the_envelope_widens_with_the_steps_and_holds_what_it_should(clean: StepsReport) -> None:
    widths = [row.high["loss"] - row.low["loss"] for row in clean.steps]
    assert widths[-1] > 4 * widths[0]
    assert all(row.low["loss"] <= row.b["loss"] <= row.high["loss"] for row in clean.steps)
    assert widths[0] < 1e-4 * clean.steps[0].a["loss"]


def test_side_b_is_restarted_where_a_cannot_be() -> None:
    report = compare_steps(Run(), Loading(numbers=True, backwards=True), batches(6))
    assert report.ok and report.envelope.startswith("4 restarts of b")


def test_no_draws_means_no_envelope() -> None:
    report = compare_steps(Run, partial(Run, backwards=True), batches(5), draws=0)
    assert report.ok and not report.envelope and "no envelope" in report.notes[0]
    assert report.steps[0].ratios["optimizer"] <= 1 and report.steps[4].ratios["loss"] != report.steps[4].ratios["loss"]


def test_what_is_allowed_is_the_farthest_draw_the_pool_or_a_rounding() -> None:
    loss, weight = Quantity(LOSS, "loss"), Quantity(PARAMETER, "w")
    apart = {loss: Apart(1.0, 10.0, 0.01), weight: Apart(1.0, 10.0, 0.01)}
    judge = Judge()
    _, allowed = judge.with_envelope(apart, {loss: 0.5, weight: 0.002})
    assert allowed[loss] == FACTOR * 0.5
    assert allowed[weight] == FACTOR * 0.01
    _, allowed = judge.with_envelope(apart, {loss: 0.1})
    assert allowed[loss] == FACTOR * 0.5  # what was once reached stays allowed
    lucky = {Quantity(LOSS, name): Apart(1.0, 10.0, 0.0) for name in "xyz"}
    _, allowed = Judge().with_envelope(lucky, {Quantity(LOSS, "x"): 0.5, Quantity(LOSS, "y"): 0.4})
    assert allowed[Quantity(LOSS, "z")] == FACTOR * 0.4


def test_a_difference_where_nothing_is_allowed_is_infinite() -> None:
    loss = Quantity(LOSS, "loss")
    ratios, _ = Judge().with_envelope({loss: Apart(1.0, 0.0, 0.0)}, {})
    assert ratios[loss] == float("inf")
    ratios, _ = Judge().with_envelope({loss: Apart(0.0, 0.0, 0.0)}, {})
    assert ratios[loss] == 0
