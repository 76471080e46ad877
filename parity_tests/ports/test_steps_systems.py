"""Training steps of the colorizers and of improved CycleGAN on both frameworks: one seed, one batch, one outcome."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.zoo.golden_arrays import weights
from twinzoo.ports.mindspore.port import MindSporePort
from twinzoo.ports.steps import stepper
from twinzoo.ports.torch.port import TorchPort
from twinzoo.zoo.registry import step_entry, training_step
from twinzoo.zoo.steps.step import Step

pytestmark = pytest.mark.filterwarnings("ignore:.*space='lab'")
Array = NDArray[Any]

CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "colorization, report": ("colorization.report", {}, 32),
    "colorization, repo": ("colorization.repo", {}, 32),
    "lab_pix2pix": ("lab_pix2pix", {"depth": 3, "layers": 1}, 16),
    "pix2pix, pixelgan": ("pix2pix.pixel", {"depth": 3}, 16),
    "improved_cyclegan, unet": ("improved_cyclegan.unet", {"depth": 3, "pool": 2, "layers": 1}, 16),
    "improved_cyclegan, resnet": (
        "improved_cyclegan.resnet",
        {"pool": 2, "layers": 1, "width": 2, "n_critic": 2, "clip": 0.1},
        16,
    ),
}
STEPS = 2


def batch(step: Step, size: int, seed: int) -> dict[str, Array]:
    """Two images of each input, within its span."""
    random = np.random.default_rng(seed)
    sizes = dict.fromkeys(step.symbols, size) | {"N": 2}
    made = {}
    for name in step.batch:
        item = step.inputs[name]
        made[name] = random.uniform(*item.span, step.concrete(item.value, sizes)).astype(np.float32)
    return made


@pytest.mark.parametrize("case", CASES)
def test_the_twins_train_alike(case: str, torch_port: TorchPort, mindspore_port: MindSporePort) -> None:
    """Masks and choices are drawn from the seed; weights are such that attention, too, has a gradient at once.

    A bias before a norm has a true gradient of 0, so that what the two make of it is rounding: gradients below a
    millionth of the largest one of their network are not compared, nor what Adam makes of them.
    """
    name, options, size = CASES[case]
    step = training_step(name, **{**step_entry(name).small, **options})
    step.optimizers = {key: replace(optimizer, eps=1e-4) for key, optimizer in step.optimizers.items()}
    start = {f"{role}.{n}": v for role in step.networks for n, v in weights(step.roles[role].spec).items()}
    a, b = (stepper(step, port, seed=4, weights=start) for port in ("torch", "mindspore"))
    for i in range(STEPS):
        given = batch(step, size, i)
        losses, others = a.step(given), b.step(given)
        assert list(losses) == list(others) == list(step.outputs)
        assert others == pytest.approx(losses, rel=1e-5)
        if i == 0:
            compared = same_gradients(step, a.gradients(), b.gradients())
            same_state(step, compared, a.state(), b.state())


def same_gradients(step: Step, one: dict[str, Array], other: dict[str, Array]) -> set[str]:
    """The names of the gradients that are more than rounding; the two have the same."""
    compared = set()
    for role in {name.partition(".")[0] for name in one}:
        own = {name: value for name, value in one.items() if name.startswith(f"{role}.")}
        largest = max(float(np.abs(value).max()) for value in own.values())
        compared |= {name for name, value in own.items() if np.abs(value).max() > 1e-6 * largest}
        assert not [name for name in own.keys() - compared if name.endswith("weight")]
    assert {name.partition(".")[0] for name in compared} == {r for o in step.optimizers.values() for r in o.trains}
    for name in compared:
        largest = float(np.abs(one[name]).max())
        # Normalisation over few pixels magnifies the roundings of the layers before it.
        assert np.abs(one[name] - other[name]).max() < 3e-3 * largest, name
    return compared


def same_state(step: Step, compared: set[str], one: dict[str, Array], other: dict[str, Array]) -> None:
    """Parameters with a gradient, what is never trained, statistics, and pools."""
    assert one.keys() == other.keys()
    trained = {r for optimizer in step.optimizers.values() for r in optimizer.trains}
    for name, value in one.items():
        role = name.partition(".")[0]
        if name in compared or name.endswith(("running_mean", "running_var")) or role == "pool":
            assert np.abs(value - other[name]).max() < 1e-4 * max(float(np.abs(value).max()), 0.02), name
        elif role in step.networks and role not in trained:
            assert np.array_equal(value, other[name]), name
