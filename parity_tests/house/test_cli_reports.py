"""How the command line shows a comparison: rows, colours, and what it asks of the comparison."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from twinzoo.cli import cli
from twinzoo.zoo.errors import ParityError

DEEP = """
import torch
from torch import nn

def deep():
    torch.manual_seed(0)
    return nn.Sequential(*[nn.Conv2d(2, 2, 1) for _ in range(40)])
"""


def twinzoo(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, without a terminal."""
    command = [sys.executable, "-m", "twinzoo", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300)


def test_compare_cuts_a_long_table_but_for_all_layers(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "mine.py").write_text(DEEP)
    arguments = ("compare", "--a", "mine:deep", "--b", "mine:deep", "--input", "x=1x2x4x4")
    cut, whole = twinzoo(*arguments, cwd=tmp_path), twinzoo(*arguments, "--all-layers", cwd=tmp_path)
    assert (cut.returncode, whole.returncode) == (0, 0), cut.stderr + whole.stderr
    assert "more are not shown" in cut.stdout
    assert "more are not shown" not in whole.stdout
    assert whole.stdout.count(" conv2d ") == 40 > cut.stdout.count(" conv2d ") > 0


def test_compare_passes_on_what_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def compare(*sides: Any, **options: Any) -> None:
        asked.update(options)
        raise ParityError("seen")

    monkeypatch.setattr("twinzoo.compare", compare)
    for flags, wanted in (([], (False, False)), (["--grad"], (True, False)), (["--train"], (False, True))):
        CliRunner().invoke(cli, ["compare", "--a", "a.safetensors", "--b", "b.safetensors", *flags])
        assert (asked["grad"], asked["train"]) == wanted


def test_colours_are_for_terminals_that_want_them() -> None:
    pytest.importorskip("torch")
    command = ("check", "aodnet", "--ports", "torch,reference", "--size", "16")
    assert "\033[32maodnet: torch and reference agree" in on_a_terminal(*command)
    assert "\033" not in on_a_terminal(*command, NO_COLOR="1")
    assert "\033" not in twinzoo(*command).stdout


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """What the command line writes on a terminal."""
    ours, theirs = os.openpty()
    plain = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    command = [sys.executable, "-m", "twinzoo", *arguments]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env={**plain, **environment}) as running:
        os.close(theirs)
        written = b""
        while chunk := _read(ours):
            written += chunk
    os.close(ours)
    assert running.returncode == 0, written
    return written.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # how a terminal on Linux says that nobody writes to it any more
        return b""
