"""The training step of memory-augmented colorization: as published, on every port, and what it carries on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.zoo import published_memory
from parity_tests.zoo.golden_arrays import weights
from parity_tests.zoo.published import published_keys
from twinzoo.parity.inputs import default_inputs
from twinzoo.ports.reference.port import PORT
from twinzoo.ports.steps import Stepper, stepper
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.models.memory import MEMOPAINTER
from twinzoo.zoo.registry import training_step
from twinzoo.zoo.steps.serial import step_from_json, step_hash, step_to_json
from twinzoo.zoo.steps.step import Step

Array = NDArray[Any]


pytestmark = pytest.mark.usefixtures("one_thread")


OPTIONS: dict[str, Any] = {"batch": 3, "slots": 8, "colours": 5, "neighbours": 4, "size": 32, "width": 2, "depth": 4}
OPTIONS |= {"features_width": 2, "threshold": 0.05, "dropout": 0.0, "lr": 1e-3}


def small_step(**change: Any) -> Step:
    """A narrow step with an eps at which Adam makes no whole step out of a gradient that is rounding alone."""
    step = training_step("memory_colorization", **{**OPTIONS, **change})
    step.optimizers = {name: replace(optimizer, eps=1e-4) for name, optimizer in step.optimizers.items()}
    return step


def batches(step: Step, count: int = 3) -> list[dict[str, Array]]:
    """Random batches whose colours are distributions."""
    made = []
    for i in range(count):
        batch = {name: value for name, value in default_inputs(step, i, {}).items() if name in step.batch}
        batch["colour"] = batch["colour"] + 0.1
        batch["colour"] /= batch["colour"].sum(1, keepdims=True)
        made.append(batch)
    return made


@pytest.mark.parametrize("port", ["mindspore", "reference"])
def test_every_port_trains_and_remembers_alike(port: str) -> None:
    for framework in {"torch", port} - {"reference"}:
        pytest.importorskip(framework)
    step = small_step()
    twins = [stepper(step, name, seed=1) for name in ("torch", port)]
    for i, batch in enumerate(batches(step)):
        losses = twins[0].step(batch)
        assert twins[1].step(batch) == pytest.approx(losses, rel=1e-5), f"step {i}"
    states = [twin.state() for twin in twins]
    carried = [name for name in states[0] if name.startswith("carried.")]
    assert carried == ["carried.keys", "carried.values", "carried.ages"]
    for name in carried:
        np.testing.assert_allclose(states[1][name], states[0][name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_memory_goes_from_step_to_step_and_into_the_state() -> None:
    """The published code keeps it outside of its state and loads it under a misspelled name."""
    pytest.importorskip("torch")
    step = small_step()
    first, *rest = batches(step)
    made = stepper(step, "torch", seed=1)
    start = made.state()
    np.testing.assert_allclose(np.linalg.norm(start["carried.keys"], axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(start["carried.values"].sum(1), 1, rtol=1e-6)
    assert not start["carried.ages"].any()
    made.step(first)
    middle = made.state()
    assert middle["carried.ages"].max() == 1 and (middle["carried.ages"] == 0).any()
    again = stepper(step, "torch", seed=9)
    again.load(middle)
    for batch in rest:
        assert again.step(batch) == made.step(batch)
    end, other = made.state(), again.state()
    assert all(np.array_equal(end[name], other[name]) for name in end)
    assert not np.array_equal(end["carried.keys"], middle["carried.keys"])


def test_the_step_is_the_published_order() -> None:
    step = training_step("memory_colorization")
    assert [update.optimizer for update in step.updates] == ["query_adam", "discriminator_adam", "generator_adam"]
    roles = [node.attrs["role"] for node in step.nodes.values() if node.op == "call"]
    assert roles.count("generator") == 1
    assert roles.index("memory_update") > roles.index("query") and roles.count("query") == 2
    assert step.networks["resnet"] is False
    assert {o.lr for o in step.optimizers.values()} == {1e-4}
    assert {o.betas for o in step.optimizers.values()} == {(0.9, 0.999)}


def test_what_is_carried_survives_json() -> None:
    step = small_step()
    again = step_from_json(step_to_json(step))
    assert again.carried == step.carried and step_hash(again) == step_hash(step)
    assert "carried" not in step_to_json(training_step("pix2pix", width=2, depth=2, layers=1))


def test_what_cannot_be_carried() -> None:
    t = Step("t")
    one, wide = t.input("one", shape=(2, 3)), t.input("wide", shape=("N", 3))
    t.carry("one", one, t.relu("r", one))
    for name, stored, after, start, words in [
        ("one", one, one, "zeros", "already taken"),
        ("two", one, one, "ones", "must be one of zeros, unit, shares"),
        ("two", one, wide, "zeros", "one shape"),
        ("two", wide, wide, "zeros", "in numbers"),
    ]:
        with pytest.raises(SpecError, match=words):
            t.carry(name, stored, after, start)


def lively(step: Step) -> Stepper:
    """The step in PyTorch, from weights that let every layer matter."""
    made = stepper(step, "torch", seed=1)
    for role in step.networks:
        made.load_networks({f"{role}.{name}": value for name, value in weights(step.roles[role].spec).items()})
    return made


def loop(step: Step, start: dict[str, Array], given: list[dict[str, Array]]) -> list[dict[str, float]]:
    """The losses of mode.py's training loop, without dropout; the ResNet's features are this project's."""
    import torch
    from torch.nn import functional as F

    made = {
        role: {n.removeprefix(f"{role}."): v for n, v in start.items() if n.startswith(f"{role}.")}
        for role in step.networks
    }
    sizes = {"width": 2, "colours": 5}
    generator = published_memory.memory_generator(**sizes, depth=4, dropout=0.0).train()
    discriminator = published_memory.memory_discriminator(**sizes, size=32).train()
    linear = torch.nn.Linear(16, 16)
    for network, role in ((generator, "generator"), (discriminator, "discriminator"), (linear, "query")):
        keys = published_keys(step.roles[role].spec, MEMOPAINTER)
        state = {key.removeprefix("Linear."): torch.from_numpy(made[role][name]) for name, key in keys.items()}
        network.load_state_dict(state, strict=False)
    adams = [torch.optim.Adam(n.parameters(), lr=1e-3, eps=1e-4) for n in (linear, discriminator, generator)]
    memory = {name: torch.from_numpy(start[f"carried.{name}"]) for name in ("keys", "values", "ages")}
    found = []
    for batch in given:
        pooled = torch.from_numpy(run_resnet(step, made["resnet"], batch["image"]))
        lightness, ab, colour, noise = (
            torch.from_numpy(batch[name]) for name in ("lightness", "ab", "colour", "noise")
        )
        asked = F.normalize(linear(pooled), dim=1)
        alike = published_memory.triplet(asked, memory["keys"], memory["values"], colour, 4, 0.05)
        moved(adams[0], alike)
        with torch.no_grad():
            memory = published_memory.update(F.normalize(linear(pooled), dim=1), colour, memory, noise, 0.05)
        fake = generator(lightness, colour)
        real, false = (discriminator(x, lightness, colour) for x in (ab, fake.detach()))
        bce = F.binary_cross_entropy_with_logits
        judged = bce(real, torch.ones_like(real)) + bce(false, torch.zeros_like(false))
        moved(adams[1], judged)
        again = discriminator(fake, lightness, colour)
        terms = {"adversarial": bce(again, torch.ones_like(again)), "smooth_l1": F.smooth_l1_loss(fake, ab)}
        moved(adams[2], terms["adversarial"] + terms["smooth_l1"])
        found.append({n: v.item() for n, v in {"triplet": alike, "discriminator": judged, **terms}.items()})
    return found


