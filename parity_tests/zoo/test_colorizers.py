"""ECCV16 and SIGGRAPH17: the published keys, counts and numbers, and what is easily drawn otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.zoo import published_colorizers
from parity_tests.zoo.golden_arrays import weights
from parity_tests.zoo.published import file_keys, published_keys
from twinzoo.ports.reference.port import PORT
from twinzoo.zoo.naming import module_paths
from twinzoo.zoo.registry import spec
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.show import parameter_count

Array = NDArray[Any]
RELEASED, TRAINING = "richzhang/colorization", "richzhang/colorization-pytorch"
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def conv(path: str, into: int, out: int, kernel: int, *, bias: bool = True) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The tensors of a convolution."""
    yield f"{path}.weight", (out, into, kernel, kernel)
    if bias:
        yield f"{path}.bias", (out,)


def block(path: str, channels: list[int], first: int = 0) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A Sequential of convolutions, each followed by a ReLU, from the module `first` on, with a norm at its end."""
    for i, (into, out) in enumerate(zip(channels, channels[1:], strict=False)):
        yield from conv(f"{path}.{first + 2 * i}", into, out, 3)
    end = first + 2 * (len(channels) - 1)
    yield from ((f"{path}.{end}.{role}", () if role == NORM[-1] else (channels[-1],)) for role in NORM)


def up(path: str, into: int, out: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A transposed convolution, whose weight has its input channels first."""
    yield f"{path}.weight", (into, out, 4, 4)
    yield f"{path}.bias", (out,)


