"""The training steps of CUT, FastCUT, SinGAN-Dehaze, EPDN, Cycle-Dehaze and AOD-Net, as published and as twins."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from parity_tests.zoo.dehazing_steps import NAMES, Array, batches, small
from twinzoo.ports.registry import port
from twinzoo.ports.steps import stepper
from twinzoo.zoo.registry import training_step
from twinzoo.zoo.steps.step import Step

pytestmark = pytest.mark.usefixtures("one_thread")


def reached(step: Step) -> list[set[str]]:
    """The networks into which the gradient of each update would flow, trained or not."""
    return [
        {role for name in step.reached(update) if (role := step.nodes[name].attrs.get("role")) in step.networks}
        for update in step.updates
    ]


def calls(step: Step, role: str) -> list[str]:
    return [node.name for node in step.nodes.values() if node.attrs.get("role") == role]


TWINS = [*((name, "graph") for name in NAMES), ("singan_dehaze", "pynative"), ("epdn", "pynative")]
"""Every step in one compiled graph; those that run their networks in another order than the others without, too."""


@pytest.fixture(autouse=True)
def pynative_again() -> Iterator[None]:
    """MindSpore's mode is one for the whole process."""
    yield
    if (ms := sys.modules.get("mindspore")) is not None:
        ms.set_context(mode=ms.PYNATIVE_MODE)


def largest(gradients: dict[str, Array]) -> dict[str, float]:
    """The largest element of each network's gradients."""
    made: dict[str, float] = {}
    for key, value in gradients.items():
        role = key.partition(".")[0]
        made[role] = max(made.get(role, 0.0), float(np.abs(value).max()))
    return made


@pytest.mark.parametrize(("name", "mode"), TWINS)
def test_the_twins_train_alike(name: str, mode: str) -> None:
    """Losses agree in every step; the second shows what the first did to parameters, averages and pools.

    Gradients are held against the largest of their network: a bias before a norm has none but rounding.
    """
    port("mindspore")
    ms = pytest.importorskip("mindspore")
    ms.set_context(mode=ms.GRAPH_MODE if mode == "graph" else ms.PYNATIVE_MODE)
    step = small(name)
    a, b = (stepper(step, framework, seed=4) for framework in ("torch", "mindspore"))
    for i, batch in enumerate(batches(step)):
        losses, others = a.step(batch), b.step(batch)
        assert list(losses) == list(others) == list(step.outputs)
        for loss, value in losses.items():
            assert others[loss] == pytest.approx(value, rel=3e-5, abs=1e-9), loss
        ours, theirs = (largest(made.gradients()) for made in (a, b))
        far = largest({key: value - b.gradients()[key] for key, value in a.gradients().items()})
        assert all(np.isfinite(size) and size > 0 for size in (*ours.values(), *theirs.values()))
        assert i or all(far[role] <= 1e-3 * size for role, size in ours.items())


@pytest.mark.parametrize("name", NAMES)
def test_every_trained_tensor_gets_a_gradient(name: str) -> None:
    """But those that the published network has for nothing, and biases that a norm takes out again."""
    made = stepper(small(name), "torch", seed=1)
    made.step(batches(made.spec)[0])
    still = {key for key, value in made.gradients().items() if not np.abs(value).max() > 0}
    idle = {f"generator.enhancer{i}_unused.{role}" for i in (1, 2) for role in ("weight", "bias")}
    assert still == (idle if name == "epdn" else set())


def test_cut_is_the_published_step() -> None:
    """taesungp/contrastive-unpaired-translation, models/cut_model.py: optimize_parameters, compute_G_loss."""
    step = training_step("cut")
    assert [update.optimizer for update in step.updates] == ["discriminator_adam", "generator_adam"]
    assert [step.frozen(update) for update in step.updates] == [[], ["discriminator"]]
    assert reached(step) == [{"discriminator"}, {"generator", "sampler", "discriminator"}]
    assert calls(step, "generator") == ["fake", "same", "fake_features", "same_features"]
    assert step.optimizers["generator_adam"].trains == ("generator", "sampler")
    assert {(o.lr, o.betas) for o in step.optimizers.values()} == {(2e-4, (0.5, 0.999))}
    assert [step.nodes[name].attrs["scale"] for name in ("nce", "nce_identity")] == [0.1, 0.1]
    assert step.batch == ["a", "b", *(f"{of}positions{i}" for of in ("", "identity_") for i in range(5))]
    assert {step.roles[role].spec.init for role in step.networks} == {"xavier"}
    discriminator = step.roles["discriminator"].spec.options
    assert (discriminator["antialias"], discriminator["norm"]) == (True, "instance")
    schedule = step.optimizers["generator_adam"].schedule
    assert (schedule.kind, schedule.epochs, schedule.decay_epochs) == ("linear", 200, 200)


def test_fastcut_is_the_published_step() -> None:
    step = training_step("fastcut")
    assert calls(step, "generator") == ["fake", "fake_features", "features"]
    assert reached(step)[1] == {"generator", "sampler", "discriminator"}
    assert step.nodes["nce"].attrs["scale"] == 2.0, "10 over five layers"
    schedule = step.optimizers["generator_adam"].schedule
    assert (schedule.epochs, schedule.decay_epochs) == (150, 50)
    assert "nce_identity" not in step.outputs