def moved(adam: Any, loss: Any) -> None:
    """One step of an optimizer."""
    adam.zero_grad()
    loss.backward()
    adam.step()


def run_resnet(step: Step, state: dict[str, Array], image: Array) -> Array:
    """The pooled features, float32."""
    model = PORT.build(step.roles["resnet"].spec)
    PORT.load(model, state)
    return PORT.run(model, {"image": image.astype(np.float64)})["output"].astype(np.float32)


def test_the_step_is_the_published_loop() -> None:
    pytest.importorskip("torch")
    step = small_step()
    made = lively(step)
    given = batches(step, 4)
    for batch, losses in zip(given, loop(step, made.state(), given), strict=True):
        assert made.step(batch) == pytest.approx(losses, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    "change", [{"threshold": 0.5}, {"margin": 0.11}, {"neighbours": 1}, {"dropout": 0.5}, {"lr": 2e-3}]
)
def test_a_planted_bug_shows(change: dict[str, Any]) -> None:
    pytest.importorskip("torch")
    made = lively(small_step(**change))
    given = batches(small_step(), 4)
    expected = loop(small_step(), made.state(), given)
    apart = [
        abs(value - losses[name])
        for batch, losses in zip(given, expected, strict=True)
        for name, value in made.step(batch).items()
    ]
    assert max(apart) > 1e-3
