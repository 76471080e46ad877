"""Losses in the reference port against their formulas, written out in NumPy, and against PyTorch's own functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.ports.reference.evaluate import trace
from twinzoo.zoo import registry
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.spec import Spec

Array = NDArray[np.float64]


def _value(spec: Spec, **inputs: Array) -> float:
    done = trace(spec, initial_state(spec, 1), inputs)
    (output,) = spec.outputs.values()
    assert output.shape == ()
    return float(done.values[output.ref])


def _images(seed: int, channels: int = 3) -> Array:
    return np.random.default_rng(seed).normal(0, 2, (2, channels, 5, 7))


def test_pixel_losses() -> None:
    x, y = _images(0), _images(1)
    d = np.abs(x - y)
    assert _value(registry.spec("l1"), prediction=x, target=y) == pytest.approx(d.mean(), rel=1e-12)
    assert _value(registry.spec("l2"), prediction=x, target=y) == pytest.approx((d**2).mean(), rel=1e-12)
    for beta in (1.0, 0.25):
        smooth = np.where(d < beta, d**2 / (2 * beta), d - beta / 2).mean()
        spec = registry.spec("smooth_l1", beta=beta)
        assert _value(spec, prediction=x, target=y) == pytest.approx(smooth, rel=1e-12)
    narrow = registry.spec("l1", channels=1)
    assert _value(narrow, prediction=x[:, :1], target=y[:, :1]) == pytest.approx(d[:, :1].mean(), rel=1e-12)


LABELS: list[dict[str, Any]] = [
    {},
    {"real_label": 0.9},
    {"real_label": 0.9, "fake_label": 0.1},
    {"real_label": 0.0, "fake_label": 1.0},
]


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("name", ["bce_adversarial", "lsgan_adversarial"])
def test_discriminator_losses_are_those_of_torch(name: str, labels: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    measure = functional.mse_loss if name.startswith("lsgan") else functional.binary_cross_entropy_with_logits
    real, fake = 3 * _images(0, 1), 3 * _images(1, 1)
    targets = {"real_label": 1.0, "fake_label": 0.0} | labels
    expected = 0.5 * sum(
        measure(torch.from_numpy(x), torch.full(x.shape, targets[label], dtype=torch.float64))
        for x, label in ((real, "real_label"), (fake, "fake_label"))
    )
    assert _value(registry.spec(name, **labels), real=real, fake=fake) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("label", [1.0, 0.9, 0.0])
def test_generator_losses(label: float) -> None:
    fake = _images(2, 1)
    options = {"role": "generator", "generator_label": label}
    p = 1 / (1 + np.exp(-fake))
    bce = (-label * np.log(p) - (1 - label) * np.log(1 - p)).mean()
    assert _value(registry.spec("bce_adversarial", **options), fake=fake) == pytest.approx(bce, rel=1e-12)
    square = ((fake - label) ** 2).mean()
    assert _value(registry.spec("lsgan_adversarial", **options), fake=fake) == pytest.approx(square, rel=1e-12)


@pytest.mark.parametrize("name", ["bce_adversarial", "lsgan_adversarial"])
def test_smoothing_is_the_discriminators_alone(name: str) -> None:
    plain = registry.spec(name, role="generator")
    smoothed = registry.spec(name, role="generator", real_label=0.9, fake_label=0.1)
    assert smoothed.nodes == plain.nodes
    assert list(plain.inputs) == ["fake"]


def test_cross_entropy_of_certain_logits_keeps_its_digits() -> None:
    """softplus(x) - x would cancel: at x = 20 the loss of a right answer is 2e-9, not 0."""
    spec = registry.spec("bce_adversarial", role="generator")
    right: Array = np.full((1, 1, 1, 1), 20.0)
    assert _value(spec, fake=right) == pytest.approx(np.log1p(np.exp(-20.0)), rel=1e-9)
    assert _value(spec, fake=right * -40.0) == pytest.approx(800.0, rel=1e-12)
    assert not [node.name for node in spec.nodes.values() if node.op == "sub"]


MEAN, STD = (np.reshape(v, (1, 3, 1, 1)) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
LAYERS = ("relu1_2", "relu2_2", "relu3_3")


def _perceptual_by_hand(x: Array, y: Array, options: dict[str, Any]) -> float:
    """The loss from the features of two separate runs."""
    layers = options.get("layers", LAYERS)
    network = registry.spec(options.get("network", "vgg16"), width=4, taps=layers)
    state = initial_state(network, 1)
    if options.get("input_range") == "-1..1":
        x, y = (x + 1) / 2, (y + 1) / 2
    if options.get("normalize", True):
        x, y = (x - MEAN) / STD, (y - MEAN) / STD
    seen = [trace(network, state, {"image": image}).values for image in (x, y)]
    power = 2 if options.get("distance") == "l2" else 1
    distances = [(np.abs(seen[0][layer] - seen[1][layer]) ** power).mean() for layer in layers]
    return float(np.dot(options.get("weights", (1.0,) * len(layers)), distances))


PERCEPTUAL: list[dict[str, Any]] = [
    {},
    {"distance": "l2", "weights": (0.5, 0.0, 2.0)},
    {"normalize": False},
    {"input_range": "-1..1"},
    {"input_range": "-1..1", "normalize": False, "layers": ("conv2_1",)},
    {"network": "vgg16_bn", "layers": ("relu2_1", "relu1_1")},
    {"network": "vgg19", "layers": ("conv3_4", "relu2_1", "pool1", "relu1_1"), "weights": (1.0, 2.0, 3.0, 4.0)},
]


@pytest.mark.parametrize("options", PERCEPTUAL)
def test_perceptual_loss(options: dict[str, Any]) -> None:
    draw = np.random.default_rng(0)
    x, y = draw.uniform(0, 1, (2, 3, 16, 20)), draw.uniform(0, 1, (2, 3, 16, 20))
    value = _value(registry.spec("perceptual", width=4, **options), prediction=x, target=y)
    assert value == pytest.approx(_perceptual_by_hand(x, y, options), rel=1e-9)
    assert value > 0


def test_no_gradient_reaches_the_targets_features() -> None:
    spec = registry.spec("perceptual", width=4)
    reached = {"target"}
    for node in spec.nodes.values():
        if node.op != "stop_gradient" and reached & {value.node for value in node.inputs}:
            reached.add(node.name)
    assert reached == {"target", "target_standardized", "target_features"}
    assert [node.op for node in spec.nodes.values()].count("call") == 2
    assert list(spec.roles) == ["features"]
