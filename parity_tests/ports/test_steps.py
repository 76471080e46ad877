"""Training steps on both frameworks: losses, parameters, buffers, averages and pools stay together; states go round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.ports.mindspore.port import MindSporePort
from twinzoo.ports.mindspore.steps_optimizer import MindSporeOptimizer
from twinzoo.ports.steps import Stepper, build, stepper
from twinzoo.ports.steps.blocks import blocks
from twinzoo.ports.steps.draws import draw_choices, draw_masks
from twinzoo.ports.steps.stepper import Move
from twinzoo.ports.torch.port import TorchPort
from twinzoo.zoo.errors import PortError, SpecError
from twinzoo.zoo.registry import spec, training_step
from twinzoo.zoo.steps.optimizer import Optimizer
from twinzoo.zoo.steps.step import Step

Array = NDArray[Any]

PIX2PIX: dict[str, Any] = {"width": 4, "depth": 3, "layers": 1}
CYCLEGAN: dict[str, Any] = {"width": 4, "blocks": 1, "layers": 1, "pool": 2}


def batches(step: Step, count: int, images: int, size: int) -> list[dict[str, Array]]:
    """Batches of random images; draws are left to the seed."""
    random = np.random.default_rng(3)
    shape = (images, 3, size, size)
    return [{n: random.uniform(-1, 1, shape).astype(np.float32) for n in step.batch} for _ in range(count)]


def smooth(step: Step) -> Step:
    """The step with an eps that keeps Adam from making a whole step out of a gradient that is rounding alone."""
    step.optimizers = {name: replace(optimizer, eps=1e-4) for name, optimizer in step.optimizers.items()}
    return step


def two_calls(*, nested: bool = False) -> Step:
    """A step of what the systems here do not have.

    A network that an update comes to by two routes, one of them from before other updates; two updates of one
    optimizer; clipping and weight decay; a network with parameters that is never trained and stays in eval mode.
    nested: the generator's second run comes between the critic's second and the update of that.
    """
    t = Step("two_calls")
    net = t.network("net", spec("resnet_generator", width=2, blocks=1, norm="batch", dropout=0.5))
    critic = t.network("critic", spec("patchgan", width=2, layers=1))
    seen = t.network("seen", spec("patchgan", width=3, layers=1), train=False)
    net_adam = t.optimizer("net_adam", net, lr=1e-3, clip=0.01, weight_decay=0.1, eps=1e-4)
    critic_adam = t.optimizer("critic_adam", critic, lr=1e-3, betas=(0.9, 0.99), eps=1e-4)
    image, other = t.input("image", channels=3, multiple_of=4), t.input("other", channels=3, multiple_of=4)
    (made,) = t.call("made", net, image)
    for i in (1, 2):
        if i == 2 and not nested:
            (again,) = t.call("again", net, made)
        (judged,) = t.call(f"judged{i}", critic, t.stop_gradient(f"stopped{i}", made))
        (real,) = t.call(f"real{i}", critic, other)
        if i == 2 and nested:
            (again,) = t.call("again", net, made)
        t.update(critic_adam, t.mse_loss(f"critic_loss{i}", judged, real))
    terms = [t.mean("judged_loss", t.square("judged_square", t.call("judged", critic, made)[0]))]
    terms.append(t.l1_loss("seen_loss", t.call("seen_again", seen, again)[0], t.call("seen_other", seen, other)[0]))
    loss = t.total("loss", *terms, t.l1_loss("cycle", again, image))
    t.update(net_adam, loss)
    t.output(loss=loss, critic=t.nodes["critic_loss2"].outputs[0])
    return t


@pytest.fixture(scope="module", autouse=True)
def one_thread(torch_port: TorchPort) -> Iterator[None]:
    """Networks this small are slower on several threads, by far where the machine is busy."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["pynative", "graph"])
def mode(request: pytest.FixtureRequest, torch_port: TorchPort, mindspore_port: MindSporePort) -> Iterator[str]:
    """Each of MindSpore's modes, PyNative after it."""
    import mindspore as ms

    ms.set_context(mode=ms.GRAPH_MODE if request.param == "graph" else ms.PYNATIVE_MODE)
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)


