"""Cells as they stand: what graph mode and `ms.jit` do is seen beside the plain run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from twinzoo.ports.mindspore.runtime import prepare
from twinzoo.zoo.errors import ConversionError

prepare()
ms = pytest.importorskip("mindspore")

from mindspore import Tensor, nn, ops  # noqa: E402

from twinzoo.converters.live.mindspore.model import arrays_of, compiled, trace, whole  # noqa: E402

IMAGE = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)


@pytest.fixture(params=["PYNATIVE_MODE", "GRAPH_MODE"])
def mode(request: pytest.FixtureRequest) -> Iterator[str]:
    ms.set_context(mode=getattr(ms, request.param))
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)


def ones(index: int, shape: tuple[int, ...]) -> Any:
    return np.ones(shape, np.float32)


class Plain(nn.Cell):  # type: ignore[misc]
    """A small network with several outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def construct(self, x: Any, y: Any = None) -> Any:
        """Nested outputs."""
        x = self.norm(self.conv(x))
        return ops.relu(x), {"a": ops.sigmoid(x), "b": x > 0}


class Jitted(Plain):
    """The same, compiled."""

    @ms.jit  # type: ignore[untyped-decorator]
    def construct(self, x: Any, y: Any = None) -> Any:
        """Nested outputs."""
        x = self.norm(self.conv(x))
        return ops.relu(x), {"a": ops.sigmoid(x), "b": x > 0}


@ms.jit  # type: ignore[untyped-decorator]
def activated(x: Any) -> Any:
    """A compiled function between layers."""
    return ops.relu(x)


class Calls(Plain):
    """The same, with a compiled function in it."""

    def construct(self, x: Any, y: Any = None) -> Any:
        """Nested outputs."""
        x = self.norm(self.conv(x))
        return activated(x), {"a": ops.sigmoid(x), "b": x > 0}


FACTOR = 2.0


@ms.jit  # type: ignore[untyped-decorator]
def scaled(x: Any) -> Any:
    """A graph keeps the factor of the time when it was compiled."""
    return x * FACTOR


class Scaled(nn.Cell):  # type: ignore[misc]
    """A cell that is another function in a graph."""

    def construct(self, x: Any) -> Any:
        """Times the factor."""
        return scaled(x)


@pytest.mark.parametrize("made", [Plain, Jitted, Calls])
def test_the_whole_is_the_plain_run(made: Any, mode: str) -> None:
    model = made().set_train(False)
    assert compiled(model) is (made is not Plain or mode == "GRAPH_MODE")
    before = arrays_of(model)
    plain, stands = trace(model, (IMAGE,), train=True, pull=ones), whole(model, (IMAGE,), train=True, pull=ones)
    assert list(stands.outputs) == list(plain.outputs) == ["0", "1.a", "1.b"]
    for name, value in plain.outputs.items():
        np.testing.assert_allclose(stands.outputs[name], value, rtol=1e-4, atol=1e-5)
    assert stands.parameter_gradients.keys() == plain.parameter_gradients.keys() != set()
    for name, gradient in plain.parameter_gradients.items():
        np.testing.assert_allclose(stands.parameter_gradients[name], gradient, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(stands.input_gradients["x"], plain.gradients[0], rtol=1e-4, atol=1e-4)
    assert stands.state_after.keys() == plain.state_after.keys()
    for name, value in plain.state_after.items():
        np.testing.assert_allclose(stands.state_after[name], value, rtol=1e-4, atol=1e-6)
    assert all(np.array_equal(value, before[name]) for name, value in arrays_of(model).items())
    assert not any(cell.training for _, cell in model.cells_and_names())


def test_a_loss_is_compiled_too(mode: str) -> None:
    target = Tensor(np.ones((2, 4, 8, 8), np.float32))

    def loss(result: Any) -> Any:
        return ops.mse_loss(result[0], target) + result[1]["a"].mean()

    model = Plain()
    plain, stands = trace(model, (IMAGE,), pull=ones, loss=loss), whole(model, (IMAGE,), pull=ones, loss=loss)
    assert list(stands.outputs) == list(plain.outputs) == ["0"]
    np.testing.assert_allclose(stands.outputs["0"], plain.outputs["0"], rtol=1e-5)
    np.testing.assert_allclose(stands.input_gradients["x"], plain.gradients[0], rtol=1e-4, atol=1e-7)


def test_what_a_compiler_does_otherwise_is_in_the_whole_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Scaled()
    assert compiled(model)
    whole(model, (IMAGE,), pull=ones)
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 1.0)
    plain, stands = trace(model, (IMAGE,), pull=ones), whole(model, (IMAGE,), pull=ones)
    np.testing.assert_array_equal(plain.outputs["0"], IMAGE)
    np.testing.assert_array_equal(stands.outputs["0"], 2 * IMAGE)
    np.testing.assert_array_equal(stands.input_gradients["x"], 2 * plain.gradients[0])


def test_the_switch_that_turns_compilation_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MS_JIT", "0")
    assert not compiled(Jitted())


def test_a_compiled_cell_runs_on_as_it_did(mode: str) -> None:
    model = Jitted().set_train(False)
    before = model(Tensor(IMAGE))[0].asnumpy()
    whole(model, (IMAGE,), train=True, pull=ones)
    np.testing.assert_array_equal(model(Tensor(IMAGE))[0].asnumpy(), before)


def test_inputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConversionError, match="x is missing"):
        whole(Plain(), ())
    with pytest.raises(ConversionError, match="Plain does not run on the inputs"):
        whole(Plain(), (IMAGE[:, :2],))
