"""EPDN and Cycle-Dehaze against modules written by hand: keys, order, shapes and numbers; and the pyramid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.zoo.golden_arrays import weights
from parity_tests.zoo.published import file_keys, published_keys
from twinzoo.ports.reference.evaluate import trace
from twinzoo.zoo import registry
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.models.cycle_dehaze import coarsest_replaced
from twinzoo.zoo.naming import module_paths
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.show import parameter_count

Array = NDArray[Any]
EPDN = "ErinChen1/EPDN"
SIZES = {"width": 2, "halvings": 2, "blocks": 2, "local_blocks": 1}
JUDGE = {"in_channels": 6, "width": 4, "layers": 2, "scales": 2}


def image(seed: int, channels: int = 3, size: int = 32) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, (2, channels, size, size))


def test_epdn_counts_and_keys() -> None:
    """17,379,249 parameters in 82 tensors, 4 of which belong to norms that nothing uses."""
    spec = registry.spec("epdn_generator")
    keys = file_keys(spec, EPDN)
    assert (parameter_count(spec), len(keys)) == (17_379_249, 82)
    convs = [f"model.{i}" for i in (1, 4, 7, 10, 13)]
    convs += [f"model.{i}.conv_block.{k}" for i in (16, 17, 18) for k in (1, 5)]
    convs += [*(f"model.{i}" for i in (19, 22, 25, 28)), "model1_1.1", "model1_1.4"]
    convs += [*(f"model1_2.{i}.conv_block.{k}" for i in (0, 1, 2) for k in (1, 5)), "model1_2.3", "model1_2.7"]
    parts = ("refine1", "refine2", "conv1010", "conv1020", "conv1030", "conv1040", "refine3", "batch1")
    convs += [f"{enhancer}.{part}" for enhancer in ("dehaze", "dehaze2") for part in parts]
    assert list(keys) == [f"{conv}.{role}" for conv in convs for role in ("weight", "bias")]
    assert keys["dehaze.batch1.weight"] == (100,)
    assert keys["model.19.weight"] == (512, 256, 3, 3)


def test_multiscale_counts_and_keys() -> None:
    spec = registry.spec("multiscale_discriminator")
    keys = file_keys(spec, EPDN)
    assert parameter_count(spec) == 5_535_618
    assert list(keys) == [
        f"scale{scale}_layer{i}.0.{role}" for scale in (0, 1) for i in range(5) for role in ("weight", "bias")
    ]


def test_the_published_scale_0_is_the_smallest_image() -> None:
    """Of equal shapes, so that a file whose scales are swapped loads without a word and judges wrongly."""
    paths = module_paths(registry.spec("multiscale_discriminator", scales=3), EPDN)
    assert [paths[f"scale{i}_conv0"] for i in range(3)] == [f"scale{2 - i}_layer0.0" for i in range(3)]


@pytest.mark.parametrize("name", ["epdn_generator", "multiscale_discriminator"])
def test_modules_nested_as_the_published_ones_compute_the_same(name: str) -> None:
    torch = pytest.importorskip("torch")
    from parity_tests.zoo import published_dehazers

    options = SIZES if name == "epdn_generator" else JUDGE
    spec = registry.spec(name, **options)
    classes: dict[str, Any] = {
        "epdn_generator": lambda: published_dehazers.Epdn(**SIZES),
        "multiscale_discriminator": lambda: published_dehazers.MultiscaleDiscriminator(6, 4, 2, 2),
    }
    module = classes[name]()
    theirs = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    assert list(file_keys(spec, EPDN).items()) == list(theirs.items())

    state = weights(spec)
    renamed = {key: state[own] for own, key in published_keys(spec, EPDN).items()}
    fed = image(0, spec.concrete(spec.inputs["image"].value)[1], 64)
    with torch.no_grad():
        made = published_dehazers.loaded(module, renamed)(torch.from_numpy(fed))
    flat = [value for part in made for value in (part if isinstance(part, list) else [part])]
    found = trace(spec, state, {"image": fed}).values
    for value, expected in zip(spec.outputs.values(), flat, strict=True):
        np.testing.assert_allclose(found[value.ref], expected.numpy(), atol=1e-10)


def test_pix2pixhd_rule() -> None:
    """It draws weights alone: biases stay as PyTorch makes them, and the idle norms keep gains of 1."""
    state = initial_state(registry.spec("epdn_generator"))
    assert state["global_block1_conv1.weight"].std() == pytest.approx(0.02, rel=0.02)
    bias = state["global_block1_conv1.bias"]
    assert 0.9 / np.sqrt(512 * 9) < np.abs(bias).max() <= 1 / np.sqrt(512 * 9)
    assert (state["enhancer1_unused.weight"] == 1).all() and not state["enhancer1_unused.bias"].any()


def test_idle_norms_do_nothing() -> None:
    spec = registry.spec("epdn_generator", **SIZES)
    state = weights(spec)
    fed = {"image": image(0, size=64)}
    before = trace(spec, state, fed).values["enhancer2"]
    state["enhancer1_unused.weight"] = state["enhancer1_unused.weight"] + 5
    np.testing.assert_array_equal(trace(spec, state, fed).values["enhancer2"], before)


def test_the_second_enhancer_sees_the_first_ones_image_in_place_of_the_hazy_one() -> None:
    spec = registry.spec("epdn_generator", **SIZES)
    assert [v.node for v in spec.nodes["beside_hazy"].inputs] == ["head_tanh", "image"]
    assert [v.node for v in spec.nodes["beside_first"].inputs] == ["head_tanh", "enhancer1"]


def test_cycle_dehaze_pads_and_crops_as_tensorflow_does() -> None:
    torch = pytest.importorskip("torch")
    from parity_tests.zoo import published_dehazers

    spec = registry.spec("cycle_dehaze_generator", width=3, blocks=1)
    state = weights(spec)
    fed = image(0)
    doubles = {name: torch.from_numpy(value).double() for name, value in state.items()}
    expected = published_dehazers.cycle_dehaze(doubles, torch.from_numpy(fed), 1)
    found = trace(spec, state, {"image": fed}).values["tanh"]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-10)


def test_cycle_dehazes_judge_pads_as_tensorflow_does() -> None:
    torch = pytest.importorskip("torch")
    from parity_tests.zoo import published_dehazers

    spec = registry.spec("cycle_dehaze_discriminator", width=3)
    state, fed = weights(spec), image(0)
    doubles = {name: torch.from_numpy(value).double() for name, value in state.items()}
    expected = published_dehazers.cycle_dehaze_judge(doubles, torch.from_numpy(fed))
    found = trace(spec, state, {"image": fed}).values["columns"]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-10)


def test_cycle_dehaze_is_not_pytorchs_cyclegan() -> None:
    """The same weights in the other padding: one pixel apart, which is what a careless port would do."""
    ours = registry.spec("cycle_dehaze_generator", width=3, blocks=0)
    theirs = registry.spec("resnet_generator", width=3, blocks=0)
    state = weights(ours)
    for name in state:
        if "_norm" in name:
            state[name] = np.full_like(state[name], 1.0 if name.endswith(".weight") else 0.0)
    plain = {name: state.get(name, np.zeros(param.shape)) for name, param in theirs.params.items()}
    fed = {"image": image(0)}
    found = [trace(s, w, fed).values["tanh"] for s, w in ((ours, state), (theirs, plain))]
    assert np.abs(found[0] - found[1]).max() > 0.1


def test_cycle_dehaze_sizes() -> None:
    """No bias but the last one of the judge; 16 patches of 256 pixels along each side."""
    spec = registry.spec("cycle_dehaze_generator")
    convs = 3 * 49 * 64 * 2 + 9 * (64 * 128 + 128 * 256) * 2 + 9 * 2 * 9 * 256 * 256
    norms = 2 * (64 + 128 + 256 + 18 * 256 + 128 + 64)
    assert parameter_count(spec) == convs + norms
    assert not [name for name in spec.params if name.endswith("conv.bias")]
    judge = registry.spec("cycle_dehaze_discriminator")
    assert [name for name in judge.params if name.endswith(".bias") and "norm" not in name] == ["logits.bias"]
    assert judge.concrete(judge.outputs["output"], {"H": 256, "W": 256}) == (1, 1, 16, 16)


def pyramid(levels: int, change: float) -> Spec:
    """A pyramid whose top is scaled."""
    s = Spec("pyramid")
    x = s.input("image", channels=3, multiple_of=2**levels)
    s.output(output=coarsest_replaced(s, x, levels, lambda top: s.affine("changed", top, scale=change)))
    return s


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_an_untouched_pyramid_gives_the_image_back(levels: int) -> None:
    spec, fed = pyramid(levels, 1.0), {"image": image(levels)}
    done = trace(spec, initial_state(spec), fed)
    np.testing.assert_allclose(done.values[spec.outputs["output"].ref], fed["image"], atol=1e-12)
    assert done.values["changed"].shape == (2, 3, 32 >> levels, 32 >> levels)


def test_only_the_top_is_replaced() -> None:
    """A top of zeros leaves detail alone: a flat image has none, a checkerboard is nothing but detail."""
    spec = pyramid(2, 0.0)
    checks = np.tile(np.array([[1.0, -1.0], [-1.0, 1.0]]), (16, 16)) * np.ones((1, 3, 1, 1))
    for fed, expected in ((np.full((1, 3, 32, 32), 0.4), 0.0), (checks, checks)):
        found = trace(spec, initial_state(spec), {"image": fed}).values["level1"]
        np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=1e-12)


def test_a_level_is_impyramids() -> None:
    """Weights (1, 4, 6, 4, 1) / 16 at every second pixel, from the first."""
    spec = registry.spec("gaussian_reduce", channels=1)
    fed = image(0, 1, 8)
    wide = np.pad(fed, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")
    share = np.array([1, 4, 6, 4, 1]) / 16
    expected = sum(share[i] * share[j] * wide[:, :, i : i + 8 : 2, j : j + 8 : 2] for i in range(5) for j in range(5))
    found = trace(spec, initial_state(spec), {"image": fed}).values["reduce"]
    np.testing.assert_allclose(found, expected, atol=1e-12)
