"""Training steps in PyTorch against loops written by hand in the published order, and bugs planted in steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.ports.steps import stepper
from twinzoo.ports.steps.draws import enter
from twinzoo.ports.steps.stepper import Move
from twinzoo.ports.torch.port import TorchPort
from twinzoo.ports.torch.steps_optimizer import TorchOptimizer
from twinzoo.zoo.registry import training_step
from twinzoo.zoo.spec.dims import concrete
from twinzoo.zoo.steps.optimizer import Optimizer
from twinzoo.zoo.steps.serial import step_from_json, step_to_json
from twinzoo.zoo.steps.step import Pool, Step

Array = NDArray[Any]
Losses = list[dict[str, float]]
State = dict[str, Array]

PIX2PIX = {
    "width": 4,
    "depth": 6,
    "layers": 2,
    "dropout": 0.5,
    "real_label": 0.9,
    "epochs": 1,
    "decay_epochs": 3,
    "epoch_steps": 1,
}
CYCLEGAN = {"width": 4, "blocks": 1, "layers": 1, "norm": "batch", "pool": 2, "real_label": 0.9}
STEPS = 4


@pytest.fixture(scope="module", autouse=True)
def one_thread(torch_port: TorchPort) -> Iterator[None]:
    """Networks this small are slower on several threads, by far where the machine is busy."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def batches(step: Step, size: int, count: int = STEPS) -> list[dict[str, Array]]:
    """Batches of two images, with every draw in them."""
    random = np.random.default_rng(0)
    made = []
    for _ in range(count):
        batch: dict[str, Array] = {n: random.uniform(-1, 1, (2, 3, size, size)).astype(np.float32) for n in step.batch}
        sizes = {"N": 2, "H": size, "W": size}
        for name, draw in step.draws.items():
            batch[name] = (random.random(concrete(draw.shape, sizes)) > 0.5).astype(np.float32)
        for pool in step.pools.values():
            batch[pool.choices] = random.integers(-1, pool.size, 2)
        made.append(batch)
    return made


class ByHand:
    """The networks of a step as a user would hold them, started from a stepper's state."""

    def __init__(self, port: TorchPort, step: Step, state: State) -> None:
        self.port = port
        self.networks: dict[str, Any] = {}
        for role in step.networks:
            self.networks[role] = port.build(step.roles[role].spec)
            own = {n.removeprefix(f"{role}."): v for n, v in state.items() if n.startswith(f"{role}.")}
            port.load(self.networks[role], own)
            self.networks[role].train()

    def adam(self, *roles: str) -> Any:
        """Adam with the published settings over some networks."""
        import torch

        parameters = [p for role in roles for p in self.networks[role].parameters()]
        return torch.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.999))

    def freeze(self, frozen: bool, *roles: str) -> None:
        """The published set_requires_grad."""
        for role in roles:
            for parameter in self.networks[role].parameters():
                parameter.requires_grad = not frozen

    def state(self) -> State:
        """Parameters and buffers by the step's names."""
        states = {role: self.port.state(network) for role, network in self.networks.items()}
        return {f"{role}.{name}": value for role, own in states.items() for name, value in own.items()}


def pix2pix_by_hand(port: TorchPort, step: Step, start: State, given: list[dict[str, Array]]) -> tuple[Losses, State]:
    """Isola et al.: forward; D on the detached pair; G through the new D. The rate falls after each step (epoch)."""
    import torch
    from torch.nn import functional as F

    hand = ByHand(port, step, start)
    generator, discriminator = hand.networks["generator"], hand.networks["discriminator"]
    adam_g, adam_d = hand.adam("generator"), hand.adam("discriminator")
    decays = [torch.optim.lr_scheduler.LambdaLR(a, lambda e: 1 - max(0, e) / 4) for a in (adam_g, adam_d)]
    losses = []

    def gan(logits: Any, label: float) -> Any:
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))

    for batch in given:
        source, target = (torch.from_numpy(batch[name]) for name in ("source", "target"))
        fake = generator(source, torch.from_numpy(batch["fake_up5_dropout_mask"]))
        hand.freeze(False, "discriminator")
        adam_d.zero_grad()
        seen_fake = discriminator(torch.cat([source, fake], 1).detach())
        seen_real = discriminator(torch.cat([source, target], 1))
        loss_d = 0.5 * (gan(seen_fake, 0.0) + gan(seen_real, 0.9))
        loss_d.backward()
        adam_d.step()
        hand.freeze(True, "discriminator")
        adam_g.zero_grad()
        adversarial, l1 = gan(discriminator(torch.cat([source, fake], 1)), 1.0), 100 * F.l1_loss(fake, target)
        (adversarial + l1).backward()
        adam_g.step()
        for decay in decays:
            decay.step()
        losses.append({"discriminator": loss_d.item(), "adversarial": adversarial.item(), "l1": l1.item()})
    return losses, hand.state()


