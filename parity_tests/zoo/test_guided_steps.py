"""The steps of guided colorization, Lab pix2pix and improved CycleGAN: as published, and against loops by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import twinzoo as tz
from parity_tests.zoo.cie import rgb_to_lab
from parity_tests.zoo.test_steps import calls, reached
from twinzoo.ports.steps import stepper
from twinzoo.zoo import registry
from twinzoo.zoo.registry import training_step
from twinzoo.zoo.steps.step import Step

Array = NDArray[Any]
EPS = 1e-4
"""Of Adam, so that it makes no whole step out of a gradient that is rounding alone."""

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore:.*space='lab'")]


def small(name: str, **options: Any) -> Step:
    """A tiny instance whose Adam has a larger eps."""
    step = training_step(name, **{**registry.step_entry(name).small, **options})
    step.optimizers = {key: replace(optimizer, eps=EPS) for key, optimizer in step.optimizers.items()}
    return step


@pytest.mark.parametrize("name", ["colorization.report", "colorization.repo"])
def test_the_generator_runs_once_and_each_loss_pays_its_own(name: str) -> None:
    """The published code runs it five times, and the VGG within the discriminator's step too."""
    step = training_step(name)
    assert calls(step, "generator") == ["fake"]
    assert calls(step, "discriminator") == ["seen_real", "seen_fake", "seen_again"]
    assert [update.optimizer for update in step.updates] == ["discriminator_adam", "generator_adam"]
    assert reached(step) == [{"discriminator"}, {"generator", "discriminator", "perceptual_loss"}]
    assert [step.frozen(update) for update in step.updates] == [[], ["discriminator", "perceptual_loss"]]
    assert step.networks == {"generator": True, "discriminator": True, "perceptual_loss": False}
    assert step.batch == ["lightness", "ab", "hints", "mask"]


def test_the_two_variants_have_their_numbers() -> None:
    report, repo = training_step("colorization.report"), training_step("colorization.repo")
    for step, weights, labels, saturation, space in (
        (report, (5, 100, 50), (0.9, 0.1, 0.9), 2, "rgb"),
        (repo, (1, 100, 10), (1, 0, 1), 0, "lab"),
    ):
        assert tuple(step.nodes[n].attrs["scale"] for n in ("adversarial", "l1", "perceptual")) == weights
        judge, deceive = step.roles["judge_loss"].spec.options, step.roles["deceive_loss"].spec.options
        assert (judge["real_label"], judge["fake_label"], deceive["generator_label"]) == labels
        hinted = step.roles["hinted_loss"].spec.options
        assert (hinted["saturation"], hinted["hint"], hinted["normalize"]) == (saturation, 50, False)
        assert step.roles["perceptual_loss"].spec.options["space"] == space
        assert {(o.lr, o.betas) for o in step.optimizers.values()} == {(2e-4, (0.5, 0.999))}
    for role in ("generator", "discriminator"):
        for step, preset in ((report, "report"), (repo, "repo")):
            name = {"generator": "colorization_unet", "discriminator": "colorization_patchgan"}[role]
            assert step.roles[role].spec.options == tz.spec(f"{name}.{preset}").options


@pytest.mark.parametrize("epochs", [50, 51, 1])
def test_the_published_schedule_of_the_code(epochs: int) -> None:
    """Half of the epochs at the full rate, then base * (1 - (epoch - half) / (epochs - half))."""
    half = epochs // 2
    published = [1.0 if e < half else 1 - (e - half) / (epochs - half) for e in range(epochs)]
    step = training_step("colorization.repo", epochs=epochs, epoch_steps=3)
    for optimizer in step.optimizers.values():
        assert [optimizer.schedule.factor(3 * e + 2) for e in range(epochs)] == pytest.approx(published)


def test_the_schedule_of_the_report() -> None:
    schedule = training_step("colorization.report").optimizers["generator_adam"].schedule
    assert (schedule.kind, schedule.epochs) == ("cosine", 80)


def colours(count: int) -> list[dict[str, Array]]:
    """Batches of two images with a hint each."""
    random = np.random.default_rng(0)
    made = []
    for _ in range(count):
        ab = random.uniform(-0.4, 0.4, (2, 2, 32, 32))
        mask = np.zeros((2, 1, 32, 32))
        mask[:, :, 4:9, 20:25] = 1
        batch = {"lightness": random.uniform(-0.8, 0.8, (2, 1, 32, 32)), "ab": ab, "hints": ab * mask, "mask": mask}
        made.append({name: value.astype(np.float32) for name, value in batch.items()})
    return made


