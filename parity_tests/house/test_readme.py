"""What the README shows can be run: its model is drawn, built and compared, its commands and options exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest

import twinzoo as tz
from twinzoo.cli import cli
from twinzoo.zoo import registry

README = (Path(__file__).parents[2] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_its_model_is_drawn_and_its_twins_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("mindspore")
    registry.load()
    monkeypatch.setattr(registry, "MODELS", dict(registry.MODELS))
    tables = {"model": registry.MODELS, "loss": registry.LOSSES, "step": registry.STEPS}
    monkeypatch.setattr(registry, "_TABLES", tables)
    (block,) = [block for block in blocks("python") if '@model("tiny"' in block]
    exec(compile(block, "README.md", "exec"), {})
    image = np.linspace(-1, 1, 3 * 16 * 16, dtype=np.float32).reshape(1, 3, 16, 16)
    assert tz.compare((tz.spec("tiny", width=4), "torch"), (tz.spec("tiny", width=4), "mindspore"), image).ok


def test_its_commands_exist() -> None:
    lines = [line.split("#")[0] for block in blocks("sh") for line in block.splitlines() if line.startswith("twinzoo ")]
    assert len(lines) >= 4
    for line in lines:
        _, name, *arguments = shlex.split(line)
        command = cli.commands[name]
        options = {text for p in command.params if isinstance(p, click.Option) for text in p.opts}
        assert {argument for argument in arguments if argument.startswith("-")} <= options, line


def test_its_names_are_public() -> None:
    used = set(re.findall(r"\btz\.(\w+)", README))
    assert used
    assert used <= set(tz.__all__)


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (Path(__file__).parents[2] / link).exists()] == []
