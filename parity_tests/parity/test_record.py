"""Records: what was run on one machine is compared on another, with the verdict that both together would have had."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import twinzoo as tz  # noqa: E402
from parity_tests.planted.network import network, twin_of  # noqa: E402
from twinzoo.converters import files  # noqa: E402
from twinzoo.zoo.errors import CheckpointError, ParityError  # noqa: E402

IMAGE = np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype(np.float32)


def last_of(outputs: Any) -> Any:
    """The loss that the network returns last."""
    return outputs[-1]


def plain(report: Any, path: Path) -> Any:
    """A report without what changes from run to run."""
    report.to_json(path)
    data = json.loads(path.read_text())
    data.pop("seconds")
    return data


@pytest.mark.parametrize("choice", [{}, {"slope": 0.1}, {"eps": 1e-3}])
def test_records_give_the_verdict_of_the_models(choice: dict[str, Any], tmp_path: Path) -> None:
    a = network()
    b = twin_of(a, **choice)
    tz.record(a, IMAGE, tmp_path / "a.safetensors")
    tz.record(b, IMAGE, tmp_path / "b.safetensors")
    live = plain(tz.compare(a, b, IMAGE), tmp_path / "live.json")
    assert plain(tz.compare(tmp_path / "a.safetensors", tmp_path / "b.safetensors"), tmp_path / "r.json") == live
    assert plain(tz.compare(str(tmp_path / "a.safetensors"), b), tmp_path / "half.json") == live
    assert live["ok"] is not bool(choice)


def test_neither_framework_is_needed_to_compare(tmp_path: Path) -> None:
    tz.record(network(), IMAGE, tmp_path / "a.safetensors")
    code = (
        "import sys, twinzoo as tz; r = tz.compare('a.safetensors', 'a.safetensors'); "
        "print(r.ok, len(r.layers) > 10, [m for m in ('torch', 'mindspore') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True True []"


def test_other_inputs_are_refused(tmp_path: Path) -> None:
    tz.record(network(), IMAGE, tmp_path / "a.safetensors")
    tz.record(network(), IMAGE + 1, tmp_path / "b.safetensors")
    with pytest.raises(ParityError, match="not run on the same inputs"):
        tz.compare(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    with pytest.raises(ParityError, match="not run on the same inputs"):
        tz.compare(tmp_path / "a.safetensors", network(), IMAGE + 1)


def test_what_is_no_record(tmp_path: Path) -> None:
    files.write(tmp_path / "w.safetensors", {"x": IMAGE})
    with pytest.raises(ParityError, match="not a record"):
        tz.compare(tmp_path / "w.safetensors", tmp_path / "w.safetensors")
    files.write(tmp_path / "v.safetensors", {"x": IMAGE}, {"twinzoo.record": '{"schema": 99}'})
    with pytest.raises(ParityError, match="schema must be 3"):
        tz.compare(tmp_path / "v.safetensors", network())
    with pytest.raises(CheckpointError):
        tz.compare(tmp_path / "none.safetensors", network())
    with pytest.raises(ParityError, match="name it so"):
        tz.record(network(), IMAGE, tmp_path / "a.npz")
    with pytest.raises(ParityError, match="must be an nn.Module"):
        tz.record(object(), IMAGE, tmp_path / "a.safetensors")
    tz.record(network(), IMAGE, tmp_path / "a.safetensors", grad=True)
    with pytest.raises(ParityError, match="a was recorded in mode eval with gradients, and eval is asked for"):
        tz.compare(tmp_path / "a.safetensors", network())
    with pytest.raises(ParityError, match="a record cannot be trained"):
        tz.compare(tmp_path / "a.safetensors", network(), steps=2)


@pytest.mark.parametrize("how", [{"grad": True}, {"train": True}, {"grad": True, "train": True, "loss": last_of}])
@pytest.mark.parametrize("choice", [{}, {"slope": 0.1}, {"momentum": 0.2}])
def test_records_have_gradients_and_running_statistics(
    how: dict[str, Any], choice: dict[str, Any], tmp_path: Path
) -> None:
    a = network()
    b = twin_of(a, **choice)
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for model, path in zip((a, b), paths, strict=True):
        tz.record(model, IMAGE, path, **how)
    live = plain(tz.compare(a, b, IMAGE, **how), tmp_path / "live.json")
    assert plain(tz.compare(*paths, **how), tmp_path / "r.json") == live
    assert live["ok"] is not bool(choice)
    assert any(row["quantity"].startswith("gradient") for row in live["layers"]) is ("grad" in how)
    assert any(row["quantity"].startswith("buffer") for row in live["layers"]) is ("train" in how)


def test_the_command_line(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    (tmp_path / "mine.py").write_text(
        f"import sys; sys.path.insert(0, {str(root)!r})\n"
        "from parity_tests.planted.network import network, twin_of\n"
        "def good(): return network()\n"
        "def bad(): return twin_of(network(), slope=0.1)\n"
    )

    def twinzoo(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "twinzoo", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    shape = ("--input", "image=1x3x16x16")
    done = twinzoo("compare", "--a", "mine:good", "--b", "mine:good", *shape)
    assert done.returncode == 0, done.stderr
    done = twinzoo("compare", "--a", "mine:good", "--b", "mine:bad", *shape, "--json", "r.json", "--html", "r.html")
    assert done.returncode == 1
    assert "slope" in done.stdout
    assert not json.loads((tmp_path / "r.json").read_text())["ok"]
    assert "slope" in (tmp_path / "r.html").read_text()
    assert twinzoo("record", "mine:bad", "b.safetensors", *shape).returncode == 0
    done = twinzoo("compare", "--a", "mine:good", "--b", "b.safetensors")
    assert done.returncode == 1
    assert "with slope 0.1" in done.stdout