class History:
    """The published ImagePool of two images, with its choices given."""

    def __init__(self) -> None:
        self.images: list[Any] = []

    def query(self, images: Any, choices: Array) -> Any:
        """What is passed on for each image."""
        import torch

        made = []
        for image, choice in zip(images.detach(), choices, strict=True):
            if len(self.images) < 2:
                self.images.append(image.clone())
                made.append(image)
            elif choice >= 0:
                made.append(self.images[choice].clone())
                self.images[choice] = image.clone()
            else:
                made.append(image)
        return torch.stack(made)


def cyclegan_by_hand(port: TorchPort, step: Step, start: State, given: list[dict[str, Array]]) -> tuple[Losses, State]:
    """Zhu et al.: both generators at once, then both discriminators on what their histories pass on."""
    import torch
    from torch.nn import functional as F

    hand = ByHand(port, step, start)
    to_b, to_a, d_a, d_b = hand.networks.values()
    adam_g, adam_d = hand.adam("generator_ab", "generator_ba"), hand.adam("discriminator_a", "discriminator_b")
    history_a, history_b = History(), History()
    losses = []

    def gan(logits: Any, label: float) -> Any:
        return F.mse_loss(logits, torch.full_like(logits, label))

    def judged(judge: Any, real: Any, fake: Any) -> Any:
        return 0.5 * (gan(judge(real), 0.9) + gan(judge(fake), 0.0))

    for batch in given:
        a, b = torch.from_numpy(batch["a"]), torch.from_numpy(batch["b"])
        fake_b = to_b(a)
        back_a = to_a(fake_b)
        fake_a = to_a(b)
        back_b = to_b(fake_a)
        hand.freeze(True, "discriminator_a", "discriminator_b")
        adam_g.zero_grad()
        now: dict[str, Any] = {
            "adversarial_ab": gan(d_b(fake_b), 1.0),
            "adversarial_ba": gan(d_a(fake_a), 1.0),
            "cycle_a": 10 * F.l1_loss(back_a, a),
            "cycle_b": 10 * F.l1_loss(back_b, b),
            "identity_b": 5 * F.l1_loss(to_b(b), b),
            "identity_a": 5 * F.l1_loss(to_a(a), a),
        }
        total: Any = sum(now.values())
        total.backward()
        adam_g.step()
        hand.freeze(False, "discriminator_a", "discriminator_b")
        adam_d.zero_grad()
        now["discriminator_b"] = judged(d_b, b, history_b.query(fake_b, batch["history_b_choices"]))
        now["discriminator_a"] = judged(d_a, a, history_a.query(fake_a, batch["history_a_choices"]))
        now["discriminator_b"].backward()
        now["discriminator_a"].backward()
        adam_d.step()
        losses.append({name: loss.item() for name, loss in now.items()})
    pools = {"pool.history_a.images": history_a, "pool.history_b.images": history_b}
    return losses, hand.state() | {name: torch.stack(pool.images).numpy() for name, pool in pools.items()}


SYSTEMS: dict[str, tuple[dict[str, Any], int, Callable[..., tuple[Losses, State]]]] = {
    "pix2pix": (PIX2PIX, 64, pix2pix_by_hand),
    "cyclegan": (CYCLEGAN, 16, cyclegan_by_hand),
}


def far(step: Step, name: str, port: TorchPort) -> tuple[float, float]:
    """How far a step is from the loop by hand: the largest relative error of a loss, and of a tensor afterwards."""
    published = training_step(name, **SYSTEMS[name][0])
    given = batches(published, SYSTEMS[name][1])
    made = stepper(step, "torch", seed=1)
    expected, end = SYSTEMS[name][2](port, published, made.state(), given)
    losses = [made.step(batch) for batch in given]
    state = made.state()
    pairs = [(losses[i].get(n, np.inf), loss) for i, now in enumerate(expected) for n, loss in now.items()]
    apart = [float(np.abs(state[n] - value).max() / np.abs(value).max()) for n, value in end.items()]
    return max(abs(x - y) / abs(y) for x, y in pairs), max(apart)


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_step_is_the_published_loop(name: str, torch_port: TorchPort) -> None:
    """The same operations in another grouping: rounding apart, losses, parameters, buffers and histories are equal."""
    losses, tensors = far(training_step(name, **SYSTEMS[name][0]), name, torch_port)
    assert losses < 2e-6
    assert tensors < 2e-4


def edited(name: str, change: Callable[[dict[str, Any]], None]) -> Step:
    """A step with something changed in its JSON."""
    plain = json.loads(step_to_json(training_step(name, **SYSTEMS[name][0])))
    change(plain)
    return step_from_json(json.dumps(plain))


def node(plain: dict[str, Any], name: str) -> dict[str, Any]:
    """A node of a step's JSON."""
    found: dict[str, Any] = next(item for item in plain["graph"]["nodes"] if item["name"] == name)
    return found


def _generator_first(plain: dict[str, Any]) -> None:
    nodes = plain["graph"]["nodes"]
    names = [item["name"] for item in nodes]
    start, middle = names.index("given_pair"), names.index("seen_again")
    plain["graph"]["nodes"] = [*nodes[:start], *nodes[middle:], *nodes[start:middle]]
    generator, discriminator = plain["updates"][1], plain["updates"][0]
    generator["after"], discriminator["after"] = start + len(nodes) - middle, len(nodes)
    plain["updates"] = [generator, discriminator]


