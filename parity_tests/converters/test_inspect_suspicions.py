"""Each rule sees what is planted, in the tensor where it is planted, and says nothing about its clean twin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.converters import files
from twinzoo.converters.convert import convert
from twinzoo.converters.inspect import inspect
from twinzoo.zoo import registry
from twinzoo.zoo.init import initial_state

Array = NDArray[Any]
State = dict[str, Array]

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "checkpoints"
LAYERS = 6


def trained() -> State:
    """A small network as it is after training: convolutions with biases, each with a batch norm that has counted."""
    rng = np.random.default_rng(0)
    state: State = {}
    for i in range(LAYERS):
        state[f"conv{i}.weight"] = rng.normal(0, 0.1, (8, 8, 3, 3)).astype(np.float32)
        state[f"conv{i}.bias"] = np.zeros(8, np.float32)
        state[f"norm{i}.weight"] = np.ones(8, np.float32)
        state[f"norm{i}.bias"] = rng.normal(0, 0.1, 8).astype(np.float32)
        state[f"norm{i}.running_mean"] = rng.normal(0, 1, 8).astype(np.float32)
        state[f"norm{i}.running_var"] = rng.uniform(0.01, 60, 8).astype(np.float32)
        state[f"norm{i}.num_batches_tracked"] = np.array(900, np.int64)
    return state


def found_in(path: Path, state: Mapping[str, Array]) -> dict[str, set[str]]:
    """Rule -> where it applies."""
    files.write(path, state)
    found: dict[str, set[str]] = {}
    for suspicion in inspect(path).suspicions:
        found.setdefault(suspicion.rule, set()).add(suspicion.key)
    return found


def test_a_healthy_network_gives_no_line(tmp_path: Path) -> None:
    assert found_in(tmp_path / "a.pth", trained()) == {}


def setting(key: str, where: Any, value: Any) -> Callable[[State], None]:
    """Plants a value in a tensor."""

    def plant(state: State) -> None:
        state[key][where] = value

    return plant


def scaling(key: str, factor: float) -> Callable[[State], None]:
    """Plants a factor in a tensor."""

    def plant(state: State) -> None:
        state[key] *= np.float32(factor)

    return plant


def casting(dtype: Any, *keys: str) -> Callable[[State], None]:
    """Plants another type in tensors."""

    def plant(state: State) -> None:
        state.update({key: state[key].astype(dtype) for key in keys})

    return plant


def copying(key: str, other: str) -> Callable[[State], None]:
    """Plants a copy of a tensor in the place of another."""

    def plant(state: State) -> None:
        state[other] = state[key].copy()

    return plant


def fresh(state: State) -> None:
    """Plants the statistics of a layer that was never trained."""
    state["norm3.running_mean"][:], state["norm3.running_var"][:] = 0, 1


def dropping(*keys: str) -> Callable[[State], None]:
    """Plants a gap."""

    def plant(state: State) -> None:
        for key in keys:
            del state[key]

    return plant


def renaming(state: State) -> None:
    """Plants MindSpore's word for the statistics of one layer."""
    state["norm3.moving_mean"] = state.pop("norm3.running_mean")
    state["norm3.moving_variance"] = state.pop("norm3.running_var")


PLANTED: list[tuple[str, str, Callable[[State], None]]] = [
    ("not-finite", "conv2.bias", setting("conv2.bias", 3, np.nan)),
    ("not-finite", "norm1.running_var", setting("norm1.running_var", 0, np.inf)),
    ("zero-weights", "conv2.weight", scaling("conv2.weight", 0)),
    ("zero-weights", "norm2.weight", scaling("norm2.weight", 0)),
    ("constant-weights", "conv2.weight", setting("conv2.weight", ..., 0.3)),
    ("dead-channels", "conv2.weight", setting("conv2.weight", [1, 5], 0)),
    ("large-values", "conv2.weight", setting("conv2.weight", (0, 0, 0, 0), -1.1e4)),
    ("float16-overflow", "norm2.running_var", setting("norm2.running_var", 3, 7e4)),
    ("scale", "conv2.weight", scaling("conv2.weight", 1000)),
    ("scale", "conv2.weight", scaling("conv2.weight", 1 / 1000)),
    ("negative-variance", "norm2.running_var", setting("norm2.running_var", 3, -1e-3)),
    ("tiny-variance", "norm2.running_var", setting("norm2.running_var", 3, 0)),
    ("tiny-variance", "norm2.running_var", setting("norm2.running_var", 3, 1e-12)),
    ("untouched-statistics", "norm3", fresh),
    ("uncounted-batches", "norm3", setting("norm3.num_batches_tracked", ..., 0)),
    ("denormals", "conv2.weight", setting("conv2.weight", [0, 1], 1e-40)),
    ("identical", "conv2.weight = conv4.weight", copying("conv2.weight", "conv4.weight")),
    ("mixed-words", "", renaming),
    ("no-counters", "", dropping("norm3.num_batches_tracked")),
    ("lone-statistics", "", dropping("norm3.num_batches_tracked", "norm3.weight", "norm3.bias")),
    ("float64", "", casting(np.float64, "conv1.weight")),
    ("mixed-types", "", casting(np.float16, "conv1.weight")),
]
ALSO = {"large-values": {"scale"}, "mixed-words": {"no-counters"}}
"""What else is true of what was planted."""


