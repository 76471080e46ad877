"""PatchNCE, MMD, feature matching and the networks around them, against their formulas in NumPy and PyTorch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from parity_tests.zoo.published import file_keys
from twinzoo.ports.reference.evaluate import trace
from twinzoo.ports.reference.gradients import gradients
from twinzoo.zoo import registry
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.show import parameter_count

Array = NDArray[Any]
CUT = "taesungp/contrastive-unpaired-translation"
unhurried = settings(deadline=None, max_examples=20)


def outputs(spec: Spec, **inputs: Array) -> dict[str, Array]:
    """What the reference port makes of inputs."""
    done = trace(spec, initial_state(spec, 1), inputs)
    return {name: done.values[value.ref] for name, value in spec.outputs.items()}


def pulled(spec: Spec, output: str, **inputs: Array) -> dict[str, Array]:
    """The gradient of a scalar output with respect to each input of a spec without parameters."""
    found, _ = gradients(spec, trace(spec, {}, inputs), {}, {output: np.ones(())})
    return {name: found.get(name, np.zeros(value.shape)) for name, value in inputs.items()}


def unit(random: np.random.Generator, *shape: int) -> Array:
    """Vectors of length 1 along the last axis."""
    x = random.normal(size=shape)
    made: Array = x / np.linalg.norm(x, axis=-1, keepdims=True)
    return made


def nce_by_hand(queries: Array, keys: Array, temperature: float, noise: Array | float = 0.0) -> float:
    """Image by image and patch by patch, with the diagonal left out instead of being set to -10."""
    terms = []
    for q, k in zip(queries, keys, strict=True):
        similar = q @ k.T
        harder = similar * (1 + noise)
        for i in range(len(q)):
            logits = [similar[i, i], *(harder[i, j] for j in range(len(q)) if j != i)]
            terms.append(np.log(np.exp(np.array(logits) / temperature).sum()) - logits[0] / temperature)
    return float(np.mean(terms))


@unhurried
@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(2, 9), st.sampled_from([0.07, 0.3]))
def test_patch_nce(seed: int, images: int, patches: int, temperature: float) -> None:
    random = np.random.default_rng(seed)
    queries, keys = unit(random, images, patches, 8), unit(random, images, patches, 8)
    spec = registry.spec("patch_nce", channels=8, temperature=temperature)
    found = outputs(spec, queries=queries, keys=keys)["output"]
    assert found == pytest.approx(nce_by_hand(queries, keys, temperature), rel=1e-9)


def test_noise_is_on_the_negatives_alone() -> None:
    random = np.random.default_rng(0)
    queries, keys, noise = unit(random, 2, 6, 8), unit(random, 2, 6, 8), random.uniform(-0.3, 0.3, (6, 6))
    spec = registry.spec("patch_nce", channels=8, perturbed=True)
    found = outputs(spec, queries=queries, keys=keys, noise=noise)["output"]
    assert found == pytest.approx(nce_by_hand(queries, keys, 0.07, noise), rel=1e-9)
    other = noise + np.diag(np.full(6, 0.2))
    assert outputs(spec, queries=queries, keys=keys, noise=other)["output"] == found
    assert outputs(spec, queries=queries, keys=keys, noise=noise.T)["output"] != found


def test_the_diagonal_is_minus_ten_before_the_temperature() -> None:
    """At a temperature of 10 it counts: exp(-1) a patch, as in the published code, and not 0."""
    random = np.random.default_rng(0)
    queries, keys = unit(random, 1, 5, 8), unit(random, 1, 5, 8)
    similar = (queries @ keys.transpose(0, 2, 1))[0]
    logits = np.concatenate([np.diag(similar)[:, None], similar - np.diag(np.diag(similar) + 10.0)], 1) / 10
    expected = (np.log(np.exp(logits).sum(1)) - logits[:, 0]).mean()
    spec = registry.spec("patch_nce", channels=8, temperature=10.0)
    assert outputs(spec, queries=queries, keys=keys)["output"] == pytest.approx(expected, rel=1e-12)


def test_patch_nce_has_the_gradients_of_torch() -> None:
    """None to the keys; and the published way of writing it gives the same to the queries."""
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    queries, keys = unit(random, 2, 7, 8), unit(random, 2, 7, 8)
    spec = registry.spec("patch_nce", channels=8)
    found = pulled(spec, "output", queries=queries, keys=keys)
    q, k = torch.tensor(queries, requires_grad=True), torch.tensor(keys)
    negatives = torch.bmm(q, k.transpose(1, 2)).masked_fill(torch.eye(7, dtype=torch.bool), -10.0)
    logits = torch.cat([(q * k).sum(2, keepdim=True), negatives], 2).reshape(14, 8) / 0.07
    torch.nn.functional.cross_entropy(logits, torch.zeros(14, dtype=torch.long)).backward()
    np.testing.assert_allclose(found["queries"], q.grad.numpy(), rtol=1e-9, atol=1e-12)
    assert not found["keys"].any()


def mmd_by_hand(source: Array, target: Array, kernels: int = 5, ratio: float = 2.0) -> float:
    """The code that is passed around, over rows: distances of both sets together, then four blocks of kernels."""
    x, y = (v.reshape(-1, v.shape[-1]) for v in (source, target))
    both = np.concatenate([x, y])
    distances = ((both[:, None] - both[None]) ** 2).sum(2)
    bandwidth = distances.sum() / (len(both) ** 2 - len(both)) / ratio ** (kernels // 2)
    kernel = sum(np.exp(-distances / (bandwidth * ratio**i)) for i in range(kernels))
    n = len(x)
    return float(np.mean(kernel[:n, :n] + kernel[n:, n:] - kernel[:n, n:] - kernel[n:, :n]))


@unhurried
@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(2, 9), st.sampled_from([(5, 2.0), (1, 2.0), (4, 3.0)]))
def test_mmd(seed: int, images: int, patches: int, kind: tuple[int, float]) -> None:
    random = np.random.default_rng(seed)
    source, target = random.normal(0, 1, (images, patches, 8)), random.normal(0.5, 2, (images, patches, 8))
    spec = registry.spec("mmd", channels=8, kernels=kind[0], ratio=kind[1])
    expected = mmd_by_hand(source, target, *kind)
    assert outputs(spec, source=source, target=target)["output"] == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_mmd_of_equal_sets_is_zero_and_their_order_does_not_count() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 6, 8))
    spec = registry.spec("mmd", channels=8)
    assert abs(outputs(spec, source=x, target=x[::-1, ::-1])["output"]) < 1e-12


def test_mmd_pulls_within_a_set_at_a_batch_of_one() -> None:
    """Over one vector an image, k(x, x) = 1 has no gradient; over patches it has, which a single image shows."""
    random = np.random.default_rng(0)
    source, target = random.normal(size=(1, 6, 8)), random.normal(1, 1, size=(1, 6, 8))
    spec = registry.spec("mmd", channels=8)
    spec.output(within=spec.nodes["xx_mean"].outputs[0])
    found = pulled(spec, "within", source=source, target=target)
    assert np.abs(found["source"]).max() > 1e-3
    one = pulled(spec, "within", source=source[:, :1], target=target[:, :1])
    assert np.abs(one["source"]).max() < 1e-12


def test_the_bandwidth_is_held() -> None:
    """Scaling both sets changes nothing in the value, so a gradient through the bandwidth would add up to 0."""
    random = np.random.default_rng(0)
    source, target = random.normal(size=(1, 6, 8)), random.normal(1, 1, size=(1, 6, 8))
    spec = registry.spec("mmd", channels=8)
    fed = {"source": source, "target": target}
    assert outputs(spec, source=3 * source, target=3 * target)["output"] == pytest.approx(
        outputs(spec, **fed)["output"]
    )
    found = pulled(spec, "output", **fed)
    along = sum((fed[name] * found[name]).sum() for name in fed)
    assert abs(along) > 1e-2


def test_feature_matching() -> None:
    spec = registry.spec("feature_matching", width=4, layers=2, scales=2)
    random = np.random.default_rng(0)
    fed = {name: random.normal(size=spec.concrete(item.value)) for name, item in spec.inputs.items()}
    assert [name for name in fed if name.startswith("made")] == [f"made{i}_{j}" for i in (0, 1) for j in (0, 1, 2)]
    assert [fed[f"made0_{j}"].shape[1] for j in (0, 1, 2)] == [4, 8, 16]
    far = [np.abs(fed[f"made{i}_{j}"] - fed[f"real{i}_{j}"]).mean() for i in (0, 1) for j in (0, 1, 2)]
    assert outputs(spec, **fed)["output"] == pytest.approx(sum(far) * 4 / 3 / 2, rel=1e-12)
    found = pulled(spec, "output", **fed)
    assert all(found[name].any() == name.startswith("made") for name in fed)


def test_sampler_takes_rows_of_an_image_at_the_positions() -> None:
    torch = pytest.importorskip("torch")
    spec = registry.spec("patch_sampler", channels=(3, 5), width=6)
    state = {name: value.astype(np.float64) for name, value in initial_state(spec, 1).items()}
    random = np.random.default_rng(0)
    maps = [random.normal(size=(2, 3, 4, 7)), random.normal(size=(2, 5, 3, 2))]
    places = [np.array([27, 0, 8, 8]), np.array([5, 1])]
    fed = {f"features{i}": m for i, m in enumerate(maps)} | {f"positions{i}": p for i, p in enumerate(places)}
    found = trace(spec, state, fed).values
    for i, (image, at) in enumerate(zip(maps, places, strict=True)):
        rows = torch.tensor(image).permute(0, 2, 3, 1).flatten(1, 2)[:, at].flatten(0, 1)
        for layer in (1, 2):
            weight, bias = (torch.tensor(state[f"mlp{i}_linear{layer}.{role}"]) for role in ("weight", "bias"))
            rows = torch.nn.functional.linear(rows, weight, bias)
            rows = torch.relu(rows) if layer == 1 else rows
        rows = rows / (rows.pow(2).sum(1, keepdim=True).pow(0.5) + 1e-7)
        np.testing.assert_allclose(found[f"unit{i}"], rows.reshape(2, len(at), 6).numpy(), rtol=1e-12)


def test_short_vectors_are_divided_by_their_length_and_more() -> None:
    """The published norm adds 1e-7; `l2_normalize` would take the larger of the two, and be twice as long here."""
    spec = registry.spec("patch_sampler", channels=(3,), width=2)
    state = {name: np.zeros(p.shape) for name, p in spec.params.items()}
    state["mlp0_linear2.bias"][:] = (1e-7, 0.0)
    fed = {"features0": np.ones((1, 3, 2, 2)), "positions0": np.array([1])}
    np.testing.assert_allclose(trace(spec, state, fed).values["unit0"], [[[0.5, 0.0]]], rtol=1e-12)


def test_a_vector_of_zeros_has_a_finite_gradient() -> None:
    """The slope of a root at 0 is not finite, and 0 times it is no number: one such patch would spoil every weight."""
    spec = registry.spec("patch_sampler", channels=(3,), width=2)
    state = {name: np.zeros(p.shape) for name, p in spec.params.items()}
    fed = {"features0": np.zeros((1, 3, 2, 2)), "positions0": np.array([1, 2])}
    done = trace(spec, state, fed)
    by_value, by_tensor = gradients(spec, done, {}, {"patches0": np.ones((1, 2, 2))})
    assert all(np.isfinite(value).all() for value in (*by_value.values(), *by_tensor.values()))
    assert by_tensor["mlp0_linear2.bias"] == pytest.approx(2e7, rel=1e-6)


def test_sampler_keys() -> None:
    """560,384 parameters, known before the first batch: the published class makes its layers when it first runs."""
    spec = registry.spec("patch_sampler")
    shapes = file_keys(spec, CUT)
    expected: dict[str, tuple[int, ...]] = {}
    for i, channels in enumerate((3, 128, 256, 256, 256)):
        expected |= {f"mlp_{i}.0.weight": (256, channels), f"mlp_{i}.0.bias": (256,)}
        expected |= {f"mlp_{i}.2.weight": (256, 256), f"mlp_{i}.2.bias": (256,)}
    assert list(shapes.items()) == list(expected.items())
    assert parameter_count(spec) == 560_384


LAYERS = {
    True: {0: ("stem_pad", 3, 262), 4: ("down1_conv", 128, 256), 8: ("down2_conv", 256, 128)},
    False: {0: ("stem_pad", 3, 262), 4: ("down1_conv", 128, 128), 8: ("down2_relu", 256, 64)},
}
BLOCKS = {True: {12: "block1_add", 16: "block5_add"}, False: {12: "block3_add", 16: "block7_add"}}


@pytest.mark.parametrize("antialias", [True, False])
def test_layers_are_places_in_the_published_sequential(antialias: bool) -> None:
    """Without anti-aliasing layer 8 is a norm, whose output the in-place ReLU behind it overwrites."""
    spec = registry.spec("cut_generator", antialias=antialias)
    found = {name: (value.node, *spec.concrete(value)[1:3]) for name, value in spec.outputs.items()}
    expected = LAYERS[antialias] | {i: (node, 256, 64) for i, node in BLOCKS[antialias].items()}
    assert found == {"output": ("tanh", 3, 256)} | {f"layer{i}": place for i, place in expected.items()}
    assert file_keys(spec, CUT) == file_keys(registry.spec("resnet_generator", antialias=antialias), CUT)
    assert parameter_count(spec) == 11_378_179


def test_the_last_layer_is_not_overwritten() -> None:
    """The published code stops behind it."""
    both = registry.spec("cut_generator", width=2, blocks=1, layers=(2, 5)).outputs
    assert (both["layer2"].node, both["layer5"].node) == ("stem_relu", "down1_norm")
    with pytest.raises(SpecError, match=r"^cut_generator: layers=\(0, 40\): there is no layer 40$"):
        registry.spec("cut_generator", layers=(0, 40))


def test_xavier_rule() -> None:
    """N(0, 0.02 sqrt(2 / (fan_in + fan_out))); PyTorch's own function with the same gain spreads as far."""
    torch = pytest.importorskip("torch")
    spec = registry.spec("cut_generator", width=24, blocks=1, layers=(0,))
    state = initial_state(spec)
    for name in ("block1_conv1.weight", "stem_conv.weight"):
        theirs = torch.empty(state[name].shape)
        torch.nn.init.xavier_normal_(theirs, gain=0.02)
        assert state[name].std() == pytest.approx(float(theirs.std()), rel=0.05)
    assert all(not value.any() for name, value in state.items() if name.endswith(".bias"))
    linear = initial_state(registry.spec("patch_sampler"))["mlp2_linear1.weight"]
    assert linear.std() == pytest.approx(0.02 * math.sqrt(2 / 512), rel=0.02)


@unhurried
@given(st.integers(0, 2**31), st.sampled_from([(1, 4, 6, 4, 1), (1, 2, 1), (1,)]))
def test_high_frequency(seed: int, taps: tuple[int, ...]) -> None:
    spec = registry.spec("high_frequency", taps=taps)
    image = np.random.default_rng(seed).uniform(-1, 1, (1, 3, 9, 8))
    reach = len(taps) // 2
    wide = np.pad(image, ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="reflect")
    share = np.array(taps) / sum(taps)
    blurred = sum(
        share[i] * share[j] * wide[:, :, i : i + 9, j : j + 8] for i in range(len(taps)) for j in range(len(taps))
    )
    np.testing.assert_allclose(outputs(spec, image=image)["output"], image - blurred, atol=1e-12)


def test_a_flat_image_has_no_high_frequencies() -> None:
    flat = np.full((1, 3, 8, 8), 0.7)
    assert np.abs(outputs(registry.spec("high_frequency"), image=flat)["output"]).max() < 1e-12
    with pytest.raises(SpecError, match="must be an odd number of them"):
        registry.spec("high_frequency", taps=(1, 1))
