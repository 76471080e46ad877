"""The committed page is what the installed versions give; what it says to write instead agrees."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from twinzoo.cli import cli
from twinzoo.parity.differences.child import Outcome
from twinzoo.parity.differences.measure import Measured, Table, Verdict, measure
from twinzoo.parity.differences.row import Row
from twinzoo.parity.differences.rows import SECTIONS
from twinzoo.parity.differences.show import markdown, terminal, to_json
from twinzoo.zoo.errors import ParityError, PortError, TwinzooError

PAGE = Path(__file__).parents[3] / "docs" / "differences.md"


@pytest.fixture(scope="module")
def table() -> Table:
    """All rows, measured here."""
    pytest.importorskip("torch")
    pytest.importorskip("mindspore")
    return measure()


def stable(page: str) -> list[tuple[str, ...]]:
    """Of each row the topic, the forms, the verdicts and the cause, without figures, values and messages."""
    rows: list[tuple[str, ...]] = []
    for line in page.splitlines():
        if line.startswith("## "):
            rows.append((line,))
        elif line.startswith("| ") and "---" not in line:
            topic, torch, mindspore, measured, instead, cause = line.removeprefix("| ").removesuffix(" |").split(" | ")
            form, _, told = instead.partition("<br>")
            forms = (cell.partition("<br>")[0] for cell in (torch, mindspore, measured))
            rows.append((topic, *forms, form, told.partition(":")[0], cause))
    return rows


def test_the_page_is_what_these_versions_give(table: Table) -> None:
    written = PAGE.read_text()
    if f"PyTorch {table.torch} on CPU and MindSpore {table.mindspore} on {table.device}" not in written:
        pytest.skip("the page is of other versions or of another device")
    assert stable(written) == stable(markdown(table)), "run `twinzoo differences --markdown docs/differences.md`"
    assert len(stable(written)) > 90


def test_every_row_was_measured_in_both(table: Table) -> None:
    assert [measured.row for measured in table.rows] == [row for rows in SECTIONS.values() for row in rows]
    for measured in table.rows:
        assert "PyTorch's fails" not in measured.as_written.problem, measured.row.topic
        assert "Error" not in measured.torch_read + measured.mindspore_read, measured.row.topic


def test_what_to_write_instead_agrees_and_is_needed(table: Table) -> None:
    for measured in table.rows:
        if measured.instead:
            assert measured.instead.word == "agrees", (measured.row.topic, measured.instead)
            assert measured.as_written.word != "agrees", measured.row.topic


def test_what_is_known_to_differ_does(table: Table) -> None:
    found = {measured.row.topic: measured for measured in table.rows}
    assert found["BatchNorm, momentum"].as_written.errors["forward"] < 1e-6 < 0.1
    assert found["BatchNorm, momentum"].as_written.errors["running_mean"] > 0.1
    assert found["LeakyReLU, slope"].mindspore_read == "alpha=0.2"
    assert 5e-5 < found["tanh, -12 to 12"].as_written.errors["forward"] < 2e-4
    assert found["Dropout, by position"].mindspore_read.startswith("drops 0.7")


def test_only_picks_topics_and_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twinzoo.ports.probe.version", lambda question: "1.0")
    monkeypatch.setattr(
        "twinzoo.parity.differences.measure.run_all", lambda module, jobs: [Outcome(text=module)] * len(jobs)
    )
    (one,) = measure("leakyrelu").rows
    assert (one.section, one.row.topic) == ("Activations", "LeakyReLU, slope")
    assert ("torch" in one.torch_read, "torch" in one.mindspore_read) == (True, False)
    assert [measured.row for measured in measure("pooling").rows] == list(SECTIONS["Pooling"])
    with pytest.raises(ParityError, match="no topic has 'gremlins' in it: the sections are Convolutions, "):
        measure("gremlins")


def test_a_missing_framework_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twinzoo.ports.probe.version", lambda question: "")
    with pytest.raises(PortError, match="PyTorch is not installed"):
        measure()


ROW = Row("a topic", "nn.A()", "nn.B()", "nn.C()", cause="eps", note="because")
MEASURED = Measured(
    "Things", ROW, "eps=1|2", "eps=3", Verdict({"forward": 0.25, "gradient": float("inf")}, "", "differs"),
    Verdict({"forward": 0.0}, "", "agrees"),
)  # fmt: skip
TABLE = Table("2.0", "3.0", "CPU", [MEASURED, replace(MEASURED, as_written=Verdict({}, "", "agrees"), instead=None)])


def test_a_row_on_the_page() -> None:
    first, second = markdown(TABLE).splitlines()[-2:]
    assert first == (
        "| a topic | `nn.A()`<br>eps=1&#124;2 | `nn.B()`<br>eps=3 "
        "| **differs**<br>forward 2.5e-01, gradient inf<br>because | `nn.C()`<br>agrees: forward 0 | eps |"
    )
    assert second.endswith("| agrees |  |  |")


def test_a_row_in_the_terminal() -> None:
    assert terminal(TABLE).splitlines() == [
        "PyTorch 2.0 on CPU, MindSpore 3.0 on CPU",
        "",
        "Things",
        "  a topic: differs: eps: because",
        "    PyTorch    nn.A()    eps=1|2",
        "    MindSpore  nn.B()    eps=3",
        "               forward 2.5e-01, gradient inf",
        "    instead    nn.C()    agrees: forward 0",
        "  a topic: agrees",
        "    PyTorch    nn.A()    eps=1|2",
        "    MindSpore  nn.B()    eps=3",
        "",
        "1 agree, 1 differ, 0 fail",
    ]


def test_the_json_is_strict_and_has_everything() -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    plain = json.loads(to_json(TABLE), parse_constant=refuse)
    assert plain["versions"] == {"torch": "2.0", "mindspore": "3.0"}
    first, second = plain["rows"]
    assert first["mindspore"] == {
        "form": "nn.B()", "read": "eps=3", "verdict": "differs", "errors": {"forward": 0.25, "gradient": None},
        "problem": "",
    }  # fmt: skip
    assert first["instead"]["form"] == "nn.C()"
    assert second["instead"] is None


def test_the_command_writes_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def measured(only: str) -> Table:
        asked.append(only)
        return TABLE

    monkeypatch.setattr("twinzoo.parity.differences.measure.measure", measured)
    arguments = ["differences", "--only", "x", "--json", f"{tmp_path}/a.json", "--markdown", f"{tmp_path}/a.md"]
    done = CliRunner().invoke(cli, arguments)
    assert (done.exit_code, asked) == (0, ["x"])
    assert done.stdout == terminal(TABLE) + "\n"
    assert (tmp_path / "a.md").read_text() == markdown(TABLE)
    assert json.loads((tmp_path / "a.json").read_text())["device"] == "CPU"
    failed = CliRunner().invoke(cli, ["differences", "--markdown", f"{tmp_path}/no/a.md"])
    assert isinstance(failed.exception, TwinzooError)