def _second_forward(plain: dict[str, Any]) -> None:
    nodes = plain["graph"]["nodes"]
    place = next(i for i, item in enumerate(nodes) if item["name"] == "seen_again")
    nodes.insert(place, {**nodes[0], "name": "fake_again"})
    node(plain, "far")["inputs"][0] = "fake_again"
    plain["updates"][1]["after"] += 1


def _real_first(plain: dict[str, Any]) -> None:
    nodes = {item["name"]: item for item in plain["graph"]["nodes"]}
    order = ["fake", "fake_pair", "real_pair", "seen_real", "given_pair", "seen_fake"]
    plain["graph"]["nodes"] = [*(nodes.pop(name) for name in order), *nodes.values()]


PLANTED: dict[str, tuple[str, Callable[[dict[str, Any]], None]]] = {
    "the generator goes first": ("pix2pix", _generator_first),
    "the generator runs twice": ("pix2pix", _second_forward),
    "the generator sees a detached pair": ("pix2pix", lambda p: node(p, "seen_again").update(inputs=["given_pair"])),
    "real before fake": ("pix2pix", _real_first),
    "another weight": ("pix2pix", lambda p: node(p, "l1")["attrs"].update(scale=99.0)),
    "the discriminator in eval mode": ("pix2pix", lambda p: p["networks"].update(discriminator=False)),
    "other betas": ("pix2pix", lambda p: p["optimizers"][0].update(betas=[0.9, 0.999])),
    "no decay": ("pix2pix", lambda p: p["optimizers"][1]["schedule"].update(kind="constant")),
    "labels of the generator": (
        "pix2pix",
        lambda p: node({"graph": p["graph"]["roles"]["deceive_loss"]}, "fake_negative").update(op="abs", attrs={}),
    ),
    "no history": ("cyclegan", lambda p: node(p, "judged_fake_b").update(inputs=["given_b"])),
    "cycles not weighted": ("cyclegan", lambda p: node(p, "cycle_a")["attrs"].update(scale=1.0)),
    "the wrong discriminator": ("cyclegan", lambda p: node(p, "seen_fake_b")["attrs"].update(role="discriminator_a")),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_shows(bug: str, torch_port: TorchPort) -> None:
    name, change = PLANTED[bug]
    losses, tensors = far(edited(name, change), name, torch_port)
    assert losses > 2e-5 or tensors > 2e-3, bug


@pytest.mark.parametrize(
    "given",
    [
        {"betas": (0.5, 0.999)},
        {"weight_decay": 0.1, "eps": 1e-4},
        {"kind": "sgd"},
        {"kind": "sgd", "momentum": 0.9, "weight_decay": 0.1},
    ],
    ids=str,
)
def test_optimizers_are_the_plain_ones_to_the_bit(given: dict[str, Any], torch_port: TorchPort) -> None:
    """All parameters at once is what PyTorch does one by one, over gradients from 1e-12 to 1, and rates that change."""
    import torch

    random = np.random.default_rng(0)
    starts = [random.normal(0, 0.02, shape).astype(np.float32) for shape in ((7, 3, 4, 4), (33,), (1,))]
    ours, theirs = ([torch.nn.Parameter(torch.from_numpy(start.copy())) for start in starts] for _ in range(2))
    made = TorchOptimizer(Optimizer("optimizer", ("net",), 1e-3, **given), dict(zip("abc", ours, strict=True)))
    kind: Any = torch.optim.SGD if given.get("kind") == "sgd" else torch.optim.Adam
    plain = kind(theirs, lr=1e-3, foreach=False, **{name: value for name, value in given.items() if name != "kind"})
    for count in range(1, 6):
        scales = [10 ** random.uniform(-12, 0, start.shape) for start in starts]
        gradients = [torch.from_numpy(random.normal(0, scale).astype(np.float32)) for scale in scales]
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = gradient.clone()
        plain.param_groups[0]["lr"] = 1e-3 / count
        plain.step()
        made.step(gradients, Move(1e-3 / count, count))
        assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_a_pool_is_the_published_one() -> None:
    """Images passed on and kept are those of a list that is handled one image after another."""
    random = np.random.default_rng(0)
    for size in (1, 2, 5):
        pool = Pool("history", size, "s", "p", "k", None)  # type: ignore[arg-type]
        stored, filled, known = np.zeros(size), 0, list[int]()
        for start in range(1, 100, 3):
            new = np.arange(start, start + 3)
            choices = random.integers(-1, size, 3)
            picks, keeps, filled = enter(pool, filled, choices.tolist())
            both = np.concatenate([stored, new])
            stored, expected = both[keeps], []
            for image, choice in zip(new, choices, strict=True):
                if len(known) < size:
                    known.append(image)
                    expected.append(image)
                elif choice >= 0:
                    expected.append(known[choice])
                    known[choice] = image
                else:
                    expected.append(image)
            assert both[picks].tolist() == expected
            assert stored[:filled].tolist() == known
