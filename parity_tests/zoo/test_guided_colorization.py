"""User-guided colorization: networks against modules of the published structure, losses against their formulas."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.zoo.cie import lab_to_rgb
from parity_tests.zoo.golden_arrays import weights
from parity_tests.zoo.published import file_keys, published_keys
from twinzoo.converters import files, targets
from twinzoo.converters.convert import convert
from twinzoo.ports.reference.evaluate import trace
from twinzoo.ports.reference.port import PORT
from twinzoo.zoo import registry
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.show import parameter_count

Array = NDArray[Any]
REPO = "wknn-bfb/MindSpore-Colorization-Project"


def with_buffers(spec: Spec) -> int:
    """The parameters, and the statistics of batch norms."""
    return parameter_count(spec, buffers=True)


def test_counts_are_the_published_ones() -> None:
    unet, patchgan = (registry.spec(f"colorization_{name}.repo") for name in ("unet", "patchgan"))
    assert (parameter_count(unet), with_buffers(unet), len(unet.params)) == (54_419_458, 54_430_338, 88)
    assert (parameter_count(patchgan), with_buffers(patchgan), len(patchgan.params)) == (2_766_529, 2_768_321, 22)


LAYER = ("weight", "bias")
NORM = ("moving_mean", "moving_variance", "gamma", "beta")


def at(path: str, roles: tuple[str, ...]) -> set[str]:
    """The keys of a layer."""
    return {f"{path}.{role}" for role in roles}


def test_keys_are_those_of_the_published_checkpoints() -> None:
    unet = at("down1", LAYER) | at("final.0", LAYER)
    for block in [f"down{i}" for i in range(2, 9)] + [f"up{i}" for i in range(1, 8)]:
        unet |= at(f"{block}.block.0", LAYER) | at(f"{block}.block.1", NORM)
    patchgan = at("model.0", LAYER) | at("model.5", LAYER)
    for i in (2, 3, 4):
        patchgan |= at(f"model.{i}.block.0", LAYER) | at(f"model.{i}.block.1", NORM)
    for name, keys in (("unet", unet), ("patchgan", patchgan)):
        spec = registry.spec(f"colorization_{name}.repo")
        found = targets.file_keys(spec, "mindspore", REPO)
        assert set(found.values()) == keys and len(found) == len(keys)


@pytest.mark.parametrize("name", ["colorization_unet.repo", "colorization_patchgan.repo"])
def test_a_published_state_comes_and_goes_bit_for_bit(name: str, tmp_path: Path) -> None:
    spec = registry.spec(name, width=4)
    state = weights(spec)
    keys = targets.file_keys(spec, "mindspore", REPO)
    published = {key: state[own] for own, key in keys.items()}
    files.write(tmp_path / "published.ckpt", published)
    done = convert(tmp_path / "published.ckpt", spec)
    assert done.state.keys() == state.keys()
    assert all(np.array_equal(np.asarray(value), state[own]) for own, value in done.state.items())
    again = {keys[own]: np.asarray(value) for own, value in done.state.items()}
    assert all(np.array_equal(again[key], value) for key, value in published.items())


def block(up: bool, channels: tuple[int, int], norm: str, stride: int = 2, dropout: bool = False) -> Any:
    """The repository's ConvBlock in PyTorch: convolution, norm, activation, dropout in one Sequential."""
    from torch import nn

    conv: Any = (nn.ConvTranspose2d if up else nn.Conv2d)(*channels, 4, stride, 1)
    norms: dict[str, list[Any]] = {
        "batch": [nn.BatchNorm2d(channels[1])],
        "instance": [nn.InstanceNorm2d(channels[1])],
        "none": [],
    }
    modules = [conv, *norms[norm], nn.ReLU() if up else nn.LeakyReLU(0.2), *([nn.Dropout()] if dropout else [])]
    made = nn.Module()
    made.block = nn.Sequential(*modules)
    made.forward = made.block.forward
    return made


