"""What calls of MindSpore mean: a cell is traced, its graph drawn as a spec, and the reference computes the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.converters.graph import Graph
from twinzoo.converters.live import Trace
from twinzoo.ports.mindspore.runtime import prepare
from twinzoo.ports.reference.port import PORT
from twinzoo.zoo.spec import Node, Spec
from twinzoo.zoo.spec.schema import OPS
from twinzoo.zoo.spec.vocabulary import from_native

prepare()
ms = pytest.importorskip("mindspore")

from mindspore import Parameter, Tensor, mint, nn, ops  # noqa: E402

from twinzoo.converters.live.mindspore.model import arrays_of, trace  # noqa: E402

Array = NDArray[Any]

IMAGE = np.random.default_rng(0).standard_normal((2, 4, 8, 6)).astype(np.float32)
OTHER = np.random.default_rng(1).standard_normal((2, 4, 8, 6)).astype(np.float32)
ROW = IMAGE[:, :, 0, :]


def weight(*shape: int, name: str = "weight") -> Any:
    """A parameter with values of its own."""
    values = np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)
    return Parameter(Tensor(values), name=name)


class Calls(nn.Cell):  # type: ignore[misc]
    """A cell that makes some calls with its parameters and cells."""

    def __init__(self, calls: Callable[..., Any], *parts: Any) -> None:
        super().__init__()
        self.calls = calls
        self.count = len(parts)
        for place, part in enumerate(parts):
            setattr(self, f"part{place}", part)

    def construct(self, *inputs: Any) -> Any:
        """Call with the inputs and then the parts."""
        return self.calls(*inputs, *(getattr(self, f"part{place}") for place in range(self.count)))


def shuffled(cell: Any) -> Any:
    """The cell with other weights and statistics than those it starts with."""
    random = np.random.default_rng(3)
    for parameter in cell.get_parameters():
        values = random.uniform(0.5, 1.5, parameter.shape).astype(np.float32)
        parameter.set_data(Tensor(values, parameter.dtype))
    return cell


def drawn(done: Trace, arrays: dict[str, Array]) -> tuple[Spec, dict[str, Array], dict[str, Array]]:
    """The graph of a trace as a spec, its state, and its inputs."""
    graph, spec = done.graph, Spec("traced")
    made: list[Any] = []
    state: dict[str, Array] = {}
    inputs: dict[str, Array] = {}
    given = [array for value in done.inputs.values() for array in (value if isinstance(value, tuple) else (value,))]
    outputs: dict[str, Any] = {}
    for place, operation in enumerate(graph.operations):
        name = f"n{place}"
        operands = [spec.values(made[source].node)[output] if made[source].node in spec.nodes else made[source]
                    for source, output in operation.operands]  # fmt: skip
        if operation.kind == "input":
            inputs[name] = given[int(str(operation.attrs["index"]))]
            kind = "int" if inputs[name].dtype.kind == "i" else "float"
            made.append(spec.input(name, shape=inputs[name].shape, dtype=kind))
        elif operation.kind == "output":
            outputs[name] = operands[0]
            made.append(None)
        else:
            made.append(getattr(spec, operation.kind)(name, *operands, **operation.attrs))
            if operation.layer:
                state |= weights_of(graph, operation.layer, spec.nodes[name], arrays)
    spec.output(**outputs)
    return spec, state, inputs


def weights_of(graph: Graph, layer: str, node: Node, arrays: dict[str, Array]) -> dict[str, Array]:
    """The tensors that a node of the spec needs, from those of its layer."""
    tensors = graph.layers[layer].tensors
    return {
        f"{node.name}.{role}": from_native("mindspore", node.op, role, arrays[tensors[role].key])
        for role in node.params
    }


def check(done: Trace, arrays: dict[str, Array]) -> None:
    """Hold the outputs of a trace against the reference, given the graph alone."""
    spec, state, inputs = drawn(done, arrays)
    model = PORT.build(spec)
    PORT.load(model, state)
    for ours, theirs in zip(PORT.run(model, inputs).values(), done.outputs.values(), strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=2e-4)


def kinds(done: Trace) -> list[str]:
    """The operations between inputs and outputs."""
    return [op.kind for op in done.graph.operations if op.kind not in ("input", "output")]


FUNCTIONS: dict[str, tuple[str, Callable[..., Any]]] = {
    "ops.relu": ("relu", lambda x: ops.relu(x)),
    "ReLU primitive": ("relu", lambda x: ops.ReLU()(x)),
    "method": ("sigmoid", lambda x: x.sigmoid()),
    "minus": ("neg", lambda x: -x),
    "abs": ("abs", lambda x: abs(x)),
    "leaky_relu": ("leaky_relu", lambda x: ops.leaky_relu(x, 0.3)),
    "leaky_relu default": ("leaky_relu", lambda x: ops.leaky_relu(x)),
    "elu": ("elu", lambda x: ops.elu(x)),
    "gelu": ("gelu", lambda x: ops.gelu(x)),
    "gelu tanh": ("gelu", lambda x: ops.gelu(x, approximate="tanh")),
    "GeLU primitive": ("gelu", lambda x: ops.GeLU()(x)),
    "softplus": ("softplus", lambda x: ops.softplus(x)),
    "silu": ("silu", lambda x: ops.silu(x)),
    "tanh written out": ("tanh", lambda x: 2 * ops.sigmoid(2 * x) - 1),
    "hardtanh": ("clamp", lambda x: ops.hardtanh(x, -0.5, 0.25)),
    "relu6": ("clamp", lambda x: ops.relu6(x * 9)),
    "clamp": ("clamp", lambda x: ops.clamp(x, 0.1)),
    "clip": ("clamp", lambda x: ops.clip(x, max=0.1)),
    "maximum of a number": ("clamp", lambda x: ops.maximum(x, 0.1)),
    "minimum of a number": ("clamp", lambda x: ops.minimum(x, 0.1)),
    "x + number": ("affine", lambda x: x + 3),
    "number - x": ("affine", lambda x: 3 - x),
    "x - number": ("affine", lambda x: x - 3),
    "x / number": ("affine", lambda x: x / 4),
    "number * x": ("affine", lambda x: 4 * x),
    "scale and shift": ("affine", lambda x: (x * 0.5 + 1) * 3),
    "in place": ("affine", lambda x: _in_place(x)),
    "x ** number": ("pow", lambda x: x**2),
    "square": ("square", lambda x: ops.square(x)),
    "reshape": ("reshape", lambda x: x.reshape(x.shape[0], -1, 3)),
    "reshape kept": ("reshape", lambda x: x.view(2, 4, 48)[:, :, :].reshape((2, 4, 2, 24))),
    "flatten": ("flatten", lambda x: ops.flatten(x)),
    "flatten by reshape": ("flatten", lambda x: x.reshape(x.shape[0], -1)),
    "flatten from 2": ("flatten", lambda x: ops.flatten(x, start_dim=2)),
    "permute": ("transpose", lambda x: ops.permute(x, (0, 2, 3, 1))),
    "transpose method": ("transpose", lambda x: x.transpose(0, 2, 3, 1)),
    "ops.transpose": ("transpose", lambda x: ops.transpose(x, (0, 3, 1, 2))),
    "swapaxes": ("transpose", lambda x: ops.swapaxes(x, 1, -1)),
    "slice": ("slice", lambda x: x[:, 1:3]),
    "slice from behind": ("slice", lambda x: x[..., -3:]),
    "one of several pieces": ("slice", lambda x: ops.chunk(x, 2, 1)[1]),
    "narrow": ("slice", lambda x: ops.narrow(x, 2, 1, 3)),
    "slice steps": ("slice", lambda x: x[:, :, ::2]),
    "flip": ("flip", lambda x: ops.flip(x, (-1,))),
    "mean": ("mean", lambda x: x.mean((2, 3), keep_dims=True)),
    "ops.mean": ("mean", lambda x: ops.mean(x)),
    "ReduceMean": ("mean", lambda x: ops.ReduceMean(keep_dims=True)(x, (-1, 2))),
    "sum": ("sum", lambda x: ops.sum(x, dim=(2, 3))),
    "amax": ("amax", lambda x: ops.amax(x, (2,))),
    "largest of all": ("amax", lambda x: x.max()),
    "var": ("var", lambda x: ops.var(x, axis=(2, 3), keepdims=True)),
    "std unbiased": ("std", lambda x: x.std(axis=1, ddof=1)),
    "softmax": ("softmax", lambda x: ops.softmax(x, axis=1)),
    "softmax default": ("softmax", lambda x: ops.softmax(x)),
    "log_softmax": ("log_softmax", lambda x: ops.log_softmax(x, axis=1)),
    "logsumexp": ("logsumexp", lambda x: ops.logsumexp(x, 1)),
    "cumsum": ("cumsum", lambda x: ops.cumsum(x, 2)),
    "pad": ("pad2d", lambda x: ops.pad(x, (1, 2, 3, 0))),
    "pad of two": ("pad2d", lambda x: ops.pad(x, (1, 2))),
    "pad reflect": ("pad2d", lambda x: ops.pad(x, (1, 2, 3, 0), mode="reflect")),
    "Pad": ("pad2d", lambda x: ops.Pad(((0, 0), (0, 0), (1, 2), (3, 0)))(x)),
    "max_pool2d": ("max_pool2d", lambda x: ops.max_pool2d(x, 3, stride=2, padding=1)),
    "avg_pool2d": ("avg_pool2d", lambda x: ops.avg_pool2d(x, (2, 3), stride=(1, 2))),
    "avg_pool2d default stride": ("avg_pool2d", lambda x: ops.avg_pool2d(x, 3)),
    "avg_pool2d not counted": (
        "avg_pool2d",
        lambda x: ops.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False),
    ),
    "adaptive_avg_pool2d": ("adaptive_avg_pool2d", lambda x: ops.adaptive_avg_pool2d(x, (3, 5))),
    "adaptive of one side": ("adaptive_avg_pool2d", lambda x: ops.adaptive_avg_pool2d(x, (None, 1))),
    "nearest": ("interpolate", lambda x: ops.interpolate(x, size=(16, 12))),
    "bilinear": ("interpolate", lambda x: ops.interpolate(x, size=(5, 9), mode="bilinear")),
    "bilinear aligned": (
        "interpolate",
        lambda x: ops.interpolate(x, size=(16, 12), mode="bilinear", align_corners=True),
    ),
    "pixel_shuffle": ("pixel_shuffle", lambda x: ops.pixel_shuffle(x, 2)),
    "group_norm": ("group_norm", lambda x: ops.group_norm(x, 2)),
    "instance norm": ("instance_norm", lambda x: ops.group_norm(x, 4, eps=1e-3)),
    "topk": ("topk", lambda x: ops.topk(x, 2)[0]),
}


def _in_place(x: Any) -> Any:
    y = x.copy()
    y += 2
    return y


@pytest.mark.parametrize("case", FUNCTIONS)
def test_a_function_of_one_tensor(case: str) -> None:
    kind, call = FUNCTIONS[case]
    model = Calls(call)
    done = trace(model, (IMAGE,))
    assert kind in kinds(done) and not [k for k in kinds(done) if k not in OPS]
    check(done, {})


OF_TWO: dict[str, tuple[str, Callable[..., Any]]] = {
    "add": ("add", lambda x, y: x + y),
    "sub": ("sub", lambda x, y: ops.sub(x, y)),
    "sub of a slice": ("sub", lambda x, y: x[:, :1] - y),
    "mul": ("mul", lambda x, y: x * y),
    "div": ("div", lambda x, y: x / (2 + abs(y))),
    "maximum": ("maximum", lambda x, y: ops.maximum(x, y)),
    "cat": ("concat", lambda x, y: ops.cat([y, x], 1)),
    "concat": ("concat", lambda x, y: ops.concat((x, y), axis=-1)),
    "Concat": ("concat", lambda x, y: ops.Concat(axis=2)((x, y, x))),
    "stack": ("stack", lambda x, y: ops.stack([x, y], axis=1)),
    "matmul": ("matmul", lambda x, y: ops.matmul(x, y.swapaxes(2, 3))),
    "@": ("matmul", lambda x, y: x @ y.transpose(0, 1, 3, 2)),
    "bmm": ("matmul", lambda x, y: ops.bmm(ops.flatten(x, start_dim=2), ops.flatten(y, start_dim=2).swapaxes(1, 2))),
    "l1_loss": ("l1_loss", lambda x, y: ops.l1_loss(x, y)),
    "mse_loss": ("mse_loss", lambda x, y: ops.mse_loss(x, y, reduction="sum")),
    "smooth_l1_loss": ("smooth_l1_loss", lambda x, y: ops.smooth_l1_loss(x, y, beta=0.5)),
}


@pytest.mark.parametrize("case", OF_TWO)
def test_a_function_of_two_tensors(case: str) -> None:
    kind, call = OF_TWO[case]
    done = trace(Calls(call), (IMAGE, OTHER))
    assert kind in kinds(done) and not [k for k in kinds(done) if k not in OPS]
    check(done, {})


def test_padding_that_depends_on_the_size_is_no_number() -> None:
    model = nn.Conv2d(4, 3, 4, stride=2)
    (step,) = [op for op in trace(model, (IMAGE[:, :, :7],)).graph.operations if op.kind == "conv2d"]
    assert step.attrs["mindspore.pad_mode"] == "same"


@pytest.mark.parametrize("call", [lambda x: x[:, 1:], lambda x: x[:, 1:99], lambda x: x[:, -3:4]])
def test_one_slice_has_one_form(call: Callable[..., Any]) -> None:
    (step,) = [op for op in trace(Calls(call), (IMAGE,)).graph.operations if op.kind == "slice"]
    assert dict(step.attrs) == {"axis": 1, "start": 1, "stop": None, "step": 1}


def test_an_activation_in_a_layer_is_an_operation_of_its_own() -> None:
    model = shuffled(nn.Dense(6, 5, activation="relu"))
    done = trace(model, (ROW[0],))
    assert kinds(done) == ["linear", "relu"]
    check(done, arrays_of(model))


def test_indices_along_an_axis() -> None:
    done = trace(Calls(lambda x, i: ops.gather(x, i, 1)), (IMAGE, np.array([3, 0, 0], np.int32)))
    assert kinds(done) == ["gather"]
    check(done, {})
    done = trace(Calls(lambda x, i: x[:, i]), (IMAGE, np.array([3, 0, 0], np.int32)))
    assert kinds(done) == ["gather"]
    check(done, {})


CELLS: dict[str, tuple[str, Callable[[], Any]]] = {
    "conv same 3": ("conv2d", lambda: nn.Conv2d(4, 3, 3, has_bias=True)),
    "conv same 4/2": ("conv2d", lambda: nn.Conv2d(4, 3, 4, stride=2)),
    "conv valid": ("conv2d", lambda: nn.Conv2d(4, 6, (3, 2), pad_mode="valid", group=2, dilation=(1, 2))),
    "conv pad": ("conv2d", lambda: nn.Conv2d(4, 3, 3, pad_mode="pad", padding=(2, 2, 1, 1), stride=2)),
    "transposed pad": ("conv_transpose2d", lambda: nn.Conv2dTranspose(4, 3, 4, stride=2, pad_mode="pad", padding=1)),
    "transposed less behind": (
        "conv_transpose2d",
        lambda: nn.Conv2dTranspose(4, 3, 3, stride=2, pad_mode="pad", padding=(1, 0, 1, 0), has_bias=True),
    ),
    "transposed same": ("conv_transpose2d", lambda: nn.Conv2dTranspose(4, 3, 4, stride=2)),
    "transposed valid": ("conv_transpose2d", lambda: nn.Conv2dTranspose(4, 4, 3, stride=2, pad_mode="valid", group=2)),
    "batch norm": ("batch_norm", lambda: nn.BatchNorm2d(4, eps=1e-3, momentum=0.8)),
    "group norm": ("group_norm", lambda: nn.GroupNorm(2, 4)),
    "instance norm": ("instance_norm", lambda: nn.GroupNorm(4, 4)),
    "layer norm": ("layer_norm", lambda: nn.LayerNorm((6,))),
    "layer norm of two axes": ("layer_norm", lambda: nn.LayerNorm((8, 6), 2, 2, epsilon=1e-4)),
    "prelu": ("prelu", lambda: nn.PReLU(4)),
    "dense": ("linear", lambda: nn.Dense(6, 5)),
    "dense without bias": ("linear", lambda: nn.Dense(6, 5, has_bias=False)),
    "mint linear": ("linear", lambda: mint.nn.Linear(6, 5)),
    "max pool": ("max_pool2d", lambda: nn.MaxPool2d(2, 2)),
    "max pool padded": ("max_pool2d", lambda: nn.MaxPool2d(3, 2, pad_mode="pad", padding=1, ceil_mode=True)),
    "max pool same": ("max_pool2d", lambda: nn.MaxPool2d(2, 2, pad_mode="same")),
    "avg pool": ("avg_pool2d", lambda: nn.AvgPool2d(2, 1)),
    "avg pool padded": (
        "avg_pool2d",
        lambda: nn.AvgPool2d(3, 2, pad_mode="pad", padding=1, count_include_pad=False),
    ),
    "adaptive pool": ("adaptive_avg_pool2d", lambda: nn.AdaptiveAvgPool2d(2)),
    "reflection": ("pad2d", lambda: nn.ReflectionPad2d((1, 2, 3, 0))),
    "replication": ("pad2d", lambda: nn.ReplicationPad2d((1, 2, 3, 0))),
    "zeros": ("pad2d", lambda: nn.ZeroPad2d((1, 2, 3, 0))),
    "nn.Pad": ("pad2d", lambda: nn.Pad(((0, 0), (0, 0), (1, 2), (3, 0)), mode="REFLECT")),
    "upsample": ("interpolate", lambda: nn.Upsample(size=(16, 12), mode="bilinear")),
    "flatten": ("flatten", lambda: nn.Flatten()),
    "leaky relu": ("leaky_relu", lambda: nn.LeakyReLU()),
    "gelu": ("gelu", lambda: nn.GELU()),
    "elu": ("elu", lambda: nn.ELU()),
    "tanh": ("tanh", lambda: nn.Tanh()),
    "softmax": ("softmax", lambda: nn.Softmax(axis=1)),
    "pixel shuffle": ("pixel_shuffle", lambda: nn.PixelShuffle(2)),
}


@pytest.mark.parametrize("case", CELLS)
def test_a_cell(case: str) -> None:
    kind, build = CELLS[case]
    model = shuffled(build())
    done = trace(model, (IMAGE,))
    assert kinds(done) == [kind]
    check(done, arrays_of(model))


def test_a_convolution_over_sequences() -> None:
    model = shuffled(nn.Conv1d(4, 3, 3, stride=2, pad_mode="pad", padding=1, has_bias=True))
    done = trace(model, (ROW,))
    assert kinds(done) == ["conv1d"]
    check(done, arrays_of(model))


def test_a_table_of_features() -> None:
    model = shuffled(nn.Embedding(5, 3))
    done = trace(model, (np.array([[0, 4, 2]], np.int32),))
    assert kinds(done) == ["embedding"]
    check(done, arrays_of(model))


WITH_WEIGHTS: dict[str, tuple[list[str], Callable[[], Any]]] = {
    "conv2d": (
        ["conv2d"],
        lambda: Calls(
            lambda x, w, b: ops.conv2d(x, w, b, stride=2, pad_mode="pad", padding=1),
            weight(3, 4, 3, 3),
            weight(3, name="bias"),
        ),
    ),
    "conv2d and bias_add": (
        ["conv2d"],
        lambda: Calls(
            lambda x, w, b: ops.bias_add(ops.conv2d(x, w, pad_mode="same"), b),
            weight(3, 4, 3, 3),
            weight(3, name="bias"),
        ),
    ),
    "Conv2D primitive": (
        ["conv2d"],
        lambda: Calls(lambda x, w: ops.Conv2D(3, 3, pad_mode="pad", pad=1)(x, w), weight(3, 4, 3, 3)),
    ),
    "Conv2DTranspose primitive": (
        ["conv_transpose2d"],
        lambda: Calls(
            lambda x, w: ops.Conv2DTranspose(4, 3, pad_mode="pad", pad=(1, 0, 1, 0), stride=2)(x, w, doubled(x, 3)),
            weight(4, 3, 3, 3),
        ),
    ),
    "dense": (
        ["linear"],
        lambda: Calls(lambda x, w, b: ops.dense(x, w, b), weight(5, 6), weight(5, name="bias")),
    ),
    "MatMul with rows of outputs": (
        ["flatten", "linear"],
        lambda: Calls(lambda x, w: ops.MatMul(transpose_b=True)(ops.flatten(x), w), weight(7, 192)),
    ),
    "batch_norm": (
        ["batch_norm"],
        lambda: Calls(
            lambda x, m, v, w, b: ops.batch_norm(x, m, v, w, b, eps=1e-2),
            *(shuffled_weight(4, name) for name in ("mean", "var", "weight", "bias")),
        ),
    ),
    "group_norm": (
        ["group_norm"],
        lambda: Calls(lambda x, w, b: ops.group_norm(x, 2, w, b), weight(4), weight(4, name="bias")),
    ),
    "prelu": (["prelu"], lambda: Calls(lambda x, w: ops.prelu(x, w), weight(4))),
}


def doubled(x: Any, channels: int) -> tuple[int, ...]:
    """The shape of x enlarged twice."""
    return x.shape[0], channels, 2 * x.shape[2], 2 * x.shape[3]


def shuffled_weight(size: int, name: str) -> Any:
    """A positive parameter."""
    return Parameter(Tensor(np.linspace(0.5, 1.5 + len(name), size).astype(np.float32)), name=name)


@pytest.mark.parametrize("case", WITH_WEIGHTS)
def test_a_function_with_weights(case: str) -> None:
    expected, build = WITH_WEIGHTS[case]
    model = build()
    done = trace(model, (IMAGE,))
    assert kinds(done) == expected
    assert len(done.graph.layers) == 1
    check(done, arrays_of(model))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: ops.stop_gradient(x),
        lambda x: x.astype(ms.float32),
        lambda x: ops.cast(x, ms.float32),
        lambda x: nn.Dropout(p=0.5).set_train(False)(x),
        lambda x: ops.dropout(x, p=0.5, training=False),
        lambda x: nn.Identity()(x),
        lambda x: x.copy(),
        lambda x: x.reshape(x.shape),
        lambda x: x[:],
        lambda x: x[..., :, :],
        lambda x: ops.cat([x], 1),
        lambda x: ops.permute(x, (0, 1, 2, 3)),
        lambda x: ops.pad(x, (0, 0, 0, 0)),
    ],
)
def test_what_changes_nothing_is_no_operation(call: Callable[..., Any]) -> None:
    done = trace(Calls(call), (IMAGE,))
    assert [op.kind for op in done.graph.operations] == ["input", "output"]


@pytest.mark.parametrize(
    ("build", "own"),
    [
        (lambda: nn.Conv2d(4, 3, 3, stride=2), {"mindspore.pad_mode": "same"}),
        (
            lambda: nn.Conv2d(4, 3, 3, pad_mode="pad", padding=(0, 1, 0, 1)),
            {"mindspore.padding_tblr": (0, 1, 0, 1)},
        ),
        (
            lambda: nn.Conv2dTranspose(4, 3, 3, stride=2),
            {"mindspore.before": (0, 0), "mindspore.behind": (1, 1)},
        ),
    ],
)
def test_what_the_table_has_no_words_for_is_told_in_mindspores(build: Callable[[], Any], own: dict[str, Any]) -> None:
    (step,) = [op for op in trace(build(), (IMAGE,)).graph.operations if op.kind in OPS]
    assert {name: value for name, value in step.attrs.items() if "." in name} == own


@pytest.mark.parametrize(
    ("call", "kind", "attrs"),
    [
        (lambda x: ops.tile(x, (1, 2, 1, 1)), "mindspore.tile", {"dims": (1, 2, 1, 1)}),
        (lambda x: x[:, 0], "mindspore.getitem", {"index": (("slice", None, None, None), "0")}),
        (lambda x: ops.minimum(x, x * x), "mindspore.minimum", {}),
        (lambda x: 1 / x, "mindspore.rtruediv", {"1": 1}),
        (lambda x: ops.softplus(x, beta=2), "mindspore.softplus", {"beta": 2, "threshold": 20}),
    ],
)
def test_an_operation_beyond_the_table_has_mindspores_name(
    call: Callable[..., Any], kind: str, attrs: dict[str, Any]
) -> None:
    found = [op for op in trace(Calls(call), (IMAGE,)).graph.operations if op.kind == kind]
    assert len(found) == 1
    assert dict(found[0].attrs) == attrs


def test_outputs_of_one_operation_are_told_apart() -> None:
    done = trace(Calls(lambda x: ops.topk(x, 2)[::-1]), (IMAGE,))
    assert [op.operands for op in done.graph.operations[2:]] == [((1, 1),), ((1, 0),)]


@pytest.mark.parametrize(
    "call", [lambda x: ops.split(x, 3, 1), lambda x: ops.chunk(x, 2, 1), lambda x: x.split([1, 2, 1], 1)]
)
def test_pieces_are_slices(call: Callable[..., Any]) -> None:
    done = trace(Calls(call), (IMAGE,))
    assert set(kinds(done)) == {"slice"} and len(kinds(done)) == len(done.outputs)
    check(done, {})


def test_networks_with_a_memory_and_attention() -> None:
    class Reader(nn.Cell):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.forward = nn.LSTM(6, 3, num_layers=2, bidirectional=True, batch_first=True)
            self.again = nn.GRU(6, 4)
            self.attention = nn.MultiheadAttention(4, 2)
            self.step = nn.GRUCell(4, 2)

        def construct(self, x: Any) -> Any:
            y, (_, memory) = self.forward(x)
            y, _ = self.again(y)
            y, _ = self.attention(y, y, y)
            return self.step(y[0], ops.zeros((4, 2), ms.float32)), memory

    done = trace(Reader(), (ROW,))
    found = {op.kind: dict(op.attrs) for op in done.graph.operations}
    assert found["lstm"] == {"hidden_size": 3, "num_layers": 2, "bidirectional": True, "batch_first": True}
    assert found["gru"] == {"hidden_size": 4, "num_layers": 1, "bidirectional": False, "batch_first": False}
    assert found["multihead_attention"] == {"num_heads": 2, "batch_first": False}
    assert found["gru_cell"] == {"hidden_size": 2}
    layers = {layer.kind: set(layer.tensors) for layer in done.graph.layers.values()}
    assert layers["multihead_attention"] == {"in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"}
    assert layers["gru"] == {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"}
    assert done.graph.operations[-1].operands == ((1, 2),)
