"""What cells of MindSpore and functions with weights mean, and what has no words in the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.ports.mindspore.runtime import prepare
from twinzoo.zoo.spec.schema import OPS

prepare()
ms = pytest.importorskip("mindspore")

from mindspore import Parameter, Tensor, mint, nn, ops  # noqa: E402

from parity_tests.converters.live.mindspore_calls import IMAGE, ROW, Calls, check, kinds, shuffled, weight  # noqa: E402
from twinzoo.converters.live.mindspore.model import arrays_of, trace  # noqa: E402

Array = NDArray[Any]

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
