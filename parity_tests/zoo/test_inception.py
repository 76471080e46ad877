"""FID's Inception: the published keys, counts and numbers, and where it is not the network of the paper."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import twinzoo as tz
from parity_tests.zoo.golden_arrays import weights
from parity_tests.zoo.published import file_keys, published_keys
from twinzoo.ports.reference.port import PORT
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.registry import spec
from twinzoo.zoo.spec.show import parameter_count

Array = NDArray[Any]
PYTORCH_FID = "mseitzer/pytorch-fid"
TAPS = ("pool1", "pool2", "mixed_6e", "mixed_7c")
STAGES: tuple[str, ...] = (
    "Conv2d_1a_3x3",
    "Conv2d_2a_3x3",
    "Conv2d_2b_3x3",
    "maxpool1",
    "Conv2d_3b_1x1",
    "Conv2d_4a_3x3",
    "maxpool2",
)
STAGES += tuple(f"Mixed_{block}" for block in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"))
SIZE = 107


def published(monkeypatch: pytest.MonkeyPatch, *, counted: bool = False, average: bool = False) -> Any:
    """torchvision's network with the poolings of FID's, as a function of images in [0, 1], without its weights.

    Args:
        counted: the padding is among what is averaged.
        average: the last block has the paper's pooling.
    """
    pytest.importorskip("torch")
    inception = pytest.importorskip("torchvision.models.inception")
    from torch.nn import functional

    def averaged(x: Any, **window: Any) -> Any:
        return functional.avg_pool2d(x, count_include_pad=counted, **window)

    pools = SimpleNamespace(relu=functional.relu, max_pool2d=functional.max_pool2d, avg_pool2d=averaged)
    monkeypatch.setattr(inception, "F", pools)
    network = inception.Inception3(num_classes=1008, aux_logits=False, init_weights=False).double().eval()

    def run(x: Any) -> list[Any]:
        x = functional.interpolate(x, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
        x, means = 2 * x - 1, []
        for name in STAGES:
            pools.avg_pool2d = functional.max_pool2d if name == "Mixed_7c" and not average else averaged
            x = getattr(network, name)(x)
            if name in ("maxpool1", "maxpool2", "Mixed_6e", "Mixed_7c"):
                means.append(x.mean((2, 3)))
        return means

    return SimpleNamespace(network=network, run=run)


def images() -> Array:
    """Two images that are neither square nor of the network's size, float64."""
    return np.random.default_rng(4).uniform(0, 1, (2, 3, 60, 90))


def features(**options: Any) -> dict[str, Array]:
    """What the reference makes of the images at full width."""
    drawn = spec("fid_inception", resize=SIZE, **options)
    model = PORT.build(drawn)
    PORT.load(model, weights(drawn))
    return PORT.run(model, {"image": images()})


def theirs(made: Any) -> list[Array]:
    """What the published network makes of them, with the same weights."""
    import torch

    drawn = spec("fid_inception")
    keys = published_keys(drawn, PYTORCH_FID)
    state = {keys[name]: torch.from_numpy(value) for name, value in weights(drawn).items()}
    unexpected = made.network.load_state_dict(state, strict=False).unexpected_keys
    assert unexpected == []
    with torch.no_grad():
        return [mean.numpy() for mean in made.run(torch.from_numpy(images()))]


def test_keys_shapes_order_and_counts() -> None:
    torch = pytest.importorskip("torch")
    inception = pytest.importorskip("torchvision.models.inception")
    with torch.device("meta"):
        network = inception.Inception3(num_classes=1008, aux_logits=False, init_weights=False)
    expected = {key: tuple(value.shape) for key, value in network.state_dict().items() if not key.startswith("fc.")}
    drawn = spec("fid_inception")
    assert list(file_keys(drawn, PYTORCH_FID).items()) == list(expected.items())
    assert len(expected) == 94 * 6
    assert parameter_count(drawn) == 21_785_568


