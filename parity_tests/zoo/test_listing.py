"""The list of the zoo: what `twinzoo models` shows, how it is filtered, and the page that is written from it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import twinzoo as tz
from twinzoo.cli import cli
from twinzoo.parity.zoo_page import NONE, PAIRS
from twinzoo.zoo import registry
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.listing import Measured, cells, markdown, rows

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "zoo.md"
TASKS = {"any", "colorization", "dehazing", "evaluation", "features", "style", "super-resolution", "translation"}

registry.load()
ENTRIES = registry.MODELS | registry.LOSSES | registry.STEPS


def measured(names: Iterable[str]) -> Measured:
    """Figures of nothing."""
    return Measured("about", ("pair",), dict.fromkeys(names, ("0.5 / -",)))


def everything() -> list[str]:
    return [*tz.models(), *tz.losses(), *tz.steps()]


def test_the_page_is_the_registry() -> None:
    """All but the figures; these are of the day they were measured."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    found = [line.strip("| ").split(" | ")[:7] for line in lines]
    page = markdown(measured(everything())).splitlines()
    expected = [line.strip("| ").split(" | ")[:7] for line in page if line.startswith("|")]
    assert found == expected, "run `twinzoo check --all --markdown docs/zoo.md`"


def test_the_page_has_figures_for_everything_and_none_is_over_its_bound() -> None:
    head, *rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("|")]
    assert head[7:] == list(PAIRS)
    for row in (row for row in rows if row[0].startswith("`")):
        assert len(row) == 7 + len(PAIRS), row[0]
        for cell in row[7:]:
            assert "**" not in cell, f"{row[0]} differs: {cell}"
            ratios = [float(part) for part in cell.split(" / ") if part != NONE]
            assert ratios and max(ratios) <= 1, f"{row[0]}: {cell}"


def test_the_page_says_when_and_with_what_it_was_measured() -> None:
    text = " ".join(PAGE.read_text().split())
    versions = r"PyTorch \d\S+, MindSpore \d\S+, numpy \d\S+,"
    assert re.search(rf"Measured on \d{{4}}-\d\d-\d\d with {versions} Python 3\.\S+ on ", text)


def test_everything_has_one_row_with_its_numbers() -> None:
    page = markdown(measured(everything()))
    for name in everything():
        assert sum(line.startswith(f"| `{name}` |") for line in page.splitlines()) == 1, name
    row = "| `vgg16` | features | vgg | 138,357,544 | 3.1e+10 | 224x224 | Simonyan and Zisserman 2015"
    assert row in page and page.count("| 0.5 / - |") == len(everything())


def test_a_model_more_is_a_row_more_but_not_a_plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = measured([*everything(), "aodnet2"])
    page = markdown(figures)
    found = registry.entry("aodnet")
    monkeypatch.setitem(registry.MODELS, "aodnet2", found)
    assert len(markdown(figures).splitlines()) == len(page.splitlines()) + 1

    def draw(s: Any) -> None:
        """A plug-in's."""

    monkeypatch.setitem(registry.MODELS, "aodnet2", registry.Entry("aodnet2", "model", draw, "", "torch"))
    assert markdown(figures) == page


def test_a_family_is_a_file_and_a_task_is_known() -> None:
    folders = {"model": "models", "loss": "losses", "step": "steps"}
    for name, entry in ENTRIES.items():
        if entry.draw.__module__.startswith("twinzoo."):
            assert (ROOT / "zoo" / folders[entry.kind] / f"{entry.family}.py").exists(), name
            assert entry.task in TASKS, name


def test_filters() -> None:
    assert [row.name for row in rows("unet*")] == tz.models("unet*")
    assert {row.name for row in rows(family="vgg")} == {"vgg16", "vgg16_bn", "vgg19", "vgg19_bn"}
    dehazing = rows(task="dehazing")
    assert {"aodnet", "epdn_generator"} <= {row.name for row in dehazing}
    assert {row.kind for row in dehazing} == {"model", "step"}
    assert {row.task for row in dehazing} == {"dehazing"}
    assert [row.name for row in rows("*.u128", family="unet")] == ["unet.u128"]
    assert rows("*.u128", task="dehazing") == []
    assert {row.kind for row in rows(family="lpips")} == {"model", "loss"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task": "dehaze"}, "task 'dehaze': did you mean dehazing?"),
        ({"task": "x"}, f"task 'x': must be one of {', '.join(sorted(TASKS))}"),
        ({"family": "vggs"}, "family 'vggs': did you mean vgg?"),
    ],
)
def test_an_unknown_task_or_family(given: dict[str, str], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        rows(**given)
    assert str(caught.value) == message


def test_cells() -> None:
    (row,) = rows("aodnet", family="aodnet", task="dehazing")[:1]
    assert cells(row)[:6] == ("aodnet", "model", "dehazing", "aodnet", "1,761", f"{row.flops:.3g}")
    assert row.size == "256x256"


def test_the_command_filters() -> None:
    done = CliRunner().invoke(cli, ["models", "--task", "features", "--family", "vgg"])
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.output.splitlines()[2:]] == ["vgg16", "vgg16_bn", "vgg19", "vgg19_bn"]
