"""Runs in training mode, and what a run is told to change, keep and say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import twinzoo as tz  # noqa: E402
from twinzoo.converters.live.torch import unchanged  # noqa: E402
from twinzoo.converters.live.torch.model import arrays_of, trace, whole  # noqa: E402

IMAGE = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)


def ones(index: int, shape: tuple[int, ...]) -> Any:
    return np.ones(shape, np.float32)


def network() -> Any:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=0.3), nn.Dropout(0.25), nn.Tanh())


def test_the_whole_model_is_in_training_mode() -> None:
    model = network().eval()
    model[1].train()
    before, random = arrays_of(model), torch.get_rng_state()
    done = trace(model, (IMAGE,), values=True, train=True)
    norm, dropout = done.graph.operations[2:4]
    assert (norm.kind, norm.attrs["batch_statistics"], norm.attrs["momentum"]) == ("batch_norm", True, 0.3)
    assert (dropout.kind, dropout.attrs) == ("dropout", {"p": 0.25})
    assert done.training == {"": False, "0": False, "1": True, "2": False, "3": False}
    assert [module.training for module in model] == [False, True, False, False]
    assert all(np.array_equal(value, before[name]) for name, value in arrays_of(model).items())
    assert torch.equal(torch.get_rng_state(), random)


def test_the_state_after_the_run_is_what_a_step_leaves() -> None:
    model, twin = network(), network()
    twin.load_state_dict(model.state_dict())
    done = trace(model, (IMAGE,), train=True)
    twin.train()(torch.from_numpy(IMAGE))
    changed = ["1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert list(done.state_after) == changed
    for name in changed:
        np.testing.assert_array_equal(done.state_after[name], twin.state_dict()[name])
    assert whole(model, (IMAGE,), train=True).state_after.keys() == done.state_after.keys()
    assert not trace(model, (IMAGE,)).state_after


def test_statistics_that_a_forward_makes_anew_are_in_the_state_after() -> None:
    class Averaging(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(()))
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x: Any) -> Any:
            self.mean: Any = 0.9 * self.mean + 0.1 * x.mean()
            with torch.no_grad():
                self.scale.clamp_(max=0.5)
            return x * self.scale

    model = Averaging()
    done = trace(model, (IMAGE,), pull=ones)
    assert set(done.state_after) == {"mean", "scale"}
    np.testing.assert_allclose(done.state_after["mean"], 0.1 * IMAGE.mean(), rtol=1e-5)
    assert done.state_after["scale"] == 0.5
    assert (model.mean.item(), model.scale.item()) == (0, 1)


@pytest.mark.parametrize(
    ("norm", "train", "of_the_batch"),
    [
        (nn.BatchNorm2d(3), False, False),
        (nn.BatchNorm2d(3), True, True),
        (nn.BatchNorm2d(3, track_running_stats=False), False, True),
        (nn.BatchNorm2d(3, affine=False), True, True),
    ],
)
def test_statistics_of_the_batch_are_told_however_they_come_about(norm: Any, train: bool, of_the_batch: bool) -> None:
    operation = trace(norm, (IMAGE,), train=train).graph.operations[1]
    assert operation.kind == "batch_norm"
    assert operation.attrs.get("batch_statistics", False) is of_the_batch
    assert operation.attrs["momentum"] == 0.1


DROPOUTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "module": (nn.Dropout(0.5), "dropout"),
    "function": (lambda x: F.dropout(x, 0.5), "dropout"),
    "torch's": (lambda x: torch.dropout(x, 0.5, True), "dropout"),
    "in place": (lambda x: F.dropout(x.neg(), 0.5, True, True), "dropout"),
    "channels": (nn.Dropout2d(0.5), "dropout2d"),
    "alpha": (nn.AlphaDropout(0.5), "torch.alpha_dropout"),
}


class Draws(nn.Module):
    """A dropout between two functions."""

    def __init__(self, drop: Any) -> None:
        super().__init__()
        self.drop = drop

    def forward(self, x: Any) -> Any:
        """Positive values, so that a zero is a dropped one."""
        return self.drop(x.abs() + 1) * 2


@pytest.mark.parametrize("name", DROPOUTS)
def test_dropout_has_one_mask_for_value_and_gradient_and_draws_it_again(name: str) -> None:
    torch.manual_seed(0)
    drop, kind = DROPOUTS[name]
    done, again = (trace(Draws(drop), (IMAGE,), values=True, train=True, pull=ones) for _ in range(2))
    place = next(i for i, op in enumerate(done.graph.operations) if op.kind == kind)
    assert done.graph.operations[place].attrs == {"p": 0.5}
    np.testing.assert_array_equal(done.values[place], again.values[place])
    if kind != "torch.alpha_dropout":
        mask = done.values[place] != 0
        assert 0 < mask.mean() < 1
        (before, _) = done.graph.operations[place].operands[0]
        np.testing.assert_allclose(done.gradients[before], 4 * mask, rtol=1e-6)
    if isinstance(drop, nn.Module):
        assert kind not in [op.kind for op in trace(Draws(drop), (IMAGE,)).graph.operations]
        np.testing.assert_array_equal(whole(Draws(drop), (IMAGE,), train=True).outputs["0"], done.outputs["0"])


def test_what_searches_inputs_leaves_no_trace_in_the_state() -> None:
    model = network()
    done = trace(model, train=True)
    given = trace(model, tuple(done.inputs.values()), train=True)
    assert done.state_after.keys() == given.state_after.keys()
    assert all(np.array_equal(value, given.state_after[name]) for name, value in done.state_after.items())


def test_an_operation_knows_the_line_that_calls_it() -> None:
    class Lines(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)
            self.lstm = nn.LSTM(8, 8)

        def forward(self, x: Any) -> Any:
            y = self.conv(x)
            y = y + 1
            return self.lstm(y.flatten(0, 2))[0]

    done = trace(Lines(), (IMAGE,), loss=lambda y: y.mean())
    first = Lines.forward.__code__.co_firstlineno
    here = Path(__file__).relative_to(Path.cwd()).as_posix()
    kinds = {op.kind: op.source for op in done.graph.operations}
    assert kinds["conv2d"] == f"{here}:{first + 1}"
    assert kinds["affine"] == f"{here}:{first + 2}"
    assert kinds["reshape"] == kinds["lstm"] == f"{here}:{first + 3}"
    assert kinds["mean"].startswith(f"{here}:")
    assert kinds["input"] == kinds["output"] == ""


def test_a_file_elsewhere_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    source = trace(Draws(nn.Identity()), (IMAGE,)).graph.operations[1].source
    assert source.startswith(f"{Path(__file__).name}:")


def test_what_nobody_wrote_has_no_line() -> None:
    assert {op.source for op in trace(nn.Sequential(nn.Tanh()), (IMAGE,)).graph.operations} == {""}
    twin = tz.build("unet", "torch", width=4, depth=3)
    assert {op.source for op in trace(twin).graph.operations} == {""}


def test_lines_tell_no_operations_apart() -> None:
    one, other = (trace(Draws(nn.Identity()), (IMAGE,)).graph.operations[1] for _ in range(2))
    assert one == other and one.source
    assert one == type(one)(one.name, one.kind, one.operands, one.attrs)


def test_precision_is_empty_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trace(network(), (IMAGE,)).precision == ""
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    assert trace(network(), (IMAGE,)).precision == "tf32"


WRITES: dict[str, Callable[[Any], Any]] = {
    "in place": lambda w: w.fill_(2),
    "operator": lambda w: w.__iadd__(1),
    "item": lambda w: w.__setitem__(0, 5.0),
    "view": lambda w: w.view(-1)[:2].zero_(),
    "data": lambda w: w.data.mul_(3),
    "other data": lambda w: setattr(w, "data", torch.zeros_like(w)),
    "other shape": lambda w: setattr(w, "data", torch.zeros(1)),
    "out": lambda w: torch.add(w.detach(), 1, out=w.detach()),
    "array": lambda w: w.detach().numpy().fill(7),
    "renorm": lambda w: F.embedding(torch.tensor([0]), w.flatten(1), max_norm=0.01),
    "positional": lambda w: F.threshold(w.detach(), 9.0, -1.0, True),
    "foreach": lambda w: torch._foreach_mul_([w.detach()], 2.0),
    "custom": lambda w: torch.ops.aten.mul_(w.detach(), 2.0),
    "init": lambda w: nn.init.zeros_(w),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_parameter_that_a_forward_writes_to_comes_back(write: str) -> None:
    class Writes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Any) -> Any:
            with torch.no_grad():
                WRITES[write](self.conv.weight)
            return x

    model = Writes()
    before, memory = arrays_of(model), model.conv.weight.data_ptr()
    assert "conv.weight" in trace(model, (IMAGE,)).state_after
    assert all(np.array_equal(value, before[name]) for name, value in arrays_of(model).items())
    assert model.conv.weight.data_ptr() == memory


def test_parameters_that_are_only_read_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []

    class Counting(unchanged.Kept):
        def restore(self) -> None:
            copied.extend(self._copies)
            super().restore()

    monkeypatch.setattr(unchanged, "Kept", Counting)
    model = network()
    trace(model, (IMAGE,), train=True, pull=ones, values=True)
    assert set(copied) == {id(tensor) for tensor in (*model.buffers(), *model[1].parameters())}