def published_unet(norm: str, bottleneck: str, width: int) -> Any:
    """The table of the U-Net, with the decoder first in each skip."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            wide = [width * n for n in (1, 2, 4, 8, 8, 8, 8, 8)]
            self.down1 = nn.Conv2d(4, width, 4, 2, 1)
            for i in range(2, 9):
                pair = (wide[i - 2], wide[i - 1])
                setattr(self, f"down{i}", block(False, pair, bottleneck if i == 8 else norm))
            given = [8, 16, 16, 16, 16, 8, 4]
            for i, (source, target) in enumerate(zip(given, (8, 8, 8, 8, 4, 2, 1), strict=True), 1):
                setattr(self, f"up{i}", block(True, (width * source, width * target), norm, dropout=i <= 3))
            self.final = nn.Sequential(nn.ConvTranspose2d(2 * width, 2, 4, 2, 1), nn.Tanh())

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            downs = [nn.functional.leaky_relu(self.down1(image), 0.2)]
            for i in range(2, 9):
                downs.append(getattr(self, f"down{i}")(downs[-1]))
            x = downs.pop()
            for i in range(1, 8):
                x = torch.cat([getattr(self, f"up{i}")(x), downs.pop()], 1)
            made: torch.Tensor = self.final(x)
            return made

    return Network()


def published_patchgan(norm: str, width: int) -> Any:
    from torch import nn

    pairs = [(width, 2 * width), (2 * width, 4 * width), (4 * width, 8 * width)]
    middle = [block(False, pair, norm, stride) for pair, stride in zip(pairs, (2, 2, 1), strict=True)]
    made = nn.Module()
    first: list[Any] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    made.model = nn.Sequential(*first, *middle, nn.Conv2d(8 * width, 1, 4, 1, 1))
    made.forward = made.model.forward
    return made


NETWORKS: list[tuple[str, Any, tuple[int, ...]]] = [
    ("colorization_unet.repo", lambda: published_unet("batch", "batch", 2), (1, 4, 256, 256)),
    ("colorization_unet.report", lambda: published_unet("instance", "none", 2), (1, 4, 256, 256)),
    ("colorization_patchgan.repo", lambda: published_patchgan("batch", 2), (2, 3, 64, 48)),
    ("colorization_patchgan.report", lambda: published_patchgan("none", 2), (2, 3, 64, 48)),
]


@pytest.mark.parametrize(("name", "build", "shape"), NETWORKS)
def test_same_keys_and_same_numbers_as_the_published_structure(name: str, build: Any, shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    spec = registry.spec(name, width=2)
    network = build().double().eval()
    theirs = network.state_dict()
    assert {key: tuple(value.shape) for key, value in theirs.items()} == file_keys(spec, REPO)
    state, keys = weights(spec), published_keys(spec, REPO)
    network.load_state_dict(theirs | {key: torch.from_numpy(state[own]) for own, key in keys.items()})
    image = np.random.default_rng(0).uniform(-1, 1, shape)
    model = PORT.build(spec)
    PORT.load(model, state)
    with torch.no_grad():
        expected = network(torch.from_numpy(image)).numpy()
    assert np.abs(expected).std() > 1e-3
    np.testing.assert_allclose(PORT.run(model, {"image": image})["output"], expected, rtol=1e-9, atol=1e-9)


def test_it_starts_as_published() -> None:
    """N(0, 0.02) weights, gains of 1 and not N(1, 0.02), offsets and biases of 0."""
    state = initial_state(registry.spec("colorization_unet.repo", width=16))
    assert state["down4_conv.weight"].std() == pytest.approx(0.02, rel=0.01)
    assert (state["up3_norm.weight"] == 1).all()
    assert all((value == 0).all() for name, value in state.items() if name.endswith("bias"))


def test_the_bottleneck_of_the_report_is_not_normalised() -> None:
    """An instance norm of one pixel is 0 in formula, and an error in PyTorch."""
    spec = registry.spec("colorization_unet.report", width=2, depth=3)
    assert [name for name in spec.nodes if name.endswith("norm")] == ["down2_norm", "up1_norm", "up2_norm"]
    spec = registry.spec("colorization_unet.repo", width=2, depth=3)
    assert "down3_norm" in spec.nodes


def test_dropout_is_in_the_first_three_doublings() -> None:
    assert list(registry.spec("colorization_unet", width=2).draws) == [f"up{i}_dropout_mask" for i in (1, 2, 3)]


def value(spec: Spec, state: dict[str, Any], **inputs: Array) -> float:
    """The one output."""
    (output,) = spec.outputs.values()
    return float(trace(spec, state, inputs).values[output.ref])


def drawn(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).uniform(-0.9, 0.9, shape)


@pytest.mark.parametrize("saturation", [0.0, 2.0])
@pytest.mark.parametrize("normalize", [False, True])
def test_hinted_l1(saturation: float, normalize: bool) -> None:
    prediction, target = drawn(2, 2, 6, 5), drawn(2, 2, 5, 6).reshape(2, 2, 6, 5)
    mask = (drawn(2, 1, 6, 5) > 0.5).astype(float)
    weight = (1 + saturation * np.sqrt((target**2).sum(1, keepdims=True))) * (1 + 50 * mask)
    expected = (weight * np.abs(prediction - target)).mean() / (weight.mean() if normalize else 1)
    spec = registry.spec("hinted_l1", saturation=saturation, normalize=normalize)
    assert value(spec, {}, prediction=prediction, target=target, mask=mask) == pytest.approx(expected, rel=1e-12)


def test_ten_hints_make_the_loss_of_an_image_a_third_larger() -> None:
    """41 pixels each: why there is `normalize`, which takes the size of the image out of it."""
    flat = {"prediction": np.full((1, 2, 256, 256), 0.1), "target": np.zeros((1, 2, 256, 256))}
    mask = np.zeros(256 * 256)
    mask[:410] = 1
    flat["mask"] = mask.reshape(1, 1, 256, 256)
    published, normalized = (
        value(registry.spec("hinted_l1", normalize=normalize), {}, **flat) / 0.1 for normalize in (False, True)
    )
    assert published == pytest.approx(1.31, abs=0.01)
    assert normalized == pytest.approx(1.0, rel=1e-12)


def test_gray_targets_have_a_gradient() -> None:
    """The root of the saturation has none at 0; it is not asked for one."""
    spec = registry.spec("hinted_l1")
    gray = {"prediction": np.full((1, 2, 2, 2), 0.5), "target": np.zeros((1, 2, 2, 2)), "mask": np.zeros((1, 1, 2, 2))}
    model = PORT.build(spec)
    found = PORT.gradients(model, gray, {"output": np.ones(())})
    assert all(np.isfinite(gradient).all() for gradient in found.values())
    assert np.allclose(found["prediction"], 1 / 8)


def star(lightness: Array, ab: Array) -> Array:
    """L*, a* and b* of what the networks are given."""
    return np.concatenate([50 * lightness + 50, 110 * ab], 1)


def test_the_perceptual_loss_looks_at_rgb() -> None:
    """Lab in [-1, 1] in place of RGB is what the published code feeds (it is told apart below, and warns)."""
    colours = {
        "lightness": drawn(1, 1, 16, 16),
        "prediction": drawn(1, 2, 16, 16) / 4,
        "target": drawn(1, 2, 16, 17)[..., :16] / 4,
    }
    spec = registry.spec("colorization_perceptual", width=4)
    state = initial_state(spec, 1)
    inner = registry.spec("perceptual", network="vgg16_bn", weights=(1 / 3,) * 3, distance="l2", width=4)
    own = {name.removeprefix("perceptual."): tensor for name, tensor in state.items()}
    seen = {
        name: np.moveaxis(lab_to_rgb(np.moveaxis(star(colours["lightness"], colours[name]), 1, -1)), -1, 1)
        for name in ("prediction", "target")
    }
    expected = value(inner, own, **seen)
    assert value(spec, state, **colours) == pytest.approx(expected, rel=1e-6)
    with pytest.warns(UserWarning, match="space='lab' feeds Lab values to a network that learned from RGB"):
        lab = registry.spec("colorization_perceptual", space="lab", width=4)
    fed = {name: np.concatenate([colours["lightness"], colours[name]], 1) for name in ("prediction", "target")}
    assert value(lab, state, **colours) == pytest.approx(value(inner, own, **fed), rel=1e-12)
    assert value(lab, state, **colours) != pytest.approx(expected, rel=1e-2)


def test_only_lab_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        registry.spec("colorization_perceptual", width=4)
        registry.training_step("colorization.report", width=2, vgg_width=2)
        with pytest.raises(UserWarning, match="space='lab'"):
            registry.training_step("colorization.repo", width=2, vgg_width=2)
