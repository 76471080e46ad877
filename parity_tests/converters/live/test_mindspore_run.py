"""A trace leaves the cell and MindSpore as they were, in every mode, also when the run fails."""

from __future__ import annotations

import cProfile
import os
import sys
from typing import Any

import numpy as np
import pytest

from twinzoo.ports.mindspore.runtime import prepare
from twinzoo.zoo.errors import ConversionError

prepare()
ms = pytest.importorskip("mindspore")

from mindspore import Parameter, Tensor, nn, ops  # noqa: E402

from twinzoo.converters.live.mindspore.model import arrays_of, trace  # noqa: E402

IMAGE = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)


class Restless(nn.Cell):  # type: ignore[misc]
    """A cell whose run changes whatever a run can change."""

    def __init__(self, fails: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4, use_batch_statistics=True)
        self.drop = nn.Dropout(p=0.5)
        self.calls = Parameter(Tensor(np.zeros(1, np.float32)))
        self.register_buffer("seen", Tensor(np.zeros(1, np.float32)))
        self.kept: Any = None
        self.fails = fails

    def construct(self, x: Any) -> Any:
        """Count, keep, draw, and fail where it is to."""
        ops.assign_add(self.calls, Tensor(np.ones(1, np.float32)))
        self.seen.assign_value(self.seen + 1)
        self.norm.set_train(True)
        ms.manual_seed(len(x.shape))
        x = self.norm(self.conv(x))
        self.kept = x
        if self.fails:
            raise RuntimeError("it fails")
        return self.drop(x)


def looks(model: Any) -> list[Any]:
    """All that a cell shows of itself; it has some of it only once it was asked for."""
    model.state_dict()
    cells = [(name, cell.training, cell.requires_grad, cell.phase, cell.get_flags()) for name, cell in
             model.cells_and_names()]  # fmt: skip
    held = [{name: id(value) for name, value in vars(cell).items()} for _, cell in model.cells_and_names()]
    types = [type(tensor) for tensor in model.state_dict().values()]
    values = {name: value.tobytes() for name, value in arrays_of(model).items()}
    return [cells, held, types, values, ms.get_context("mode"), os.environ.get("MS_JIT"), sys.getprofile()]


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("mode", ["PYNATIVE_MODE", "GRAPH_MODE"])
def test_everything_is_as_before(mode: str, fails: bool) -> None:
    model = Restless(fails)
    model.set_train(True)
    model.drop.set_train(False)
    model.conv.set_grad(True)
    handle = model.conv.register_forward_hook(lambda cell, inputs, output: None)
    ms.set_context(mode=getattr(ms, mode))
    try:
        before, numbers = looks(model), ms.get_rng_state()
        if fails:
            with pytest.raises(ConversionError, match="Restless does not run on the inputs: RuntimeError: it fails"):
                trace(model, (IMAGE,))
        else:
            trace(model, (IMAGE,))
        assert looks(model) == before
        np.testing.assert_array_equal(ms.get_rng_state().asnumpy(), numbers.asnumpy())
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    handle.remove()


def test_the_run_takes_no_gradients() -> None:
    seen: list[bool] = []

    class Asks(nn.Cell):  # type: ignore[misc]
        def construct(self, x: Any) -> Any:
            seen.append(self.requires_grad)
            return x

    trace(Asks().set_grad(True), (IMAGE,))
    assert seen == [False]


def test_the_users_own_switch_for_compilation_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MS_JIT", "1")
    trace(nn.Dense(2, 2))
    assert os.environ["MS_JIT"] == "1"


def test_a_profiler_goes_on_after_the_trace() -> None:
    seen: list[str] = []

    def profiler(frame: Any, event: str, value: Any) -> None:
        seen.append(event)

    sys.setprofile(profiler)
    try:
        trace(nn.Dense(2, 2))
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)


def test_the_run_is_in_eval_mode() -> None:
    model = nn.SequentialCell(nn.BatchNorm2d(3), nn.Dropout(p=0.5))
    model.set_train(True)
    done = trace(model, (IMAGE,))
    assert [op.kind for op in done.graph.operations] == ["input", "batch_norm", "output"]
    np.testing.assert_allclose(done.outputs["0"], IMAGE, rtol=1e-4)


