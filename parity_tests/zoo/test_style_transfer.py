"""AdaIN and Johnson's transform net: the published keys, counts and numbers, and what is easily drawn otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import twinzoo as tz
from parity_tests.zoo import published_style
from parity_tests.zoo.golden_arrays import weights
from parity_tests.zoo.published import file_keys, published_keys
from twinzoo.ports.reference.evaluate import trace
from twinzoo.ports.reference.port import PORT
from twinzoo.ports.registry import port
from twinzoo.zoo.errors import IncompleteConversionError
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.models.adain import NAOTO
from twinzoo.zoo.models.johnson import EXAMPLES
from twinzoo.zoo.registry import spec
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.show import parameter_count

Array = NDArray[Any]
Keys = Iterator[tuple[str, tuple[int, ...]]]


def conv(path: str, into: int, out: int, kernel: int) -> Keys:
    """The tensors of a convolution."""
    yield f"{path}.weight", (out, into, kernel, kernel)
    yield f"{path}.bias", (out,)


def encoder_keys() -> Keys:
    """vgg_normalised.pth, the first 31 modules."""
    yield from conv("0", 3, 3, 1)
    channels = [3, 64, 64, 128, 128, 256, 256, 256, 256, 512]
    for place, into, out in zip((2, 5, 9, 12, 16, 19, 22, 25, 29), channels, channels[1:], strict=False):
        yield from conv(str(place), into, out, 3)


def decoder_keys() -> Keys:
    """decoder.pth."""
    channels = [512, 256, 256, 256, 256, 128, 128, 64, 64, 3]
    for place, into, out in zip((1, 5, 8, 11, 14, 18, 21, 25, 28), channels, channels[1:], strict=False):
        yield from conv(str(place), into, out, 3)


def norm(path: str, channels: int) -> Keys:
    """The tensors of an instance norm with gains."""
    yield f"{path}.weight", (channels,)
    yield f"{path}.bias", (channels,)


def johnson_keys() -> Keys:
    """TransformerNet of pytorch/examples."""
    for i, (into, out, kernel) in enumerate([(3, 32, 9), (32, 64, 3), (64, 128, 3)], 1):
        yield from conv(f"conv{i}.conv2d", into, out, kernel)
        yield from norm(f"in{i}", out)
    for block in range(1, 6):
        for i in (1, 2):
            yield from conv(f"res{block}.conv{i}.conv2d", 128, 128, 3)
            yield from norm(f"res{block}.in{i}", 128)
    for i, (into, out) in enumerate([(128, 64), (64, 32)], 1):
        yield from conv(f"deconv{i}.conv2d", into, out, 3)
        yield from norm(f"in{i + 3}", out)
    yield from conv("deconv3.conv2d", 32, 3, 9)


KEYS = [
    ("vgg_normalised", NAOTO, encoder_keys, 3_505_740, 20),
    ("adain_decoder", NAOTO, decoder_keys, 3_505_219, 18),
    ("johnson_transformer", EXAMPLES, johnson_keys, 1_679_235, 62),
]


@pytest.mark.parametrize(("name", "naming", "keys", "parameters", "count"), KEYS)
def test_keys_shapes_order_and_counts(name: str, naming: str, keys: Any, parameters: int, count: int) -> None:
    drawn = spec(name)
    assert list(file_keys(drawn, naming).items()) == list(keys())
    assert parameter_count(drawn) == parameters
    assert len(file_keys(drawn, naming)) == count


def test_the_whole_encoder_has_the_published_places() -> None:
    whole = file_keys(spec("vgg_normalised", width=2, taps=("relu5_4",)), NAOTO)
    places = [0, 2, 5, 9, 12, 16, 19, 22, 25, 29, 32, 35, 38, 42, 45, 48, 51]
    assert [key for key in whole if key.endswith("weight")] == [f"{place}.weight" for place in places]


def test_old_statistics_of_johnsons_norms_are_left_out_and_told() -> None:
    """Files of 2017-18 have them, though instance norms never used them; with a counter they might be in use."""
    drawn = spec("johnson_transformer", width=2)
    keys = published_keys(drawn, EXAMPLES)
    state = {keys[node]: value for node, value in weights(drawn).items()}
    norms = [key.removesuffix(".weight") for key, value in state.items() if value.ndim == 1 and key.endswith(".weight")]
    old = {
        f"{path}.{word}": np.ones_like(state[f"{path}.weight"])
        for path in norms
        for word in ("running_mean", "running_var")
    }
    made = tz.convert(state | old, drawn)
    assert all(np.array_equal(made.state[name], state[key]) for name, key in keys.items())
    assert made.dropped == dict.fromkeys(old, "statistics of an instance norm, which uses none")
    counters = {f"{path}.num_batches_tracked": np.array(9, np.int64) for path in norms}
    with pytest.raises(IncompleteConversionError, match="30 unused"):
        tz.convert(state | old | counters, drawn)


def run(drawn: Spec, state: dict[str, Array], **inputs: Array) -> dict[str, Array]:
    """What the reference port makes, in float64."""
    model = PORT.build(drawn)
    PORT.load(model, state)
    return PORT.run(model, inputs)


SIZES = {"vgg_normalised": (3, 21, 18), "adain_decoder": (16, 5, 4), "johnson_transformer": (3, 16, 24)}


@pytest.mark.parametrize(("name", "naming"), [row[:2] for row in KEYS])
def test_same_keys_and_same_numbers(name: str, naming: str) -> None:
    torch = pytest.importorskip("torch")
    drawn = spec(name, width=2)
    state = weights(drawn)
    theirs = getattr(published_style, name)(2).double().eval()
    shapes = [(key, tuple(tensor.shape)) for key, tensor in theirs.state_dict().items()]
    assert list(file_keys(drawn, naming).items()) == shapes
    keys = published_keys(drawn, naming)
    theirs.load_state_dict({keys[node]: torch.from_numpy(value).double() for node, value in state.items()})
    (item,) = drawn.inputs.values()
    image = np.random.default_rng(0).uniform(*item.span, (2, *SIZES[name]))
    *_, made = run(drawn, state, **{item.value.node: image}).values()
    with torch.no_grad():
        expected = theirs(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(made, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def test_values_each_network_is_made_for() -> None:
    """Their files differ in that, and nothing in them says so."""
    spans = {name: next(iter(spec(name).inputs.values())).span for name in ("vgg_normalised", "johnson_transformer")}
    assert spans == {"vgg_normalised": (0, 1), "johnson_transformer": (0, 255)}
    assert not [n for n in spec("vgg_normalised").nodes.values() if n.op == "standardize"]
    low, high = spec("johnson_transformer", form="lua").inputs["image"].span
    assert low < 0 < high


def test_the_lua_form_cuts_what_its_blocks_add_to() -> None:
    drawn = spec("johnson_transformer", width=2, form="lua")
    pads = [node.attrs["padding"] for node in drawn.nodes.values() if node.op == "pad2d"]
    assert pads == [(40, 40, 40, 40)]
    assert drawn.concrete(drawn.outputs["output"], {"N": 1, "H": 64, "W": 128}) == (1, 3, 64, 128)
    assert drawn.concrete(drawn.nodes["block5_add"].outputs[0], {"N": 1, "H": 64, "W": 128}) == (1, 8, 16, 32)
    assert parameter_count(drawn) == parameter_count(spec("johnson_transformer", width=2))
    image = np.random.default_rng(0).uniform(-124, 151, (1, 3, 64, 64))
    assert np.abs(run(drawn, weights(drawn), image=image)["output"]).max() <= 150


def by_hand(content: Array, style: Array, ddof: int = 1) -> Array:
    """AdaIN by its formula."""
    (mean, std), (new_mean, new_std) = (
        (x.mean((2, 3), keepdims=True), np.sqrt(x.var((2, 3), ddof=ddof, keepdims=True) + 1e-5))
        for x in (content, style)
    )
    made: Array = new_std * (content - mean) / std + new_mean
    return made


def test_adain_is_its_formula() -> None:
    random = np.random.default_rng(1)
    content, one, other = (random.normal(i, 1 + i, (2, 4, 5 + i, 6)) for i in range(3))
    plain = run(spec("adaptive_instance_norm", channels=4), {}, content=content, style1=one)["output"]
    np.testing.assert_allclose(plain, by_hand(content, one), rtol=1e-12)
    assert np.abs(plain - by_hand(content, one, ddof=0)).max() > 1e-3
    mixed = spec("adaptive_instance_norm", channels=4, weights=(0.25, 0.75), alpha=0.5)
    made = run(mixed, {}, content=content, style1=one, style2=other)["output"]
    both = 0.25 * by_hand(content, one) + 0.75 * by_hand(content, other)
    np.testing.assert_allclose(made, 0.5 * both + 0.5 * content, rtol=1e-12)


@pytest.mark.parametrize("framework", ["torch", "mindspore"])
def test_a_closed_channel_has_a_gradient(framework: str) -> None:
    """MindSpore's own variance gives NaN there."""
    pytest.importorskip(framework)
    drawn = spec("adaptive_instance_norm", channels=4)
    random = np.random.default_rng(2)
    inputs = {n: random.uniform(0, 1, (1, 4, 6, 6)).astype(np.float32) for n in drawn.inputs}
    for value in inputs.values():
        value[:, 1] = 0
    used = port(framework)
    found = used.gradients(used.build(drawn), inputs, {"output": np.ones((1, 4, 6, 6), np.float32)})
    assert all(np.isfinite(gradient).all() for gradient in found.values())


