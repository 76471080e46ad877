"""MindSpore's settings before its first operation: the fast path on AVX-512, never against the user's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from twinzoo.ports.mindspore import runtime

EFFECTIVE = """
import ctypes, os, sys
from pathlib import Path
from twinzoo.ports.registry import port
from twinzoo.zoo.registry import spec
import numpy as np
made = port("mindspore")
model = made.build(spec("aodnet"))
from twinzoo.ports.mindspore import runtime
print(runtime.prepare())
print(hex(ctypes.CDLL(str(runtime._onednn())).dnnl_get_effective_cpu_isa()))
made.run(model, {"image": np.ones((1, 3, 8, 8), np.float32)})
print(os.environ["GLOG_v"])
"""


def run(folder: Path, **environment: str) -> list[str]:
    """What a fresh process says about its oneDNN."""
    pytest.importorskip("mindspore")
    kept = {k: v for k, v in os.environ.items() if k not in (*runtime._LIMITS, "GLOG_v", "MS_OM_PATH")}
    done = subprocess.run(
        [sys.executable, "-c", EFFECTIVE],
        capture_output=True,
        text=True,
        cwd=folder,
        env=kept | {"TMPDIR": str(folder)} | environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(not runtime.has_avx512(), reason="only processors with AVX-512 need a limit")
def test_onednn_is_limited_to_avx2(tmp_path: Path) -> None:
    said, isa, quiet = run(tmp_path)
    assert said == "oneDNN is limited to AVX2"
    assert int(isa, 16) == 0x7
    assert quiet == "3"


@pytest.mark.parametrize("variable", runtime._LIMITS)
def test_the_users_own_limit_stands(variable: str, tmp_path: Path) -> None:
    said, isa, _ = run(tmp_path, **{variable: "SSE41"})
    assert said == f"oneDNN follows {variable}=SSE41"
    assert int(isa, 16) == 0x1


def test_the_users_own_log_level_stands_and_the_working_directory_stays_clean(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    *_, level = run(folder, GLOG_v="2", TMPDIR=str(tmp_path))
    assert level == "2"
    assert list(folder.iterdir()) == []


def test_no_limit_without_avx512(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime.prepare.cache_clear()
    for variable in runtime._LIMITS:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(runtime, "has_avx512", lambda: False)
    monkeypatch.setattr(runtime, "_onednn", lambda: pytest.fail("not asked for"))
    assert runtime.prepare() == "oneDNN needs no limit: no AVX-512 here"
    runtime.prepare.cache_clear()
    monkeypatch.setattr(runtime, "has_avx512", lambda: True)
    monkeypatch.setattr(runtime, "_onednn", lambda: None)
    assert runtime.prepare() == "oneDNN was not found in this MindSpore"
    runtime.prepare.cache_clear()
