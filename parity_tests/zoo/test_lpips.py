"""LPIPS and its networks: the published keys, counts and numbers, and what is easily drawn otherwise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import twinzoo as tz
from parity_tests.zoo import published_lpips
from parity_tests.zoo.golden_arrays import weights
from parity_tests.zoo.published import file_keys, published_keys
from twinzoo.ports.reference.port import PORT
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.registry import spec
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.show import parameter_count

Array = NDArray[Any]
AUTHORS = "richzhang/PerceptualSimilarity"
NOT_TENSORS_HERE = ("scaling_layer.*", "lins.*")
Keys = Iterator[tuple[str, tuple[int, ...]]]


def conv(path: str, into: int, out: int, kernel: int) -> Keys:
    """The tensors of a convolution."""
    yield f"{path}.weight", (out, into, kernel, kernel)
    yield f"{path}.bias", (out,)


def convs(rows: list[tuple[str, int, int, int]], prefix: str = "net.") -> Keys:
    """The tensors of many."""
    for path, into, out, kernel in rows:
        yield from conv(f"{prefix}{path}", into, out, kernel)


ALEX = [
    ("slice1.0", 3, 64, 11),
    ("slice2.3", 64, 192, 5),
    ("slice3.6", 192, 384, 3),
    ("slice4.8", 384, 256, 3),
    ("slice5.10", 256, 256, 3),
]
VGG = [
    ("slice1.0", 3, 64, 3),
    ("slice1.2", 64, 64, 3),
    ("slice2.5", 64, 128, 3),
    ("slice2.7", 128, 128, 3),
    ("slice3.10", 128, 256, 3),
    ("slice3.12", 256, 256, 3),
    ("slice3.14", 256, 256, 3),
    ("slice4.17", 256, 512, 3),
    ("slice4.19", 512, 512, 3),
    ("slice4.21", 512, 512, 3),
    ("slice5.24", 512, 512, 3),
    ("slice5.26", 512, 512, 3),
    ("slice5.28", 512, 512, 3),
]
FIRES = [
    ("slice2.3", 64, 16, 64),
    ("slice2.4", 128, 16, 64),
    ("slice3.6", 128, 32, 128),
    ("slice3.7", 256, 32, 128),
    ("slice4.9", 256, 48, 192),
    ("slice5.10", 384, 48, 192),
    ("slice6.11", 384, 64, 256),
    ("slice7.12", 512, 64, 256),
]
SQUEEZE = [("slice1.0", 3, 64, 3)]
for fire, into, squeezed, expanded in FIRES:
    SQUEEZE += [(f"{fire}.squeeze", into, squeezed, 1)]
    SQUEEZE += [(f"{fire}.expand{k}x{k}", squeezed, expanded, k) for k in (1, 3)]

KEYS = [("alex", ALEX, 2_469_696, 1_152), ("vgg", VGG, 14_714_688, 1_472), ("squeeze", SQUEEZE, 722_496, 2_240)]


def heads(network: str) -> Keys:
    """The tensors of a published file of heads."""
    for i, channels in enumerate(published_lpips.CHANNELS[network]):
        yield f"lin{i}.model.1.weight", (1, channels, 1, 1)


@pytest.mark.parametrize(("network", "rows", "features", "learned"), KEYS)
def test_keys_shapes_order_and_counts(network: str, rows: Any, features: int, learned: int) -> None:
    drawn = spec("lpips", network=network)
    assert list(file_keys(drawn, AUTHORS).items()) == [*convs(rows), *heads(network)]
    assert parameter_count(drawn.roles["features"].spec) == features
    assert parameter_count(drawn) == features + learned


@pytest.mark.parametrize("network", published_lpips.CHANNELS)
def test_a_file_of_heads_is_a_model_of_its_own(network: str) -> None:
    drawn = spec("lpips_heads" if network == "alex" else f"lpips_heads.{network}")
    assert list(file_keys(drawn, AUTHORS).items()) == list(heads(network))
    state = tz.convert(generated(dict(heads(network))), drawn).state
    assert list(state) == [f"lin{i}.weight" for i in range(len(state))]


def test_the_published_module_has_these_keys_and_constants() -> None:
    pytest.importorskip("torchvision")
    for network, rows, *_ in KEYS:
        theirs = {key: tuple(value.shape) for key, value in published_lpips.lpips(network).state_dict().items()}
        again = [key for key in theirs if key.startswith("lins.")]
        assert list(theirs)[:2] == ["scaling_layer.shift", "scaling_layer.scale"]
        listed = {key: shape for key, shape in theirs.items() if not key.startswith(("lins.", "scaling_layer."))}
        assert list(listed.items()) == [*convs(rows), *heads(network)]
        assert len(again) == len(published_lpips.CHANNELS[network])


@pytest.mark.parametrize("name", ["alexnet", "squeezenet1_1"])
def test_torchvision_classes_have_these_keys_in_this_order(name: str) -> None:
    torch = pytest.importorskip("torch")
    models = pytest.importorskip("torchvision.models")
    with torch.device("meta"):
        network = getattr(models, name)()
    theirs = [(key, tuple(tensor.shape)) for key, tensor in network.state_dict().items() if key.startswith("features.")]
    assert list(file_keys(spec(name), "torchvision").items()) == theirs


@pytest.mark.parametrize("name", ["alexnet", "squeezenet1_1"])
def test_taps_come_out_in_the_order_asked_and_nothing_is_drawn_behind_the_last(name: str) -> None:
    last = {"alexnet": "relu3", "squeezenet1_1": "fire3"}[name]
    drawn = spec(name, taps=(last, "relu1"), width=4)
    assert list(drawn.outputs) == [last, "relu1"]
    assert list(drawn.nodes)[-1] == last


def generated(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """Arrays of these shapes, no two alike."""
    random = np.random.default_rng(7)
    return {key: random.normal(0, 1, shape).astype(np.float32) for key, shape in shapes.items()}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".ckpt", ".npz"])
@pytest.mark.parametrize("network", published_lpips.CHANNELS)
def test_a_file_of_the_whole_module_goes_round_bit_for_bit(network: str, suffix: str, tmp_path: Path) -> None:
    """Reduced networks: the keys are those of the whole ones, whose shapes are held above."""
    drawn = spec("lpips", network=network, width=4)
    keys = published_keys(drawn, AUTHORS)
    state = {keys[name]: value for name, value in generated({n: p.shape for n, p in drawn.params.items()}).items()}
    constants = {"scaling_layer.shift": np.zeros((1, 3, 1, 1), np.float32)}
    again = {key.replace("lin", "lins.", 1): value for key, value in state.items() if key.startswith("lin")}
    tz.convert(constants | state | again, drawn, tmp_path / f"spec{suffix}", allow=NOT_TENSORS_HERE)
    tz.convert(tmp_path / f"spec{suffix}", drawn, tmp_path / "back.npz", naming=AUTHORS)
    with np.load(tmp_path / "back.npz") as back:
        assert set(back) - {"__metadata__"} == set(state)
        assert all(np.array_equal(back[key], value) for key, value in state.items())


def test_the_two_published_files_make_the_whole() -> None:
    """torchvision's network, whose classifier has no place, and the heads."""
    torchvision = file_keys(spec("alexnet"), "torchvision")
    network = generated(torchvision | {"classifier.1.weight": (8, 9216), "classifier.1.bias": (8,)})
    learned = generated(dict(heads("alex")))
    features = tz.convert(network, "alexnet", allow=("classifier.*",)).state
    state = {f"features.{name}": value for name, value in features.items()}
    state |= {f"heads.{name}": value for name, value in tz.convert(learned, "lpips_heads").state.items()}
    drawn = spec("lpips")
    made = PORT.state(tz.build(drawn, "reference", weights=state))
    assert made.keys() == drawn.params.keys()
    assert np.array_equal(made["features.conv5.weight"], network["features.10.weight"])
    assert np.array_equal(made["heads.lin4.weight"], learned["lin4.model.1.weight"])


