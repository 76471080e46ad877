"""What a training run keeps for itself is told from the weights, and no weight is taken for it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twinzoo.converters.files import Checkpoint, read, selected, write

WEIGHTS = {"conv.weight": np.ones((2, 3)), "conv.bias": np.zeros(2)}


def state_of(folder: Path, names: dict[str, Any]) -> set[str]:
    write(folder / "x.ckpt", {name: np.asarray(value) for name, value in names.items()})
    return set(read(folder / "x.ckpt").optimizer)


def weights(checkpoint: Checkpoint) -> list[str]:
    return [name for name in checkpoint if name not in checkpoint.optimizer]


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("optimizer", ["Adam", "SGD", "RMSprop", "Adagrad", "LBFGS"])
def test_torchs_optimizers(optimizer: str, as_zip: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(2, 2)
    run = getattr(torch.optim, optimizer)(
        model.parameters(), lr=0.1, **({"momentum": 0.9} if optimizer == "SGD" else {})
    )

    def loss() -> Any:
        run.zero_grad()
        value = model(torch.ones(1, 2)).sum()
        value.backward()
        return value

    run.step(loss)
    content = {"epoch": 3, "model": model.state_dict(), "optimizers": [run.state_dict(), run.state_dict()]}
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=as_zip)
    checkpoint = read(tmp_path / "x.pth")
    assert weights(checkpoint) == ["weight", "bias"], "the optimizers do not keep the model's dict from being a wrapper"
    assert all(name.startswith("optimizers.") for name in checkpoint.optimizer)
    assert len(checkpoint.optimizer) >= 2
    assert checkpoint.metadata == {"epoch": "3"}
    torch.save(run.state_dict(), tmp_path / "alone.pth")
    assert weights(read(tmp_path / "alone.pth")) == []


def test_a_network_with_such_attributes(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    weight = torch.ones(2)
    for groups in ({"weight": weight}, [weight], [{"weight": weight}], {"params": [weight]}, [], 3):
        torch.save({"state": {"0": {"exp_avg": weight}}, "param_groups": groups, "more": weight}, tmp_path / "x.pth")
        assert not read(tmp_path / "x.pth").optimizer


OPTIMIZERS: dict[str, dict[str, Any]] = {
    "Momentum": {"momentum": 0.9},
    "SGD": {"momentum": 0.9},
    "Adam": {"use_amsgrad": True},
    "AdamWeightDecay": {},
    "RMSProp": {"centered": True},
    "FTRL": {},
    "Adagrad": {},
    "Lamb": {"learning_rate": 0.1},
    "ASGD": {},
    "Rprop": {},
    "Adadelta": {},
    "AdaMax": {},
    "AdaFactor": {"learning_rate": 1e-3, "relative_step": False, "scale_parameter": False},
    "ProximalAdagrad": {},
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_mindspores_optimizers(optimizer: str, tmp_path: Path) -> None:
    ms = pytest.importorskip("mindspore")
    network = ms.nn.SequentialCell(ms.nn.Conv2d(3, 4, 3, has_bias=True), ms.nn.BatchNorm2d(4))
    options = OPTIMIZERS[optimizer]
    if optimizer in ("Momentum", "SGD"):
        options = {"learning_rate": 0.1, **options}
    groups: Any = network.trainable_params()
    if optimizer == "Adam":
        groups = [{"params": groups[:1], "lr": 0.1}, {"params": groups[1:], "lr": [0.1, 0.2, 0.3]}]
    run = getattr(ms.nn, optimizer)(groups, **options)
    cell = ms.nn.TrainOneStepCell(ms.nn.WithLossCell(network, ms.nn.MSELoss()), run)
    extras = {"epoch_num": 3, "step_num": 7}
    ms.save_checkpoint(cell, str(tmp_path / "x.ckpt"), append_dict=extras)
    checkpoint = read(tmp_path / "x.ckpt")
    assert set(weights(checkpoint)) == {parameter.name for parameter in network.get_parameters()}
    assert len(checkpoint.optimizer) > 4


@pytest.mark.parametrize("package", ["experimental", "mint"])
def test_mindspores_other_optimizers(package: str, tmp_path: Path) -> None:
    ms = pytest.importorskip("mindspore")
    network = ms.nn.Dense(2, 2)
    run = getattr(ms, package).optim.AdamW(network.trainable_params(), 1e-3)
    saved = [{"name": p.name, "data": p} for p in [*network.get_parameters(), *run.get_parameters()]]
    ms.save_checkpoint(saved, str(tmp_path / "x.ckpt"))
    assert weights(read(tmp_path / "x.ckpt")) == ["weight", "bias"]


def test_a_slot_repeats_a_tensor_of_the_file(tmp_path: Path) -> None:
    slots = {f"moments.{name}": value for name, value in WEIGHTS.items()}
    assert state_of(tmp_path, WEIGHTS | slots) == set(slots)
    assert state_of(tmp_path, slots) == set(), "there is nothing that it repeats"
    other = {**slots, "moments.conv.weight": np.ones((3, 2))}
    assert state_of(tmp_path, WEIGHTS | other) == set(), "of another shape"
    more = {**slots, "moments.head.weight": np.ones(2)}
    assert state_of(tmp_path, WEIGHTS | more) == set(), "a network's attribute `moments`"


def test_words_that_networks_use_need_a_counter_beside_them(tmp_path: Path) -> None:
    slots = {f"linear.{name}": value for name, value in WEIGHTS.items()}
    numbers = {"momentum": 0.9, "mu_conv.bias": 1.0}
    assert state_of(tmp_path, WEIGHTS | slots | numbers) == set()
    counter = {"global_step": np.array([7], np.int32)}
    assert state_of(tmp_path, WEIGHTS | slots | numbers | counter) == {*slots, *numbers, *counter}


def test_numbers_are_numbers(tmp_path: Path) -> None:
    assert state_of(tmp_path, WEIGHTS | {"learning_rate": 0.1, "epoch_num": 3}) == {"learning_rate", "epoch_num"}
    assert (
        state_of(tmp_path, WEIGHTS | {"learning_rate": np.ones(3), "head.step_num": 1.0, "logit_scale": 1.0}) == set()
    )
    steps = {"learning_rate": np.ones(3), "global_step": [1]}
    assert state_of(tmp_path, WEIGHTS | steps) == set(steps), "one rate for each step"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".npz"])
def test_other_formats_carry_it_too(suffix: str, tmp_path: Path) -> None:
    write(tmp_path / f"x{suffix}", WEIGHTS | {f"moment1.{name}": value for name, value in WEIGHTS.items()})
    assert read(tmp_path / f"x{suffix}").optimizer == {"moment1.conv.weight", "moment1.conv.bias"}


def test_a_selection_keeps_the_difference(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(2, 2)
    model(torch.ones(1, 2)).sum().backward()
    adam = torch.optim.Adam(model.parameters())
    adam.step()
    parts = {"net": model.state_dict(), "optimizer": adam.state_dict()}
    torch.save({"G": parts, "D": parts}, tmp_path / "x.pth")
    one = selected(read(tmp_path / "x.pth"), "G")
    assert weights(one) == ["net.weight", "net.bias"]
    assert "optimizer.state.0.exp_avg" in one.optimizer
