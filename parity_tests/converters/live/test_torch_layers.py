"""Which tensors make a layer: reparametrized, functional, shared, and parameters in the open."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.nn.utils import parametrizations  # noqa: E402

from twinzoo.converters.graph import Graph, Operation  # noqa: E402
from twinzoo.converters.live.torch.model import trace  # noqa: E402

IMAGE = np.linspace(-1, 1, 4 * 8 * 8, dtype=np.float32).reshape(1, 4, 8, 8)
SEQUENCE = np.linspace(-1, 1, 5 * 8, dtype=np.float32).reshape(1, 5, 8)


def traced(model: nn.Module, *inputs: Any) -> tuple[Graph, list[Operation]]:
    """The graph, and its operations between inputs and outputs."""
    graph = trace(model, inputs or (IMAGE,)).graph
    return graph, [op for op in graph.operations if op.kind not in ("input", "output")]


def roles(graph: Graph, name: str) -> dict[str, str]:
    return {role: tensor.key for role, tensor in graph.layers[name].tensors.items()}


def _old(wrap: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(module: nn.Module, **options: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return wrap(module, **options)

    return wrapped


REPARAMETRIZED = [
    (parametrizations.weight_norm, {"weight_g", "weight_v"}),
    (parametrizations.spectral_norm, {"weight_orig", "weight_u", "weight_v"}),
    (_old(nn.utils.weight_norm), {"weight_g", "weight_v"}),
    (_old(nn.utils.spectral_norm), {"weight_orig", "weight_u", "weight_v"}),
]


@pytest.mark.parametrize(("wrap", "tensors"), REPARAMETRIZED)
@pytest.mark.parametrize("made", [lambda: nn.Conv2d(4, 4, 3), lambda: nn.ConvTranspose2d(4, 4, 3)])
def test_a_normed_weight_is_part_of_its_layer(wrap: Any, tensors: set[str], made: Callable[[], nn.Module]) -> None:
    plain, normed = nn.Sequential(made(), nn.ReLU()), nn.Sequential(wrap(made()), nn.ReLU())
    (_, wanted), (graph, found) = traced(plain), traced(normed)
    assert [(op.name, op.kind, op.operands, op.attrs, op.layer) for op in found] == [
        (op.name, op.kind, op.operands, op.attrs, op.layer) for op in wanted
    ]
    assert list(graph.layers) == ["0"] and graph.layers["0"].kind == found[0].kind
    assert set(roles(graph, "0")) == tensors | {"bias"}


class Computed(nn.Module):
    """A convolution whose weight is computed in a way of its own."""

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4, 3, 3))
        self.bias = nn.Parameter(torch.randn(4))
        self.compute = compute

    def forward(self, x: Any) -> Any:
        return F.conv2d(x, self.compute(self.weight), self.bias)


def test_a_weight_that_is_computed_otherwise_says_how() -> None:
    graph, (scaled,) = traced(Computed(lambda weight: weight * 0.5))
    assert (scaled.kind, scaled.layer, roles(graph, "Computed")) == (
        "conv2d", "Computed", {"weight": "weight", "bias": "bias"}
    )  # fmt: skip
    _, (doubled,) = traced(Computed(lambda weight: weight * 2.0))
    _, (standard,) = traced(Computed(lambda weight: (weight - weight.mean()) / weight.std()))
    _, (plain,) = traced(Computed(lambda weight: weight.detach()))
    ways = [op.attrs.get("weight_from") for op in (scaled, doubled, standard, plain)]
    assert len(set(ways)) == 4 and ways[3] is None
    assert {k: v for k, v in scaled.attrs.items() if k != "weight_from"} == plain.attrs


class Dynamic(nn.Module):
    """A convolution with a weight that another layer computes from the input."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Linear(4, 16)

    def forward(self, x: Any) -> Any:
        return F.conv2d(x, self.weights(x.mean((0, 2, 3))).view(4, 4, 1, 1))


def test_a_weight_that_depends_on_the_input_is_an_operand() -> None:
    _, made = traced(Dynamic())
    assert [op.kind for op in made] == ["mean", "linear", "reshape", "conv2d"]
    assert made[-1].operands == ((0, 0), (3, 0)) and made[-1].layer == ""


