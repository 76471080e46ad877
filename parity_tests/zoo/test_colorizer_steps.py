"""The training steps of ECCV16 and SIGGRAPH17: as published, and against loops written by hand in PyTorch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.zoo import published_colorizers
from parity_tests.zoo.published import published_keys
from twinzoo.ports.steps import stepper
from twinzoo.zoo.models.ab_bins import ab_bins, rebalancing, square_ab_bins
from twinzoo.zoo.registry import training_step
from twinzoo.zoo.steps.schedule import Schedule
from twinzoo.zoo.steps.step import Step

Array = NDArray[Any]
RELEASED = "richzhang/colorization"
OPTIONS: dict[str, dict[str, Any]] = {
    "eccv16": {"lr": 1e-3, "epochs": 2, "epoch_steps": 1},
    "classification": {"lr": 1e-3, "stage": "classification"},
    "regression": {"lr": 1e-3, "stage": "regression", "distance": "huber", "lambda_classes": 0.5},
}
STEPS = 3
EPS = 1e-4
"""Of Adam, so that it makes no whole step out of a gradient that is rounding alone."""


pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(case: str, **change: Any) -> Step:
    """A narrow step of the case's system."""
    name = "eccv16_training" if case == "eccv16" else "siggraph17_training"
    step = training_step(name, width=2, **{**OPTIONS[case], **change})
    step.optimizers = {name: replace(optimizer, eps=EPS) for name, optimizer in step.optimizers.items()}
    return step


def batches(step: Step, count: int = STEPS) -> list[dict[str, Array]]:
    """Batches of two images, the second of them gray; hints in a corner."""
    random = np.random.default_rng(0)
    made = []
    for _ in range(count):
        batch: dict[str, Array] = {
            "lightness": random.uniform(0, 100, (2, 1, 16, 16)),
            "ab": random.uniform(-60, 60, (2, 2, 16, 16)),
        }
        batch["ab"][1] *= 0.05
        if "hint" in step.inputs:
            mask = np.zeros((2, 1, 16, 16))
            mask[:, :, 2:6, 3:9] = 1
            batch |= {"mask": mask, "hint": batch["ab"] * mask, "bins": square_ab_bins()}
        else:
            batch |= {"bins": ab_bins(), "rarity": rebalancing(random.uniform(0, 1, 313).astype(np.float32) ** 4)}
        made.append({name: value.astype(np.float32) for name, value in batch.items()})
    return made