def furthest(one: Mapping[str, Array], other: Mapping[str, Array], *starts: str) -> float:
    """The largest difference of tensors whose names start so, as a share of the largest element (of 0.02 at least)."""
    assert list(one) == list(other)
    shares = [
        float(np.abs(value - other[name]).max() / max(np.abs(value).max(), 0.02))
        for name, value in one.items()
        if name.startswith(starts)
    ]
    assert shares
    return max(shares)


CASES: dict[str, tuple[Step, int, int, int]] = {
    "pix2pix": (smooth(training_step("pix2pix", **PIX2PIX)), 2, 16, 10),
    "pix2pix, one image, dropout": (smooth(training_step("pix2pix", **{**PIX2PIX, "depth": 6})), 1, 64, 3),
    "cyclegan": (smooth(training_step("cyclegan", **CYCLEGAN)), 2, 16, 4),
    "cyclegan, one image, batch norm": (smooth(training_step("cyclegan", **CYCLEGAN, norm="batch")), 1, 16, 3),
    "two calls": (two_calls(), 2, 16, 3),
}
"""A step, images in a batch, their size, and the steps made; PyTorch leaves itself as fast in CycleGAN, an ulp away."""


@pytest.mark.parametrize("case", CASES)
def test_the_twins_train_alike(case: str, mode: str) -> None:
    step, images, size, count = CASES[case]
    a, b = (stepper(step, port, seed=4) for port in ("torch", "mindspore"))
    first, second = a.state(), b.state()
    assert all((first[name] == second[name]).all() for name in first)
    for i, batch in enumerate(batches(step, count, images, size)):
        losses, others = a.step(batch), b.step(batch)
        assert list(losses) == list(others) == list(step.outputs)
        for name, loss in losses.items():
            assert others[name] == pytest.approx(loss, rel=1e-6), f"{name}, step {i}"
    assert furthest(a.state(), b.state(), *step.networks) < 3e-4
    assert furthest(a.state(), b.state(), "optimizer.") < 1e-3
    assert furthest(a.gradients(), b.gradients(), *step.networks) < 1e-3
    assert not step.pools or furthest(a.state(), b.state(), "pool.") < 1e-4


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_the_published_settings_too(name: str, mode: str) -> None:
    """eps 1e-8 makes whole steps of gradients that are rounding alone, so that only the start is compared."""
    step = training_step(name, **(PIX2PIX if name == "pix2pix" else CYCLEGAN))
    a, b = (stepper(step, port) for port in ("torch", "mindspore"))
    for batch, allowed in zip(batches(step, 2, 1, 16), (1e-6, 1e-4), strict=True):
        losses = a.step(batch)
        assert b.step(batch) == pytest.approx(losses, rel=allowed)


@pytest.fixture(params=["torch", "mindspore"])
def port(request: pytest.FixtureRequest) -> str:
    """Each framework in turn."""
    request.getfixturevalue(f"{request.param}_port")
    name: str = request.param
    return name


def same(one: Stepper, other: Stepper, *, share: float = 1e-6) -> bool:
    """Whether two steppers have the same state."""
    first, second = one.state(), other.state()
    return list(first) == list(second) and furthest(first, second, "") <= share


def test_a_state_goes_on(port: str) -> None:
    """Stopped, stored and continued is the same as never stopped; draws come from the seed and the count."""
    step = training_step("cyclegan", **{**CYCLEGAN, "blocks": 0}, norm="batch")
    given = batches(step, 4, 2, 16)
    through, stopped, resumed = (stepper(step, port, seed=1) for _ in range(3))
    for batch in given:
        through.step(batch)
    for batch in given[:2]:
        stopped.step(batch)
    resumed.load(stopped.state())
    for batch in given[2:]:
        resumed.step(batch)
    assert same(through, resumed)
    other = stepper(step, port, seed=2)
    assert not same(stepper(step, port, seed=1), other, share=0.1)


def test_a_state_goes_to_the_other_framework(torch_port: TorchPort, mindspore_port: MindSporePort) -> None:
    step = smooth(training_step("pix2pix", **PIX2PIX))
    given = batches(step, 3, 1, 16)
    a, b = stepper(step, "torch"), stepper(step, "mindspore", seed=5)
    for batch in given[:2]:
        a.step(batch)
    b.load(a.state())
    assert same(a, b)
    assert b.step(given[2]) == pytest.approx(a.step(given[2]), rel=1e-6)


