"""The report of training steps in its three forms, and the bounds behind it."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import pytest

import twinzoo as tz
from parity_tests.parity.steps.numpy_run import Loading, Run, batches
from twinzoo.parity.steps.compare import compare_steps
from twinzoo.parity.steps.deviation import LOSS, PARAMETER, Apart, Quantity
from twinzoo.parity.steps.judge import FACTOR, Judge
from twinzoo.parity.steps.report import StepsReport


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