class Colorization:
    """The loop by hand: modules of PyTorch, its losses, its optimizers."""

    def __init__(self, step: Step, state: dict[str, Array]) -> None:
        import torch

        def network(role: str, inner: str = "") -> Any:
            start = f"{role}.{inner}"
            spec = step.roles[role].spec
            for part in inner.split(".")[:-1]:
                spec = spec.roles[part].spec
            weights = {name.removeprefix(start): v for name, v in state.items() if name.startswith(start)}
            return tz.build(spec, "torch", weights=weights)

        self.o = step.options
        self.generator, self.discriminator = network("generator").train(), network("discriminator").train()
        self.vgg = network("perceptual_loss", "perceptual.features.")
        self.to_rgb = tz.build("lab_to_rgb", "torch")
        settings: dict[str, Any] = {"lr": self.o["lr"], "betas": (0.5, 0.999), "eps": EPS}
        self.adams = [torch.optim.Adam(net.parameters(), **settings) for net in (self.discriminator, self.generator)]

    def features(self, lightness: Any, ab: Any) -> Any:
        import torch

        image = torch.cat([lightness, ab], 1)
        if self.o["perceptual_space"] == "rgb":
            image = self.to_rgb(50 * lightness + 50, 110 * ab)
        mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        return self.vgg((image - mean) / std)

    def step(self, lightness: Any, ab: Any, hints: Any, mask: Any) -> dict[str, float]:
        import torch
        from torch.nn import functional as F

        def bce(logits: Any, label: float) -> Any:
            return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))

        o = self.o
        fake = self.generator(torch.cat([lightness, hints, mask], 1))
        real_logits = self.discriminator(torch.cat([lightness, ab], 1))
        fake_logits = self.discriminator(torch.cat([lightness, fake.detach()], 1))
        judged = (bce(real_logits, o["real_label"]) + bce(fake_logits, o["fake_label"])) / 2
        self.adams[0].zero_grad()
        judged.backward()
        self.adams[0].step()

        logits = self.discriminator(torch.cat([lightness, fake], 1))
        weight = (1 + o["saturation"] * ab.pow(2).sum(1, keepdim=True).sqrt()) * (1 + o["hint"] * mask)
        losses = {
            "adversarial": o["lambda_gan"] * bce(logits, o["generator_label"]),
            "l1": o["lambda_l1"] * ((fake - ab).abs() * weight).mean(),
        }
        pairs = zip(self.features(lightness, fake), self.features(lightness, ab), strict=True)
        losses["perceptual"] = o["lambda_perceptual"] * sum(F.mse_loss(a, b.detach()) for a, b in pairs) / 3
        self.adams[1].zero_grad()
        total: Any = sum(losses.values())
        total.backward()
        self.adams[1].step()
        return {"discriminator": judged.item(), **{name: loss.item() for name, loss in losses.items()}}


@pytest.mark.parametrize("name", ["colorization.report", "colorization.repo"])
def test_colorization_is_the_loop_by_hand(name: str) -> None:
    """Without dropout, which both would draw for themselves.

    Statistics say in which order the discriminator saw the images. They are held after one step: a bias before a norm
    has a true gradient of 0, and Adam's steps by its rounding are part of the running mean.
    """
    import torch

    step = small(name, dropout=0.0, saturation=1.5, lr=1e-3)
    made = stepper(step, "torch", seed=1)
    by_hand = Colorization(step, made.state())
    for i, batch in enumerate(colours(3)):
        expected = by_hand.step(*(torch.from_numpy(batch[n]) for n in ("lightness", "ab", "hints", "mask")))
        assert made.step(batch) == pytest.approx(expected, rel=2e-5)
        state = made.state()
        for key, value in by_hand.discriminator.state_dict().items():
            if i == 0 and key.endswith(("running_mean", "running_var")):
                np.testing.assert_allclose(state[f"discriminator.{key}"], value.numpy(), rtol=1e-4, atol=1e-6)


def test_nothing_is_kept_of_the_image_that_the_vgg_compares_with() -> None:
    """A network that no optimizer trains makes no graph of what has no gradient itself; with one it makes it."""
    import torch

    networks = stepper(small("colorization"), "torch").networks  # type: ignore[attr-defined]
    lightness, ab = torch.zeros(1, 1, 32, 32), torch.zeros(1, 2, 32, 32)
    assert not networks["perceptual_loss"](lightness, ab, ab).requires_grad
    assert networks["perceptual_loss"](lightness, ab.clone().requires_grad_(), ab).requires_grad
    assert all(p.requires_grad for role in ("generator", "discriminator") for p in networks[role].parameters())


