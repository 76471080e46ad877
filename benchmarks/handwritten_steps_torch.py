"""The training loops of three systems in PyTorch as one writes them by hand: what a stepper's speed is held against.

The networks are twins, so that the loop alone differs. `set_requires_grad` is published practice (pix2pix, CycleGAN):
a discriminator gets no gradients of its weights while the generator trains.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from twinzoo.ports.build import build
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.steps.step import Step

Array = NDArray[Any]


class Loop:
    """The networks of a step in training mode, from a stepper's state, and an Adam for each of its optimizers."""

    def __init__(self, step: Step, state: Mapping[str, Array]) -> None:
        self.draws = [*step.draws]
        self.options = step.options
        self.networks = {role: self.network(step.roles[role].spec, state, f"{role}.") for role in step.networks}
        self.adams = {
            name: torch.optim.Adam(
                [p for role in o.trains for p in self.networks[role].parameters()], lr=o.lr, betas=o.betas, eps=o.eps
            )
            for name, o in step.optimizers.items()
        }

    def network(self, spec: Spec, state: Mapping[str, Array], start: str) -> Any:
        """A network with the weights whose names start so."""
        weights = {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}
        return build(spec, "torch", weights=weights).train()

    def masks(self, batch: Mapping[str, Array]) -> list[Tensor]:
        """The dropout masks that a batch brings; without them the layers draw."""
        return [torch.from_numpy(batch[name]) for name in self.draws if name in batch]

    def state(self) -> dict[str, Array]:
        """Parameters and buffers by the step's names."""
        states = {role: network.state_dict() for role, network in self.networks.items()}
        return {f"{role}.{name}": value.numpy() for role, own in states.items() for name, value in own.items()}


def set_requires_grad(wanted: bool, *networks: nn.Module) -> None:
    """Whether parameters get gradients."""
    for network in networks:
        for parameter in network.parameters():
            parameter.requires_grad = wanted


def bce(logits: Tensor, label: float) -> Tensor:
    """Cross-entropy with one label for all patches."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


class Pix2pix(Loop):
    """Isola et al. 2017: the discriminator on the detached pair, then the generator through it."""

    def step(self, batch: Mapping[str, Array]) -> dict[str, float]:
        """One step; the losses."""
        generator, discriminator = self.networks.values()
        adam_g, adam_d = self.adams.values()
        source, target = torch.from_numpy(batch["source"]), torch.from_numpy(batch["target"])
        fake = generator(source, *self.masks(batch))
        pair = torch.cat([source, fake], 1)
        set_requires_grad(True, discriminator)
        adam_d.zero_grad()
        seen_fake, seen_real = discriminator(pair.detach()), discriminator(torch.cat([source, target], 1))
        judged: Any = (bce(seen_real, 1.0) + bce(seen_fake, 0.0)) / 2
        judged.backward()
        adam_d.step()
        set_requires_grad(False, discriminator)
        adam_g.zero_grad()
        adversarial = bce(discriminator(pair), 1.0)
        l1 = F.l1_loss(fake, target) * self.options["lambda_l1"]
        total: Any = adversarial + l1
        total.backward()
        adam_g.step()
        return {"discriminator": judged.item(), "adversarial": adversarial.item(), "l1": l1.item()}


class History:
    """A list of past images, of which one may be passed on in a new one's place."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def query(self, fresh: Tensor, choices: Array | None) -> Tensor:
        """What is passed on for images (N, C, H, W), by a choice of -1 or a slot for each."""
        made = []
        for i, image in enumerate(fresh.detach()):
            if len(self.images) < self.size:
                self.images.append(image.clone())
                made.append(image)
                continue
            drawn = random.randrange(self.size) if random.random() > 0.5 else -1
            choice = drawn if choices is None else int(choices[i])
            made.append(image if choice < 0 else self.images[choice])
            if choice >= 0:
                self.images[choice] = image.clone()
        return torch.stack(made)


