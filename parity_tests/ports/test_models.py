"""Built models: state there and back, what is refused, modes, and that they are ordinary objects of their framework."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.ports.build import build
from twinzoo.ports.mindspore.port import MindSporePort
from twinzoo.ports.native import NativePort
from twinzoo.ports.registry import port
from twinzoo.ports.torch.port import TorchPort
from twinzoo.zoo.errors import PortError, SpecError
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.registry import entry
from twinzoo.zoo.registry import spec as draw
from twinzoo.zoo.spec import Spec, spec_hash
from twinzoo.zoo.spec.vocabulary import native_extras, native_names

Array = NDArray[Any]


@pytest.fixture(scope="module", params=["torch", "mindspore"])
def made(request: pytest.FixtureRequest) -> NativePort:
    """Each framework's port in turn."""
    found = request.getfixturevalue(f"{request.param}_port")
    assert isinstance(found, NativePort)
    return found


@pytest.fixture(scope="module")
def unet() -> Spec:
    """A small U-Net with batch norm and dropout."""
    return draw("unet", **entry("unet").small)


def image(spec: Spec) -> dict[str, Array]:
    """One image of the example size."""
    shape = spec.concrete(spec.inputs["image"].value)
    return {"image": np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)}


def test_state_there_and_back(made: Any, unet: Spec) -> None:
    model = made.build(unet)
    state = initial_state(unet, seed=3)
    made.load(model, state)
    back = made.state(model)
    assert list(back) == list(unet.params)
    for name, value in back.items():
        assert value.dtype == np.float32 and (value == state[name]).all(), name
        value[...] = 7
    assert not any((value == 7).all() for value in made.state(model).values())


@pytest.mark.parametrize("change", ["missing", "unknown", "shape"])
def test_a_state_that_does_not_fit_changes_nothing(made: Any, unet: Spec, change: str) -> None:
    model = made.build(unet)
    made.load(model, initial_state(unet, seed=1))
    before = made.state(model)
    state: dict[str, Array] = dict(initial_state(unet, seed=2))
    last = list(state)[-1]
    if change == "missing":
        del state[last]
    elif change == "unknown":
        state["up1_conv.scale"] = np.zeros(3)
    else:
        state[last] = np.zeros((1, 2))
    with pytest.raises(PortError, match=r"^unet: .*(lacks|has not|must be)"):
        made.load(model, state)
    assert all((before[name] == value).all() for name, value in made.state(model).items())


def test_native_names(torch_port: TorchPort, mindspore_port: MindSporePort, unet: Spec) -> None:
    keys = set(torch_port.build(unet).state_dict())
    assert keys == {*native_names(unet, "torch").values(), *native_extras(unet, "torch")}
    assert {"down2_norm.num_batches_tracked"} < set(native_extras(unet, "torch"))
    parameters = mindspore_port.build(unet).parameters_dict()
    assert set(parameters) == set(native_names(unet, "mindspore").values())
    assert all(parameter.name == name for name, parameter in parameters.items())
    trained = {name for name, parameter in parameters.items() if parameter.requires_grad}
    assert trained == {native_names(unet, "mindspore")[n] for n, p in unet.params.items() if not p.buffer}


def test_training_moves_buffers_and_modes_come_back(made: Any, unet: Spec) -> None:
    model = build(unet, made.name)
    before = made.state(model)
    made.run(model, image(unet))
    assert all((before[name] == value).all() for name, value in made.state(model).items())
    made.run(model, image(unet), train=True)
    moved = {name for name, value in made.state(model).items() if not (before[name] == value).all()}
    assert moved == {name for name, param in unet.params.items() if param.buffer}
    assert not model.training and not model.down2_norm.training


def test_the_twins_agree_and_so_does_a_tap(torch_port: TorchPort, mindspore_port: MindSporePort, unet: Spec) -> None:
    for spec in (unet, unet.tapped()):
        outputs = [p.run(build(spec, p.name), image(unet)) for p in (torch_port, mindspore_port)]
        assert list(outputs[0]) == list(outputs[1]) == list(spec.outputs)
        for name, value in outputs[0].items():
            # Twelve layers, each of which passes on the roundings of those before it.
            assert np.abs(value - outputs[1][name]).max() <= 1e-4 * np.abs(value).max(), name


def test_inputs_that_do_not_fit(made: Any, unet: Spec) -> None:
    model = made.build(unet)
    with pytest.raises(SpecError, match="takes inputs image"):
        made.run(model, {})
    with pytest.raises(SpecError, match="multiple of 64"):
        made.run(model, {"image": np.zeros((1, 3, 65, 64), np.float32)})
    with pytest.raises(PortError, match="cotangent y"):
        made.gradients(model, image(unet), {"y": np.zeros(1)})
    with pytest.raises(PortError, match=r"must be \(1, 3, 64, 64\)"):
        made.gradients(model, image(unet), {"output": np.zeros(1)})


def test_spec_of(made: Any, unet: Spec) -> None:
    assert made.spec_of(made.build(unet)) is unet
    assert made.spec_of(object()) is None
    with pytest.raises(PortError, match="object: not a model that port"):
        made.state(object())


def test_names_that_the_framework_uses(made: Any) -> None:
    spec = Spec("taken")
    spec.output(output=spec.conv2d("training", spec.input("image", channels=3), 3, kernel=1))
    with pytest.raises(PortError, match="taken: training: .* uses this name itself"):
        made.build(spec)


def test_copies_work(made: Any) -> None:
    spec = draw("aodnet")
    model = build(spec, made.name)
    twin = copy.deepcopy(model)
    expected = made.run(model, image(spec))["output"]
    made.load(model, {name: value * 0 for name, value in made.state(model).items()})
    assert (made.run(twin, image(spec))["output"] == expected).all()


UNPICKLE = """
import pickle, sys
from twinzoo.ports.registry import port
model = pickle.load(open(sys.argv[1], "rb"))
print(type(model).__name__, port("torch").spec_of(model).name, float(next(model.parameters()).detach().sum()))
"""


def test_a_pickled_module_is_read_in_another_process(torch_port: TorchPort, tmp_path: Path) -> None:
    model = build("aodnet", "torch")
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(model))
    command = [sys.executable, "-c", UNPICKLE, str(tmp_path / "model.pickle")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split()[:2] == ["Aodnet", "aodnet"], done.stderr
    assert float(done.stdout.split()[2]) == pytest.approx(float(next(model.parameters()).detach().sum()))


def test_compiled_by_torch(torch_port: TorchPort) -> None:
    import torch

    spec = draw("aodnet")
    model = build(spec, "torch")
    compiled: Any = torch.compile(model, backend="eager", fullgraph=True)
    expected = torch_port.run(model, image(spec))["output"]
    assert np.abs(torch_port.run(compiled, image(spec))["output"] - expected).max() < 1e-6
    found = torch_port.spec_of(compiled)
    assert found is not None and spec_hash(found) == spec_hash(spec)
    assert list(torch_port.state(compiled)) == list(spec.params)


def test_a_module_in_double_precision(torch_port: TorchPort) -> None:
    spec = draw("aodnet")
    model = build(spec, "torch").double()
    assert torch_port.run(model, image(spec))["output"].dtype == np.float64


def test_weights_and_seed() -> None:
    pytest.importorskip("torch")
    made = port("torch")
    spec = draw("aodnet")
    state = initial_state(spec, seed=5)
    for model in (build("aodnet", "torch", weights=state), build(spec, "torch", seed=5)):
        assert all((state[name] == value).all() for name, value in made.state(model).items())