def test_transfer_is_encoder_adain_and_decoder() -> None:
    drawn = spec("adain_transfer", width=2)
    state = weights(drawn)
    random = np.random.default_rng(3)
    content, style = random.uniform(0, 1, (1, 3, 16, 24)), random.uniform(0, 1, (1, 3, 32, 16))
    parts = {
        role: {n.removeprefix(f"{role}."): v for n, v in state.items() if n.startswith(role)}
        for role in ("encoder", "decoder")
    }
    encoder = spec("vgg_normalised", width=2)
    seen = [run(encoder, parts["encoder"], image=image)["relu4_1"] for image in (content, style)]
    target = by_hand(seen[0], seen[1])
    expected = run(spec("adain_decoder", width=2), parts["decoder"], features=target)["output"]
    np.testing.assert_allclose(run(drawn, state, content=content, style1=style)["output"], expected, rtol=1e-9)


def test_gram_matrices_and_total_variation() -> None:
    x = np.random.default_rng(4).normal(0, 1, (2, 4, 5, 6))
    expected = np.einsum("nchw,ndhw->ncd", x, x) / (4 * 5 * 6)
    np.testing.assert_allclose(run(spec("gram_matrix", channels=4), {}, features=x)["output"], expected, rtol=1e-12)
    across = np.square(np.diff(x[:, :3], axis=3)).sum() + np.square(np.diff(x[:, :3], axis=2)).sum()
    assert run(spec("total_variation"), {}, image=x[:, :3])["output"] == pytest.approx(across, rel=1e-12)


