"""The list of the zoo: what `twinzoo models` shows, how it is filtered, and the page that is written from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import twinzoo as tz
from twinzoo.cli import cli
from twinzoo.zoo import registry
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.listing import cells, markdown, rows

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "zoo.md"
TASKS = {"any", "colorization", "dehazing", "evaluation", "features", "style", "translation"}

registry.load()
ENTRIES = registry.MODELS | registry.LOSSES | registry.STEPS


def test_the_page_is_the_registry() -> None:
    assert PAGE.read_text() == markdown(), "run `twinzoo models --markdown docs/zoo.md`"


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["models", "aodnet", "--markdown", str(tmp_path / "zoo.md")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "zoo.md").read_text() == markdown()


def test_everything_has_one_row_with_its_numbers() -> None:
    lines = markdown().splitlines()
    for name in (*tz.models(), *tz.losses(), *tz.steps()):
        assert sum(line.startswith(f"| `{name}` |") for line in lines) == 1, name
    assert "| `vgg16` | features | vgg | 138,357,544 | 3.1e+10 | 224x224 | Simonyan and Zisserman 2015" in markdown()


def test_a_model_more_is_a_row_more_but_not_a_plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    page = markdown()
    found = registry.entry("aodnet")
    monkeypatch.setitem(registry.MODELS, "aodnet2", found)
    assert len(markdown().splitlines()) == len(page.splitlines()) + 1

    def draw(s: Any) -> None:
        """A plug-in's."""

    monkeypatch.setitem(registry.MODELS, "aodnet2", registry.Entry("aodnet2", "model", draw, "", "torch"))
    assert markdown() == page


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
