"""What `twinzoo export` writes of each model and loss runs without twinzoo, and makes what the golden arrays have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from parity_tests.zoo.golden_arrays import FOLDER, Array, inputs, sampled, small, weights
from twinzoo.ports.registry import port
from twinzoo.ports.source import camel
from twinzoo.zoo import registry
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.vocabulary import native_extras, native_names, parameter_ops, to_native

registry.load()
NAMES = sorted(path.stem for path in FOLDER.glob("*.npz"))

ALONE = """
import importlib, json, sys
import numpy as np
from pathlib import Path
sys.modules["twinzoo"] = None  # importing it fails
folder, framework = Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, str(folder))
if framework == "torch":
    import torch

    def outputs(model, state, given):
        model.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
        with torch.no_grad():
            made = model.eval()(*(torch.from_numpy(value) for value in given))
        return [value.numpy() for value in (made if isinstance(made, tuple) else (made,))]
else:
    import mindspore as ms

    def outputs(model, state, given):
        own = model.parameters_dict()
        assert own.keys() == state.keys(), own.keys() ^ state.keys()
        for key, value in state.items():
            own[key].set_data(ms.Tensor(value))
        made = model.set_train(False)(*(ms.Tensor(value) for value in given))
        return [value.asnumpy() for value in (made if isinstance(made, tuple) else (made,))]

for path in sorted(folder.glob("exported_*.py")):
    with np.load(path.with_suffix(".npz")) as arrays:
        state = {key.removeprefix("state:"): arrays[key] for key in arrays if key.startswith("state:")}
        given = [arrays[key] for key in arrays if key.startswith("input:")]
        model = getattr(importlib.import_module(path.stem), str(arrays["class"]))()
    np.savez(path.with_suffix(".made.npz"), *outputs(model, state, given))
"""


def native_state(spec: Spec, framework: str) -> dict[str, Array]:
    """The golden weights under the names that the framework's own model has for them."""
    state, ops = weights(spec), parameter_ops(spec)
    own = {key: to_native(framework, *ops[name], state[name]) for name, key in native_names(spec, framework).items()}
    return own | native_extras(spec, framework)


def write(folder: Path, name: str, framework: str) -> None:
    """The exported file of one model, and its weights and inputs beside it."""
    spec = small(name)
    whole = np.int64 if framework == "torch" else np.int32
    given = {
        f"input:{key}": value.astype(whole if spec.inputs[key].value.dtype == "int" else np.float32)
        for key, value in inputs(spec).items()
    }
    assert [key.removeprefix("input:") for key in given] == list(spec.inputs)
    state = {f"state:{key}": value for key, value in native_state(spec, framework).items()}
    path = folder / f"exported_{name}.py"
    path.write_text(port(framework, installed=False).source(spec))
    np.savez(path.with_suffix(".npz"), **given, **state, **{"class": np.array(camel(spec.name))})


def furthest(folder: Path, name: str) -> float:
    """The largest difference from the golden arrays, as a share of the largest element of its output."""
    with np.load(folder / f"exported_{name}.made.npz") as made, np.load(FOLDER / f"{name}.npz") as kept:
        outputs = sampled(dict(zip(small(name).outputs, (made[key] for key in made), strict=True)))
        return max(float(np.abs(outputs[n] - kept[n]).max() / max(np.abs(kept[n]).max(), 1e-30)) for n in kept)


def run(folder: Path, framework: str) -> None:
    """Run all files of a folder in a process that knows neither twinzoo nor this folder."""
    command = [sys.executable, "-I", "-c", ALONE, str(folder), framework]
    environment = os.environ | {"GLOG_v": "3", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_every_model_is_among_them() -> None:
    assert {name.partition("-")[0] for name in NAMES} == registry.MODELS.keys() | registry.LOSSES.keys()


@pytest.mark.parametrize("framework", ["torch", "mindspore"])
def test_it_runs_alone(framework: str, tmp_path: Path) -> None:
    pytest.importorskip(framework)
    for name in NAMES:
        write(tmp_path, name, framework)
    run(tmp_path, framework)
    assert {name: off for name in NAMES if (off := furthest(tmp_path, name)) > 1e-4} == {}


def test_another_model_shows(tmp_path: Path) -> None:
    """A slope of 0.2 that is not there."""
    pytest.importorskip("torch")
    write(tmp_path, "patchgan", "torch")
    path = tmp_path / "exported_patchgan.py"
    text = path.read_text()
    path.write_text(text.replace("0.2)", "0.21)"))
    assert path.read_text() != text
    run(tmp_path, "torch")
    assert furthest(tmp_path, "patchgan") > 1e-4