def encoder(first: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """model1 to model7, which are the same in both."""
    yield from block("model1", [first, 64, 64])
    yield from block("model2", [64, 128, 128])
    yield from block("model3", [128, 256, 256, 256])
    yield from block("model4", [256, 512, 512, 512])
    for i in (5, 6, 7):
        yield from block(f"model{i}", [512] * 4)


def eccv16_keys() -> Iterator[tuple[str, tuple[int, ...]]]:
    """MODELS of richzhang/colorization, colorizers/eccv16.py."""
    yield from encoder(1)
    yield from up("model8.0", 512, 256)
    yield from conv("model8.2", 256, 256, 3)
    yield from conv("model8.4", 256, 256, 3)
    yield from conv("model8.6", 256, 313, 1)
    yield from conv("model_out", 313, 2, 1, bias=False)


def siggraph17_keys() -> Iterator[tuple[str, tuple[int, ...]]]:
    """MODELS of richzhang/colorization, colorizers/siggraph17.py, where shortcuts come after the blocks."""
    yield from encoder(4)
    yield from up("model8up.0", 512, 256)
    yield from block("model8", [256] * 3, first=1)
    yield from up("model9up.0", 256, 128)
    yield from block("model9", [128] * 2, first=1)
    yield from up("model10up.0", 128, 128)
    yield from conv("model10.1", 128, 128, 3)
    yield from conv("model3short8.0", 256, 256, 3)
    yield from conv("model2short9.0", 128, 128, 3)
    yield from conv("model1short10.0", 64, 128, 3)
    yield from conv("model_class.0", 256, 529, 1)
    yield from conv("model_out.0", 128, 2, 1)


KEYS = [
    ("eccv16", RELEASED, eccv16_keys, 32_236_011, 82),
    ("siggraph17", RELEASED, siggraph17_keys, 34_187_027, 107),
    ("siggraph17", TRAINING, siggraph17_keys, 34_187_027, 107),
]


@pytest.mark.parametrize(("name", "naming", "keys", "parameters", "count"), KEYS)
def test_keys_shapes_order_and_counts(name: str, naming: str, keys: Any, parameters: int, count: int) -> None:
    drawn = spec(name)
    assert list(file_keys(drawn, naming).items()) == list(keys())
    assert parameter_count(drawn) == parameters
    assert len(file_keys(drawn, naming)) == count


def inputs_of(drawn: Spec, size: tuple[int, int] = (16, 24)) -> dict[str, Array]:
    """Two images over the whole range of each input, float64."""
    random = np.random.default_rng(4)
    return {
        name: random.uniform(*item.span, (2, int(str(item.value.shape[1])), *size))
        for name, item in drawn.inputs.items()
    }


def network(drawn: Spec, state: dict[str, Array], **options: Any) -> Any:
    """The published module with the spec's weights, in double and eval mode."""
    torch = pytest.importorskip("torch")
    made = getattr(published_colorizers, drawn.name)(width=4, **options).double().eval()
    keys = published_keys(drawn, RELEASED)
    carried = {keys[name]: torch.from_numpy(value).double() for name, value in state.items()}
    counters = {key: torch.zeros(()) for key in made.state_dict().keys() - carried.keys()}
    made.load_state_dict(carried | counters)
    return made


@pytest.mark.parametrize("name", ["eccv16", "siggraph17"])
def test_same_keys_and_same_numbers(name: str) -> None:
    torch = pytest.importorskip("torch")
    drawn = spec(name, width=4)
    state, inputs = weights(drawn, seed=3), inputs_of(drawn)
    theirs = network(drawn, state)
    shapes = [(key, tuple(tensor.shape)) for key, tensor in theirs.state_dict().items()]
    assert list(file_keys(drawn, RELEASED).items()) == shapes
    model = PORT.build(drawn)
    PORT.load(model, state)
    made = PORT.run(model, inputs)
    with torch.no_grad():
        logits, ab = theirs(*(torch.from_numpy(value) for value in inputs.values()))
    np.testing.assert_allclose(made["logits"], logits.numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(made["ab"], ab.numpy(), rtol=1e-9, atol=1e-9)
    assert np.abs(made["ab"]).max() > 1


KINDS = {
    "batch_norm": "BatchNorm2d",
    "conv2d": "Conv2d",
    "conv_transpose2d": "ConvTranspose2d",
    "interpolate": "Upsample",
    "leaky_relu": "LeakyReLU",
    "relu": "ReLU",
    "softmax": "Softmax",
    "tanh": "Tanh",
}


@pytest.mark.parametrize("name", ["eccv16", "siggraph17"])
def test_every_module_has_its_node(name: str) -> None:
    pytest.importorskip("torch")
    drawn = spec(name, width=2)
    named = {path: KINDS[drawn.nodes[node].op] for node, path in module_paths(drawn, RELEASED).items()}
    modules = getattr(published_colorizers, name)(width=2).named_modules()
    kinds = {path: type(module).__name__ for path, module in modules if path}
    assert named == {path: kind for path, kind in kinds.items() if kind != "Sequential"}


@pytest.mark.parametrize("stage", ["classification", "regression"])
def test_each_stage_detaches_what_the_training_code_detaches(stage: str) -> None:
    """Every parameter's gradient of both heads at once is that of the published forward."""
    torch = pytest.importorskip("torch")
    drawn = spec("siggraph17", width=4, stage=stage)
    state, inputs = weights(drawn), inputs_of(drawn, (8, 16))
    theirs = network(drawn, state, classification=stage == "classification")
    random = np.random.default_rng(5)
    pulled = {"ab": random.normal(0, 1, (2, 2, 8, 16)), "logits": random.normal(0, 1, (2, 529, 2, 4))}
    logits, ab = theirs(*(torch.from_numpy(value) for value in inputs.values()))
    ((logits * torch.from_numpy(pulled["logits"])).sum() + (ab * torch.from_numpy(pulled["ab"])).sum()).backward()
    model = PORT.build(drawn)
    PORT.load(model, state)
    gradients = PORT.gradients(model, inputs, pulled)
    parameters = dict(theirs.named_parameters())
    for name, key in published_keys(drawn, RELEASED).items():
        if key in parameters:
            expected = parameters[key].grad.numpy()
            np.testing.assert_allclose(gradients[name], expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())


def test_stages_differ_in_gradients_alone() -> None:
    drawn = [spec("siggraph17", width=2, stage=stage) for stage in ("classification", "regression")]
    state, inputs = weights(drawn[0]), inputs_of(drawn[0])
    outputs = []
    for one in drawn:
        model = PORT.build(one)
        PORT.load(model, state)
        outputs.append(PORT.run(model, inputs))
    assert all(np.array_equal(outputs[0][name], outputs[1][name]) for name in ("ab", "logits"))


@pytest.mark.parametrize("name", ["eccv16", "siggraph17"])
def test_lightness_is_halved_twice(name: str) -> None:
    """(L* - 50) / 100, where the other colorizers divide by 50; and raw a*, b* over 110."""
    nodes = spec(name, width=2).nodes
    assert (nodes["normalized"].attrs["scale"], nodes["normalized"].attrs["shift"]) == (0.01, -0.5)
    assert nodes["ab"].attrs["scale"] == 110
    if name == "siggraph17":
        assert nodes["hint_scaled"].attrs["scale"] == 1 / 110


@pytest.mark.parametrize("name", ["eccv16", "siggraph17"])
def test_norms_come_after_the_relus(name: str) -> None:
    drawn = spec(name, width=2)
    norms = [node for node in drawn.nodes.values() if node.op == "batch_norm"]
    assert len(norms) == (7 if name == "eccv16" else 9)
    assert {drawn.nodes[node.inputs[0].node].op for node in norms} == {"relu"}


def test_siggraph17_takes_every_second_pixel_and_adds_its_skips() -> None:
    drawn = spec("siggraph17", width=2)
    convs = [node for node in drawn.nodes.values() if node.op == "conv2d"]
    assert {node.attrs["stride"] for node in convs} == {(1, 1)}
    pools = [node.attrs for node in drawn.nodes.values() if node.op == "max_pool2d"]
    assert [(pool["kernel"], pool["stride"], pool["padding"]) for pool in pools] == [((1, 1), (2, 2), (0, 0))] * 3
    assert [node.name for node in drawn.nodes.values() if node.op == "add"] == ["sum8", "sum9", "sum10"]
    assert [node.name for node in drawn.nodes.values() if node.op == "concat"] == ["given"]


def test_siggraph17_decodes_once() -> None:
    """The released forward draws its decoder twice, which would move the running statistics twice in training."""
    ops = [node.op for node in spec("siggraph17", width=2).nodes.values()]
    assert [ops.count(op) for op in ("conv_transpose2d", "conv2d", "tanh")] == [3, 28, 1]


def test_the_mask_is_centred_where_asked() -> None:
    drawn = spec("siggraph17", width=2, mask_centre=0.5)
    state, inputs = weights(drawn), inputs_of(drawn)
    outputs = []
    for one, mask in ((drawn, inputs["mask"]), (spec("siggraph17", width=2), inputs["mask"] - 0.5)):
        model = PORT.build(one)
        PORT.load(model, state)
        outputs.append(PORT.run(model, inputs | {"mask": mask})["ab"])
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-12)


def test_training_eccv16_has_no_decoder() -> None:
    drawn = spec("eccv16", width=2, decode=False)
    assert list(drawn.outputs) == ["logits"]
    assert "decoder.weight" not in drawn.params
    assert drawn.params.keys() == spec("eccv16", width=2).params.keys() - {"decoder.weight"}
