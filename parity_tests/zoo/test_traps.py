"""Mistakes of published code and files that load, run and are wrong: each is refused, or cannot be drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import twinzoo as tz
from parity_tests.zoo.golden_arrays import weights
from parity_tests.zoo.published import published_keys
from twinzoo.ports.reference.evaluate import trace
from twinzoo.ports.reference.gradients import gradients
from twinzoo.zoo import registry
from twinzoo.zoo.errors import IncompleteConversionError
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.schema import channels_of

Array = NDArray[Any]
JUNYANZ = "junyanz/pytorch-CycleGAN-and-pix2pix"
MINDSPORE_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def test_a_vgg_without_biases_is_not_torchvisions() -> None:
    """MindSpore's VGG-16 for CIFAR-10, `layers.N`, has none; by position its seven convolutions and norms would fit."""
    spec = registry.spec("vgg16_bn", width=4, taps=("relu3_3",))
    file: dict[str, Array] = {}
    for place, key in published_keys(spec, "torchvision").items():
        _, index, role = key.split(".")
        if place.startswith("norm"):
            file[f"layers.{index}.{MINDSPORE_NORM[role]}"] = weights(spec)[place]
        elif role == "weight":
            file[f"layers.{index}.weight"] = weights(spec)[place]
    assert len(file) == 7 + 7 * 4
    with pytest.raises(IncompleteConversionError, match="missing"):
        tz.convert(file, spec)


def test_the_cyclegan_of_mindspores_zoo_has_one_block_for_all() -> None:
    """Its list is `[block] * n`; its file, with one block's weights, must not fill a generator with several."""
    spec = registry.spec("resnet_generator", width=4, blocks=2)
    names = {"stem_conv": "conv_in.features.1", "head_conv": "conv_out.1"}
    names |= {f"down{i}_conv": f"down_{i}.features.0" for i in (1, 2)}
    names |= {"up1_conv": "up_2.features.0", "up2_conv": "up_1.features.0"}
    names |= {f"block1_conv{i}": f"residuals.0.conv{i}.features.1" for i in (1, 2)}
    file = {
        f"{names[place]}.{role}": value
        for key, value in weights(spec).items()
        for place, _, role in [key.rpartition(".")]
        if place in names and (place, role) != ("head_conv", "bias")
    }
    with pytest.raises(IncompleteConversionError, match="missing"):
        tz.convert(file, spec)


def test_the_pix2pix_of_mindspores_zoo_has_the_same_keys_but_one() -> None:
    """It joins its skips the other way round, so that filling by name would be wrong; a bias that it lacks shows it."""
    spec = registry.spec("unet", width=4, depth=5)
    state, keys = weights(spec), published_keys(spec, JUNYANZ)
    file = {}
    for name, key in keys.items():
        path, _, role = key.rpartition(".")
        normed = "_norm" in name
        file[f"{path}.{MINDSPORE_NORM[role] if normed else role}"] = state[name]
    assert set(tz.convert(file, spec).state) == set(state)
    del file["model.model.3.bias"]
    with pytest.raises(IncompleteConversionError, match="1 missing"):
        tz.convert(file, spec)


@pytest.mark.parametrize("counters", [False, True])
def test_a_cyclegan_of_2017_has_statistics_that_nothing_uses(counters: bool) -> None:
    """They go, and the report says so; where the network has a ReLU and not a norm they stay a leftover."""
    spec = registry.spec("resnet_generator", width=4, blocks=1)
    state, keys = weights(spec), published_keys(spec, JUNYANZ)
    file: dict[str, Array] = {keys[name]: value for name, value in state.items()}
    idle: dict[str, Array] = {}
    for place in ("model.2", "model.5", "model.8", "model.10.conv_block.2", "model.10.conv_block.6"):
        idle |= {f"{place}.running_mean": np.zeros(16, np.float32), f"{place}.running_var": np.ones(16, np.float32)}
        idle |= {f"{place}.num_batches_tracked": np.array(9, np.int64)} if counters else {}
    made = tz.convert(file | idle, spec)
    assert all(np.array_equal(made.state[name], value) for name, value in state.items())
    assert made.dropped.keys() == idle.keys()
    assert "instance norm" in made.dropped["model.2.running_var"]
    with pytest.raises(IncompleteConversionError, match="1 unused"):
        tz.convert(file | {"model.3.running_var": np.ones(4, np.float32)}, spec)


def seen(spec: Spec, size: int) -> int:
    """The width in pixels of what one logit in the middle depends on."""
    image = np.random.default_rng(0).normal(size=(1, channels_of(spec.inputs["image"].value.shape), size, size))
    state = {name: value.astype(np.float64) for name, value in weights(spec).items()}
    done = trace(spec, state, {"image": image})
    logits = done.values[spec.outputs["output"].ref]
    pulled = np.zeros_like(logits)
    pulled[0, 0, logits.shape[2] // 2, logits.shape[3] // 2] = 1
    by_value, _ = gradients(spec, done, {}, {"output": pulled})
    columns = np.flatnonzero(np.abs(by_value["image"]).sum((0, 1, 2)))
    return int(columns[-1] - columns[0]) + 1


@pytest.mark.parametrize(("layers", "pixels"), [(1, 16), (2, 34), (3, 70), (4, 142)])
def test_a_patch_has_its_published_size(layers: int, pixels: int) -> None:
    """Batch norm in evaluation mode looks no further; instance norm would see the whole image."""
    assert seen(registry.spec("patchgan", width=2, layers=layers), 2 * pixels) == pixels


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_colorizations_judge_sees_70_pixels_and_not_94(norm: str) -> None:
    """Three halvings and two convolutions of stride 1; the report counts five halvings."""
    assert seen(registry.spec("colorization_patchgan", width=2, norm=norm), 140) == 70


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.sampled_from([0.1, 1.0, 30.0]))
def test_aodnet_leaves_no_pixel_out_of_range(seed: int, size: float) -> None:
    """K (x - 1) + 1 with K >= 0 is at most 1 where x is, whatever was learned: only its rounding needs a clamp."""
    random = np.random.default_rng(seed)
    spec = registry.spec("aodnet")
    state = {name: random.normal(0, size, param.shape) for name, param in spec.params.items()}
    image = random.uniform(0, 1, (1, 3, 9, 8))
    made = trace(spec, state, {"image": image}).values[spec.outputs["output"].ref]
    assert made.min() >= 0 and made.max() <= 1 + 1e-9
