"""The training steps of AdaIN and Johnson's transform net, against loops written by hand in PyTorch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.zoo import published_style
from parity_tests.zoo.golden_arrays import weights
from parity_tests.zoo.published import published_keys
from twinzoo.ports.steps import Stepper, stepper
from twinzoo.zoo.models.adain import NAOTO
from twinzoo.zoo.models.johnson import EXAMPLES
from twinzoo.zoo.registry import training_step
from twinzoo.zoo.steps.step import Step

Array = NDArray[Any]
MEAN, STD = (np.reshape(v, (1, 3, 1, 1)) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

STEPS: dict[str, dict[str, Any]] = {
    "adain": {"width": 2, "lr": 1e-3, "half_after": 2},
    "johnson": {"width": 2, "blocks": 1, "features_width": 2, "lambda_content": 1.0, "lambda_style": 1e3},
}


pytestmark = pytest.mark.usefixtures("one_thread")


def lively(step: Step, used: str) -> Stepper:
    """The step on a port, from weights that let every layer matter."""
    made = stepper(step, used)
    for role in step.networks:
        made.load_networks({f"{role}.{name}": value for name, value in weights(step.roles[role].spec).items()})
    return made


def small_step(name: str, **change: Any) -> Step:
    """A narrow step with an eps at which Adam makes no whole step out of a gradient that is rounding alone."""
    step = training_step(name, **{**STEPS[name], **change})
    step.optimizers = {n: replace(optimizer, eps=1e-4) for n, optimizer in step.optimizers.items()}
    return step


def batches(step: Step) -> list[dict[str, Array]]:
    """Three batches of two images over the whole range; paintings are one."""
    random = np.random.default_rng(8)
    shapes = {n: (1 if n == "painting" else 2, 3, 32, 32) for n in step.batch}
    return [
        {n: random.uniform(*step.inputs[n].span, shape).astype(np.float32) for n, shape in shapes.items()}
        for _ in range(3)
    ]


def statistics(x: Any) -> list[Any]:
    """Mean and deviation of each channel, as net.py of pytorch-AdaIN has them."""
    flat = x.flatten(2)
    return [flat.mean(2)[:, :, None, None], (flat.var(2) + 1e-5).sqrt()[:, :, None, None]]


def adain_losses(networks: dict[str, Any], batch: dict[str, Any]) -> dict[str, Any]:
    """The forward of net.py."""
    from torch.nn import functional as F

    def seen(image: Any) -> list[Any]:
        kept = []
        for i, module in enumerate(networks["encoder"]):
            image = module(image)
            kept += [image] if i in (3, 10, 17, 30) else []
        return kept

    style = seen(batch["style"])
    content = seen(batch["content"])[-1]
    (mean, std), (new_mean, new_std) = statistics(content), statistics(style[-1])
    target = (content - mean) / std * new_std + new_mean
    made = seen(networks["decoder"](target))
    apart = [
        F.mse_loss(a, b)
        for x, y in zip(made, style, strict=True)
        for a, b in zip(statistics(x), statistics(y), strict=True)
    ]
    return {"content": F.mse_loss(made[-1], target), "style": 10 * sum(apart)}


def johnson_losses(networks: dict[str, Any], batch: dict[str, Any]) -> dict[str, Any]:
    """The loop of neural_style.py."""
    import torch
    from torch.nn import functional as F

    def seen(image: Any) -> list[Any]:
        x = (image / 255 - torch.from_numpy(MEAN).float()) / torch.from_numpy(STD).float()
        kept = []
        for i, module in enumerate(networks["vgg"]):
            x = module(x)
            kept += [x] if i in (3, 8, 15, 22) else []
        return kept

    def gram(x: Any) -> Any:
        rows = x.flatten(2)
        return rows @ rows.transpose(1, 2) / x[0].numel()

    made = seen(networks["transformer"](batch["photograph"]))
    painting = [gram(x) for x in seen(batch["painting"])]
    style = [F.mse_loss(gram(x), y.expand(len(x), -1, -1)) for x, y in zip(made, painting, strict=True)]
    return {"content": F.mse_loss(made[1], seen(batch["photograph"])[1]), "style": 1e3 * sum(style)}


def vgg(width: int) -> Any:
    """torchvision's VGG-16 up to relu4_3."""
    from torch import nn

    modules: list[Any] = []
    before = 3
    for block, convs in enumerate((2, 2, 3, 3)):
        for _ in range(convs):
            modules += [nn.Conv2d(before, width * 2**block, 3, padding=1), nn.ReLU()]
            before = width * 2**block
        modules.append(nn.MaxPool2d(2))
    return nn.Sequential(*modules[:-1])


