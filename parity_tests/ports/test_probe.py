"""Probing frameworks that are there, missing, broken, crashing or stuck: a line each, and this process goes on."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from twinzoo.ports import probe
from twinzoo.ports.probe import Question

FAKE = Question(
    "fake", "Fake", "fakeframework", "fakeframework", "import fakeframework\nrows.append(['cpu', True, ''])"
)


def install(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> Question:
    """A framework with this source; a question of its own, because answers are kept."""
    (folder / "fakeframework.py").write_text(body)
    info = folder / "fakeframework-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fakeframework\nVersion: 1.2\n")
    monkeypatch.syspath_prepend(folder)
    return replace(FAKE, title=f"Fake at {folder}")


CRASHES = {
    "segfault": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashes when tried (SIGSEGV)"),
    "abort": ("import os; os.abort()", "crashes when tried (SIGABRT)"),
    "crashes at exit": (
        "import atexit, os, signal; atexit.register(os.kill, os.getpid(), signal.SIGSEGV)",
        "crashes when tried (SIGSEGV)",
    ),
    "raises": ("raise OSError('libgone.so: no such file')", "fails when tried: OSError: libgone.so: no such file"),
    "exits": ("import sys; sys.exit(3)", "fails when tried: exit status 3"),
}


@pytest.mark.parametrize("kind", CRASHES)
def test_a_framework_that_fails(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body, expected = CRASHES[kind]
    question = install(tmp_path, body, monkeypatch)
    found = probe.info(question)
    assert found.problem == f"{question.title} 1.2 {expected}"
    assert found.devices == () and found.version == "1.2"


def test_a_framework_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "TIMEOUT", 1.0)
    question = install(tmp_path, "import time; time.sleep(60)", monkeypatch)
    assert probe.info(question).problem.endswith("did not answer within 1 s")


def test_a_framework_that_chatters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = probe.info(install(tmp_path, "print('twinzoo is great')\nprint('[]')", monkeypatch))
    assert found.problem == "" and [device.name for device in found.devices] == ["cpu"]


def test_a_framework_that_is_missing() -> None:
    found = probe.info(replace(FAKE, module="nosuchframework"))
    assert found.problem == "Fake is not installed: pip install 'twinzoo[fake]'"
    assert found.version == ""


@pytest.mark.parametrize("question", [probe.TORCH, probe.MINDSPORE], ids=lambda question: question.port)
def test_the_real_ones(question: Question) -> None:
    pytest.importorskip(question.module)
    found = probe.info(question)
    assert found.problem == ""
    assert found.devices[0].name.lower() == "cpu" and found.devices[0].available
    assert all(device.available or device.detail for device in found.devices)


def test_no_framework_is_imported_by_the_ports() -> None:
    code = (
        "import sys, twinzoo.ports.registry as r, twinzoo.ports.torch.table, twinzoo.ports.mindspore.table\n"
        "from twinzoo.zoo.registry import spec\n"
        "for p in ('torch', 'mindspore'): r.port(p, installed=False).source(spec('aodnet'))\n"
        "r.port_of(object())\n"
        "assert not {'torch', 'mindspore'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