def test_mirrored_or_not() -> None:
    """The generator sees the mirrored image, and its features are mirrored back before they are compared."""
    step = small("fastcut", lr=0.0)
    (batch,) = batches(step, 1)
    assert batch["flipped"] == 1
    mirrored = {**batch, "a": batch["a"][..., ::-1].copy(), "flipped": np.zeros((1, 1, 1, 1), np.float32)}
    losses, others = (stepper(step, "torch", seed=4).step(b) for b in (batch, mirrored))
    assert others["adversarial"] == pytest.approx(losses["adversarial"], rel=1e-6)
    assert others["nce"] != pytest.approx(losses["nce"], rel=1e-3), "the same places of another image"


def test_singan_dehaze() -> None:
    """Four runs of one generator, one judge; VGG and blur are frozen, and k is the first run's."""
    step = training_step("singan_dehaze")
    assert [update.optimizer for update in step.updates] == ["discriminator_adam", "generator_adam"]
    assert calls(step, "generator") == ["fake", "fake_features", "made_features", "real_features"]
    assert set(step.frozen(step.updates[1])) == {"discriminator", "high_frequency", "features"}
    assert step.networks["features"] is False
    assert reached(step)[0] == {"discriminator"}
    assert {o.betas for o in step.optimizers.values()} == {(0.9, 0.999)}
    assert step.roles["nce_loss"].spec.options["perturbed"]
    assert step.roles["judge_loss"].spec.name == "lsgan_adversarial"
    assert step.roles["mmd_loss"].spec.options["channels"] == 256
    assert [v.node for v in step.nodes["far"].inputs] == ["fake", "hazy"]
    assert not step.roles["generator"].spec.options["antialias"]


def test_both_forms_of_its_perceptual_term() -> None:
    """The paper's: before the ReLU, as `features` of torchvision counts 2, 7, 14 from 0; the code's: 3, 8, 15."""
    from twinzoo.zoo.naming import module_paths

    for form, places in (("paper", (2, 7, 14)), ("code", (3, 8, 15))):
        loss = training_step("singan_dehaze", perceptual=form).roles["features"].spec
        paths = module_paths(loss.roles["features"].spec, "torchvision")
        assert [paths[layer] for layer in loss.options["layers"]] == [f"features.{i}" for i in places]
        assert sum(loss.options["weights"]) == pytest.approx(1.75 if form == "paper" else 1.0)
        assert loss.options["distance"] == ("l1" if form == "paper" else "l2")


def test_epdn_is_the_published_step() -> None:
    """ErinChen1/EPDN, models/pix2pixHD_model.py: forward; but for the order of its updates, see below."""
    step = training_step("epdn")
    assert [update.optimizer for update in step.updates] == ["generator_adam", "discriminator_adam"]
    assert reached(step) == [{"generator", "discriminator", "vgg"}, {"discriminator"}]
    assert calls(step, "generator") == ["fake"]
    judged = [v.ref for v in step.nodes["adversarial_scale0"].inputs + step.nodes["adversarial_scale1"].inputs]
    assert judged == ["seen_fake:4", "seen_fake:9"], "the logits of each scale"
    assert [v.ref for v in step.nodes["fake_pair"].inputs] == ["hazy", "fake"], "judged before the enhancers"
    assert [v.ref for v in step.nodes["far"].inputs + step.nodes["l2"].inputs] == ["fake:1", "clear"] * 2
    assert {o.betas for o in step.optimizers.values()} == {(0.6, 0.999)}
    assert [step.nodes[name].attrs["scale"] for name in ("features", "perceptual")] == [10, 10]
    rates = [step.optimizers["generator_adam"].schedule.factor(1000 * epoch) for epoch in range(200)]
    assert rates[:101] == [1.0] * 101
    assert rates[101:] == pytest.approx([1 - k / 100 for k in range(1, 100)])


def test_epdns_generator_is_judged_by_the_judge_it_was_shown_to() -> None:
    """The published code moves the judge between the forward and the backward pass, which PyTorch refuses today."""
    torch = pytest.importorskip("torch")
    judge, fake = (
        torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)),
        torch.ones(1, 2, requires_grad=True),
    )
    adam, loss = torch.optim.Adam(judge.parameters()), judge(fake).sum()
    first: Any = judge(fake.detach()).sum()
    first.backward()
    adam.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    step = training_step("epdn")
    assert step.updates[0].optimizer == "generator_adam"
    assert "seen_given" not in step.reached(step.updates[0])


def test_cycle_dehaze_is_the_published_step() -> None:
    """engindeniz/Cycle-Dehaze, model.py: REAL_LABEL 0.9 for the generators too, and a perceptual weight of 0.5e-5."""
    step = training_step("cycle_dehaze")
    assert step.roles["judge_loss"].spec.options["real_label"] == 0.9
    assert step.roles["deceive_loss"].spec.options["generator_label"] == 0.9
    assert step.nodes["perceptual"].attrs["scale"] == 0.5e-5
    assert step.roles["features"].spec.options["layers"] == ("pool2", "pool5")
    assert step.concrete(step.nodes["hazy_resized"].outputs[0])[2:] == (224, 224)
    assert {pool.size for pool in step.pools.values()} == {50}
    judges = {"discriminator_clear", "discriminator_hazy"}
    assert reached(step) == [{"generator_clear", "generator_hazy", "features"} | judges, judges]
    assert {(o.lr, o.betas) for o in step.optimizers.values()} == {(1e-4, (0.5, 0.999))}
    factor = step.optimizers["generators_adam"].schedule.factor
    assert [factor(g) for g in (0, 99_999, 100_000, 150_000, 199_999)] == pytest.approx([1, 1, 1, 0.5, 1e-5])
