"""The command line as a user meets it: output, one-line errors, exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import twinzoo as tz
from twinzoo.converters import files
from twinzoo.zoo import registry
from twinzoo.zoo.init import initial_state


def twinzoo(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "twinzoo", *map(str, arguments)], capture_output=True, text=True, cwd=cwd, timeout=300
    )


def test_models_lists_everything() -> None:
    done = twinzoo("models")
    assert done.returncode == 0
    assert done.stderr == ""
    listed = [line.split()[0] for line in done.stdout.splitlines()[2:]]
    assert sorted(listed) == sorted([*tz.models(), *tz.losses(), *tz.steps()])
    assert "colorization_unet.report" in listed


def test_models_are_filtered() -> None:
    lines = twinzoo("models", "unet*").stdout.splitlines()[2:]
    assert [line.split()[0] for line in lines] == tz.models("unet*")


def test_show_prints_a_table_and_json() -> None:
    assert "54,413,955 parameters" in twinzoo("show", "unet").stdout
    assert json.loads(twinzoo("show", "unet,depth=5", "--as-json").stdout)["options"]["depth"] == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "unett"], "no model, loss or training step is called 'unett': did you mean unet?"),
        (["show", "unet,depth=0"], "unet: depth=0: must be an integer >= 2"),
        (["show", "unet,deep=3"], "unet: 'deep=3': must be option=value with one of in_channels"),
        (["inspect", "nowhere.pth"], "nowhere.pth: cannot be read: no such file"),
        (["inspect", "nowhere.pth", "nothing.pth"], "nowhere.pth: cannot be read: no such file"),
        (["convert", "a.pth"], "Missing argument 'SOURCE...'"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["check"], "give a NAME or --all"),
        (["check", "aodnet", "--ports", "torch"], "--ports torch: give two ports"),
        (["check", "aodnet", "--ports", "torch,jax"], "jax"),
        (["check", "--all", "--all-layers"], "--all takes --ports, --graph, --steps, --seed and --markdown"),
        (["check", "aodnet", "--markdown", "zoo.md"], "--markdown is for --all: give both"),
        (["check", "aodnet", "--ports", "torch,reference", "--graph"], "graph mode is MindSpore's"),
        (["export", "aodnet", "--port", "reference"], "the reference port writes no source"),
        (["convert", "a.pth", "b.pth", "--target", "nowhere:make"], "nowhere:make: ModuleNotFoundError"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = twinzoo(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("twinzoo: ")
    assert message in line


def test_convert_writes_reports_and_refuses(tmp_path: Path) -> None:
    state = initial_state(registry.spec("aodnet"))
    files.write(tmp_path / "a.npz", state)
    done = twinzoo(
        "convert", tmp_path / "a.npz", tmp_path / "b.ckpt", "--model", "aodnet", "--json", tmp_path / "c.json"
    )
    assert done.returncode == 0, done.stderr
    assert "10 tensors matched, 10 by name" in done.stdout
    assert len(json.loads((tmp_path / "c.json").read_text())["pairs"]) == 10
    assert np.array_equal(files.read(tmp_path / "b.ckpt")["conv3.bias"], state["conv3.bias"])
    files.write(tmp_path / "short.npz", {k: v for k, v in state.items() if k != "conv3.bias"})
    refused = twinzoo("convert", tmp_path / "short.npz", tmp_path / "d.ckpt", "--model", "aodnet")
    assert refused.returncode == 1
    assert "1 missing" in refused.stderr.splitlines()[0]
    assert "conv3.bias" in refused.stderr
    assert not (tmp_path / "d.ckpt").exists()
    allowed = twinzoo("convert", tmp_path / "short.npz", tmp_path / "d.ckpt", "--model", "aodnet", "--allow", "conv3.*")
    assert allowed.returncode == 0


def test_convert_fills_the_model_of_a_factory(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    code = "import torch\n\ndef make(): return torch.nn.Linear(3, 2)\n\ndef no(): return 1\n"
    (tmp_path / "mine.py").write_text(code)
    weight, bias = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(2, np.float32)
    files.write(tmp_path / "a.npz", {"fc.weight": weight, "fc.bias": bias})
    done = twinzoo("convert", "a.npz", "b.pth", "--target", "mine:make", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(files.read(tmp_path / "b.pth")["weight"], weight)
    assert twinzoo("convert", "a.npz", "c.pth", "--target", "mine:no", cwd=tmp_path).returncode == 2


def test_inspect_shows_layers_and_what_fits(tmp_path: Path) -> None:
    state = initial_state(registry.spec("aodnet"))
    state["conv2.bias"][1] = np.nan
    files.write(tmp_path / "a.pth", state)
    done = twinzoo("inspect", tmp_path / "a.pth", "--json", tmp_path / "a.json")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "layers: 5 conv2d" in done.stdout
    assert "fits: aodnet (twinzoo naming)" in done.stdout
    assert "warning: conv2.bias: 1 NaN of 3 values: everything that they reach" in done.stdout
    assert json.loads((tmp_path / "a.json").read_text())["fits"] == ["aodnet (twinzoo naming)"]
    keys = twinzoo("inspect", tmp_path / "a.pth", "--keys", "--no-stats").stdout
    assert keys.splitlines()[4].split()[0] == "conv1.weight"
    assert "warning" not in keys


def test_inspect_of_two_files_ends_with_1_where_they_differ(tmp_path: Path) -> None:
    state = initial_state(registry.spec("aodnet"))
    files.write(tmp_path / "a.pth", state)
    files.write(tmp_path / "b.ckpt", state)
    same = twinzoo("inspect", tmp_path / "a.pth", tmp_path / "b.ckpt", "--json", tmp_path / "c.json")
    assert (same.returncode, same.stderr) == (0, "")
    assert same.stdout.endswith("same: 10 tensors, 1,761 values, bit for bit\n")
    assert json.loads((tmp_path / "c.json").read_text())["same"] is True
    state["conv2.bias"] = state["conv2.bias"] + np.float32(0.5)
    files.write(tmp_path / "b.ckpt", state)
    other = twinzoo("inspect", tmp_path / "a.pth", tmp_path / "b.ckpt")
    assert other.returncode == 1
    assert other.stdout.splitlines()[-1].startswith("differs: 1 of 10 tensors, 3 of 1,761 values by up to 0.5")
    wrong = twinzoo("inspect", tmp_path / "a.pth", tmp_path / "b.ckpt", "--keys")
    assert (wrong.returncode, wrong.stdout) == (2, "")


def test_ports_lists_the_reference() -> None:
    done = twinzoo("ports")
    assert done.returncode == 0
    assert "reference" in done.stdout


def test_check_agrees_and_writes_reports(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = twinzoo(
        "check", "aodnet", "--ports", "torch,reference", "--size", 16,
        "--json", tmp_path / "a.json", "--html", tmp_path / "a.html",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "a.json").read_text())["ok"] is True
    assert "conv3" in (tmp_path / "a.html").read_text()


def test_check_takes_a_checkpoint_and_refuses_a_wrong_one(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    files.write(tmp_path / "a.npz", initial_state(registry.spec("aodnet"), 7))
    arguments = ("check", "aodnet", "--ports", "torch,reference", "--size", 16, "--weights", tmp_path / "a.npz")
    assert twinzoo(*arguments).returncode == 0
    files.write(tmp_path / "a.npz", {"other": np.zeros(3, np.float32)})
    assert twinzoo(*arguments).returncode == 1


def test_an_unwritable_output_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = twinzoo("export", "aodnet", "--port", "torch", "-o", tmp_path / "missing" / "a.py")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_debug_shows_the_traceback() -> None:
    assert "Traceback" in twinzoo("--debug", "show", "unett").stderr
    assert "Traceback" not in twinzoo("show", "unett").stderr


def test_it_works_with_an_empty_home(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TWINZOO_CACHE"} | {"HOME": str(tmp_path)}
    command = [sys.executable, "-m", "twinzoo", "models"]
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0


NETWORKS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, names):
        super().__init__()
        self.names = names
        for name in sorted(names):
            setattr(self, name, nn.Conv2d(3, 3, 3, padding=1))
    def forward(self, image):
        for name in self.names:
            image = torch.tanh(getattr(self, name)(image))
        return image

def source():
    return Net(["x", "b", "m"])

def target():
    return Net(["q", "c", "z"])

def other():
    return nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 5))
"""


