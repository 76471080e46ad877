"""Graphs of whole networks: the same for the same network however it is written, and the spec's own for a twin."""

from __future__ import annotations

from collections.abc import Hashable
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import twinzoo as tz  # noqa: E402
from parity_tests.scramble.naming import plain_paths, random_paths  # noqa: E402
from parity_tests.scramble.plan import random_plan  # noqa: E402
from parity_tests.scramble.torch_network import network  # noqa: E402
from twinzoo.converters.graph import Graph  # noqa: E402
from twinzoo.converters.live.torch.model import trace  # noqa: E402
from twinzoo.converters.spec_graph import graph_of_spec  # noqa: E402
from twinzoo.zoo import registry  # noqa: E402

registry.load()
IMAGE = np.linspace(-1, 1, 3 * 8 * 8, dtype=np.float32).reshape(1, 3, 8, 8)


def flow(graph: Graph) -> list[Hashable]:
    """A graph without the names in it: layers are numbered by their first use."""
    numbers: dict[str, int] = {}
    return [
        (
            op.kind,
            tuple(sorted(op.attrs.items())),
            op.operands,
            numbers.setdefault(op.layer, len(numbers)) if op.layer else None,
            graph.layers[op.layer].signature if op.layer else None,
        )
        for op in graph.operations
    ]


class Flat(nn.Sequential):
    """A small VGG."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(True),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, padding=1),
            nn.ReLU(True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(),
            nn.Linear(6, 5),
        )


class Block(nn.Module):
    def __init__(self, channels_in: int, channels: int, norm: bool) -> None:
        super().__init__()
        self.act = nn.ReLU()
        self.norm = nn.BatchNorm2d(channels) if norm else nn.Identity()
        self.filter = nn.Conv2d(channels_in, channels, (3, 3), padding="same")

    def forward(self, x: Any) -> Any:
        return self.act(self.norm(self.filter(x)))


class Nested(nn.Module):
    """The same with its head defined first."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 5)
        self.blocks = nn.ModuleDict({"second": Block(4, 6, False), "first": Block(3, 4, True)})

    def forward(self, image: Any) -> Any:
        x = F.max_pool2d(self.blocks["first"](image), 2)
        x = F.adaptive_avg_pool2d(self.blocks["second"](x), (1, 1))
        return self.head(F.dropout(x.view(x.shape[0], -1), training=self.training))


class Functional(nn.Module):
    """The same with parameters whose names say nothing."""

    def __init__(self) -> None:
        super().__init__()
        shapes = [(4, 3, 3, 3), (4,), (4,), (4,), (6, 4, 3, 3), (6,), (5, 6), (5,)]
        for number, shape in enumerate(shapes):
            self.register_parameter(f"w{number}", nn.Parameter(torch.randn(shape)))
        self.register_buffer("m", torch.zeros(4))
        self.register_buffer("v", torch.ones(4))

    def forward(self, x: Any) -> Any:
        own: Any = self
        x = F.conv2d(x, own.w0, own.w1, padding=1)
        x = torch.relu_(F.batch_norm(x, own.m, own.v, own.w2, own.w3, self.training))
        x = torch.conv2d(F.max_pool2d(x, 2), own.w4, own.w5, padding=(1, 1)).relu()
        return F.linear(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1), own.w6, own.w7)


def test_a_network_has_one_graph_however_it_is_written() -> None:
    flat, nested, functional = (trace(made(), (IMAGE,)).graph for made in (Flat, Nested, Functional))
    kinds = "conv2d batch_norm relu max_pool2d conv2d relu adaptive_avg_pool2d flatten linear"
    assert " ".join(op.kind for op in flat.operations) == f"input {kinds} output"
    assert flow(flat) == flow(nested) == flow(functional)
    assert list(nested.layers) == ["head", "blocks.second.filter", "blocks.first.norm", "blocks.first.filter"]
    assert list(functional.layers) == ["w0+w1", "m+v+w2+w3", "w4+w5", "w6+w7"]


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.integers(0, 2**31))
def test_names_nesting_and_order_of_definition_do_not_show(plan_seed: int, name_seed: int) -> None:
    plan, rng = random_plan(plan_seed), np.random.default_rng(name_seed)
    count = len(plan.layers)
    plain = network(plan, plain_paths(count), list(range(count)), set())
    renamed = network(plan, random_paths(count, rng), [int(i) for i in rng.permutation(count)], set())
    found, wanted = trace(renamed).graph, trace(plain).graph
    assert flow(found) == flow(wanted)
    assert len(found.layers) == len(wanted.layers) == count


def test_names_are_those_of_the_users_code() -> None:
    names = [op.name for op in trace(Nested(), (IMAGE,)).graph.operations]
    assert names == [
        "image", "blocks.first.filter", "blocks.first.norm", "blocks.first.act", "max_pool2d", "blocks.second.filter",
        "blocks.second.act", "adaptive_avg_pool2d", "view", "head", "0",
    ]  # fmt: skip