def test_style_statistics() -> None:
    random = np.random.default_rng(5)
    sizes = [(3, 8, 7), (5, 4, 6)]
    made, style = ([random.normal(i, 1 + i, (2, *size)) for size in sizes] for i in range(2))
    total = 0.0
    for x, y in zip(made, style, strict=True):
        stats = [(v.mean((2, 3)), np.sqrt(v.var((2, 3), ddof=1) + 1e-5)) for v in (x, y)]
        total += sum(float(np.square(a - b).mean()) for a, b in zip(*stats, strict=True))
    inputs = {f"{n}{i}": v for n, vs in (("made", made), ("style", style)) for i, v in enumerate(vs, 1)}
    assert run(spec("style_statistics", channels=(3, 5)), {}, **inputs)["output"] == pytest.approx(total, rel=1e-12)


MEAN, STD = (np.reshape(v, (1, 3, 1, 1)) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


@pytest.mark.parametrize("standardize", [True, False])
def test_johnsons_losses(standardize: bool) -> None:
    drawn = spec("johnson_perceptual", width=2, variation=1e-6, standardize=standardize)
    state: dict[str, Array] = dict(initial_state(drawn, 1))
    random = np.random.default_rng(6)
    sizes = {"made": (2, 3, 16, 16), "photograph": (2, 3, 16, 16), "painting": (1, 3, 24, 16)}
    images = {name: random.uniform(0, 255, size) for name, size in sizes.items()}
    layers = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
    vgg = spec("vgg16", width=2, taps=layers)
    own = {name.removeprefix("features."): value for name, value in state.items()}
    seen = {
        name: trace(vgg, own, {"image": (x / 255 - MEAN) / STD if standardize else x}).values
        for name, x in images.items()
    }
    losses = run(drawn, state, **images)
    content = np.square(seen["made"]["relu2_2"] - seen["photograph"]["relu2_2"]).mean()
    assert losses["content"] == pytest.approx(1e5 * content, rel=1e-9)
    style = 0.0
    for layer in layers:
        grams = [np.einsum("nchw,ndhw->ncd", f, f) / f[0].size for f in (seen[n][layer] for n in ("made", "painting"))]
        style += np.square(grams[0] - grams[1]).mean()
    assert losses["style"] == pytest.approx(1e10 * style, rel=1e-9)
    x = images["made"]
    variation = np.square(np.diff(x, axis=2)).sum() + np.square(np.diff(x, axis=3)).sum()
    assert losses["variation"] == pytest.approx(1e-6 * variation, rel=1e-9)
