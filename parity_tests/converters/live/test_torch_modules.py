"""Modules that are one operation: recurrent ones, attention, compiled script, and those whose work is not seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from twinzoo.converters.graph import Graph, Operation  # noqa: E402
from twinzoo.converters.live.torch.model import trace  # noqa: E402

IMAGE = np.linspace(-1, 1, 4 * 8 * 8, dtype=np.float32).reshape(1, 4, 8, 8)
SEQUENCE = np.linspace(-1, 1, 5 * 8, dtype=np.float32).reshape(1, 5, 8)


def traced(model: nn.Module, *inputs: Any) -> tuple[Graph, list[Operation]]:
    """The graph, and its operations between inputs and outputs."""
    graph = trace(model, inputs or (IMAGE,)).graph
    return graph, [op for op in graph.operations if op.kind not in ("input", "output")]


def roles(graph: Graph, name: str) -> set[str]:
    return set(graph.layers[name].tensors)


WHOLE = [
    (nn.LSTM(8, 3, 2, batch_first=True, bidirectional=True), "lstm",
     {"hidden_size": 3, "num_layers": 2, "bidirectional": True, "batch_first": True}),
    (nn.GRU(8, 3), "gru", {"hidden_size": 3, "num_layers": 1, "bidirectional": False, "batch_first": False}),
    (nn.RNN(8, 3), "rnn", {"hidden_size": 3, "num_layers": 1, "bidirectional": False, "batch_first": False}),
]  # fmt: skip


@pytest.mark.parametrize(("module", "kind", "attrs"), WHOLE)
def test_recurrent_modules_are_one_operation(module: nn.Module, kind: str, attrs: dict[str, Any]) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, x: Any) -> Any:
            every, last = self.inner(x)
            return (last[0] if isinstance(last, tuple) else last) * 2, every

    graph, made = traced(Net(), SEQUENCE)
    assert [(op.kind, op.name, op.layer) for op in made] == [(kind, "inner", "inner"), ("affine", "mul", "")]
    assert made[0].attrs == attrs and made[1].operands == ((1, 1),)
    assert roles(graph, "inner") == {name for name, _ in module.named_parameters()}
    assert graph.layers["inner"].kind == kind


def test_cells_take_their_state_as_operands() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.LSTMCell(8, 3)

        def forward(self, x: Any) -> Any:
            state = self.cell(x[:, 0])
            return self.cell(x[:, 1], hx=state)[0]

    _, made = traced(Net(), SEQUENCE)
    assert [op.kind for op in made] == ["torch.getitem", "lstm_cell", "torch.getitem", "lstm_cell"]
    assert made[3].operands == ((3, 0), (2, 0), (2, 1)) and made[3].attrs == {"hidden_size": 3}


def test_attention_is_one_operation_with_all_inside() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Any, y: Any) -> Any:
            return self.attention(value=y, query=x, key=y)[0]

    graph, (made,) = traced(Net(), SEQUENCE, SEQUENCE)
    assert (made.kind, made.layer, made.operands) == (
        "multihead_attention", "attention", ((0, 0), (1, 0), (1, 0))
    )  # fmt: skip
    assert made.attrs == {"num_heads": 2, "batch_first": True}
    assert roles(graph, "attention") == {"in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"}


def test_a_transformer_layer_is_looked_into() -> None:
    graph, made = traced(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), SEQUENCE)
    assert " ".join(op.kind for op in made) == "multihead_attention add layer_norm linear relu linear add layer_norm"
    assert [op.layer for op in made if op.layer] == ["self_attn", "norm1", "linear1", "linear2", "norm2"]


class Sign(torch.autograd.Function):  # type: ignore[misc, name-defined]
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.sign()

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return gradient


class Leaf(nn.Module):
    """Work that is done outside of PyTorch."""

    def __init__(self, back: Callable[[Any], Any]) -> None:
        super().__init__()
        self.back = back
        self.weight = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x: Any) -> Any:
        return self.back(np.multiply(x.numpy(), self.weight.detach().numpy()))


def test_a_custom_function_is_what_it_calls() -> None:
    class Net(nn.Module):
        def forward(self, x: Any) -> Any:
            return Sign.apply(x) + x

    _, made = traced(Net())
    assert [op.kind for op in made] == ["torch.sign", "add"]


@pytest.mark.parametrize("back", [torch.from_numpy, torch.as_tensor])
def test_a_module_whose_work_is_not_seen_is_one_operation(back: Callable[[Any], Any]) -> None:
    graph, made = traced(nn.Sequential(nn.ReLU(), Leaf(back), nn.ReLU()))
    assert [(op.kind, op.name, op.operands, op.layer) for op in made] == [
        ("relu", "0", ((0, 0),), ""), ("torch.Leaf", "1", ((1, 0),), "1"), ("relu", "2", ((2, 0),), "")
    ]  # fmt: skip
    assert graph.layers["1"].kind == "torch.Leaf"


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("compile_", [torch.jit.script, lambda m: torch.jit.trace(m, torch.zeros(1, 4, 8, 8))])
def test_compiled_script_is_one_operation(compile_: Any) -> None:
    inner = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Tanh()).eval()
    graph, made = traced(nn.Sequential(nn.ReLU(), compile_(inner), nn.ReLU()))
    assert [(op.name, op.operands) for op in made] == [("0", ((0, 0),)), ("1", ((1, 0),)), ("2", ((2, 0),))]
    assert made[1].kind in ("torch.RecursiveScriptModule", "torch.TopLevelTracedModule")
    assert list(graph.layers) == ["1.0"]