@pytest.mark.parametrize(("rule", "key", "plant"), PLANTED, ids=[f"{rule} {key}" for rule, key, _ in PLANTED])
def test_what_is_planted_is_seen(rule: str, key: str, plant: Callable[[State], None], tmp_path: Path) -> None:
    state = trained()
    plant(state)
    found = found_in(tmp_path / "a.pth", state)
    assert found.get(rule) == {key}
    assert found.keys() - {rule} <= ALSO.get(rule, set())


def blurs(state: State) -> None:
    """Plants two equal resampling filters, each with one kernel for all channels."""
    kernel = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16
    state["blur1.filt"] = state["blur2.weight"] = np.tile(kernel, (8, 1, 1, 1))
    state["blur3.weight"] = state["blur2.weight"]


NEARLY: list[tuple[str, Callable[[State], None]]] = [
    ("a bias of zeros", scaling("conv2.bias", 0)),
    ("a large gain", setting("norm2.weight", 3, 9e3)),
    ("another deviation", scaling("conv2.weight", 30)),
    ("a zero kernel of one channel", setting("conv2.weight", (0, 0), 0)),
    ("a small variance", setting("norm2.running_var", 3, 1e-9)),
    ("a huge variance", setting("norm2.running_var", 3, 6e4)),
    ("a mean of 0", setting("norm3.running_mean", ..., 0)),
    ("a few denormals", setting("conv2.weight", (0, 0), 1e-40)),
    ("equal blurs", blurs),
    ("equal gains", copying("norm2.weight", "norm4.weight")),
    ("equal counters", setting("norm3.num_batches_tracked", ..., 901)),
    ("one type throughout", casting(ml_dtypes.bfloat16, *(k for k in trained() if "tracked" not in k))),
]


@pytest.mark.parametrize("plant", [plant for _, plant in NEARLY], ids=[name for name, _ in NEARLY])
def test_what_is_healthy_is_left_alone(plant: Callable[[State], None], tmp_path: Path) -> None:
    state = trained()
    plant(state)
    assert found_in(tmp_path / "a.pth", state) == {}


def test_dead_channels_of_a_transposed_convolution_are_on_the_other_axis(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).standard_normal((6, 4, 3, 3)).astype(np.float32)
    weight[:, [0, 2]] = 0
    files.write(tmp_path / "a.pth", {"up.weight": weight, "up.bias": np.zeros(4, np.float32)})
    (suspicion,) = inspect(tmp_path / "a.pth").suspicions
    assert suspicion.seen == "2 of 4 output channels are all zero (0, 2)"


def test_two_networks_that_are_equal_are_one_line(tmp_path: Path) -> None:
    state = {f"{net}.{key}": value for net in ("model", "model_ema") for key, value in trained().items()}
    found = found_in(tmp_path / "a.pth", state)
    assert found == {"identical": {"model = model_ema"}}
    assert len(inspect(tmp_path / "a.pth").duplicates) == 4 * LAYERS


def test_a_mask_is_no_accident(tmp_path: Path) -> None:
    mask = np.triu(np.full((4, 4), -np.inf, np.float32), 1)
    assert found_in(tmp_path / "a.npz", {"attention.mask": mask}) == {}
    assert "not-finite" in found_in(tmp_path / "a.npz", {"attention.weight": mask})


def test_without_statistics_no_value_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = trained()
    state["conv2.bias"][3] = np.nan
    files.write(tmp_path / "a.pth", state)

    def forbidden(*_: Any) -> Any:
        raise AssertionError("values were read")

    monkeypatch.setattr(files.Checkpoint, "__getitem__", forbidden)
    monkeypatch.setattr(files.Checkpoint, "pieces", forbidden)
    found = inspect(tmp_path / "a.pth", stats=False)
    assert found.suspicions == []
    assert all(tensor.statistics is None for tensor in found.tensors)


@pytest.mark.parametrize("name", ["vgg16_bn", "unet", "patchgan", "pixelgan", "resnet_generator", "aodnet"])
@pytest.mark.parametrize("suffix", [".pth", ".ckpt"])
def test_a_fresh_model_is_suspicious_of_nothing_but_its_statistics(name: str, suffix: str, tmp_path: Path) -> None:
    small = dict(registry.entry(name).small) | ({"antialias": True} if name == "resnet_generator" else {})
    spec = registry.spec(name, **small)
    convert(initial_state(spec), spec, tmp_path / f"a{suffix}")
    norms = {node.name for node in spec.nodes.values() if node.op == "batch_norm"}
    found = inspect(tmp_path / f"a{suffix}").suspicions
    assert {s.key for s in found if s.rule == "untouched-statistics"} == norms
    assert {s.rule for s in found} <= {"untouched-statistics"}


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
@pytest.mark.parametrize("path", sorted(DATA.iterdir()) if DATA.exists() else [], ids=lambda path: path.name)
def test_real_files_give_only_what_is_true_of_them(path: Path) -> None:
    true = {"srgan_netG.pth": {"no-counters"}, "aodnet.pth": {"denormals"}}
    found = inspect(path).suspicions
    assert {s.rule for s in found} == true.get(path.name, set())
    assert all(s.note for s in found)