def loop(
    name: str, start: dict[str, Array], given: list[dict[str, Array]]
) -> tuple[list[dict[str, float]], dict[str, Array]]:
    """The losses of each step, and the trained network's parameters at the end by the step's names."""
    import torch

    if name == "adain":
        networks = {
            r: getattr(published_style, m)(2) for r, m in (("encoder", "vgg_normalised"), ("decoder", "adain_decoder"))
        }
        trained, naming, losses_of = "decoder", NAOTO, adain_losses
    else:
        networks = {"transformer": published_style.johnson_transformer(2, 1), "vgg": vgg(2)}
        trained, naming, losses_of = "transformer", EXAMPLES, johnson_losses
    step = small_step(name)
    for role, network in networks.items():
        if role == "vgg":
            prefix, drawn, words = (
                "perceptual.features.",
                step.roles["perceptual"].spec.roles["features"].spec,
                "torchvision",
            )
        else:
            prefix, drawn, words = f"{role}.", step.roles[role].spec, naming
        keys = published_keys(drawn, words)
        network.load_state_dict(
            {k.removeprefix("features."): torch.from_numpy(start[prefix + n]) for n, k in keys.items()}
        )
    adam = torch.optim.Adam(networks[trained].parameters(), lr=1e-3, eps=1e-4)
    made = []
    for done, batch in enumerate(given):
        adam.param_groups[0]["lr"] = 1e-3 / (1 + done / 2) if name == "adain" else 1e-3
        losses = losses_of(networks, {n: torch.from_numpy(x) for n, x in batch.items()})
        adam.zero_grad()
        sum(losses.values()).backward()
        adam.step()
        made.append({n: loss.item() for n, loss in losses.items()})
    keys = published_keys(step.roles[trained].spec, naming)
    return made, {f"{trained}.{n}": networks[trained].state_dict()[k].numpy() for n, k in keys.items()}


@pytest.mark.parametrize("name", STEPS)
def test_the_step_is_the_published_loop(name: str) -> None:
    pytest.importorskip("torch")
    step = small_step(name)
    made = lively(step, "torch")
    given = batches(step)
    expected, end = loop(name, made.state(), given)
    for batch, losses in zip(given, expected, strict=True):
        assert made.step(batch) == pytest.approx(losses, rel=1e-5)
    state = made.state()
    for key, value in end.items():
        np.testing.assert_allclose(state[key], value, rtol=1e-4, atol=1e-5, err_msg=key)


PLANTED: list[tuple[str, dict[str, Any]]] = [
    ("adain", {"half_after": 3}),
    ("adain", {"lambda_style": 9.9}),
    ("johnson", {"content_layer": ("relu3_3",)}),
    ("johnson", {"lambda_variation": 1e-3}),
    ("johnson", {"beta1": 0.5}),
]


@pytest.mark.parametrize(("name", "change"), PLANTED)
def test_a_planted_bug_shows(name: str, change: dict[str, Any]) -> None:
    pytest.importorskip("torch")
    made = lively(small_step(name, **change), "torch")
    given = batches(small_step(name))
    expected, end = loop(name, made.state(), given)
    pairs = [(made.step(batch), losses) for batch, losses in zip(given, expected, strict=True)]
    apart = [abs(found[n] / loss - 1) for found, losses in pairs for n, loss in losses.items()]
    state = made.state()
    assert max(apart) > 1e-4 or max(np.abs(state[key] - value).max() for key, value in end.items()) > 3e-5


@pytest.mark.parametrize("framework", ["mindspore", "reference"])
@pytest.mark.parametrize("name", STEPS)
def test_every_port_trains_alike(name: str, framework: str) -> None:
    for needed in {"torch", framework} - {"reference"}:
        pytest.importorskip(needed)
    step = small_step(name)
    twins = [lively(step, used) for used in ("torch", framework)]
    for i, batch in enumerate(batches(step)):
        losses = twins[0].step(batch)
        assert twins[1].step(batch) == pytest.approx(losses, rel=3e-5), f"step {i}"


def test_steps_are_as_published() -> None:
    adain, johnson = training_step("adain"), training_step("johnson")
    (adam,) = adain.optimizers.values()
    assert [adam.rate(done) for done in (0, 1, 20_000)] == pytest.approx([1e-4, 1e-4 / (1 + 5e-5), 5e-5])
    assert adam.trains == ("decoder",) and adain.networks == {"encoder": False, "decoder": True}
    assert (adain.nodes["content_term"].attrs["scale"], adain.nodes["style_term"].attrs["scale"]) == (1, 10)
    (other,) = johnson.optimizers.values()
    assert (other.lr, other.trains, list(johnson.outputs)) == (1e-3, ("transformer",), ["content", "style"])
    lua = training_step("johnson.lua")
    assert list(lua.outputs) == ["content", "style", "variation"]
    assert not [n for n in lua.roles["perceptual"].spec.nodes.values() if n.op == "standardize"]
