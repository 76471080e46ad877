"""A bar for long work on a terminal, and not a byte anywhere else."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest

import twinzoo.progress
from twinzoo.converters import files
from twinzoo.converters.inspect import diff, inspect
from twinzoo.progress import progress


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def terminal_for(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal as stderr. (Not a fixture: pytest puts its own stderr in place between a fixture and the test.)"""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_long_work_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_for(monkeypatch)
    with progress("reading", 400 * 10**6) as advance:
        for _ in range(4):
            advance(100 * 10**6)
    assert "reading" in terminal.getvalue()
    assert "25%" in terminal.getvalue()
    assert "100%" in terminal.getvalue()


def test_short_work_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_for(monkeypatch)
    with progress("reading", 10**6) as advance:
        advance(10**6)
    assert terminal.getvalue() == ""


def test_work_that_turns_out_long_gets_one_then(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_for(monkeypatch)
    monkeypatch.setattr(twinzoo.progress, "LONG_SECONDS", -1.0)
    with progress("reading", 1000) as advance:
        advance(500)
    assert "50%" in terminal.getvalue()


def test_a_pipe_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress("reading", 400 * 10**6) as advance:
        advance(400 * 10**6)
    assert stream.getvalue() == ""


def test_an_error_inside_comes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal_for(monkeypatch)
    with pytest.raises(ValueError, match="inside"), progress("reading", 400 * 10**6) as advance:
        advance(1)
        raise ValueError("inside")


def test_reading_reaches_its_total(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_for(monkeypatch)
    monkeypatch.setattr(twinzoo.progress, "LONG_BYTES", 0)
    files.write(tmp_path / "a.npz", {"c.weight": np.random.default_rng(0).standard_normal((4, 3, 3, 3))})
    inspect(tmp_path / "a.npz", progress=progress)
    diff(tmp_path / "a.npz", tmp_path / "a.npz", progress=progress)
    bars = terminal.getvalue().split("comparing")
    assert "reading" in bars[0]
    assert "100%" in bars[0]
    assert "100%" in bars[-1]