def test_a_weight_that_is_none_of_the_models_is_an_operand() -> None:
    class Blur(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("filter", torch.ones(4, 1, 3, 3), persistent=False)

        def forward(self, x: Any) -> Any:
            return F.conv2d(x, self.get_buffer("filter"), groups=4)

    graph, made = traced(Blur())
    assert [(op.kind, op.operands, op.layer) for op in made] == [("unseen", (), ""), ("conv2d", ((0, 0), (1, 0)), "")]
    assert graph.layers == {}


class Lists(nn.Module):
    """Weights in lists and dictionaries, two layers of them in one place."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.ParameterList([torch.randn(4, 4, 1, 1), torch.randn(6, 4, 3, 3)])
        self.b = nn.ParameterDict({"one": torch.randn(4), "two": torch.randn(6)})
        self.spare = nn.Parameter(torch.randn(2))

    def forward(self, x: Any) -> Any:
        x = F.conv2d(x, self.w[0], self.b["one"])
        return F.conv2d(x, self.w[1], self.b["two"])


def test_functional_layers_are_made_of_what_they_use() -> None:
    graph, made = traced(Lists())
    assert [op.layer for op in made] == ["w.0+b.one", "w.1+b.two"]
    assert roles(graph, "w.0+b.one") == {"weight": "w.0", "bias": "b.one"}
    assert graph.layers["w.1+b.two"].tensors["weight"].shape == (6, 4, 3, 3)
    assert list(graph.layers) == ["Lists", "w.0+b.one", "w.1+b.two"]
    assert roles(graph, "Lists") == {"spare": "spare"}


class Parts(nn.Module):
    """Two layers in one place, of which one has the usual names; a layer in words of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(4, 4, 1, 1)), nn.Parameter(torch.randn(4))
        self.weight2, self.bias2 = nn.Parameter(torch.randn(4, 4, 1, 1)), nn.Parameter(torch.randn(4))
        self.own = nn.ParameterDict({"filters": torch.randn(4, 4, 1, 1)})

    def forward(self, x: Any) -> Any:
        x = F.conv2d(F.conv2d(x, self.weight, self.bias), self.weight2, self.bias2)
        return F.conv2d(x, self.own["filters"])


def test_layers_in_one_place_are_told_apart() -> None:
    graph, made = traced(Parts())
    assert [op.layer for op in made] == ["weight+bias", "weight2+bias2", "own.filters"]
    assert [set(layer.tensors) for layer in graph.layers.values()] == [{"weight", "bias"}] * 2 + [{"weight"}]


PLAIN = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, "bias": True}
LAYERS: list[tuple[nn.Module, str, dict[str, Any]]] = [
    (nn.Conv2d(4, 2, 3, padding="same", dilation=2), "conv2d",
     {**PLAIN, "channels": 2, "kernel": (3, 3), "padding": (2, 2), "dilation": (2, 2)}),
    (nn.Conv2d(4, 2, 2, padding="same"), "conv2d",
     {**PLAIN, "channels": 2, "kernel": (2, 2), "torch.padding": "same"}),
    (nn.Conv2d(4, 2, 2, padding="valid", bias=False), "conv2d",
     {**PLAIN, "channels": 2, "kernel": (2, 2), "bias": False}),
    (nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1, groups=2), "conv_transpose2d",
     {**PLAIN, "channels": 6, "kernel": (3, 3), "stride": (2, 2), "padding": (1, 1), "output_padding": (1, 1),
      "groups": 2}),
    (nn.BatchNorm2d(4, eps=1e-3, momentum=0.2), "batch_norm", {"eps": 1e-3, "momentum": 0.2, "affine": True}),
    (nn.BatchNorm2d(4, track_running_stats=False), "batch_norm",
     {"eps": 1e-5, "momentum": 0.1, "affine": True, "batch_statistics": True}),
    (nn.InstanceNorm2d(4, affine=True), "instance_norm", {"eps": 1e-5, "affine": True}),
    (nn.InstanceNorm2d(4, affine=True, track_running_stats=True), "batch_norm",
     {"eps": 1e-5, "momentum": 0.1, "affine": True}),
    (nn.GroupNorm(2, 4), "group_norm", {"groups": 2, "eps": 1e-5, "affine": True}),
    (nn.LayerNorm((8, 8)), "layer_norm", {"axes": 2, "eps": 1e-5, "affine": True}),
    (nn.RMSNorm(8, eps=1e-6), "torch.rms_norm", {"axes": 1, "eps": 1e-6}),
    (nn.PReLU(4), "prelu", {"parameters": 4, "slope": 0.25}),
    (nn.Linear(8, 3), "linear", {"features": 3, "bias": True}),
]  # fmt: skip


