"""Training steps from outside: listed, shown, built by name, and checked against each other on two ports."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import twinzoo as tz
from twinzoo.cli import cli
from twinzoo.parity.steps.check import check_step
from twinzoo.ports.mindspore.steps import MindSporeStepper
from twinzoo.zoo.steps.serial import step_from_json, step_hash
from twinzoo.zoo.text import step_from_text

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = "pix2pix,width=2,depth=4,layers=1"


@pytest.fixture
def frameworks() -> None:
    """Both are installed."""
    for name in ("torch", "mindspore"):
        pytest.importorskip(name)


def shown(*arguments: str) -> str:
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_steps_are_listed() -> None:
    assert {"cyclegan", "pix2pix"} <= set(tz.steps())
    assert not set(tz.steps()) & {*tz.models(), *tz.losses()}
    lines = [line.split() for line in shown("models").splitlines()]
    assert {line[0] for line in lines if line[1] == "step"} == set(tz.steps())


def test_a_step_is_shown_with_what_its_updates_do() -> None:
    text = shown("show", "cyclegan,pool=0,lr=0.5,epochs=7")
    order = [line.strip() for line in text.splitlines() if line.startswith("=>")]
    assert order == [
        "=> generators_adam updates generator_ab and generator_ba by generated, "
        "discriminator_a and discriminator_b frozen",
        "=> discriminators_adam updates discriminator_a and discriminator_b by judged",
    ]
    assert "7 epochs, then linear in 100" in text and "betas 0.5, 0.999" in text
    made = step_from_json(shown("show", SMALL, "--as-json"))
    assert step_hash(made) == step_hash(step_from_text(SMALL))
    assert json.loads(shown("show", "unet", "--as-json"))["name"] == "unet"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pix2pi", "no training step is called 'pix2pi': did you mean pix2pix"),
        ("pix2pix,deep=3", "pix2pix: 'deep=3': must be option=value with one of in_channels"),
        ("pix2pix,depth=0", "pix2pix: depth=0: must be an integer >= 2"),
    ],
)
def test_a_wrong_text_is_one_line(text: str, message: str) -> None:
    with pytest.raises(tz.SpecError, match=message):
        step_from_text(text)


def test_a_stepper_by_name(frameworks: None) -> None:
    made = tz.stepper("pix2pix", "torch", seed=2, width=2, depth=4, layers=1, lr=0.0)
    assert made.spec.options["lr"] == 0.0
    image = np.zeros((1, 3, 16, 16), np.float32)
    assert set(made.step({"source": image, "target": image})) == {"discriminator", "adversarial", "l1"}


def test_a_device_that_is_not_there(frameworks: None) -> None:
    with pytest.raises(tz.PortError, match="PyTorch cannot use device 'cuda:99'"):
        tz.stepper(step_from_text(SMALL), "torch", device="cuda:99")
    with pytest.raises(tz.PortError, match="MindSpore trains where it is set to"):
        tz.stepper(step_from_text(SMALL), "mindspore", device="cuda")


def test_a_stepper_trains_on_cuda(frameworks: None) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    flags = torch.backends.cudnn.flags(allow_tf32=False)
    steppers = [tz.stepper(step_from_text(SMALL), "torch", device=device) for device in ("cpu", "cuda")]
    assert next(steppers[1].networks["generator"].parameters()).is_cuda  # type: ignore[attr-defined]
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 16, 16)).astype(np.float32)
    with flags:
        assert tz.compare_steps(steppers[0], steppers[1], [{"source": image, "target": image[..., ::-1]}] * 2).ok


@pytest.mark.parametrize("text", [SMALL, "cyclegan,width=2,blocks=0,layers=1,pool=2"])
def test_twins_of_a_step_agree(text: str, frameworks: None) -> None:
    report = check_step(step_from_text(text), ("torch", "mindspore"), 2, 3)
    assert report.ok, str(report)
    name = text.partition(",")[0]
    assert (report.a, report.b) == (f"{name} on torch", f"{name} on mindspore")
    assert len(report.steps) == 2 and report.steps[0].a != report.steps[1].a


def test_a_planted_fault_in_one_port_is_named(frameworks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The learning rate of MindSpore's updates is a tenth more than the step says."""
    advance = MindSporeStepper._advance

    def faster(self: Any, fed: Any, moves: Any) -> Any:
        return advance(self, fed, [replace(move, lr=1.1 * move.lr) for move in moves])

    monkeypatch.setattr(MindSporeStepper, "_advance", faster)
    report = check_step(step_from_text(SMALL), ("torch", "mindspore"), 2, 0)
    assert {finding.cause for finding in report.findings} == {"lr"}, str(report)