def test_what_weighs_nothing_is_not_there() -> None:
    step = small("colorization", lambda_perceptual=0.0)
    assert "perceptual_loss" not in step.roles and "perceptual" not in step.outputs


def test_lab_pix2pix_is_pix2pix_of_converted_images() -> None:
    """L*/50 - 1, not the L*/100 - 1/2 of other colorizers, and a*, b* over 110."""
    options: dict[str, Any] = {"width": 4, "depth": 3, "layers": 1, "dropout": 0.0}
    lab = stepper(training_step("lab_pix2pix", **options), "torch", seed=3)
    weights = {name: value for name, value in lab.state().items() if name.startswith(("generator.", "discriminator."))}
    plain = stepper(training_step("pix2pix", in_channels=1, out_channels=2, **options), "torch", weights=weights)
    random = np.random.default_rng(0)
    for _ in range(2):
        image = random.uniform(0, 1, (2, 3, 16, 16)).astype(np.float32)
        converted = np.moveaxis(rgb_to_lab(np.moveaxis(image.astype(np.float64), 1, -1)), -1, 1).astype(np.float32)
        pair = {"source": converted[:, :1] / 50 - 1, "target": converted[:, 1:] / 110}
        assert lab.step({"image": image}) == pytest.approx(plain.step(pair), rel=2e-5)
    assert lab.spec.roles["generator"].spec.options == tz.spec("unet.lab", **options_of_unet(options)).options


def options_of_unet(options: dict[str, Any]) -> dict[str, Any]:
    """Those that the U-Net has too."""
    return {name: value for name, value in options.items() if name != "layers"}


@pytest.mark.parametrize("name", ["pix2pix", "lab_pix2pix"])
def test_a_pixelgan_judges_too(name: str) -> None:
    step = training_step(name, discriminator="pixelgan", depth=3, width=2)
    seen = step.nodes["seen_real"].outputs[0]
    assert step.roles["discriminator"].spec.name == "pixelgan"
    assert step.concrete(seen)[2:] == step.concrete(step.nodes["fake"].outputs[0])[2:]


def test_dropout_placement_goes_to_the_generator() -> None:
    paper, pytorch = (training_step("pix2pix", dropout_placement=place) for place in ("paper", "pytorch"))
    assert list(paper.draws) == [f"fake_up{level}_dropout_mask" for level in (8, 7, 6)]
    assert list(pytorch.draws) == [f"fake_up{level}_dropout_mask" for level in (7, 6, 5)]
    u128 = training_step("pix2pix.u128", dropout_placement="paper")
    assert list(u128.draws) == [f"fake_up{level}_dropout_mask" for level in (7, 6, 5)]


@pytest.mark.parametrize("backbone", ["unet", "resnet"])
def test_improved_cyclegan_is_cyclegan_with_other_generators(backbone: str) -> None:
    improved, plain = training_step(f"improved_cyclegan.{backbone}"), training_step("cyclegan")
    assert improved.example_sizes == {"N": 1} | dict.fromkeys("HW", 256 if backbone == "unet" else 64)
    assert list(improved.nodes) == list(plain.nodes)
    assert [update.after for update in improved.updates] == [update.after for update in plain.updates]
    assert improved.pools.keys() == plain.pools.keys()
    for name, node in plain.nodes.items():
        assert (node.op, node.attrs) == (improved.nodes[name].op, improved.nodes[name].attrs)
    for role in ("generator_ab", "generator_ba"):
        made = improved.roles[role].spec
        assert made.name == f"self_attention_{backbone}"
        assert not [name for name in made.params if "running" in name]


def test_the_discriminators_may_be_updated_several_times() -> None:
    step = small("improved_cyclegan", n_critic=3, clip=0.5)
    assert [update.optimizer for update in step.updates] == ["generators_adam"] + 3 * ["discriminators_adam"]
    assert calls(step, "generator_ab") == ["fake_b", "back_b", "same_b"]
    assert step.outputs["discriminator_a"].node == "judged_a_3"
    assert {node.name for node in step.nodes.values() if node.inputs and node.inputs[0].node == "history_a"} == {
        "judged_fake_a",
        "judged_fake_a_2",
        "judged_fake_a_3",
    }
    assert {optimizer.clip for optimizer in step.optimizers.values()} == {0.5}
