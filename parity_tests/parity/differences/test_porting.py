"""What the page on porting shows exists: its commands, its files, the ids of its causes; its Python can be read."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from twinzoo.cli import cli
from twinzoo.parity.results import CAUSES

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "porting.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_its_commands_exist() -> None:
    shown = [line for block in blocks("sh") for line in block.splitlines()]
    shown += re.findall(r"`(twinzoo [^`]+)`", PAGE)
    assert len(shown) >= 6
    for line in shown:
        assert shlex.split(line.partition("#")[0])[1] in cli.commands, line


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert links
    assert [link for link in links if not (DOCS / link).exists()] == []


def test_its_python_is_python() -> None:
    assert len(blocks("python")) >= 5
    for block in blocks("python"):
        compile(block, "porting.md", "exec")


def test_its_causes_are_causes() -> None:
    words = set(re.findall(r"`([a-z]+(?:-[a-z]+)+|momentum|variance|betas|lr|label|reduction|dropout)`", PAGE))
    assert len(words) >= 12
    assert words <= CAUSES
