"""Training steps as specs: what the published code does is in them as data, and what cannot be trained is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from twinzoo.zoo import registry
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.registry import spec, training_step
from twinzoo.zoo.steps.optimizer import Optimizer
from twinzoo.zoo.steps.schedule import Schedule
from twinzoo.zoo.steps.serial import step_from_json, step_hash, step_to_json
from twinzoo.zoo.steps.step import Step

registry.load()


def small(name: str, **options: Any) -> Step:
    """A tiny instance."""
    return training_step(name, **{**registry.STEPS[name].small, **options})


def calls(step: Step, role: str) -> list[str]:
    """The nodes that call a role, in their order."""
    return [node.name for node in step.nodes.values() if node.attrs.get("role") == role]


def reached(step: Step) -> list[set[str]]:
    """The networks into which the gradient of each update would flow, trained or not."""
    return [
        {role for name in step.reached(update) if (role := step.nodes[name].attrs.get("role")) in step.networks}
        for update in step.updates
    ]


@pytest.mark.parametrize("name", registry.STEPS)
def test_an_entry_is_complete(name: str) -> None:
    found = registry.STEPS[name]
    assert found.paper and "->" in found.doc
    assert set(found.allowed) == set(found.options)
    assert set(found.small) <= set(found.options)
    for option, default in found.options.items():
        assert registry.checked(name, option, default, found.allowed[option]) == default


@pytest.mark.parametrize("name", registry.STEPS)
def test_json_there_and_back(name: str) -> None:
    step = small(name)
    again = step_from_json(step_to_json(step))
    assert step_to_json(again) == step_to_json(step)
    assert step_hash(again) == step_hash(step)
    assert (again.nodes, again.updates, again.pools) == (step.nodes, step.updates, step.pools)
    assert (again.optimizers, again.networks, again.batch) == (step.optimizers, step.networks, step.batch)
    assert again.draws == step.draws


@pytest.mark.parametrize("name", registry.STEPS)
def test_the_hash_is_of_settings_too(name: str) -> None:
    settings: dict[str, Any] = {"lr": 0.3, "beta1": 0.7, "epochs": 5, "real_label": 0.8}
    changes = [{}, *({o: v} for o, v in settings.items() if o in registry.STEPS[name].options)]
    assert len({step_hash(small(name, **options)) for options in changes}) == len(changes) > 1


@pytest.mark.parametrize("change", ["text", "version", "optimizer", "update", "pool"])
def test_broken_json_is_one_line(change: str) -> None:
    plain = json.loads(step_to_json(small("cyclegan")))
    if change == "version":
        plain["twinzoo_step"] = 2
    elif change == "optimizer":
        plain["updates"][0]["optimizer"] = "sgd"
    elif change == "update":
        plain["updates"][1]["after"] = 1000
    elif change == "pool":
        plain["pools"][0]["next"] = "gone"
    with pytest.raises(SpecError, match=r"^(this JSON is not a step|cyclegan: update)[^\n]*$"):
        step_from_json("[" if change == "text" else json.dumps(plain))


def test_the_table_has_updates_in_their_places() -> None:
    lines = [line.split("  ")[0] for line in str(small("pix2pix")).splitlines()]
    first = lines.index("=> discriminator_adam updates discriminator by judged")
    second = lines.index("=> generator_adam updates generator by generated, discriminator frozen")
    assert (lines[first - 1], lines[first + 1]) == ("judged", "seen_again")
    assert lines[second - 1] == "generated"
    assert lines[-2].startswith("generator_adam")


def test_pix2pix_is_the_published_step() -> None:
    """junyanz/pytorch-CycleGAN-and-pix2pix, models/pix2pix_model.py: optimize_parameters, backward_D, backward_G."""
    step = training_step("pix2pix")
    assert [update.optimizer for update in step.updates] == ["discriminator_adam", "generator_adam"]
    assert [step.frozen(update) for update in step.updates] == [[], ["discriminator"]]
    assert reached(step) == [{"discriminator"}, {"generator", "discriminator"}]
    assert calls(step, "generator") == ["fake"]
    assert calls(step, "discriminator") == ["seen_fake", "seen_real", "seen_again"]
    assert step.nodes["seen_again"].inputs[0].node == "fake_pair"
    assert [v.node for v in step.nodes["judged"].inputs] == ["seen_real", "seen_fake"]
    assert step.nodes["l1"].attrs["scale"] == 100
    assert step.networks == {"generator": True, "discriminator": True}
    assert step.roles["judge_loss"].spec.name == "bce_adversarial"
    assert list(step.draws) == [f"fake_up{level}_dropout_mask" for level in (7, 6, 5)]
    for optimizer in step.optimizers.values():
        assert (optimizer.lr, optimizer.betas, optimizer.eps) == (2e-4, (0.5, 0.999), 1e-8)


def test_cyclegan_is_the_published_step() -> None:
    """junyanz/pytorch-CycleGAN-and-pix2pix, models/cycle_gan_model.py: backward_G, backward_D_A, backward_D_B."""
    step = training_step("cyclegan")
    assert [update.optimizer for update in step.updates] == ["generators_adam", "discriminators_adam"]
    judges = {"discriminator_a", "discriminator_b"}
    assert [set(step.frozen(update)) for update in step.updates] == [judges, set()]
    assert reached(step) == [{"generator_ab", "generator_ba"} | judges, judges]
    assert calls(step, "generator_ab") == ["fake_b", "back_b", "same_b"]
    assert calls(step, "generator_ba") == ["back_a", "fake_a", "same_a"]
    weights = {name: step.nodes[name].attrs["scale"] for name in ("cycle_a", "cycle_b", "identity_a", "identity_b")}
    assert weights == {"cycle_a": 10, "cycle_b": 10, "identity_a": 5, "identity_b": 5}
    assert {pool.size for pool in step.pools.values()} == {50}
    assert step.roles["judge_loss"].spec.name == "lsgan_adversarial"
    assert step.batch == ["a", "b"]
    assert {(o.lr, o.betas) for o in step.optimizers.values()} == {(2e-4, (0.5, 0.999))}


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_label_smoothing_is_the_discriminators_alone(name: str) -> None:
    step = small(name, real_label=0.9)
    assert step.roles["judge_loss"].spec.options["real_label"] == 0.9
    assert step.roles["judge_loss"].spec.options["fake_label"] == 0
    assert step.roles["deceive_loss"].spec.options["generator_label"] == 1


def test_what_is_switched_off_is_not_there() -> None:
    step = small("cyclegan", pool=0, lambda_identity=0)
    assert (step.pools, "same_a" in step.nodes) == ({}, False)
    with pytest.raises(SpecError, match="must be 0 where channels differ"):
        training_step("cyclegan", a_channels=1)
    assert small("cyclegan", a_channels=1, lambda_identity=0).inputs["a"].value.shape[1] == 1


def test_the_published_schedule() -> None:
    """lr(e) = 1 - max(0, e + 1 - n_epochs) / (n_epochs_decay + 1), e from 0."""
    schedule = Schedule("linear", 100, 100, epoch_steps=10)
    published = [1 - max(0, e + 1 - 100) / 101 for e in range(200)]
    assert [schedule.factor(10 * e + 9) for e in range(200)] == published
    assert (schedule.factor(989), schedule.factor(1000)) == (1, 1 - 1 / 101)
    assert schedule.factor(10**9) == 0
    assert Optimizer("adam", ("net",), 0.1, schedule=schedule).rate(1000) == pytest.approx(0.1 * 100 / 101)


def test_other_schedules() -> None:
    cosine = Schedule("cosine", 4, epoch_steps=2)
    assert [cosine.factor(2 * e) for e in range(6)] == pytest.approx(
        [1, (1 + math.cos(math.pi / 4)) / 2, 0.5, (1 - math.cos(math.pi / 4)) / 2, 0, 0]
    )
    assert Schedule().factor(10**9) == 1


@pytest.mark.parametrize(
    "settings", [{"betas": (1.0, 0.9)}, {"eps": 0.0}, {"lr": -1.0}, {"clip": 0.0}, {"weight_decay": -1.0}]
)
def test_settings_that_cannot_be(settings: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="^optimizer adam: "):
        Optimizer(**{"name": "adam", "trains": ("net",), "lr": 0.1, **settings})


@pytest.mark.parametrize("settings", [{"kind": "step"}, {"kind": "cosine"}, {"epoch_steps": 0}, {"decay_epochs": -1}])
def test_schedules_that_cannot_be(settings: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="^schedule "):
        Schedule(**settings)


def test_what_cannot_be_trained_is_refused() -> None:
    step = Step("wrong")
    net = step.network("net", spec("aodnet"))
    other = step.network("other", spec("patchgan", width=2, layers=1))
    image = step.input("image", channels=3)
    (made,) = step.call("made", net, image)
    loss = step.mean("loss", made)
    adam = step.optimizer("adam", net, lr=0.1)
    idle = step.optimizer("idle", other, lr=0.1)
    with pytest.raises(SpecError, match="update idle: loss does not depend on other"):
        step.update(idle, loss)
    with pytest.raises(SpecError, match="must be a scalar"):
        step.update(adam, made)
    with pytest.raises(SpecError, match="does not depend on net"):
        step.update(adam, step.mean("stopped", step.stop_gradient("stop", made)))
    step.update(adam, loss)
    with pytest.raises(SpecError, match="net was updated after made: call it again"):
        step.update(adam, loss)
    for roles, name in (((net,), "again"), ((other,), "adam")):
        with pytest.raises(SpecError, match="taken|without another"):
            step.optimizer(name, *roles, lr=0.1)
    with pytest.raises(SpecError, match="has parameters: declare it with network"):
        step.role("third", spec("aodnet"))
    with pytest.raises(SpecError, match="it belongs into a network"):
        step.conv2d("conv", image, 3, kernel=1)


def test_unknown_steps_and_options() -> None:
    with pytest.raises(SpecError, match="did you mean pix2pix"):
        training_step("pix2pics")
    with pytest.raises(SpecError, match="unknown option colour"):
        training_step("pix2pix", colour=1)
    with pytest.raises(SpecError, match="^'pix2pix' is a training step, not a model or loss"):
        spec("pix2pix")