class Plain(nn.Cell):  # type: ignore[misc]
    """A small network."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def construct(self, x: Any) -> Any:
        """One convolution, and what is between layers."""
        return ops.relu(self.conv(x))[:, :2] + 1


class ByAst(Plain):
    """The same, compiled from its source."""

    @ms.jit  # type: ignore[untyped-decorator]
    def construct(self, x: Any) -> Any:
        """One convolution, and what is between layers."""
        return ops.relu(self.conv(x))[:, :2] + 1


class ByBytecode(Plain):
    """The same, compiled from its bytecode."""

    @ms.jit(capture_mode="bytecode")  # type: ignore[untyped-decorator]
    def construct(self, x: Any) -> Any:
        """One convolution, and what is between layers."""
        return ops.relu(self.conv(x))[:, :2] + 1


@ms.jit  # type: ignore[untyped-decorator]
def shortened(x: Any) -> Any:
    """A compiled function between layers."""
    return ops.relu(x)[:, :2]


class WithAFunction(Plain):
    """The same, with a compiled function in it."""

    def construct(self, x: Any) -> Any:
        """One convolution, and what is between layers."""
        return shortened(self.conv(x)) + 1


@pytest.mark.parametrize("made", [Plain, ByAst, ByBytecode, WithAFunction])
@pytest.mark.parametrize("mode", ["PYNATIVE_MODE", "GRAPH_MODE"])
def test_compiled_code_is_seen_as_the_python_that_it_was(made: Any, mode: str) -> None:
    ms.set_context(mode=getattr(ms, mode))
    try:
        done = trace(made(), (IMAGE,))
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    kinds = [op.kind for op in done.graph.operations]
    assert kinds == ["input", "conv2d", "relu", "slice", "affine", "output"]


def test_a_compiled_cell_runs_on_as_it_did() -> None:
    model = ByAst()
    before = model(Tensor(IMAGE)).asnumpy()
    trace(model, (IMAGE,))
    np.testing.assert_array_equal(model(Tensor(IMAGE)).asnumpy(), before)


def test_tensors_of_the_run_have_their_own_class_again() -> None:
    kept: list[Any] = []

    class Keeps(nn.Cell):  # type: ignore[misc]
        def construct(self, x: Any) -> Any:
            kept.extend([x, x + 1, ops.relu(x)])
            return kept[-1]

    trace(Keeps(), (IMAGE,))
    assert [type(tensor) for tensor in kept] == [Tensor] * 3


def test_what_the_users_code_catches_is_no_failure() -> None:
    class Careful(nn.Cell):  # type: ignore[misc]
        def construct(self, x: Any) -> Any:
            try:
                x = ops.interpolate(x, size=(4, 4), mode="none")
            except ValueError:
                x = ops.relu(x)
            return x + 1

    kinds = [op.kind for op in trace(Careful(), (IMAGE,)).graph.operations]
    assert kinds[-3:] == ["relu", "affine", "output"]


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_inputs_come_in_the_precision_of_the_model(dtype: str) -> None:
    class Halved(nn.Cell):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.scale = Parameter(Tensor(np.ones(3), getattr(ms, dtype)))

        def construct(self, x: Any) -> Any:
            return x * self.scale

    done = trace(Halved(), (np.ones((1, 3), np.float32),))
    assert done.outputs["0"].dtype == dtype
    assert done.inputs["x"].dtype == np.float32


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ((IMAGE, IMAGE), "2 were given: the model takes x"),
        ({"y": IMAGE}, "no argument 'y': it takes x"),
        ((), "x is missing"),
        ((IMAGE[:, :1],), "Plain does not run on the inputs: RuntimeError"),
    ],
)
def test_inputs_that_do_not_fit(inputs: Any, said: str) -> None:
    with pytest.raises(ConversionError, match=said):
        trace(Plain(), inputs)


def test_inputs_that_are_guessed() -> None:
    done = trace(Plain())
    assert done.inputs["x"].shape == (1, 3, 16, 16)
    assert done.outputs["0"].shape == (1, 2, 16, 16)


def test_a_model_that_runs_on_nothing() -> None:
    class Never(nn.Cell):  # type: ignore[misc]
        def construct(self, x: Any) -> Any:
            raise ValueError("never")

    with pytest.raises(ConversionError, match="runs on none of the .* inputs tried .*ValueError: never"):
        trace(Never())


def test_a_profiler_in_c_is_said_to_be_in_the_way() -> None:
    with cProfile.Profile(), pytest.raises(ConversionError, match="a profiler in C is running"):
        trace(nn.ReLU(), (np.ones((1, 2), np.float32),))


def test_a_cell_may_call_itself_as_it_likes() -> None:
    class Mine(nn.Cell):  # type: ignore[misc]
        def __init__(this) -> None:
            super().__init__()
            this.inner = nn.SequentialCell(nn.Conv2d(3, 2, 1), nn.ReLU())

        def construct(this, x: Any) -> Any:
            return this.inner(x) + 1

    found = trace(Mine(), (np.ones((1, 3, 4, 4), np.float32),))
    assert [(op.name, op.kind) for op in found.graph.operations][1:-1] == [
        ("inner.0", "conv2d"),
        ("inner.1", "relu"),
        ("add", "affine"),
    ]
