"""Any live models trained side by side: clean pairs agree, what is planted is named, nothing of theirs is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("mindspore")

import mindspore as ms
import torch
from mindspore import nn as cells
from mindspore import ops
from torch import nn

from twinzoo.converters.convert import convert
from twinzoo.parity.steps.live import live_steps
from twinzoo.parity.steps.report import StepsReport
from twinzoo.ports.mindspore.runtime import prepare
from twinzoo.zoo.errors import ParityError
from twinzoo.zoo.steps.optimizer import Optimizer

pytestmark = pytest.mark.usefixtures("one_thread")

prepare()  # before MindSpore computes anything: kernels of tests that come later depend on it

IMAGE = np.random.default_rng(0).uniform(-1, 1, (2, 3, 8, 8)).astype(np.float32)
CONV: dict[str, Any] = {"kernel_size": 3, "pad_mode": "pad", "padding": 1, "has_bias": True}


class Module(nn.Module):
    """Convolution, norm, dropout, convolution, and two outputs of other forms."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.drop, self.last = nn.Dropout(dropout), nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: Any, *, scale: Any = 1.0) -> Any:
        made = self.last(self.drop(self.norm(self.first(x)).relu()))
        return {"made": made * scale, "others": [made.mean((2, 3))]}


class Cell(cells.Cell):  # type: ignore[misc]
    """The same under other names."""

    def __init__(self, dropout: float = 0.0, momentum: float = 0.9) -> None:
        super().__init__()
        self.enter, self.even = cells.Conv2d(3, 4, **CONV), cells.BatchNorm2d(4, momentum=momentum)
        self.drop, self.leave = cells.Dropout(p=dropout), cells.Conv2d(4, 2, **CONV)

    def construct(self, x: Any, scale: Any = 1.0) -> Any:
        made = self.leave(self.drop(ops.relu(self.even(self.enter(x)))))
        return made * scale, made.mean((2, 3))


def twins(dropout: float = 0.0, **options: Any) -> tuple[Module, Cell]:
    """Both with the same weights, in modes that a step has to put back."""
    torch.manual_seed(0)
    a, b = Module(dropout).eval(), Cell(dropout, **options)
    a.norm.train()
    b.set_train(False)
    convert(a, b)
    return a, b


def compared(
    a: Any, b: Any, *, steps: int = 3, train: bool = True, losses: Any = (None, None), **more: Any
) -> StepsReport:
    return live_steps(a, b, IMAGE, steps, train, losses, **more)


OPTIMIZERS = {
    "adam": Optimizer("adam", (), lr=1e-3),
    "momentum": Optimizer("sgd", (), lr=1e-3, kind="sgd", momentum=0.9),
    "sgd": Optimizer("sgd", (), lr=1e-3, kind="sgd", weight_decay=0.01),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("train", [True, False])
def test_twins_of_two_frameworks_agree(optimizer: str, train: bool) -> None:
    report = compared(*twins(), train=train, optimizer=OPTIMIZERS[optimizer])
    assert report.ok, str(report)
    assert len(report.steps) == 3 and report.tensors >= 8
    assert (report.a, report.b) == ("torch Module", "mindspore Cell")
    assert report.steps[0].a["loss"] != report.steps[2].a["loss"]


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE])
def test_the_models_are_left_as_they_were(mode: int) -> None:
    a, b = twins()
    a.first.weight.grad = torch.ones_like(a.first.weight)
    before = {key: value.clone() for key, value in a.state_dict().items()}
    others = {p.name: p.asnumpy().copy() for p in b.get_parameters()}
    ms.set_context(mode=mode)
    try:
        assert compared(a, b).ok
        assert ms.get_context("mode") == mode
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    assert all(torch.equal(before[key], value) for key, value in a.state_dict().items())
    assert all((others[p.name] == p.asnumpy()).all() for p in b.get_parameters())
    assert not a.training and a.norm.training and not a.drop.training
    assert not any(cell.training for _, cell in b.cells_and_names())
    assert torch.equal(a.first.weight.grad, torch.ones_like(a.first.weight)) and a.last.weight.grad is None


def test_a_model_against_itself_and_a_framework_against_itself() -> None:
    a, b = twins()
    assert compared(a, a).ok
    assert compared(b, b).ok
    other = Module()
    other.load_state_dict(a.state_dict())
    assert compared(a, other).ok


def torch_loss(made: Any) -> Any:
    return (made["made"] ** 2).mean()


def mindspore_loss(made: Any) -> Any:
    return ops.square(made[0]).mean()


def test_own_losses_are_taken() -> None:
    report = compared(*twins(), losses=(torch_loss, mindspore_loss))
    assert report.ok, str(report)
    with torch.no_grad():
        a, _ = twins()
        assert report.steps[0].a["loss"] == pytest.approx(float(torch_loss(a.train()(torch.tensor(IMAGE)))))
    doubled = compared(*twins(), losses=(torch_loss, lambda made: 2 * mindspore_loss(made)))
    assert [finding.cause for finding in doubled.findings] == ["scale"]


def frozen(a: Module, b: Cell) -> None:
    b.leave.bias.requires_grad = False