def images(size: int = 40) -> dict[str, Array]:
    """Two pairs of images, float64."""
    random = np.random.default_rng(4)
    return {name: random.uniform(-1, 1, (2, 3, size, size + 8)) for name in ("prediction", "target")}


def run(drawn: Spec, state: Mapping[str, Array], inputs: Mapping[str, Array]) -> Array:
    """What the reference makes of it."""
    model = PORT.build(drawn)
    PORT.load(model, state)
    return PORT.run(model, inputs)["output"]


def published_module(drawn: Spec, state: Mapping[str, Array], **options: Any) -> Any:
    """The published module with the spec's weights, in double, its constants too."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchvision")
    made = published_lpips.lpips(drawn.options["network"], **options)
    keys = published_keys(drawn, AUTHORS)
    made.load_state_dict({keys[name]: torch.from_numpy(value) for name, value in state.items()}, strict=False)
    made = made.double()
    made.scaling_layer.shift[:] = torch.tensor([-0.030, -0.088, -0.188], dtype=torch.float64)[:, None, None]
    made.scaling_layer.scale[:] = torch.tensor([0.458, 0.448, 0.450], dtype=torch.float64)[:, None, None]
    return made


@pytest.mark.parametrize("network", published_lpips.CHANNELS)
def test_same_numbers_and_gradients_as_the_published_module(network: str) -> None:
    torch = pytest.importorskip("torch")
    drawn = spec("lpips", network=network)
    state, inputs = weights(drawn), images()
    theirs = [torch.from_numpy(value).requires_grad_() for value in inputs.values()]
    distance = published_module(drawn, state)(*theirs)
    distance.sum().backward()
    model = PORT.build(drawn)
    PORT.load(model, state)
    expected = distance.detach().numpy().ravel()
    np.testing.assert_allclose(PORT.run(model, inputs)["output"], expected, rtol=1e-10)
    gradients = PORT.gradients(model, inputs, {"output": np.ones(2)})
    for name, image in zip(inputs, theirs, strict=True):
        np.testing.assert_allclose(gradients[name], image.grad.numpy(), atol=1e-9 * float(image.grad.abs().max()))


@pytest.mark.parametrize("fault", [{"scaled": False}, {"eps": 1e-1}])
def test_another_version_shows(fault: dict[str, Any]) -> None:
    """Version 0.0 does not scale its input."""
    torch = pytest.importorskip("torch")
    drawn = spec("lpips")
    state, inputs = weights(drawn), images()
    with torch.no_grad():
        other = published_module(drawn, state, **fault)(*map(torch.from_numpy, inputs.values()))
    assert np.abs(run(drawn, state, inputs) / other.numpy().ravel() - 1).max() > 1e-3


def test_the_range_is_an_option() -> None:
    inputs = images()
    drawn, unit = spec("lpips", width=4), spec("lpips", width=4, input_range="0..1")
    moved = {name: (value + 1) / 2 for name, value in inputs.items()}
    np.testing.assert_allclose(run(unit, weights(unit), moved), run(drawn, weights(drawn), inputs), rtol=1e-12)


def test_each_pair_has_its_distance_and_an_image_none_from_itself() -> None:
    drawn, inputs = spec("lpips", width=4), images()
    state = weights(drawn)
    both = run(drawn, state, inputs)
    assert both.shape == (2,)
    one = run(drawn, state, {name: value[1:] for name, value in inputs.items()})
    np.testing.assert_allclose(one, both[1:], rtol=1e-12)
    assert np.array_equal(run(drawn, state, dict.fromkeys(inputs, inputs["target"])), np.zeros(2))


def test_a_pixel_without_features_has_a_gradient() -> None:
    """All ReLUs of the last stage are shut: what comes from the other stages is all there is."""
    drawn, inputs = spec("lpips", width=4), images(64)
    state = weights(drawn)
    state["features.conv5.bias"] = np.full_like(state["features.conv5.bias"], -1e6)
    model = PORT.build(drawn.tapped())
    PORT.load(model, state)
    ones = {"distance": np.ones(2)}
    gradients = PORT.gradients(model, inputs, ones)
    state["heads.lin4.weight"] = np.zeros_like(state["heads.lin4.weight"])
    PORT.load(model, state)
    without = PORT.gradients(model, inputs, ones)
    for name in inputs:
        assert np.abs(gradients[name]).max() > 0
        np.testing.assert_array_equal(gradients[name], without[name])


def test_squeezenet_starts_uniformly() -> None:
    state = initial_state(spec("squeezenet1_1", width=32))
    weight = state["fire9_expand3x3.weight"]
    bound = math.sqrt(6 / weight[0].size)
    assert 0.99 * bound < np.abs(weight).max() <= bound
    assert abs(float(weight.std()) * math.sqrt(3) / bound - 1) < 0.02
    assert all((value == 0).all() for name, value in state.items() if name.endswith(".bias"))
