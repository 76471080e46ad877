"""Arguments in every form that forward takes, and outputs in every form that it returns."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from twinzoo.converters.live.torch.model import trace  # noqa: E402

IMAGE = np.linspace(-1, 1, 3 * 8 * 8, dtype=np.float32).reshape(1, 3, 8, 8)


class Several(nn.Module):
    def forward(self, first: Any, *more: Any, scale: Any = None) -> Any:
        x = first + sum(more)
        return x if scale is None else x * scale


def test_arguments_in_every_form_are_given() -> None:
    kinds = [op.name for op in trace(Several(), (IMAGE,) * 3).graph.operations if op.kind == "input"]
    assert kinds == ["first", "more.0", "more.1"]
    given: Any = {"first": IMAGE, "more": (IMAGE,), "scale": np.full(1, 2.0, np.float32)}
    done = trace(Several(), given)
    assert np.allclose(trace(Several(), {"first": IMAGE}).outputs["0"], IMAGE)
    assert np.allclose(done.outputs["0"], 4 * IMAGE)


def test_a_single_input_is_found_for_any_number_of_them() -> None:
    class Any_(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(5, 2, 3)

        def forward(self, *images: Any) -> Any:
            return [self.conv(image) for image in images]

    assert [op.name for op in trace(Any_()).graph.operations if op.kind == "input"] == ["images"]


def test_a_failure_that_the_model_expects_is_no_failure() -> None:
    class Tries(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = nn.Sequential(nn.Conv2d(4, 2, 1))

        def forward(self, x: Any) -> Any:
            try:
                return self.block(x)
            except RuntimeError:
                return x.tanh()

    (made,) = [op for op in trace(Tries(), (IMAGE,)).graph.operations if op.kind == "tanh"]
    assert made.name == "tanh"


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 2, 3)

    def forward(self, image: Any, scale: float = 2.0) -> Any:
        return self.stem(image) * scale


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.module = Scaled()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)


@pytest.mark.parametrize("wrap", [lambda model: Wrapped(), torch.compile, nn.DataParallel])
def test_a_wrapper_takes_what_the_model_inside_takes(wrap: Callable[[nn.Module], nn.Module]) -> None:
    graph = trace(wrap(Scaled()), {"image": IMAGE}).graph
    assert [op.kind for op in graph.operations] == ["input", "conv2d", "affine", "output"]
    assert [layer.kind for layer in graph.layers.values()] == ["conv2d"]


class Pair(NamedTuple):
    low: Any
    high: Any


@dataclass
class Result:
    image: Any
    count: int
    more: Any = None


OUTPUTS: list[tuple[Callable[[Any], Any], list[str]]] = [
    (lambda x: x, ["0"]),
    (lambda x: (x, x + 1), ["0", "1"]),
    (lambda x: [x, [x, (x,)]], ["0", "1.0", "1.1.0"]),
    (lambda x: {"a": x, "b": {"c": x, "d": None}}, ["a", "b.c"]),
    (lambda x: OrderedDict(z=x, a=x), ["z", "a"]),
    (lambda x: Pair(x, x), ["low", "high"]),
    (lambda x: Result(x, 3, (x,)), ["image", "more.0"]),
    (lambda x: None, []),
]


@pytest.mark.parametrize(("form", "names"), OUTPUTS)
def test_outputs_in_every_form_are_named(form: Callable[[Any], Any], names: list[str]) -> None:
    class Net(nn.Module):
        def forward(self, x: Any) -> Any:
            return form(F.relu(x))

    done = trace(Net(), (IMAGE,))
    made = [op for op in done.graph.operations if op.kind == "output"]
    assert list(done.outputs) == names == [op.name for op in made]
    assert [op.attrs["index"] for op in made] == list(range(len(names)))


def test_an_output_that_is_an_input_or_a_parameter_is_one() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.ones(3))

        def forward(self, x: Any) -> Any:
            return x, self.table

    operations = trace(Net(), (IMAGE,)).graph.operations
    assert [(op.kind, op.operands) for op in operations] == [
        ("input", ()), ("output", ((0, 0),)), ("parameter", ()), ("output", ((2, 0),))
    ]  # fmt: skip
