"""A package of somebody else's is installed for real: what it adds is listed and works, what is broken is reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "plugin_package"

PROBE = """
import json, sys, tempfile
from pathlib import Path
import numpy as np
import twinzoo as tz
from twinzoo.converters import files
from twinzoo.ports.registry import port
from twinzoo.zoo import registry

folder = Path(tempfile.mkdtemp())
weight, bias = np.full((8, 3, 3, 3), 0.1, np.float32), np.zeros(8, np.float32)
files.write(folder / "a.example", {"conv.weight": weight, "conv.bias": bias})
state = dict(tz.convert(folder / "a.example", "example_net").state)
model = port("example").build(tz.spec("example_net"))
port("example").load(model, state)
made = port("example").run(model, {"image": np.ones((1, 3, 4, 4), np.float32)})
print(json.dumps({
    "models": tz.models(), "losses": tz.losses(), "steps": tz.steps(), "ports": [info.name for info in tz.ports()],
    "problems": [*registry.load(), *(info.problem for info in tz.ports()), *files.plugin_problems()],
    "corner": float(made["output"][0, 0, 0, 0]), "frameworks": [m for m in ("torch", "mindspore") if m in sys.modules],
}))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with the example package installed into a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "--target", str(folder), str(PACKAGE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return os.environ | {"PYTHONPATH": str(folder)}


def test_what_a_plugin_adds_works_and_what_is_broken_is_reported(environment: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "example_net" in found["models"]
    assert "example_loss" in found["losses"]
    assert {"example_step", "pix2pix"} <= set(found["steps"])
    assert "unet" in found["models"]
    assert {"example", "torch", "mindspore", "reference"} <= set(found["ports"])
    assert found["corner"] == pytest.approx(0.1 * 3 * 4)
    broken = [line for line in found["problems"] if "this plug-in is broken on purpose" in line]
    assert len(broken) == 4
    assert found["frameworks"] == []


def test_the_command_line_lists_plugins_and_reports_the_broken_one(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "twinzoo"]
    models = subprocess.run([*command, "models"], capture_output=True, text=True, env=environment)
    assert models.returncode == 0
    assert "example_net" in models.stdout
    assert "example_step" in models.stdout
    assert "broken on purpose" in models.stderr
    shown = subprocess.run([*command, "show", "example_step,lr=0.5"], capture_output=True, text=True, env=environment)
    assert "=> sgd updates net by loss" in shown.stdout
    assert "momentum 0.0" in shown.stdout
    ports = subprocess.run([*command, "ports"], capture_output=True, text=True, env=environment)
    assert ports.returncode == 0
    assert "example" in ports.stdout
    assert "broken on purpose" in ports.stdout
