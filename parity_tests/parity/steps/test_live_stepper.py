"""A live model as a stepper: what a step is made of, and that a state that is loaded brings all of it back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from twinzoo.parity.steps.live import ADAM, LiveStepper, live_steps
from twinzoo.zoo.errors import ParityError
from twinzoo.zoo.steps.optimizer import Optimizer
from twinzoo.zoo.steps.schedule import Schedule

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")

ROWS = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
FALLING = Schedule("tenths", epochs=1)
"""A tenth of the rate after every step."""


def network(seen: int = 0, dropout: float = 0.0, momentum: float | None = 0.1) -> Any:
    """Linear, batch norm that has seen so many batches, tanh, linear."""
    from torch import nn

    torch.manual_seed(0)
    norm = nn.BatchNorm1d(5, momentum=momentum)
    assert norm.num_batches_tracked is not None and norm.running_mean is not None
    norm.num_batches_tracked.fill_(seen)
    norm.running_mean.fill_(0.5)
    return nn.Sequential(nn.Linear(6, 5), norm, nn.Tanh(), nn.Dropout(dropout), nn.Linear(5, 2))


def stepper(model: Any, optimizer: Optimizer = ADAM, *, train: bool = True, loss: Any = None) -> LiveStepper:
    return LiveStepper("a", model, loss, optimizer, train)


def steps(a: Any, b: Any, count: int = 2) -> Any:
    return live_steps(a, b, ROWS, count, True, (None, None))


def test_the_state_says_how_many_steps_were_made_and_at_what_rate() -> None:
    made = stepper(network(), Optimizer("sgd", (), lr=0.5, kind="sgd", schedule=FALLING))
    told = [made.state()]
    for _ in range(3):
        made.step({"0": ROWS})
        told.append(made.state())
    assert [int(state["optimizer.step"]) for state in told] == [0, 1, 2, 3]
    assert [float(state["optimizer.lr"]) for state in told] == pytest.approx([0.5, 0.5, 0.05, 0.005])
    assert "1.running_mean" in told[0] and "1.num_batches_tracked" not in told[0]
    assert float(stepper(network()).state()["optimizer.lr"]) == 1e-3


def test_a_step_goes_against_the_gradient_at_the_rate_of_its_number() -> None:
    made = stepper(network(), Optimizer("sgd", (), lr=0.5, kind="sgd", schedule=FALLING))
    for rate in (0.5, 0.05, 0.005):
        before = made.state()["4.weight"]
        made.step({"0": ROWS})
        assert made.state()["4.weight"] == pytest.approx(before - rate * made.gradients()["4.weight"], abs=1e-7)
        assert np.abs(made.gradients()["4.weight"]).max() > 1e-3


@pytest.mark.parametrize("kind", [ADAM, Optimizer("sgd", (), lr=0.1, kind="sgd", momentum=0.9)])
def test_a_state_that_is_loaded_goes_on_as_it_did(kind: Optimizer) -> None:
    made, other = (stepper(network(5, momentum=None), kind) for _ in range(2))
    made.step({"0": ROWS})
    state = {key: value.copy() for key, value in made.state().items()}
    losses = [made.step({"0": ROWS}) for _ in range(2)]
    other.load(state)
    assert [other.step({"0": ROWS}) for _ in range(2)] == losses
    assert all((other.state()[key] == value).all() for key, value in made.state().items())


def test_a_norm_that_has_counted_batches_before_goes_on_from_there() -> None:
    """With momentum=None the running statistics are an average over all batches since the first."""
    report = steps(network(5, momentum=None), network(5, momentum=None), 2)
    assert report.ok, str(report)
    wrong = steps(network(5, momentum=None), network(11, momentum=None), 1)
    assert [finding.cause for finding in wrong.findings] == ["momentum"]


def test_one_model_may_be_both_sides_and_is_left_as_it_was() -> None:
    model = network(3, dropout=0.5)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    report = steps(model, model)
    assert report.ok and all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert report.notes[:2] == [
        f"{label}'s dropout (3) was off: two sides cannot be made to draw alike" for label in "ab"
    ]
    assert not steps(network(), network()).notes
    assert not live_steps(model, model, ROWS, 1, False, (None, None)).notes  # in eval mode it is off anyway
    assert (report.a, report.b) == ("torch Sequential", "torch Sequential") and len(report.steps) == 2


def test_a_shared_tensor_is_told_once() -> None:
    from torch import nn

    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    model[1].weight = model[0].weight
    assert [key for key in stepper(model).state() if not key.startswith("optimizer.")] == [
        "0.weight", "0.bias", "1.bias",
    ]  # fmt: skip


class Named(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Arguments in an order and by names."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = torch.nn.Linear(6, 2)

    def forward(self, x: Any, y: Any, *, scale: Any) -> Any:
        return self.inner(x - 3 * y) * scale


def test_inputs_are_given_in_order_or_by_name() -> None:
    named = live_steps(Named(), Named(), {"y": ROWS[:4], "scale": np.float32(2), "x": ROWS[4:]}, 1, True, (None, None))
    assert named.ok, str(named)
    seen: list[Any] = []

    class Telling(Named):
        def forward(self, x: Any, y: Any, scale: float = 2.0) -> Any:
            seen.append((x.detach().numpy(), y.detach().numpy()))
            return super().forward(x, y, scale=scale)

    ordered = live_steps(Telling(), Telling(), (ROWS[4:], ROWS[:4]), 1, True, (None, None))
    assert all((x == ROWS[4:]).all() and (y == ROWS[:4]).all() for x, y in seen)
    assert ordered.steps[0].a == named.steps[0].a


def wrong_loss(made: Any) -> Any:
    raise ValueError("first line\nsecond line")


@pytest.mark.parametrize(
    ("model", "loss", "inputs", "message"),
    [
        (3, None, ROWS, "compare: a is a int: only a live model can be trained"),
        (torch.nn.ReLU(), None, ROWS, "a cannot be trained: ReLU: no parameter requires a gradient"),
        (network(), lambda made: made, ROWS, "a cannot be trained: loss: must return a tensor of one number"),
        (network(), wrong_loss, ROWS, "a cannot be trained: ValueError: first line$"),
        (network(), None, np.array(["x"]), "input 0: steps take plain arrays of numbers, got <U1"),
        (network(), None, {"input": ROWS * 1j}, "input input: steps take plain arrays of numbers, got complex"),
    ],
)
def test_what_cannot_be_trained_is_one_line(model: Any, loss: Any, inputs: Any, message: str) -> None:
    with pytest.raises(ParityError, match=message) as caught:
        live_steps(model, network(), inputs, 1, True, (loss, None))
    assert "\n" not in str(caught.value)


def test_a_loss_of_ones_own_is_taken() -> None:
    report = live_steps(network(), network(), ROWS, 1, True, (lambda y: (y**2).mean(), lambda y: (y**2).mean()))
    with torch.no_grad():
        expected = float((network()(torch.tensor(ROWS)) ** 2).mean())
    assert report.ok and report.steps[0].a["loss"] == pytest.approx(expected)
