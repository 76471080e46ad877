"""What functions of MindSpore mean: the reference computes the same from the graph of a trace alone."""

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

from mindspore import nn, ops  # noqa: E402

from parity_tests.converters.live.mindspore_calls import (  # noqa: E402
    IMAGE,
    OTHER,
    ROW,
    Calls,
    check,
    kinds,
    shuffled,
)
from twinzoo.converters.live.mindspore.model import arrays_of, trace  # noqa: E402

Array = NDArray[Any]

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
