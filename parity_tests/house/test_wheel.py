"""The wheel holds the folders, and works where no framework is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("zoo", "ports", "converters", "parity", "recipes")
BLOCK = "import sys\nfor name in ('torch', 'torchvision', 'mindspore'):\n    sys.modules[name] = None\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_holds_every_file_of_the_folders(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        f"twinzoo/{path.relative_to(ROOT).as_posix()}"
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted
    assert wanted <= packed
    assert {"twinzoo/cli.py", "twinzoo/py.typed"} <= packed
    assert not any(name.startswith(("parity_tests", "benchmarks", *(f"{f}/" for f in FOLDERS))) for name in packed)


def test_it_converts_and_inspects_without_a_framework(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    (site / "sitecustomize.py").write_text(BLOCK)
    environment = os.environ | {"PYTHONPATH": str(site)}

    def twinzoo(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "twinzoo", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)

    where = subprocess.run(
        [sys.executable, "-c", "import twinzoo; print(twinzoo.__file__)"],
        capture_output=True, text=True, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert where.stdout.startswith(str(site))
    shapes = {"conv1": (3, 1), "conv2": (3, 3), "conv3": (6, 5), "conv4": (6, 7), "conv5": (12, 3)}
    state = {f"e_{name}.weight": np.ones((3, c, k, k), np.float32) for name, (c, k) in shapes.items()}
    np.savez(tmp_path / "a.npz", **state, **{f"e_{name}.bias": np.ones(3, np.float32) for name in shapes})
    assert "unet" in twinzoo("models").stdout
    assert "fits: aodnet" in twinzoo("inspect", "a.npz").stdout
    done = twinzoo("convert", "a.npz", "a.ckpt", "--model", "aodnet")
    assert done.returncode == 0, done.stderr
    assert "10 tensors matched" in done.stdout
    missing = twinzoo("check", "aodnet")
    assert missing.returncode == 2
    assert len(missing.stderr.splitlines()) == 1
    assert "pip install" in missing.stderr
