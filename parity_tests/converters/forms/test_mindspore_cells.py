"""From PyTorch's modules into MindSpore's cells and back: both do the same, and what comes back is what went in."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
mindspore = pytest.importorskip("mindspore")

from twinzoo.converters.forms import carry, idle  # noqa: E402
from twinzoo.converters.layers import Shape, layers_of  # noqa: E402
from twinzoo.zoo.errors import ConversionError  # noqa: E402

nn, ops = mindspore.nn, mindspore.ops

TANH = 2e-4
"""The error of MindSpore's tanh on a CPU, which its recurrent cells are made of, but not its LSTM operator."""


def shapes_of(state: dict[str, Any]) -> dict[str, Shape]:
    return {name: value.shape for name, value in state.items()}


def arrays_of(cell: Any) -> dict[str, Any]:
    """A cell's tensors by the names that they have in the file of a network that contains it."""
    return {name: parameter.asnumpy().copy() for name, parameter in cell.parameters_and_names()}


def tensors_of(module: Any) -> dict[str, Any]:
    return {name: value.detach().numpy().copy() for name, value in module.state_dict().items()}


def assign(cell: Any, state: dict[str, Any]) -> None:
    for name, parameter in cell.parameters_and_names():
        parameter.set_data(mindspore.Tensor(np.asarray(state[name], np.float32)))


def noise(*shape: int) -> Any:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def randomised(module: Any) -> Any:
    """A module whose every parameter is drawn, biases too, and whose running variance is not 1."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.5)
        for name, buffer in module.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.uniform_(0.5, 2)
    return module.eval()


def filled(cell: Any, module: Any, converted: Any) -> Any:
    """The cell with a module's weights; the way back gives the same bits."""
    state = tensors_of(module)
    made = converted(state, shapes_of(arrays_of(cell)))
    assign(cell, made)
    back = converted(arrays_of(cell), shapes_of(state))
    if state.keys() == dict(module.named_parameters()).keys():
        assert all(np.array_equal(back[key], value) for key, value in state.items())
    return cell.set_train(False)


def close(one: Any, other: Any, bound: float = 1e-6) -> None:
    a, b = one.detach().numpy(), other.asnumpy()
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= bound * np.abs(a).max()


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("bias", [True, False])
def test_recurrent_networks(kind: str, layers: int, both_ways: bool, bias: bool, converted: Any) -> None:
    module = randomised(getattr(torch.nn, kind)(3, 4, layers, bidirectional=both_ways, bias=bias))
    cell = filled(getattr(nn, kind)(3, 4, layers, bidirectional=both_ways, has_bias=bias), module, converted)
    x = noise(5, 2, 3)
    close(module(torch.from_numpy(x))[0], cell(mindspore.Tensor(x))[0], 1e-6 if kind == "LSTM" else TANH)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_cells(kind: str, converted: Any) -> None:
    module = randomised(getattr(torch.nn, f"{kind}Cell")(3, 4))
    cell = filled(getattr(nn, f"{kind}Cell")(3, 4), module, converted)
    x, h = noise(2, 3), noise(2, 4)
    states = [(make(h), make(h)) if kind == "LSTM" else make(h) for make in (torch.from_numpy, mindspore.Tensor)]
    ours, theirs = module(torch.from_numpy(x), states[0]), cell(mindspore.Tensor(x), states[1])
    close(*((ours[0], theirs[0]) if kind == "LSTM" else (ours, theirs)), TANH)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_network_of_one_layer_becomes_a_cell_of_the_other_framework(kind: str, converted: Any) -> None:
    module = randomised(getattr(torch.nn, kind)(3, 4))
    cell = filled(getattr(nn, f"{kind}Cell")(3, 4), module, converted)
    x, h = noise(1, 2, 3), mindspore.Tensor(np.zeros((2, 4), np.float32))
    found = cell(mindspore.Tensor(x[0]), (h, h) if kind == "LSTM" else h)
    close(module(torch.from_numpy(x))[0][0], found[0] if kind == "LSTM" else found, TANH)


