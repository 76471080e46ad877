"""Runs in training mode, and what a run is told to change, keep and say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twinzoo.ports.mindspore.runtime import prepare

prepare()
ms = pytest.importorskip("mindspore")

from mindspore import Parameter, Tensor, nn, ops  # noqa: E402

import twinzoo as tz  # noqa: E402
from twinzoo.converters.live.mindspore import running  # noqa: E402
from twinzoo.converters.live.mindspore.model import arrays_of, trace, whole  # noqa: E402

IMAGE = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)


def ones(index: int, shape: tuple[int, ...]) -> Any:
    return np.ones(shape, np.float32)


def network() -> Any:
    return nn.SequentialCell(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=0.7), nn.Dropout(p=0.25), nn.Sigmoid())


def test_the_whole_model_is_in_training_mode() -> None:
    model = network().set_train(False)
    model[1].set_train(True)
    before, held = arrays_of(model), [dict(vars(cell)) for _, cell in model.cells_and_names()]
    done = trace(model, (IMAGE,), values=True, train=True)
    norm, dropout = done.graph.operations[2:4]
    assert (norm.kind, norm.attrs["batch_statistics"], norm.attrs["momentum"]) == ("batch_norm", True, 0.3)
    assert (dropout.kind, dropout.attrs) == ("dropout", {"p": 0.25})
    assert done.training == {"": False, "0": False, "1": True, "2": False, "3": False}
    assert [dict(vars(cell)) for _, cell in model.cells_and_names()] == held
    assert model[2].dropout is model[2]._primitives["dropout"]
    assert all(np.array_equal(value, before[name]) for name, value in arrays_of(model).items())


def test_the_state_after_the_run_is_what_a_step_leaves() -> None:
    model, twin = network(), network()
    ms.load_param_into_net(twin, model.parameters_dict())
    done = trace(model, (IMAGE,), train=True)
    twin.set_train(True)(Tensor(IMAGE))
    assert list(done.state_after) == ["1.moving_mean", "1.moving_variance"]
    for name, value in done.state_after.items():
        np.testing.assert_allclose(value, arrays_of(twin)[name], rtol=1e-6)
    assert whole(model, (IMAGE,), train=True).state_after.keys() == done.state_after.keys()
    assert not trace(model, (IMAGE,)).state_after


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("use", [None, True, False])
def test_statistics_of_the_batch_are_told_however_they_come_about(use: bool | None, train: bool) -> None:
    norm = nn.BatchNorm2d(3, use_batch_statistics=use)
    done = trace(norm, (IMAGE,), values=True, train=train)
    operation = done.graph.operations[1]
    of_the_batch = abs(done.outputs["0"].mean((0, 2, 3))).max() < 1e-5
    assert operation.kind == "batch_norm"
    assert operation.attrs.get("batch_statistics", False) is bool(of_the_batch) is (train if use is None else use)
    assert operation.attrs["momentum"] == pytest.approx(0.1)


@pytest.mark.parametrize("training", [False, True])
def test_statistics_of_a_functional_norm(training: bool) -> None:
    class Normed(nn.Cell):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            names = ("mean", "var", "weight", "bias")
            self.parts = ms.ParameterTuple([Parameter(Tensor(np.ones(3, np.float32)), name=name) for name in names])

        def construct(self, x: Any) -> Any:
            return ops.batch_norm(x, *self.parts, training=training, momentum=0.3)

    operation = trace(Normed(), (IMAGE,), train=not training).graph.operations[1]
    assert operation.kind == "batch_norm"
    assert operation.attrs.get("batch_statistics", False) is training
    assert operation.attrs["momentum"] == pytest.approx(0.3)


DROPOUTS: dict[str, tuple[Callable[[Any], Any], str, bool]] = {
    "cell": (nn.Dropout(p=0.5), "dropout", True),
    "kept share": (nn.Dropout(keep_prob=0.5), "dropout", True),
    "function": (lambda x: ops.dropout(x, 0.5), "dropout", False),
    "primitive": (lambda x: ops.Dropout(0.5, 3, 3)(x)[0], "dropout", True),
    "channels": (nn.Dropout2d(0.5), "dropout2d", False),
    "channels by function": (lambda x: ops.dropout2d(x, 0.5), "dropout2d", False),
}


class Draws(nn.Cell):  # type: ignore[misc]
    """A dropout between two functions."""

    def __init__(self, drop: Any) -> None:
        super().__init__()
        self.drop = drop

    def construct(self, x: Any) -> Any:
        """Positive values, so that a zero is a dropped one."""
        return self.drop(ops.abs(x) + 1) * 2


@pytest.mark.parametrize("name", DROPOUTS)
def test_dropout_has_one_mask_for_value_and_gradient(name: str) -> None:
    drop, kind, repeats = DROPOUTS[name]
    image = np.tile(IMAGE, (4, 4, 1, 1))
    done, again = (trace(Draws(drop), (image,), values=True, train=True, pull=ones) for _ in range(2))
    place = next(i for i, op in enumerate(done.graph.operations) if op.kind == kind)
    operation = done.graph.operations[place]
    assert operation.attrs == {"p": 0.5}
    mask = done.values[place] != 0
    assert 0 < mask.mean() < 1
    np.testing.assert_allclose(done.gradients[operation.operands[0][0]], 4 * mask, rtol=1e-6)
    assert np.array_equal(done.values[place], again.values[place]) is repeats
    if isinstance(drop, nn.Cell):
        assert kind not in [op.kind for op in trace(Draws(drop), (image,)).graph.operations]
    if isinstance(drop, nn.Dropout):
        np.testing.assert_array_equal(whole(Draws(drop), (image,), train=True).outputs["0"], done.outputs["0"])


SHARES = {
    "cell": nn.Dropout(p=0.3),
    "kept share": nn.Dropout(keep_prob=0.7),
    "primitive": lambda x: ops.Dropout(0.7, 3, 3)(x)[0],
    "channels": nn.Dropout2d(p=0.3),
    "channels by primitive": lambda x: ops.Dropout2D(0.7)(x)[0],
    "volumes": nn.Dropout3d(p=0.3),
}


@pytest.mark.parametrize("name", SHARES)
def test_the_share_that_is_dropped_is_told_however_it_was_given(name: str) -> None:
    drop = SHARES[name]
    image = np.tile(IMAGE, (2, 2, 1, 1))[:, :, None] if name == "volumes" else IMAGE
    done = trace(Draws(drop), (image,), train=True)
    assert [op.attrs["p"] for op in done.graph.operations if op.kind.startswith("dropout")] == [0.3]
    if isinstance(drop, nn.Cell):
        assert [one.p for one in trace(Draws(drop), (image,)).idle] == [0.3]


def test_what_searches_inputs_leaves_no_trace_in_the_state() -> None:
    model = network()
    done = trace(model, train=True)
    given = trace(model, tuple(done.inputs.values()), train=True)
    assert done.state_after.keys() == given.state_after.keys()
    assert all(np.array_equal(value, given.state_after[name]) for name, value in done.state_after.items())


def test_an_operation_knows_the_line_that_calls_it() -> None:
    class Lines(nn.Cell):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)
            self.act = nn.Sigmoid()

        def construct(self, x: Any) -> Any:
            y = self.conv(x)
            y = y + 1
            y = self.act(y)
            return ops.relu(y)

    def loss(y: Any) -> Any:
        return ops.mean(y)

    done = trace(Lines(), (IMAGE,), loss=loss, pull=ones)
    first = Lines.construct.__code__.co_firstlineno
    here = Path(__file__).relative_to(Path.cwd()).as_posix()
    lines = {op.kind: op.source for op in done.graph.operations}
    assert [lines[kind] for kind in ("conv2d", "affine", "sigmoid", "relu")] == [
        f"{here}:{first + i}" for i in (1, 2, 3, 4)
    ]
    assert lines["mean"] == f"{here}:{loss.__code__.co_firstlineno + 1}"
    assert lines["input"] == lines["output"] == ""


def test_what_nobody_wrote_has_no_line() -> None:
    assert {op.source for op in trace(nn.SequentialCell(nn.Sigmoid()), (IMAGE,)).graph.operations} == {""}
    twin = tz.build("unet", "mindspore", width=4, depth=3)
    assert {op.source for op in trace(twin).graph.operations} == {""}


@pytest.mark.parametrize(("config", "said"), [({}, "hf32"), ({"conv_allow_hf32": False}, "")])
def test_precision_is_that_of_the_target(config: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert trace(network(), (IMAGE,)).precision == ""
    from twinzoo.converters.live.mindspore import compiling

    told = {"device_target": "Ascend", "ascend_config": config}
    monkeypatch.setattr(ms, "get_context", told.get)
    assert compiling.precision() == said


WRITES: dict[str, Callable[[Any], Any]] = {
    "assign": lambda w: ops.assign(w, w * 2),
    "primitive": lambda w: ops.AssignAdd()(w, w),
    "set_data": lambda w: w.set_data(w * 2),
    "item": lambda w: w.__setitem__(0, 5.0),
    "view": lambda w: w.view(-1).__setitem__(0, 5.0),
    "copy": lambda w: w.assign_value(w * 2),
    "unknown": lambda w: ops.scatter_update(w, Tensor([0], ms.int32), w[:1] * 2),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_parameter_that_a_construct_writes_to_comes_back(write: str) -> None:
    class Writes(nn.Cell):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def construct(self, x: Any) -> Any:
            WRITES[write](self.conv.weight)
            return x

    model = Writes()
    before = arrays_of(model)
    assert "conv.weight" in trace(model, (IMAGE,)).state_after
    assert all(np.array_equal(value, before[name]) for name, value in arrays_of(model).items())


def test_a_model_that_shares_memory_is_left_as_it_was() -> None:
    model, other = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    ms.load_param_into_net(other, model.parameters_dict())
    before = arrays_of(other)
    trace(model, (IMAGE,), train=True)
    assert all(np.array_equal(value, before[name]) for name, value in arrays_of(other).items())


def test_an_attribute_that_is_set_anew_comes_back() -> None:
    class Resets(nn.Cell):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.scale = Parameter(Tensor(np.ones(3, np.float32)))

        def construct(self, x: Any) -> Any:
            self.scale = Parameter(Tensor(np.zeros(3, np.float32)))
            return x

    model = Resets()
    scale = model.scale
    trace(model, (IMAGE,))
    assert model.scale is scale is model.parameters_dict()["scale"]


def test_parameters_that_are_only_read_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []

    class Counting(running.Kept):
        def restore(self) -> None:
            kept.append(set(self._values))
            super().restore()

    monkeypatch.setattr(running, "Kept", Counting)

    class Plain(nn.Cell):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.body = network()
            self.scale = Parameter(Tensor(np.ones((4, 1, 1), np.float32)))

        def construct(self, x: Any) -> Any:
            return ops.relu(self.body(x) * self.scale)

    trace(Plain(), (IMAGE,), train=True, pull=ones, values=True)
    assert kept == [{"body.1.moving_mean", "body.1.moving_variance"}]