class CycleGAN(Loop):
    """Zhu et al. 2017: both generators at once, then both discriminators on what their histories pass on."""

    def __init__(self, step: Step, state: Mapping[str, Array]) -> None:
        super().__init__(step, state)
        self.histories = {name: History(pool.size) for name, pool in step.pools.items()}

    def step(self, batch: Mapping[str, Array]) -> dict[str, float]:
        """One step; the losses."""
        to_b, to_a, judge_a, judge_b = self.networks.values()
        adam_g, adam_d = self.adams.values()
        o = self.options
        a, b = torch.from_numpy(batch["a"]), torch.from_numpy(batch["b"])
        fake_b = to_b(a)
        back_a = to_a(fake_b)
        fake_a = to_a(b)
        back_b = to_b(fake_a)
        set_requires_grad(False, judge_a, judge_b)
        adam_g.zero_grad()
        one = torch.ones(())
        losses = {
            "adversarial_ab": F.mse_loss(seen := judge_b(fake_b), one.expand_as(seen)),
            "adversarial_ba": F.mse_loss(seen := judge_a(fake_a), one.expand_as(seen)),
            "cycle_a": F.l1_loss(back_a, a) * o["lambda_a"],
            "cycle_b": F.l1_loss(back_b, b) * o["lambda_b"],
            "identity_b": F.l1_loss(to_b(b), b) * o["lambda_b"] * o["lambda_identity"],
            "identity_a": F.l1_loss(to_a(a), a) * o["lambda_a"] * o["lambda_identity"],
        }
        total: Any = sum(losses.values())
        total.backward()
        adam_g.step()
        set_requires_grad(True, judge_a, judge_b)
        adam_d.zero_grad()
        for domain, judge, real, fake in (("b", judge_b, b, fake_b), ("a", judge_a, a, fake_a)):
            given = self.histories[f"history_{domain}"].query(fake, batch.get(f"history_{domain}_choices"))
            seen_real, seen_fake = judge(real), judge(given)
            loss = F.mse_loss(seen_real, one.expand_as(seen_real)) + seen_fake.square().mean()
            losses[f"discriminator_{domain}"] = loss / 2
            losses[f"discriminator_{domain}"].backward()
        adam_d.step()
        return {name: loss.item() for name, loss in losses.items()}


class Colorization(Loop):
    """User-guided colorization: as pix2pix, with weighted L1 and what a VGG sees."""

    def __init__(self, step: Step, state: Mapping[str, Array]) -> None:
        super().__init__(step, state)
        perceptual = step.roles["perceptual_loss"].spec.roles["perceptual"].spec
        vgg = perceptual.roles["features"].spec
        self.vgg = self.network(vgg, state, "perceptual_loss.perceptual.features.").eval()
        set_requires_grad(False, self.vgg)
        self.to_rgb = build("lab_to_rgb", "torch")
        self.mean, self.std = (torch.tensor(v).reshape(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

    def features(self, lightness: Tensor, ab: Tensor) -> Any:
        """What the VGG sees in a colouring."""
        rgb = self.options["perceptual_space"] == "rgb"
        image = self.to_rgb(50 * lightness + 50, 110 * ab) if rgb else torch.cat([lightness, ab], 1)
        return self.vgg((image - self.mean) / self.std)

    def step(self, batch: Mapping[str, Array]) -> dict[str, float]:
        """One step; the losses."""
        generator, discriminator = self.networks["generator"], self.networks["discriminator"]
        adam_g, adam_d = self.adams.values()
        o = self.options
        lightness, ab, hints, mask = (torch.from_numpy(batch[name]) for name in ("lightness", "ab", "hints", "mask"))
        fake = generator(torch.cat([lightness, hints, mask], 1), *self.masks(batch))
        image = torch.cat([lightness, fake], 1)
        set_requires_grad(True, discriminator)
        adam_d.zero_grad()
        real_logits, fake_logits = discriminator(torch.cat([lightness, ab], 1)), discriminator(image.detach())
        judged: Any = (bce(real_logits, o["real_label"]) + bce(fake_logits, o["fake_label"])) / 2
        judged.backward()
        adam_d.step()
        set_requires_grad(False, discriminator)
        adam_g.zero_grad()
        weight = (1 + o["saturation"] * ab.square().sum(1, keepdim=True).sqrt()) * (1 + o["hint"] * mask)
        losses = {
            "adversarial": bce(discriminator(image), o["generator_label"]) * o["lambda_gan"],
            "l1": ((fake - ab).abs() * weight).mean() * o["lambda_l1"],
        }
        with torch.no_grad():
            wanted = self.features(lightness, ab)
        unlike: Any = sum(F.mse_loss(x, y) for x, y in zip(self.features(lightness, fake), wanted, strict=True))
        losses["perceptual"] = unlike / 3 * o["lambda_perceptual"]
        total: Any = sum(losses.values())
        total.backward()
        adam_g.step()
        return {"discriminator": judged.item(), **{name: loss.item() for name, loss in losses.items()}}


LOOPS = {"pix2pix": Pix2pix, "cyclegan": CycleGAN, "colorization": Colorization}


def by_hand(step: Step, state: Mapping[str, Array]) -> Any:
    """The loop of a step, from a stepper's state."""
    return LOOPS[step.name](step, {name: np.array(value) for name, value in state.items()})
