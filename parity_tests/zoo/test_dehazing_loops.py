"""CUT, EPDN and AOD-Net against training loops written by hand as the published ones, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parity_tests.zoo.dehazing_steps import EPS, Array, batches, small
from twinzoo.ports.registry import port
from twinzoo.ports.steps import Stepper, stepper
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.steps.optimizer import Optimizer

pytest.importorskip("torch")


def doubled(name: str, **options: Any) -> Stepper:
    """A stepper that computes in float64."""
    made: Any = stepper(small(name, **options), "torch", seed=2)
    made.dtype = np.float64
    for module in made.networks.values():
        module.double()
    found: Stepper = made
    return found


def networks(made: Stepper) -> dict[str, Any]:
    """Fresh modules with the stepper's weights, by role, in float64."""
    used, state, modules = port("torch"), made.state(), {}
    for role in made.spec.networks:
        called: Spec = made.spec.roles[role].spec
        modules[role] = used.build(called)
        used.load(modules[role], {name: state[f"{role}.{name}"] for name in called.params})
        modules[role].double()
    return modules


def tensor(value: Array) -> Any:
    """A batch's array, numbers in float64."""
    import torch

    made = torch.from_numpy(value)
    return made.double() if made.is_floating_point() else made


def furthest(made: Stepper, modules: dict[str, Any]) -> float:
    """The largest difference of a parameter from a module's, as a share of its largest element, of 0.02 at least."""
    state, used = made.state(), port("torch")
    shares = []
    for role, module in modules.items():
        for name, value in used.state(module).items():
            own = state[f"{role}.{name}"]
            shares.append(float(np.abs(own - value).max() / max(np.abs(own).max(), 0.02)))
    return max(shares)


def adam(module: Any, optimizer: Optimizer) -> Any:
    import torch

    return torch.optim.Adam(module.parameters(), optimizer.lr, optimizer.betas, EPS)


def test_aodnet_is_a_loop_written_by_hand() -> None:
    import torch

    made = doubled("aodnet_training", weight_decay=0.1, clip=0.01)
    modules = networks(made)
    net = modules["net"].train()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2, eps=EPS, weight_decay=0.1)
    for batch in batches(made.spec, 3):
        loss: Any = torch.nn.functional.mse_loss(net(tensor(batch["hazy"])), tensor(batch["clear"]))
        optimizer.zero_grad()
        loss.backward()
        assert torch.nn.utils.clip_grad_norm_(net.parameters(), 0.01) > 0.01
        optimizer.step()
        assert made.step(batch)["l2"] == pytest.approx(loss.item(), rel=1e-9)
    assert furthest(made, modules) < 1e-9


def nce(queries: Any, keys: Any) -> Any:
    """The published loss: the diagonal at -10, and class 0 for each patch."""
    import torch

    count = queries.shape[1]
    negatives = torch.bmm(queries, keys.transpose(1, 2)).masked_fill(torch.eye(count, dtype=torch.bool), -10.0)
    logits = torch.cat([(queries * keys).sum(2, keepdim=True), negatives], 2).flatten(0, 1) / 0.07
    return torch.nn.functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))


def test_cut_is_a_loop_written_by_hand() -> None:
    """As published: a and b in one batch, the encoder once more for the keys, three optimizers."""
    import torch

    made = doubled("cut")
    modules = networks(made)
    generator, sampler, judge = (modules[role].train() for role in ("generator", "sampler", "discriminator"))
    settings = made.spec.optimizers["generator_adam"]
    g, f, d = (adam(module, settings) for module in (generator, sampler, judge))

    def squares(logits: Any, label: float) -> Any:
        return ((logits - label) ** 2).mean()

    def compared(given: Any, image: Any, places: list[Any]) -> Any:
        keys = sampler(*(v for pair in zip(generator(given)[1:], places, strict=True) for v in pair))
        queries = sampler(*(v for pair in zip(generator(image)[1:], places, strict=True) for v in pair))
        return sum(nce(q, k.detach()) for q, k in zip(queries, keys, strict=True)) / len(places)

    for batch in batches(made.spec):
        fed = {name: tensor(value) for name, value in batch.items()}
        fake, same = generator(torch.cat([fed["a"], fed["b"]]))[0].chunk(2)
        judged = (squares(judge(fake.detach()), 0) + squares(judge(fed["b"]), 1)) / 2
        d.zero_grad()
        judged.backward()
        d.step()
        adversarial = squares(judge(fake), 1)
        places = [[fed[f"{of}positions{i}"] for i in range(3)] for of in ("", "identity_")]
        patches = (compared(fed["a"], fake, places[0]) + compared(fed["b"], same, places[1])) / 2
        g.zero_grad()
        f.zero_grad()
        (adversarial + patches).backward()
        g.step()
        f.step()
        losses = made.step(batch)
        assert losses["discriminator"] == pytest.approx(judged.item(), rel=1e-9)
        assert losses["adversarial"] == pytest.approx(adversarial.item(), rel=1e-9)
        assert losses["nce"] + losses["nce_identity"] == pytest.approx(patches.item(), rel=1e-9)
    assert furthest(made, modules) < 1e-7


def test_epdn_is_a_loop_written_by_hand() -> None:
    """The published terms, over scales and layers as its code counts them; the generator goes first."""
    import torch

    made = doubled("epdn")
    modules = networks(made)
    generator, judge = modules["generator"].train(), modules["discriminator"].train()
    vgg = modules["vgg"].eval()
    optimizers = [adam(module, made.spec.optimizers["generator_adam"]) for module in (generator, judge)]

    def scales(pair: Any) -> list[Any]:
        values = judge(pair)
        return [values[:4], values[4:]]

    def squares(seen: list[Any], label: float) -> Any:
        return sum(((values[-1] - label) ** 2).mean() for values in seen)

    for batch in batches(made.spec):
        hazy, clear = (tensor(batch[name]) for name in ("hazy", "clear"))
        fake, enhanced = generator(hazy)
        pairs = [torch.cat([hazy, image], 1) for image in (fake, clear)]
        seen_fake, seen_real = (scales(pair) for pair in pairs)
        matched = [
            (a - b.detach()).abs().mean()
            for one, other in zip(seen_fake, seen_real, strict=True)
            for a, b in zip(one[:-1], other[:-1], strict=True)
        ]
        adversarial, features = squares(seen_fake, 1), sum(matched) * 4 / 3 / 2 * 10
        seen = vgg(enhanced, clear) * 10
        l2 = ((enhanced - clear) ** 2).mean()
        optimizers[0].zero_grad()
        (adversarial + features + seen + l2).backward()
        optimizers[0].step()
        judged = (squares(scales(pairs[0].detach()), 0) + squares(scales(pairs[1]), 1)) / 2
        optimizers[1].zero_grad()
        judged.backward()
        optimizers[1].step()
        losses = made.step(batch)
        expected = {"discriminator": judged, "adversarial": adversarial, "features": features, "perceptual": seen}
        for name, value in (expected | {"l2": l2}).items():
            assert losses[name] == pytest.approx(value.item(), rel=1e-9), name
    del modules["vgg"]
    assert furthest(made, modules) < 1e-7