@pytest.fixture
def networks(tmp_path: Path) -> Path:
    """Two alike networks under names that say nothing, and a checkpoint of the first."""
    pytest.importorskip("torch")
    (tmp_path / "mine.py").write_text(NETWORKS)
    rng = np.random.default_rng(0)
    shapes = {"weight": (3, 3, 3, 3), "bias": (3,)}
    state = {f"{n}.{r}": rng.normal(size=s).astype(np.float32) for n in ("x", "b", "m") for r, s in shapes.items()}
    files.write(tmp_path / "a.pth", state)
    return tmp_path


def test_convert_by_graph_with_both_networks(networks: Path) -> None:
    done = twinzoo(
        "convert", "a.pth", "out.npz", "--source", "mine:source", "--target", "mine:target", "--json", "r.json",
        cwd=networks,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "6 by graph" in done.stdout
    assert "outputs agree" in done.stdout
    report = json.loads((networks / "r.json").read_text())
    assert report["agreement"]["ok"]
    assert {(p["source"], p["target"]) for p in report["pairs"]} >= {("x.weight", "q.weight"), ("b.bias", "c.bias")}
    assert np.array_equal(files.read(networks / "out.npz")["z.weight"], files.read(networks / "a.pth")["m.weight"])


def test_convert_refuses_writes_its_table_and_obeys_it(networks: Path) -> None:
    done = twinzoo("convert", "a.pth", "out.npz", "--target", "mine:target", "--map", "m.tsv", cwd=networks)
    assert done.returncode == 1
    assert "1 ambiguous" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (networks / "out.npz").exists()
    table = networks / "m.tsv"
    table.write_text(table.read_text() + "x\tq\nb\tc\nm\tz\n")
    done = twinzoo("convert", "a.pth", "out.npz", "--target", "mine:target", "--map", "m.tsv", cwd=networks)
    assert done.returncode == 0, done.stderr
    assert "6 by map" in done.stdout
    assert np.array_equal(files.read(networks / "out.npz")["q.weight"], files.read(networks / "a.pth")["x.weight"])


def test_convert_says_what_differs(networks: Path) -> None:
    done = twinzoo("convert", "a.pth", "out.npz", "--source", "mine:source", "--target", "mine:other", cwd=networks)
    assert done.returncode == 1
    assert "where the target has" in done.stderr
    assert "conv2d 3->3 k5x5" in done.stderr


def test_a_dry_run_writes_nothing(networks: Path) -> None:
    done = twinzoo("convert", "a.pth", "out.npz", "--dry-run", cwd=networks)
    assert done.returncode == 0
    assert "would write out.npz" in done.stdout
    assert not (networks / "out.npz").exists()


def test_several_sources_go_into_a_folder(networks: Path) -> None:
    (networks / "b.npz").write_bytes(b"")
    files.write(networks / "b.npz", dict(files.read(networks / "a.pth")))
    (networks / "out").mkdir()
    done = twinzoo("convert", "a.pth", "b.npz", "out", "--to", "safetensors", cwd=networks)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (networks / "out").iterdir()} == {"a.safetensors", "b.safetensors"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.pth", "b.pth", "out.npz"], "out.npz: must be a folder, since there are 2 sources"),
        (["a.pth", "."], ". is a folder: say in which format, as in --to ckpt"),
        (["a.pth", "out.npz", "--to", "ckpt"], "--to ckpt: goes with a folder as DESTINATION"),
        (["a.pth", "mine.py", ".", "--to", "ckpt", "--map", "m"], "--map and --source: go with a single SOURCE"),
        (["a.pth", "a.pth", ".", "--to", "ckpt"], "two sources have the same name"),
        (["a.pth", "out.npz", "--input", "image"], "--input image: must be of the form name=1x3x64x64"),
        (["a.pth", "out.npz", "--target", "mine"], "--target mine: must be of the form pkg.mod:factory"),
        (["a.pth", "out.npz", "--source", "nomodel"], "nomodel"),
        (["a.pth", "out.npz", "--select", "generator"], "no tensor's name begins with 'generator.'"),
    ],
)
def test_wrong_use_of_convert_is_one_line(networks: Path, arguments: list[str], message: str) -> None:
    done = twinzoo("convert", *arguments, cwd=networks)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (networks / "out.npz").exists()