def _example(spec: tz.Spec) -> dict[str, Any]:
    shapes = {name: (spec.concrete(item.value), item.value.dtype) for name, item in spec.inputs.items()}
    return {
        name: np.zeros(s, np.int64) if dtype == "int" else np.ones(s, np.float32) for name, (s, dtype) in shapes.items()
    }


@pytest.mark.parametrize("name", sorted(registry.MODELS | registry.LOSSES))
def test_a_twin_has_the_graph_of_its_spec(name: str) -> None:
    spec = tz.spec(name, **registry.entry(name).small)
    found, wanted = trace(tz.build(spec, "torch"), _example(spec)).graph, graph_of_spec(spec)
    assert flow(found) == flow(wanted)
    assert [op.layer for op in found.operations] == [op.layer for op in wanted.operations]
    own = {layer for layer in wanted.layers if "." not in layer}
    if spec.roles and own:  # the spec has its own layers first, the twin those of the networks that it calls
        assert set(found.layers) == set(wanted.layers)
    else:
        assert list(found.layers) == list(wanted.layers)
    for layer, made in found.layers.items():
        assert made.kind == wanted.layers[layer].kind
        assert made.signature == wanted.layers[layer].signature


class Siamese(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh())

    def forward(self, left: Any, right: Any) -> Any:
        return {"left": self.branch(left), "difference": (self.branch(left) - self.branch(right),)}


def test_a_shared_module_is_several_operations_of_one_layer() -> None:
    done = trace(Siamese(), (IMAGE, IMAGE + 1))
    operations = done.graph.operations
    assert [op.layer for op in operations if op.kind == "conv2d"] == ["branch.0"] * 3
    assert list(done.graph.layers) == ["branch.0"]
    assert [(op.name, op.attrs["index"]) for op in operations if op.kind == "output"] == [
        ("left", 0), ("difference.0", 1)
    ]  # fmt: skip
    assert list(done.outputs) == ["left", "difference.0"]
    assert np.abs(done.outputs["difference.0"]).max() > 0
    subtraction = next(op for op in operations if op.kind == "sub")
    assert [operations[place].kind for place, _ in subtraction.operands] == ["tanh", "tanh"]


class Recurrent(nn.Module):
    """One block several times, with a state that is handed in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, image: Any, state: Any, *, times: int = 3) -> Any:
        x, (scale, shift) = image, (state["scale"], state["more"][0])
        for _ in range(times):
            x = x + self.step(x) * scale + shift
        return x, [x.mean((2, 3)), None]


def test_nested_inputs_and_outputs_are_named_by_their_places() -> None:
    state: Any = {"scale": np.ones((1, 3, 1, 1)), "more": [np.zeros((1, 3, 1, 1))]}
    done = trace(Recurrent(), {"image": IMAGE, "state": state})
    operations = done.graph.operations
    inputs = [(op.name, op.attrs["index"]) for op in operations if op.kind == "input"]
    assert inputs == [("image", 0), ("state.scale", 1), ("state.more.0", 2)]
    assert [op.kind for op in operations[3:-3]] == ["conv2d", "mul", "add", "add"] * 3
    assert list(done.outputs) == ["0", "1.0"] and done.outputs["1.0"].shape == (1, 3)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.positive, self.negative = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x: Any) -> Any:
        return self.positive(x) if x.mean() > 0 else self.negative(x).sigmoid()


@pytest.mark.parametrize(("shift", "layer"), [(2, "positive"), (-2, "negative")])
def test_the_path_is_followed_that_the_values_take(shift: float, layer: str) -> None:
    graph = trace(Branching(), (IMAGE + shift,)).graph
    assert {op.layer for op in graph.operations if op.layer} == {layer}
    assert list(graph.layers) == ["positive", "negative"]
    assert [made.kind for made in graph.layers.values()] == ["conv2d", "conv2d"]


def test_values_are_those_of_a_plain_run() -> None:
    model = Flat()
    done = trace(model, (IMAGE,), values=True)
    operations = done.graph.operations
    assert not trace(model, (IMAGE,)).values
    model.eval()
    with torch.no_grad():
        x = torch.from_numpy(IMAGE)
        wanted = [x] + [x := module(x.clone()) for module in model if not isinstance(module, nn.Dropout)]
    assert len(wanted) == len(operations) - 1
    for place, value in enumerate(wanted):
        assert np.array_equal(done.values[place], value.numpy()), operations[place].name
    assert np.array_equal(done.outputs["0"], wanted[-1].numpy())


def test_values_of_bfloat16_stay_in_it() -> None:
    done = trace(nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU()).to(torch.bfloat16), (IMAGE,), values=True)
    assert {str(value.dtype) for value in done.values.values()} == {"bfloat16"}


def test_a_long_chain_is_traced_in_a_moment() -> None:
    model = nn.Sequential(*(layer for _ in range(300) for layer in (nn.Conv2d(4, 4, 1), nn.ReLU())))
    image = np.ones((1, 4, 8, 8), np.float32)
    trace(model, (image,))
    start = perf_counter()
    assert len(trace(model, (image,)).graph.operations) == 602
    assert perf_counter() - start < 5