@pytest.mark.parametrize("change", ["missing", "unknown", "shape", "pool without images"])
def test_a_state_that_does_not_fit_changes_nothing(port: str, change: str) -> None:
    made = stepper("cyclegan", port, **CYCLEGAN)
    before = made.state()
    state: dict[str, Array] = {name: value + 1 for name, value in before.items()}
    if change == "missing":
        del state["optimizer.m.generator_ab.head_conv.bias"]
    elif change == "unknown":
        state["generator_ab.more"] = np.zeros(1)
    elif change == "shape":
        state["discriminator_a.logits.bias"] = np.zeros(2)
    with pytest.raises(PortError, match="^cyclegan: "):
        made.load(state)
    assert all((before[name] == value).all() for name, value in made.state().items())


def test_batches_that_do_not_fit(port: str) -> None:
    made = stepper("cyclegan", port, **CYCLEGAN)
    (batch,) = batches(made.spec, 1, 2, 16)
    wrong: list[tuple[dict[str, Array], str]] = [
        ({"a": batch["a"]}, "a batch has a, b"),
        ({**batch, "c": batch["a"]}, "a batch has a, b"),
        ({**batch, "a": batch["a"][0]}, "must have 4 dimensions"),
        ({**batch, "a": batch["a"][:, :, :15]}, "must be"),
        ({**batch, "b": batch["b"][:1]}, "must be"),
        ({**batch, "history_a_choices": np.array([0, 2])}, r"must be 2 integers in \[-1, 2\)"),
    ]
    before = made.state()
    for given, message in wrong:
        with pytest.raises(SpecError, match=message):
            made.step(given)
    assert all((before[name] == value).all() for name, value in made.state().items())
    with pytest.raises(PortError, match="no step was made yet"):
        made.gradients()


def test_draws_that_are_fed_are_used(port: str) -> None:
    step = training_step("pix2pix", **{**PIX2PIX, "depth": 6})
    (batch,) = batches(step, 1, 1, 64)
    (name,) = step.draws
    masks = [np.zeros((1, 32, 4, 4)), np.ones((1, 32, 4, 4))]
    losses = [stepper(step, port).step(batch | {name: mask})["l1"] for mask in masks]
    assert losses[0] != losses[1]
    assert stepper(step, port).step(batch)["l1"] not in losses
    with pytest.raises(SpecError, match=f"{name}: must be"):
        stepper(step, port).step(batch | {name: np.ones((1, 1, 1, 1))})


def test_draws_from_the_seed() -> None:
    """Dropout masks keep 1 - p; they, and a pool's choices, are others in every step and of every seed."""
    step = training_step("pix2pix", **{**PIX2PIX, "width": 32, "depth": 6, "dropout": 0.2})
    sizes = {"N": 8, "H": 64, "W": 64}
    masks = [
        draw_masks(step, sizes, seed, done)[name] for seed, done in ((0, 0), (0, 1), (1, 0)) for name in step.draws
    ]
    assert [mask.mean() for mask in masks] == pytest.approx([0.8] * 3, abs=0.01)
    assert {*np.unique(masks)} == {0, 1}
    pool = training_step("cyclegan", pool=5).pools["history_a"]
    choices = [draw_choices(pool, 10_000, seed, done) for seed, done in ((0, 0), (0, 1), (1, 0))]
    assert [float(np.mean(choice == slot)) for choice in choices for slot in range(5)] == pytest.approx(
        [0.1] * 15, abs=0.02
    )
    for drawn in (masks, choices):
        assert not any((drawn[i] == drawn[j]).all() for i, j in ((0, 1), (0, 2), (1, 2)))
    assert (draw_choices(pool, 10_000, 0, 1) == choices[1]).all()


SETTINGS: dict[str, dict[str, Any]] = {
    "gan": {"betas": (0.5, 0.999)},
    "adam": {"betas": (0.9, 0.99)},
    "decayed": {"weight_decay": 0.1},
    "sgd": {"kind": "sgd"},
    "sgd decayed": {"kind": "sgd", "weight_decay": 0.1},
    "momentum": {"kind": "sgd", "momentum": 0.9},
    "momentum decayed": {"kind": "sgd", "momentum": 0.5, "weight_decay": 0.1},
}