def test_some_keys_and_shapes_without_torchvision() -> None:
    shapes = file_keys(spec("fid_inception"), PYTORCH_FID)
    assert list(shapes)[:2] == ["Conv2d_1a_3x3.conv.weight", "Conv2d_1a_3x3.bn.weight"]
    assert list(shapes)[-6] == "Mixed_7c.branch_pool.conv.weight"
    assert shapes["Mixed_5b.branch5x5_2.conv.weight"] == (64, 48, 5, 5)
    assert shapes["Mixed_6a.branch3x3.conv.weight"] == (384, 288, 3, 3)
    assert shapes["Mixed_6c.branch7x7dbl_4.conv.weight"] == (160, 160, 7, 1)
    assert shapes["Mixed_7a.branch7x7x3_4.bn.running_var"] == (192,)
    assert shapes["Mixed_7b.branch3x3dbl_3b.conv.weight"] == (384, 384, 3, 1)
    assert shapes["Mixed_7c.branch_pool.conv.weight"] == (192, 2048, 1, 1)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".ckpt", ".npz"])
def test_a_published_file_goes_round_bit_for_bit(suffix: str, tmp_path: Path) -> None:
    """With the classifier that FID has no use for."""
    drawn = spec("fid_inception", width=2)
    keys = published_keys(drawn, PYTORCH_FID)
    state = {keys[name]: value for name, value in weights(drawn).items()}
    unused = {"fc.weight": np.ones((8, 128), np.float32), "fc.bias": np.ones(8, np.float32)}
    with pytest.raises(tz.ConversionError, match="2 unused"):
        tz.convert(state | unused, drawn)
    tz.convert(state | unused, drawn, tmp_path / f"spec{suffix}", allow=("fc.*",))
    tz.convert(tmp_path / f"spec{suffix}", drawn, tmp_path / "back.npz", naming=PYTORCH_FID)
    with np.load(tmp_path / "back.npz") as back:
        assert all(np.array_equal(back[key], value) for key, value in state.items())


def test_same_numbers_at_every_tap(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = theirs(published(monkeypatch))
    made = features(taps=TAPS)
    assert list(made) == [f"{tap}_mean" for tap in TAPS]
    assert [value.shape for value in made.values()] == [(2, 64), (2, 192), (2, 768), (2, 2048)]
    for value, other in zip(made.values(), expected, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-9, atol=1e-9 * np.abs(other).max())


@pytest.mark.parametrize("paper", [{"counted": True}, {"average": True}])
def test_the_poolings_of_the_paper_show(monkeypatch: pytest.MonkeyPatch, paper: dict[str, bool]) -> None:
    *_, expected = theirs(published(monkeypatch, **paper))
    assert np.abs(features()["mixed_7c_mean"] - expected).max() > 1e-3 * np.abs(expected).max()


def test_resizing_has_no_antialiasing() -> None:
    torch = pytest.importorskip("torch")
    drawn = spec("fid_inception", width=2, resize=SIZE).tapped()
    model = PORT.build(drawn)
    PORT.load(model, weights(drawn))
    image = np.random.default_rng(4).uniform(0, 1, (1, 3, 200, 150))
    resized = PORT.run(model, {"image": image})["resized"]
    for antialias, equal in ((False, True), (True, False)):
        expected = torch.nn.functional.interpolate(
            torch.from_numpy(image), size=(SIZE, SIZE), mode="bilinear", antialias=antialias
        )
        assert (np.abs(resized - expected.numpy()).max() < 1e-6) == equal


def test_scaling_is_an_option() -> None:
    for scaling, ends in {"pytorch-fid": (-1.0, 1.0), "torch-fidelity": (-1.0, 127 / 128)}.items():
        affine = spec("fid_inception", width=2, scaling=scaling).nodes["scaled"].attrs
        assert (affine["shift"], affine["scale"] + affine["shift"]) == ends


def test_any_size_is_resized_and_without_it_any_large_one_taken() -> None:
    state = weights(spec("fid_inception", width=2))
    image = np.random.default_rng(4).uniform(0, 1, (1, 3, 80, 76))
    made = []
    for drawn in (spec("fid_inception", width=2, resize=None), spec("fid_inception", width=2, resize=80)):
        model = PORT.build(drawn)
        PORT.load(model, state)
        made.append(PORT.run(model, {"image": image})["mixed_7c_mean"])
    assert made[0].shape == made[1].shape == (1, 128)
    assert not np.allclose(made[0], made[1])
    with pytest.raises(SpecError, match="resize=74: must be an integer >= 75"):
        spec("fid_inception", resize=74)


def test_taps_come_in_the_order_asked_and_nothing_is_drawn_behind_the_last() -> None:
    drawn = spec("fid_inception", width=2, taps=("pool2", "pool1"))
    assert list(drawn.outputs) == ["pool2_mean", "pool1_mean"]
    assert list(drawn.nodes)[-1] == "pool2_mean"