def eccv16_loss(network: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """Caffe's layers: the encoding by sorted neighbours, and weights on the cross-entropy of every fourth pixel."""
    import torch

    log_share = torch.log_softmax(network(batch["lightness"])[0], 1)
    ab = batch["ab"][:, :, ::4, ::4]
    squares = ((ab[:, :, None] - batch["bins"].T[None, :, :, None, None]) ** 2).sum(1)
    near, places = squares.topk(5, dim=1, largest=False)
    target = torch.zeros_like(squares).scatter(1, places, torch.exp(-near / 50))
    target = target / target.sum(1, keepdim=True)
    colourful = (ab.abs() > 5).flatten(1).any(1)[:, None, None]
    weights = batch["rarity"][target.argmax(1)] * colourful
    return {"classification": (-(target * log_share).sum(1) * weights).mean()}


def siggraph17_loss(network: Any, batch: dict[str, Any], case: str) -> dict[str, Any]:
    """compute_losses_G: labels of every fourth pixel, and ten times the distance summed over a and b."""
    import torch
    from torch.nn import functional as F

    logits, ab = network(batch["lightness"], batch["hint"], batch["mask"] - 0.5)
    rounded = torch.round((batch["ab"][:, :, ::4, ::4] + 110) / 10).long()
    surprise = F.cross_entropy(logits, rounded[:, 0] * 23 + rounded[:, 1])
    measure = F.huber_loss if case == "regression" else F.l1_loss
    far = measure(ab, batch["ab"], reduction="none").sum(1).mean() / 110
    scale = OPTIONS[case].get("lambda_classes", 1.0)
    return {"classification": scale * surprise, "regression": 10 * far}


def by_hand(
    case: str, start: dict[str, Array], given: list[dict[str, Array]]
) -> tuple[list[dict[str, float]], dict[str, Array]]:
    """The losses of each step, and the network's state at the end by published key."""
    import torch

    step = drawn(case)
    network_spec = step.roles["colorizer"].spec
    build = published_colorizers.eccv16 if case == "eccv16" else published_colorizers.siggraph17
    extra = {} if case == "eccv16" else {"classification": case == "classification"}
    network = build(2, **extra).train()
    keys = published_keys(network_spec, RELEASED)
    state = network.state_dict() | {key: torch.from_numpy(start[f"colorizer.{name}"]) for name, key in keys.items()}
    network.load_state_dict(state)
    trained = [p for name, p in network.named_parameters() if not name.startswith("model_out") or case != "eccv16"]
    betas, decay = ((0.9, 0.99), 1e-3) if case == "eccv16" else ((0.9, 0.999), 0.0)
    adam = torch.optim.Adam(trained, lr=1e-3, betas=betas, eps=EPS, weight_decay=decay)
    falling = torch.optim.lr_scheduler.StepLR(adam, 2 if case == "eccv16" else 10**9)
    losses = []
    for batch in given:
        tensors = {name: torch.from_numpy(value) for name, value in batch.items()}
        now = eccv16_loss(network, tensors) if case == "eccv16" else siggraph17_loss(network, tensors, case)
        adam.zero_grad()
        total: Any = sum(now.values())
        total.backward()
        adam.step()
        falling.step()
        losses.append({name: loss.item() for name, loss in now.items()})
    return losses, {name: network.state_dict()[key].numpy() for name, key in keys.items()}


@pytest.mark.parametrize("case", OPTIONS)
def test_the_step_is_the_published_loop(case: str) -> None:
    pytest.importorskip("torch")
    step = drawn(case)
    made = stepper(step, "torch", seed=1)
    given = batches(step)
    expected, end = by_hand(case, made.state(), given)
    for batch, losses in zip(given, expected, strict=True):
        assert made.step(batch) == pytest.approx(losses, rel=3e-6)
    state = made.state()
    for name, value in end.items():
        np.testing.assert_allclose(state[f"colorizer.{name}"], value, rtol=1e-4, atol=1e-6, err_msg=name)


PLANTED: list[tuple[str, dict[str, Any]]] = [
    ("eccv16", {"neighbours": 1}),
    ("eccv16", {"gray": 0.0}),
    ("eccv16", {"weight_decay": 0.0}),
    ("eccv16", {"epochs": 3}),
    ("classification", {"stage": "regression"}),
    ("classification", {"lambda_colours": 1.0}),
    ("regression", {"distance": "l1"}),
    ("regression", {"mask_centre": 0.0}),
]


@pytest.mark.parametrize(("case", "change"), PLANTED)
def test_a_planted_bug_shows(case: str, change: dict[str, Any]) -> None:
    pytest.importorskip("torch")
    step = drawn(case, **change)
    made = stepper(step, "torch", seed=1)
    given = batches(step)
    expected, end = by_hand(case, made.state(), given)
    pairs = [(made.step(batch), losses) for batch, losses in zip(given, expected, strict=True)]
    apart = [abs(found[name] / loss - 1) for found, losses in pairs for name, loss in losses.items()]
    state = made.state()
    moved = [np.abs(state[f"colorizer.{name}"] - value).max() for name, value in end.items()]
    assert max(apart) > 3e-5 or max(moved) > 1e-5


@pytest.mark.parametrize("port", ["mindspore", "reference"])
@pytest.mark.parametrize("case", OPTIONS)
def test_every_port_trains_alike(case: str, port: str) -> None:
    for framework in {"torch", port} - {"reference"}:
        pytest.importorskip(framework)
    step = drawn(case)
    twins = [stepper(step, name, seed=1) for name in ("torch", port)]
    for i, batch in enumerate(batches(step)):
        losses = twins[0].step(batch)
        assert twins[1].step(batch) == pytest.approx(losses, rel=1e-5), f"step {i}"


def test_eccv16_is_the_published_solver() -> None:
    """train/solver.prototxt and train/train_val.prototxt of richzhang/colorization."""
    step = training_step("eccv16_training")
    (adam,) = step.optimizers.values()
    assert (adam.lr, adam.betas, adam.weight_decay) == (3e-5, (0.9, 0.99), 1e-3)
    assert [adam.rate(done) for done in (0, 224_999, 225_000, 450_000)] == pytest.approx([3e-5, 3e-5, 3e-6, 3e-7])
    assert step.batch == ["lightness", "ab", "bins", "rarity"]
    assert [n.attrs["step"] for n in step.nodes.values() if n.op == "slice"] == [4, 4]
    assert step.roles["colorizer"].spec.options["decode"] is False


def test_siggraph17_is_the_published_step() -> None:
    """models/pix2pix_model.py of richzhang/colorization-pytorch: one forward, one update, both losses."""
    step = training_step("siggraph17_training")
    assert [n.name for n in step.nodes.values() if n.attrs.get("role") == "colorizer"] == ["made"]
    (update,) = step.updates
    assert update.loss.node == "total"
    assert (step.nodes["classification"].attrs["scale"], step.nodes["regression"].attrs["scale"]) == (1, 10)
    (adam,) = step.optimizers.values()
    assert (adam.lr, adam.betas, adam.schedule) == (1e-5, (0.9, 0.999), Schedule())
    assert step.roles["colorizer"].spec.options["mask_centre"] == 0.5


def test_the_rate_falls_to_a_tenth() -> None:
    """PyTorch's StepLR with gamma 0.1."""
    schedule = Schedule("tenths", 3, epoch_steps=2)
    assert [schedule.factor(done) for done in (0, 5, 6, 11, 12)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    assert "a tenth after every 225 epochs; 1000 steps an epoch" in str(training_step("eccv16_training"))