def moved(a: Module, b: Cell) -> None:
    b.leave.bias.set_data(b.leave.bias + 0.01)


def detached(a: Module, b: Cell) -> None:
    leave = b.leave.construct
    b.leave.construct = lambda x: leave(ops.stop_gradient(x))


PLANTED: dict[str, tuple[Callable[[Module, Cell], None], str]] = {
    "frozen": (frozen, "grad-missing"),
    "other weights": (moved, "weight-value"),
    "detached": (detached, "grad-missing"),
}


@pytest.mark.parametrize("what", PLANTED)
def test_what_is_planted_is_named(what: str) -> None:
    plant, cause = PLANTED[what]
    a, b = twins()
    plant(a, b)
    report = compared(a, b)
    assert not report.ok
    assert {finding.cause for finding in report.findings} == {cause}, str(report)


def test_statistics_show_in_training_mode_alone() -> None:
    report = compared(*twins(momentum=0.1))
    assert [finding.cause for finding in report.findings] == ["momentum"]
    assert compared(*twins(momentum=0.1), train=False).ok


def test_dropout_is_off_and_said_to_be() -> None:
    report = compared(*twins(0.5))
    assert report.ok, str(report)
    assert report.notes[:2] == [
        f"{label}'s dropout (drop) was off: two sides cannot be made to draw alike" for label in "ab"
    ]
    assert not compared(*twins(0.5), train=False).notes


class Noisy(Module):
    def forward(self, x: Any, *, scale: Any = 1.0) -> Any:
        return super().forward(nn.functional.dropout(x, 0.5), scale=scale)


def test_what_else_draws_is_not_the_same_again() -> None:
    a, b = twins()
    noisy = Noisy()
    noisy.load_state_dict(a.state_dict())
    report = compared(noisy, b)
    assert "nondeterminism" in [finding.cause for finding in report.findings]


def test_inputs_by_name_and_shared_tensors() -> None:
    a, b = twins()
    named = {"x": IMAGE, "scale": np.float32(3).reshape(1)}
    report = live_steps(a, b, named, 2, True, (None, None))
    assert report.ok, str(report)
    assert report.steps[0].a["loss"] != compared(a, b, steps=1).steps[0].a["loss"]
    for model in (tied := [nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8)) for _ in "ab"]):
        model[2].weight = model[0].weight
    tied[1].load_state_dict(tied[0].state_dict())
    report = live_steps(tied[0], tied[1], IMAGE[:, 0, 0], 3, True, (None, None))
    assert report.ok and report.tensors == 3


def test_pairs_that_are_known_come_first() -> None:
    """Two equal layers under names that say nothing: their numbers would pair them in the wrong order."""
    torch.manual_seed(1)
    a = nn.ModuleDict({"one": nn.Linear(8, 8), "two": nn.Linear(8, 8)})
    b = nn.ModuleDict({"q": nn.Linear(8, 8), "p": nn.Linear(8, 8)})
    for model, order in ((a, "one two"), (b, "p q")):
        first, second = order.split()
        model.forward = lambda x, m=model, f=first, s=second: m[s](m[f](x).tanh())
    pairs = {f"{x}.{role}": f"{y}.{role}" for x, y in (("one", "p"), ("two", "q")) for role in ("weight", "bias")}
    state = a.state_dict()
    b.load_state_dict({own: state[key] for key, own in pairs.items()})
    assert not live_steps(a, b, IMAGE[:, 0, 0], 1, True, (None, None)).ok
    report = live_steps(a, b, IMAGE[:, 0, 0], 3, True, (None, None), pairs=pairs)
    assert report.ok and report.tensors == 4, str(report)
    for wrong, message in (({"one.weight": "x"}, "b has no tensor 'x'"), ({"one.bias": "p.weight"}, "cannot belong")):
        with pytest.raises(ParityError, match=message):
            live_steps(a, b, IMAGE[:, 0, 0], 1, True, (None, None), pairs=wrong)


@pytest.mark.parametrize(
    ("model", "loss", "inputs", "message"),
    [
        (3, None, IMAGE, "a is a int: only a live model can be trained"),
        (nn.ReLU(), None, IMAGE, "a cannot be trained: ReLU: no parameter requires a gradient"),
        (cells.ReLU(), None, IMAGE, "a cannot be trained: ReLU: no parameter requires a gradient"),
        (nn.Conv2d(3, 2, 3), lambda made: made, IMAGE, "a cannot be trained: loss: must return a tensor of one number"),
        (cells.Conv2d(3, 2, 3), lambda made: made, IMAGE, "a cannot be trained: .*must return a tensor of one number"),
        (nn.Conv2d(5, 2, 3), None, IMAGE, "a cannot be trained: RuntimeError: .*channels"),
        (nn.Conv2d(3, 2, 3), None, ({"x": IMAGE},), "input 0: steps take plain arrays"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(model: Any, loss: Any, inputs: Any, message: str) -> None:
    with pytest.raises(ParityError, match=message) as caught:
        live_steps(model, Module(), inputs, 1, True, (loss, None))
    assert "\n" not in str(caught.value)