class FlatLSTM(nn.Cell):  # type: ignore[misc,name-defined]
    """MindSpore's LSTM operator, which takes all its weights as one flat tensor, on the CPU with one bias."""

    def __init__(self, inputs: int, hidden: int, both_ways: bool, bias: bool) -> None:
        super().__init__()
        self.directions, self.hidden = 1 + both_ways, hidden
        size = self.directions * 4 * hidden * (inputs + hidden + bias)
        self.weight = mindspore.Parameter(mindspore.Tensor(noise(size, 1, 1)), name="weight")
        self.lstm = ops.LSTM(inputs, hidden, 1, bias, both_ways, 0.0)

    def construct(self, x: Any) -> Any:
        h = ops.zeros((self.directions, x.shape[1], self.hidden), mindspore.float32)
        return self.lstm(x, h, h, self.weight)[0]


@pytest.mark.parametrize(("both_ways", "bias"), [(False, True), (False, False), (True, True)])
def test_flat_weights_of_the_lstm_operator(both_ways: bool, bias: bool, converted: Any) -> None:
    module = randomised(torch.nn.LSTM(3, 4, bidirectional=both_ways, bias=bias))
    cell = FlatLSTM(3, 4, both_ways, bias)
    state = converted(tensors_of(module), shapes_of(arrays_of(cell)))
    assign(cell, state)
    x = noise(5, 2, 3)
    close(module(torch.from_numpy(x))[0], cell(mindspore.Tensor(x)))
    back = converted(arrays_of(cell), shapes_of(tensors_of(module)))
    module.load_state_dict({key: torch.from_numpy(value.copy()) for key, value in back.items()})
    close(module(torch.from_numpy(x))[0], cell(mindspore.Tensor(x)))


def test_flat_weights_in_two_directions_without_biases_are_refused() -> None:
    """The CPU's order is known, another device's is not, and nothing in the tensor tells which it is."""
    module, cell = torch.nn.LSTM(3, 4, bidirectional=True, bias=False), FlatLSTM(3, 4, True, False)
    source, target = (layers_of(shapes_of(s))[""] for s in (tensors_of(module), arrays_of(cell)))
    assert not carry(source, target).fits
    assert not carry(target, source).fits


@pytest.mark.parametrize("context", [8, 6])
@pytest.mark.parametrize("bias", [True, False])
def test_attention(context: int, bias: bool, converted: Any) -> None:
    module = randomised(torch.nn.MultiheadAttention(8, 2, bias=bias, kdim=context, vdim=context, add_bias_kv=bias))
    cell = nn.MultiheadAttention(8, 2, has_bias=bias, kdim=context, vdim=context, add_bias_kv=bias)
    filled(cell, module, converted)
    x, y = noise(5, 2, 8), noise(4, 2, context)
    ours = module(*map(torch.from_numpy, (x, y, y)))[0]
    close(ours, cell(*map(mindspore.Tensor, (x, y, y)))[0])