@pytest.mark.parametrize("settings", SETTINGS)
def test_optimizers_are_pytorchs(settings: str, torch_port: TorchPort, mindspore_port: MindSporePort) -> None:
    """Gradients from 1e-12 to 1: where eps counts and where it does not, it is within rounding of the same formula."""
    import mindspore as ms
    import torch

    random = np.random.default_rng(0)
    given = SETTINGS[settings]
    optimizer = Optimizer("optimizer", ("net",), 1e-3, **given)
    start = random.normal(0, 0.02, 25).astype(np.float32)
    held = ms.Parameter(ms.Tensor(start), name="w")
    ours = MindSporeOptimizer(optimizer, {"w": held})
    weight = torch.nn.Parameter(torch.from_numpy(start.copy()))
    kind: Any = torch.optim.SGD if optimizer.kind == "sgd" else torch.optim.Adam
    theirs = kind([weight], lr=1e-3, **{name: value for name, value in given.items() if name != "kind"})
    words = {"m": "exp_avg", "v": "exp_avg_sq", "momentum": "momentum_buffer"}
    for count in range(1, 6):
        gradient = (random.normal(1, 0.3, 25) * np.logspace(-12, 0, 25)).astype(np.float32)
        weight.grad = torch.from_numpy(gradient)
        theirs.step()
        numbers = (ms.Tensor(number, ms.float32) for number in ours.numbers(Move(1e-3, count)))
        ours.update((ms.Tensor(gradient),), *numbers)
        assert held.asnumpy() == pytest.approx(weight.detach().numpy(), rel=1e-6, abs=3e-9)
        kept = {slot: value for slot, _, value in ours.slots()}
        assert tuple(kept) == optimizer.slots
        for slot, value in kept.items():
            expected = theirs.state[weight][words[slot]].numpy()
            cancels = optimizer.weight_decay and slot != "v"  # a decayed gradient is a sum of two signs
            assert value == pytest.approx(expected, rel=2e-6, abs=1e-9 if cancels else 1e-30), slot


def test_buffers_move_as_often_as_the_networks_run(port: str) -> None:
    """The generator's once a step, the discriminator's three times: from 0, with momentum 0.1, towards the mean."""
    made = stepper("pix2pix", port, **PIX2PIX, lr=0.0)
    (batch,) = batches(made.spec, 1, 2, 16)
    made.step(batch)
    first = made.state()
    made.step(batch)
    second = made.state()
    ratio = second["generator.down2_norm.running_mean"] / first["generator.down2_norm.running_mean"]
    assert np.allclose(ratio, 1 + 0.9, rtol=1e-3)
    seen = second["discriminator.norm2.running_mean"] / first["discriminator.norm2.running_mean"]
    assert np.allclose(seen, 1 + 0.9**3, rtol=1e-3)


def test_weights_of_a_role(port: str) -> None:
    first = stepper("pix2pix", port, seed=1, **PIX2PIX).state()
    own = {name: value for name, value in first.items() if name.startswith("generator.")}
    second = stepper("pix2pix", port, seed=2, weights=own, **PIX2PIX).state()
    assert all((second[name] == value).all() for name, value in own.items())
    assert (second["discriminator.conv1.weight"] != first["discriminator.conv1.weight"]).any()
    with pytest.raises(PortError, match="the networks are generator, discriminator"):
        stepper("pix2pix", port, weights={"features.conv": np.zeros(1)}, **PIX2PIX)
    with pytest.raises(PortError, match="the state lacks"):
        stepper("pix2pix", port, weights={"generator.up1_conv.bias": np.zeros(3)}, **PIX2PIX)


def test_two_networks_of_one_kind_start_differently(port: str) -> None:
    state = stepper("cyclegan", port, **CYCLEGAN).state()
    assert (state["generator_ab.stem_conv.weight"] != state["generator_ba.stem_conv.weight"]).any()


def test_numbers_of_the_optimizers(port: str) -> None:
    made = stepper("pix2pix", port, **PIX2PIX, epochs=1, decay_epochs=1, epoch_steps=1)
    for batch in batches(made.spec, 2, 1, 16):
        made.step(batch)
    state = made.state()
    assert state["optimizer.step.generator.up1_conv.bias"] == 2
    assert state["optimizer.lr.discriminator.logits.bias"] == 0
    made = stepper(two_calls(), port)
    made.step(batches(made.spec, 1, 2, 16)[0])
    assert made.state()["optimizer.step.critic.logits.bias"] == 2
    assert made.state()["optimizer.step.net.head_conv.bias"] == 1