@pytest.mark.parametrize(("module", "kind", "attrs"), LAYERS)
def test_layers_have_the_words_of_the_op_table(module: nn.Module, kind: str, attrs: dict[str, Any]) -> None:
    graph, (made,) = traced(nn.Sequential(module))
    assert (made.kind, made.attrs, made.layer, made.name) == (kind, attrs, "0", "0")
    assert set(roles(graph, "0")) == set(module.state_dict())


def test_one_dimension_has_plain_numbers() -> None:
    _, (made,) = traced(nn.Conv1d(5, 4, 3, padding=1), SEQUENCE)
    assert made.attrs == {
        "channels": 4, "kernel": 3, "stride": 1, "padding": 1, "dilation": 1, "groups": 1, "bias": True
    }  # fmt: skip


def test_reflection_inside_a_convolution_is_an_operation() -> None:
    _, made = traced(nn.Conv2d(4, 2, 3, padding=1, padding_mode="reflect"))
    assert [(op.kind, op.attrs["padding"]) for op in made] == [("pad2d", (1, 1, 1, 1)), ("conv2d", (0, 0))]


def test_a_table_may_come_first() -> None:
    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(7, 3))

        def forward(self, words: Any) -> Any:
            return torch.embedding(self.weight, words)

    graph, (made,) = traced(Rows(), np.array([[1, 2]]))
    assert (made.kind, made.attrs, made.layer) == ("embedding", {"entries": 7, "features": 3}, "Rows")


class Open(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)
        self.scale = nn.Parameter(torch.ones(4))
        self.register_buffer("shift", torch.zeros(4, 1, 1))
        self.positions = nn.Embedding(8, 8)

    def forward(self, x: Any) -> Any:
        rows = self.positions(torch.arange(8))
        return self.conv(x) * self.scale.exp().view(-1, 1, 1) + self.shift + rows + self.shift


def test_open_parameters_are_operations_of_their_own() -> None:
    graph, made = traced(Open())
    assert [(op.kind, op.layer) for op in made] == [
        ("conv2d", "conv"), ("parameter", "scale"), ("exp", ""), ("reshape", ""), ("mul", ""), ("parameter", "shift"),
        ("add", ""), ("torch.arange", ""), ("embedding", "positions"), ("add", ""), ("add", ""),
    ]  # fmt: skip
    assert made[-1].operands[1] == made[6].operands[1] == (6, 0)
    assert list(graph.layers) == ["scale", "shift", "conv", "positions"]
    values = trace(Open(), (IMAGE,), values=True).values
    assert np.array_equal(values[2], np.ones(4)) and np.allclose(values[3], np.e)
    assert roles(graph, "scale") == {"weight": "scale"} and graph.layers["scale"].kind == "parameter"


class Tied(nn.Module):
    """The same table for words going in and coming out."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 8)
        self.out = nn.Linear(8, 7, bias=bias)
        self.out.weight = self.table.weight

    def forward(self, words: Any) -> Any:
        return self.out(self.table(words))


def test_a_tied_weight_is_one_layer() -> None:
    words = np.array([[1, 2]])
    graph, made = traced(Tied(bias=False), words)
    assert [(op.kind, op.layer) for op in made] == [("embedding", "table"), ("linear", "table")]
    assert list(graph.layers) == ["table"] and graph.layers["table"].kind == "embedding"


def test_a_tied_weight_beside_an_own_bias_is_an_operand() -> None:
    graph, made = traced(Tied(bias=True), np.array([[1, 2]]))
    assert [(op.kind, op.layer) for op in made] == [("embedding", "table"), ("parameter", "table"), ("linear", "out")]
    assert made[-1].operands == ((1, 0), (2, 0))
    assert roles(graph, "out") == {"bias": "out.bias"}


def test_a_module_under_two_names_has_its_first() -> None:
    conv = nn.Conv2d(4, 4, 1)
    graph, made = traced(nn.Sequential(conv, nn.ReLU(), conv))
    assert [op.layer for op in made] == ["0", "", "0"] and [op.name for op in made] == ["0", "1", "0"]
    assert list(graph.layers) == ["0"]


def test_a_layer_keeps_what_nothing_uses() -> None:
    graph, _ = traced(nn.Sequential(nn.BatchNorm2d(4)))
    assert set(roles(graph, "0")) == {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}


def test_a_model_that_is_one_layer_has_its_class_as_name() -> None:
    graph, (made,) = traced(nn.Conv2d(4, 2, 1))
    assert made.layer == "Conv2d" and graph.layers["Conv2d"].prefix == ""
    assert roles(graph, "Conv2d") == {"weight": "weight", "bias": "bias"}