class Separate(nn.Cell):  # type: ignore[misc,name-defined]
    """Self-attention of one head by hand, with MindSpore's words."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Dense(width, width) for _ in range(3))
        self.out_proj = nn.Dense(width, width)

    def construct(self, x: Any) -> Any:
        q, k, v = self.query(x), self.key(x), self.value(x)
        scores = ops.softmax(ops.matmul(q, k.swapaxes(1, 2)) / q.shape[-1] ** 0.5, -1)
        return self.out_proj(ops.matmul(scores, v))


def test_packed_attention_into_cells_of_its_own_kind(converted: Any) -> None:
    module = randomised(torch.nn.MultiheadAttention(8, 1, batch_first=True))
    cell = filled(Separate(8), module, converted)
    x = noise(2, 5, 8)
    close(module(*[torch.from_numpy(x)] * 3)[0], cell(mindspore.Tensor(x)))


@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm"])
@pytest.mark.parametrize("way", ["hook", "parametrization"])
@pytest.mark.parametrize("layer", ["conv1d", "conv2d", "conv_transpose2d", "dense"])
def test_norms_of_weights_are_folded(norm: str, way: str, layer: str, converted: Any) -> None:
    module, cell, x = {
        "conv1d": (torch.nn.Conv1d(3, 5, 3), nn.Conv1d(3, 5, 3, pad_mode="valid", has_bias=True), noise(2, 3, 9)),
        "conv2d": (torch.nn.Conv2d(3, 5, 3), nn.Conv2d(3, 5, 3, pad_mode="valid", has_bias=True), noise(2, 3, 9, 9)),
        "conv_transpose2d": (
            torch.nn.ConvTranspose2d(3, 5, 4, 2),
            nn.Conv2dTranspose(3, 5, 4, 2, pad_mode="valid", has_bias=True),
            noise(2, 3, 5, 5),
        ),
        "dense": (torch.nn.Linear(6, 4), nn.Dense(6, 4), noise(2, 6)),
    }[layer]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        place = torch.nn.utils if way == "hook" else torch.nn.utils.parametrizations
        module = getattr(place, norm)(module)
    module(torch.from_numpy(x))  # a spectral norm takes its first step
    module.eval()
    state = converted(tensors_of(module), shapes_of(arrays_of(cell)))
    assign(cell, state)
    close(module(torch.from_numpy(x)), cell(mindspore.Tensor(x)))


@pytest.mark.parametrize("count", [1, 3])
def test_prelu(count: int, converted: Any) -> None:
    module = randomised(torch.nn.PReLU(count))
    cell = filled(nn.PReLU(count), module, converted)
    x = noise(2, 3, 4, 4)
    close(module(torch.from_numpy(x)), cell(mindspore.Tensor(x)))


def test_embedding_and_conv1d(converted: Any) -> None:
    module = randomised(torch.nn.Embedding(7, 3))
    cell = filled(nn.Embedding(7, 3), module, converted)
    x = np.array([[1, 6, 0]], np.int32)
    close(module(torch.from_numpy(x)), cell(mindspore.Tensor(x)))
    module = randomised(torch.nn.Conv1d(3, 5, 3))
    cell = filled(nn.Conv1d(3, 5, 3, pad_mode="valid", has_bias=True), module, converted)
    close(module(torch.from_numpy(noise(2, 3, 9))), cell(mindspore.Tensor(noise(2, 3, 9))))


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm(affine: bool, converted: Any) -> None:
    """MindSpore keeps gamma and beta without `affine`, and PyTorch a counter."""
    module = randomised(torch.nn.BatchNorm2d(3, affine=affine))
    cell = filled(nn.BatchNorm2d(3, affine=affine), module, converted)
    x = noise(2, 3, 4, 4)
    close(module(torch.from_numpy(x)), cell(mindspore.Tensor(x)))


def test_gamma_that_is_not_1_is_not_left_out(converted: Any) -> None:
    state = arrays_of(nn.BatchNorm2d(3))
    target = shapes_of(tensors_of(torch.nn.BatchNorm2d(3, affine=False)))
    assert converted(state, target)["num_batches_tracked"] == 0
    state["beta"] = noise(3)
    with pytest.raises(ConversionError, match="beta: .* not 0 everywhere"):
        converted(state, target)


@pytest.mark.parametrize("make", [lambda: nn.GroupNorm(2, 4, affine=False), lambda: nn.BatchNorm2d(4, affine=False)])
def test_a_norm_without_affine_holds_what_idle_says(make: Any) -> None:
    state = arrays_of(make())
    numbers = idle(layers_of(shapes_of(state))[""])
    assert numbers.keys() == state.keys()
    assert all(np.all(state[key] == number) for key, number in numbers.items())