def test_what_is_not_trained_stays(port: str) -> None:
    made = stepper(two_calls(), port)
    before = made.state()
    made.step(batches(made.spec, 1, 2, 16)[0])
    after = made.state()
    assert all((after[name] == before[name]).all() for name in before if name.startswith("seen."))
    assert not any(name.startswith("seen.") for name in made.gradients())


def test_what_no_port_can_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PortError, match="the reference runs in NumPy"):
        stepper("pix2pix", "reference", device="cuda")
    with monkeypatch.context() as patch:
        patch.delitem(build._STEPPERS, "reference")  # as a plug-in's port is not in it
        with pytest.raises(PortError, match="port reference cannot train: take torch, mindspore"):
            stepper("pix2pix", "reference")
    with pytest.raises(SpecError, match="a step is drawn already"):
        stepper(training_step("pix2pix", **PIX2PIX), "torch", width=3)
    pytest.importorskip("torch")
    empty = Step("empty")
    with pytest.raises(SpecError, match="has no update"):
        stepper(empty, "torch")


def twice(*, losses: int) -> Step:
    """Two networks in a row, each with an optimizer of its own, by the loss of both or by one loss each."""
    t = Step("twice")
    net, judge = t.network("net", spec("aodnet")), t.network("judge", spec("patchgan", width=2, layers=1))
    adam = t.optimizer("judge_adam", judge, lr=1e-3)
    sgd = t.optimizer("net_sgd", net, lr=1e-3, kind="sgd", momentum=0.9)
    (judged,) = t.call("judged", judge, *t.call("made", net, t.input("image", channels=3)))
    loss = t.mean("loss", t.square("square", judged))
    t.update(sgd, loss)
    t.update(adam, loss if losses == 1 else t.affine("doubled", loss, scale=2.0))
    t.output(loss=loss)
    return t


def test_two_optimizers_go_down_one_loss(mode: str) -> None:
    """One gradient is pulled back for both, each of which gets its part."""
    step = twice(losses=1)
    a, b = (stepper(step, port) for port in ("torch", "mindspore"))
    for batch in batches(step, 3, 2, 16):
        assert b.step(batch) == pytest.approx(a.step(batch), rel=1e-6)
    assert furthest(a.gradients(), b.gradients(), "") < 1e-5
    assert all(np.abs(value).max() > 0 for value in b.gradients().values())
    assert furthest(a.state(), b.state(), "net.", "judge.") < 1e-5
    assert furthest(a.state(), b.state(), "optimizer.momentum.net", "optimizer.m.judge") < 1e-5


def test_two_losses_through_one_block(torch_port: TorchPort, mindspore_port: MindSporePort) -> None:
    """PyTorch keeps the graph for the second one; MindSpore says that it cannot."""
    made = stepper(twice(losses=2), "torch")
    made.step({"image": np.ones((1, 3, 16, 16))})
    assert all(np.abs(value).max() > 0 for name, value in made.gradients().items() if name.startswith("judge"))
    with pytest.raises(PortError, match="net_sgd and judge_adam both go through judged, square, loss"):
        stepper(twice(losses=2), "mindspore")


def test_an_order_that_pynative_cannot_differentiate(mode: str) -> None:
    step = two_calls(nested=True)
    (batch,) = batches(step, 1, 2, 16)
    made = stepper(step, "mindspore")
    if mode == "graph":
        assert made.step(batch) == pytest.approx(stepper(step, "torch").step(batch), rel=1e-6)
    else:
        before = made.state()
        with pytest.raises(PortError, match="critic_adam goes through stopped2, judged2, real2 .* graph mode"):
            made.step(batch)
        assert all((before[name] == value).all() for name, value in made.state().items())


def test_blocks() -> None:
    """Every node is in one block, cut at updates and where a later update comes back."""
    nodes = [list(block.spec.nodes) for block in blocks(training_step("pix2pix"))]
    assert [names[-1] for names in nodes] == ["fake_pair", "judged", "generated"]
    step = training_step("cyclegan")
    cut = blocks(step)
    assert [name for block in cut for name in block.spec.nodes] == list(step.nodes)
    assert [[update.optimizer for update in block.updates] for block in cut] == [
        ["generators_adam"],
        ["discriminators_adam"],
    ]
    assert [block.made[:2] for block in cut] == [("fake_b", "fake_a"), ("history_b_next", "history_a_next")]
