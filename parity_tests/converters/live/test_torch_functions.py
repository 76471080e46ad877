"""What single torch functions become: the word of the op table and its attributes, however the code is written."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from twinzoo.converters.graph import Operation  # noqa: E402
from twinzoo.converters.live.torch.model import trace  # noqa: E402
from twinzoo.zoo.spec.graph import normal_attrs  # noqa: E402
from twinzoo.zoo.spec.schema import OPS  # noqa: E402

IMAGE = np.linspace(0.1, 1, 4 * 6 * 8, dtype=np.float32).reshape(1, 4, 6, 8)


class Runs(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs)


def operations(function: Callable[..., Any], *inputs: Any) -> list[Operation]:
    """The operations between inputs and outputs."""
    model = function if isinstance(function, nn.Module) else Runs(function)
    graph = trace(model, inputs or (IMAGE,)).graph
    return [op for op in graph.operations if op.kind not in ("input", "output")]


ALL = ("slice", None, None, None)

ROWS: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("relu", {}, ("F.relu(x)", "torch.relu(x)", "nn.ReLU()(x)", "x.relu()")),
    ("relu", {}, ("torch.relu_(x)", "nn.ReLU(inplace=True)(x)", "x.relu_()", "F.relu(x, inplace=True)")),
    ("leaky_relu", {"slope": 0.2}, ("nn.LeakyReLU(0.2)(x)", "nn.LeakyReLU(0.2, True)(x)", "F.leaky_relu_(x, 0.2)")),
    ("leaky_relu", {}, ("F.leaky_relu(x)",)),
    ("tanh", {}, ("nn.Tanh()(x)", "torch.tanh(x)", "F.tanh(x)", "x.tanh()", "x.tanh_()")),
    ("sigmoid", {}, ("nn.Sigmoid()(x)", "torch.sigmoid(x)", "x.sigmoid_()")),
    ("silu", {}, ("nn.SiLU()(x)", "F.silu(x)", "nn.SiLU(True)(x)")),
    ("elu", {"alpha": 0.5}, ("nn.ELU(0.5)(x)", "nn.ELU(0.5, True)(x)", "F.elu(x, alpha=0.5)")),
    ("gelu", {"approximate": "tanh"}, ("nn.GELU('tanh')(x)", "F.gelu(x, approximate='tanh')")),
    ("gelu", {}, ("nn.GELU()(x)", "F.gelu(x)")),
    ("softplus", {}, ("nn.Softplus()(x)", "F.softplus(x)")),
    ("torch.softplus", {"1": 2.0}, ("F.softplus(x, 2.0)",)),
    ("clamp", {"low": 0.0, "high": 6.0}, ("nn.ReLU6()(x)", "F.relu6(x)", "nn.Hardtanh(0, 6)(x)")),
    ("clamp", {"low": 0.5}, ("x.clamp(0.5)", "torch.clamp(x, min=0.5)", "x.clamp_min(0.5)")),
    ("clamp", {"high": 0.5}, ("x.clamp_max(0.5)", "x.clip_(max=0.5)", "torch.clamp(x, None, 0.5)")),
    ("neg", {}, ("-x", "torch.neg(x)", "torch.negative(x)")),
    ("abs", {}, ("abs(x)", "torch.abs(x)", "x.absolute()")),
    ("exp", {}, ("torch.exp(x)", "x.exp_()")),
    ("square", {}, ("torch.square(x)", "x.square_()")),
    ("pow", {"exponent": 2.0}, ("x ** 2", "torch.pow(x, 2)", "x.pow_(2)")),
    ("affine", {"scale": 2.0, "shift": 1.0}, ("2 * x + 1", "1 + x * 2", "x.mul_(2).add_(1)")),
    ("affine", {"scale": 0.5, "shift": -0.5}, ("(x - 1) / 2", "x.sub(1).div_(2)")),
    ("affine", {"scale": -1.0, "shift": 1.0}, ("1 - x", "torch.rsub(x, 1)")),
    ("torch.add", {"1": 2, "alpha": 3}, ("torch.add(x, 2, alpha=3)",)),
    ("torch.div", {"1": 2, "rounding_mode": "floor"}, ("torch.div(x, 2, rounding_mode='floor')",)),
    ("flatten", {}, ("nn.Flatten()(x)", "torch.flatten(x, 1)", "torch.flatten(x, start_dim=1)")),
    ("flatten", {}, ("x.view(x.size(0), -1)", "x.reshape(1, 192)", "x.view((x.shape[0], -1))")),
    ("flatten", {"start": 2}, ("x.flatten(2)", "x.view(1, 4, -1)")),
    ("reshape", {"shape": (0, 2, -1, 8)}, ("x.view(1, 2, -1, 8)", "x.reshape((1, 2, -1, 8))")),
    ("reshape", {"shape": (0, 2, 12, 8)}, ("x.view(1, 2, 12, 8)", "torch.reshape(x, (-1, 2, 12, 8))")),
    ("reshape", {"shape": (0, 1, 4, 6, 8)}, ("x.unsqueeze(1)", "torch.unsqueeze(x, dim=1)")),
    ("reshape", {"shape": (0, 0, 0, 0, -1)}, ("x.unsqueeze(-1)", "x.view(1, 4, 6, 8, 1)")),
    ("reshape", {"shape": (4, 6, 8)}, ("x.squeeze()", "x.squeeze(0)")),
    ("reshape", {"shape": (0, 2, 2, 6, 8)}, ("nn.Unflatten(1, (2, 2))(x)",)),
    ("transpose", {"order": (0, 2, 3, 1)}, ("x.permute(0, 2, 3, 1)", "x.permute((0, 2, 3, -3))", "x.movedim(1, -1)")),
    ("transpose", {"order": (0, 1, 3, 2)}, ("x.transpose(2, 3)", "torch.swapaxes(x, -1, -2)", "x.mT")),
    ("slice", {"axis": 1, "start": 1, "stop": 3}, ("x[:, 1:3]", "x[:, 1:3, ...]", "x.narrow(1, 1, 2)")),
    ("slice", {"axis": 3, "step": 2}, ("x[..., ::2]", "x[:, :, :, ::2]")),
    ("slice", {"axis": 2, "start": 4}, ("x[:, :, -2:]", "x[:, :, 4:6]")),
    ("slice", {"axis": 2, "stop": -1}, ("x[:, :, :-1]",)),
    ("torch.getitem", {"index": (ALL, ALL, ("slice", 1, 3, None), ("slice", 2, None, None))}, ("x[:, :, 1:3, 2:]",)),
    ("torch.getitem", {"index": (ALL, "0")}, ("x[:, 0]", "x.select(1, 0)")),
    ("torch.getitem", {"index": ("None",)}, ("x[None]",)),
    ("flip", {"axis": 3}, ("x.flip(3)", "torch.flip(x, (-1,))", "torch.flip(x, dims=[3])")),
    ("pad2d", {"padding": (1, 2, 3, 4)}, ("nn.ZeroPad2d((1, 2, 3, 4))(x)", "F.pad(x, (1, 2, 3, 4))")),
    ("pad2d", {"padding": (1, 2, 0, 0)}, ("F.pad(x, (1, 2))",)),
    ("pad2d", {"padding": (1,) * 4, "mode": "reflect"}, ("nn.ReflectionPad2d(1)(x)", "F.pad(x, (1,) * 4, 'reflect')")),
    ("pad2d", {"padding": (1,) * 4, "mode": "replicate"}, ("nn.ReplicationPad2d(1)(x)",)),
    ("torch.pad", {"1": (1, 2), "value": 1.0, "mode": "constant"}, ("F.pad(x, (1, 2), value=1.0)",)),
    ("max_pool2d", {"kernel": 2}, ("nn.MaxPool2d(2)(x)", "nn.MaxPool2d(2, 2)(x)", "F.max_pool2d(x, 2)")),
    ("max_pool2d", {"kernel": 2}, ("torch.max_pool2d(x, 2)", "F.max_pool2d(x, (2, 2), stride=2)")),
    (
        "max_pool2d",
        {"kernel": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        ("nn.MaxPool2d(3, 2, 1, ceil_mode=True)(x)",),
    ),
    ("avg_pool2d", {"kernel": (2, 1)}, ("nn.AvgPool2d((2, 1))(x)",)),
    (
        "avg_pool2d",
        {"kernel": 3, "stride": 1, "padding": 1, "count_include_pad": False},
        ("nn.AvgPool2d(3, 1, 1, count_include_pad=False)(x)", "F.avg_pool2d(x, 3, 1, 1, False, False)"),
    ),
    ("adaptive_avg_pool2d", {"size": 1}, ("nn.AdaptiveAvgPool2d(1)(x)", "F.adaptive_avg_pool2d(x, (1, 1))")),
    ("adaptive_avg_pool2d", {"size": (6, 2)}, ("nn.AdaptiveAvgPool2d((None, 2))(x)",)),
    ("interpolate", {"scale": 2.0}, ("nn.Upsample(scale_factor=2)(x)", "nn.UpsamplingNearest2d(scale_factor=2)(x)")),
    ("interpolate", {"scale": 2.0}, ("F.interpolate(x, scale_factor=(2, 2))",)),
    ("interpolate", {"size": (3, 4), "mode": "bilinear"}, ("F.interpolate(x, (3, 4), mode='bilinear')",)),
    (
        "interpolate",
        {"scale": 2.0, "mode": "bilinear", "align_corners": True},
        ("nn.Upsample(scale_factor=2, mode='bilinear', align_corners=True)(x)",),
    ),
    (
        "torch.interpolate",
        {"scale_factor": 2, "mode": "bicubic", "antialias": False},
        ("F.interpolate(x, scale_factor=2, mode='bicubic')",),
    ),
    ("pixel_shuffle", {"factor": 2}, ("nn.PixelShuffle(2)(x)", "F.pixel_shuffle(x, 2)")),
    ("mean", {"axes": (2, 3)}, ("x.mean((2, 3))", "torch.mean(x, dim=[-1, -2])", "x.mean(axis=(3, 2))")),
    ("sum", {"axes": (1,), "keepdims": True}, ("x.sum(1, True)", "torch.sum(x, -3, keepdim=True)")),
    ("amax", {}, ("torch.max(x)", "x.amax()")),
    ("var", {"axes": (1,), "correction": 0}, ("x.var(1, False)", "torch.var(x, 1, unbiased=False)")),
    ("var", {"axes": (1,), "correction": 0}, ("torch.var(x, dim=1, correction=0)",)),
    ("std", {}, ("torch.std(x)", "x.std()", "x.std(True)")),
    ("softmax", {"axis": 3}, ("nn.Softmax(-1)(x)", "F.softmax(x, dim=3)", "x.softmax(-1)")),
    ("log_softmax", {"axis": 1}, ("F.log_softmax(x, 1)",)),
    ("l2_normalize", {"axis": 1}, ("F.normalize(x)", "F.normalize(x, p=2, dim=1)")),
    ("torch.normalize", {"p": 1.0, "dim": 1, "eps": 1e-12}, ("F.normalize(x, p=1.0)",)),
    ("topk", {"k": 2, "axis": 3}, ("x.topk(2)[0]",)),
    ("cumsum", {"axis": 3}, ("x.cumsum(-1)",)),
    ("torch.roll", {"1": 1, "dims": 2}, ("torch.roll(x, 1, dims=2)",)),
    ("torch.hardswish", {}, ("nn.Hardswish()(x)",)),
    ("torch.gt", {"1": 0}, ("x > 0",)),
    ("instance_norm", {}, ("nn.InstanceNorm2d(4)(x)", "F.instance_norm(x)")),
    ("add", {}, ("x + y", "operator.iadd(x, y)", "torch.add(x, y)", "x.add_(y)")),
    ("sub", {}, ("x - y", "operator.isub(x, y)", "torch.sub(x, y)", "torch.subtract(x, y)")),
    ("mul", {}, ("x * y", "operator.imul(x, y)", "torch.mul(x, y)", "torch.multiply(x, y)")),
    ("div", {}, ("x / y", "operator.itruediv(x, y)", "torch.div(x, y)")),
    ("maximum", {}, ("torch.maximum(x, y)", "torch.max(x, y)")),
    ("matmul", {}, ("x @ y.view(1, 4, 8, 6)", "torch.matmul(x, y.view(1, 4, 8, 6))")),
    ("concat", {"axis": 1}, ("torch.cat([x, y], 1)", "torch.cat((x, y), axis=-3)", "torch.concat([x, y], dim=1)")),
    ("stack", {"axis": 4}, ("torch.stack([x, y], dim=-1)",)),
    ("l1_loss", {}, ("F.l1_loss(x, y)",)),
    ("mse_loss", {"reduction": "sum"}, ("nn.MSELoss(reduction='sum')(x, y)",)),
    ("smooth_l1_loss", {"beta": 0.5}, ("nn.SmoothL1Loss(beta=0.5)(x, y)",)),
    ("bce_with_logits", {}, ("nn.BCEWithLogitsLoss()(x, y)",)),
    ("torch.sum", {"dtype": "float64"}, ("x.sum(dtype=torch.float64)",)),
    ("torch.softmax", {"1": 1, "2": "float64"}, ("torch.softmax(x, 1, torch.float64)",)),
    ("torch.to", {}, ("(x > 0).float()",)),
    ("torch.getitem", {"index": (ALL, "tensor")}, ("x[:, torch.arange(4) > 1]",)),
    ("torch.einsum", {"0": "nchw,nchw->nc"}, ("torch.einsum('nchw,nchw->nc', x, y)",)),
    ("gather", {"axis": 1}, ("x[:, i]", "torch.index_select(x, 1, i)")),
    ("cross_entropy", {}, ("nn.CrossEntropyLoss()(x, labels)",)),
]
NAMES = {"operator": operator, "torch": torch, "nn": nn, "F": F}
GIVEN = {"x": IMAGE, "y": IMAGE, "i": np.array([2, 0]), "labels": np.zeros((1, 6, 8), np.int64)}


@pytest.mark.parametrize(("kind", "attrs", "code"), [(*row[:2], code) for row in ROWS for code in row[2]])
def test_functions_however_they_are_written(kind: str, attrs: dict[str, Any], code: str) -> None:
    names = [name for name in GIVEN if re.search(rf"\b{name}\b", code)]
    function = eval(f"lambda {', '.join(names)}: {code}", NAMES)
    made = operations(function, *(GIVEN[name] for name in names))
    assert made[-1].kind == kind
    assert dict(made[-1].attrs) == (normal_attrs(kind, OPS[kind], attrs) if kind in OPS else dict(attrs))
    if len(made) == 1:
        assert made[0].operands == tuple((place, 0) for place in range(len(names)))


@pytest.mark.parametrize(
    "function",
    [
        nn.Dropout(0.5),
        nn.Dropout2d(0.5),
        nn.Identity(),
        torch.clone,
        lambda x: x.contiguous().detach().data,
        lambda x: x.to(torch.float64).half().float(),
        lambda x: x.to("cpu").requires_grad_(False),
        lambda x: F.dropout(x, 0.5, training=False),
        lambda x: x[:],
        lambda x: x[..., :8],
        lambda x: x.view(x.shape),
        lambda x: x.permute(0, 1, 2, 3),
        lambda x: sum([x]),
        lambda x: torch.cat([x]),
    ],
)
def test_what_changes_nothing_is_no_operation(function: Callable[..., Any]) -> None:
    graph = trace(Runs(function), (IMAGE,)).graph
    assert [op.kind for op in graph.operations] == ["input", "output"]
    assert graph.operations[1].operands == ((0, 0),)


def test_the_operands_of_a_reversed_operator_are_in_order() -> None:
    (made,) = operations(lambda x, y: operator.sub(y, x), IMAGE, IMAGE)
    assert (made.kind, made.operands) == ("sub", ((1, 0), (0, 0)))
    (made,) = operations(lambda x, y: y.__rsub__(x), IMAGE, IMAGE)
    assert (made.kind, made.operands) == ("sub", ((0, 0), (1, 0)))


@pytest.mark.parametrize(
    "cut", [lambda x: x.chunk(2, 1), lambda x: torch.split(x, 2, dim=1), lambda x: (x[:, :2], x[:, 2:])]
)
def test_pieces_are_slices(cut: Callable[..., Any]) -> None:
    first, second, joined = operations(lambda x: torch.cat(cut(x)[::-1], 1))
    assert first.attrs == {"axis": 1, "start": 0, "stop": 2, "step": 1}
    assert second.attrs == {"axis": 1, "start": 2, "stop": None, "step": 1}
    assert (first.kind, second.kind, joined.operands) == ("slice", "slice", ((2, 0), (1, 0)))


@pytest.mark.parametrize("cut", [lambda x: x.unbind(1), lambda x: list(x.transpose(0, 1))])
def test_a_tensor_that_is_iterated_over_is_taken_apart(cut: Callable[..., Any]) -> None:
    made = operations(lambda x: cut(x)[2] + cut(x)[0])
    wanted = [op for op in made if op.kind == "add"][0].operands
    assert [made[place - 1].attrs["index"][-1] for place, _ in wanted] == ["2", "0"]  # type: ignore[index]


def test_outputs_of_one_operation_are_told_apart() -> None:
    made = trace(Runs(lambda x: x.topk(2)[::-1]), (IMAGE,)).graph.operations
    assert [op.operands for op in made if op.kind == "output"] == [((1, 1),), ((1, 0),)]


def test_changes_in_place_belong_to_the_newest_operation() -> None:
    def function(x: Any) -> Any:
        y = x.exp()
        y += x
        y[:, 0] = 1.0
        F.relu(y, inplace=True)
        return y

    made = operations(function)
    assert [op.kind for op in made] == ["exp", "add", "torch.setitem", "relu"]
    assert [op.operands for op in made] == [((0, 0),), ((1, 0), (0, 0)), ((2, 0),), ((3, 0),)]


def test_constants_that_the_model_holds_are_unseen() -> None:
    held = torch.ones(4, 1, 1)
    constant, added = operations(lambda x: x + held)
    assert (constant.kind, constant.operands, added.operands) == ("unseen", (), ((0, 0), (1, 0)))


def test_constants_made_on_the_fly_are_what_made_them() -> None:
    made = operations(lambda x: x * torch.arange(8) + x.new_zeros(8) - torch.tensor(2.0))
    assert [(op.kind, len(op.operands)) for op in made] == [
        ("torch.arange", 0), ("mul", 2), ("torch.new_zeros", 0), ("add", 2), ("torch.tensor", 0), ("sub", 2)
    ]  # fmt: skip
    assert made[0].attrs == {"0": 8} and made[4].attrs == {"0": 2.0}


def test_a_round_trip_through_numpy_is_unseen() -> None:
    made = operations(lambda x: torch.from_numpy(np.sort(x.numpy())) + x)
    assert [op.kind for op in made] == ["unseen", "add"]


def test_a_tensor_is_not_taken_for_one_that_is_gone() -> None:
    """A new tensor may have the identity of an old one that nobody holds any more."""

    def function(x: Any) -> Any:
        for _ in range(5):
            x.exp()
            x = x + torch.from_dlpack(np.ones(8, np.float32))
        return x

    made = operations(function)
    assert [op.kind for op in made] == ["exp", "unseen", "add"] * 5


def test_standardized_images_are_one_operation_with_its_numbers() -> None:
    mean, std = torch.tensor([0.485, 0.456, 0.4, 0.1]).view(1, 4, 1, 1), torch.tensor([0.229] * 4).view(1, 4, 1, 1)
    (made,) = operations(lambda x: (x - mean) / std)
    assert made.kind == "standardize"
    assert made.attrs == {"mean": (0.485, 0.456, 0.4, 0.1), "std": (0.229,) * 4}

    def shared(x: Any) -> Any:
        centred = x - mean
        return centred, centred / std

    assert [op.kind for op in operations(shared)] == ["unseen", "sub", "unseen", "div"]
    both = operations(lambda x, y: torch.cat([(x - mean) / std, (y - mean) / std]), IMAGE, IMAGE)
    assert [op.kind for op in both] == ["standardize", "standardize", "concat"]


def test_other_constants_are_not_standardized_with() -> None:
    row = torch.ones(1, 1, 8)
    assert [op.kind for op in operations(lambda x: (x - row) / row)] == ["unseen", "sub", "div"]


def test_numbers_are_folded_only_where_nothing_else_uses_what_is_between() -> None:
    def function(x: Any) -> Any:
        y = 2 * x
        return y + 1, y

    assert [op.attrs["scale"] for op in operations(function)] == [2.0, 1.0]
