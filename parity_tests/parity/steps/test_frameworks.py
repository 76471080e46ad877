"""A convolutional network trained by hand in PyTorch and in MindSpore: the exact Adam agrees, what differs is named."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("mindspore")

from parity_tests.parity.steps.frameworks import MindSpore, Torch, images
from twinzoo.parity.steps.compare import compare_steps

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("seed", range(3))
def test_the_exact_adam_agrees_for_ten_steps(seed: int) -> None:
    report = compare_steps(partial(Torch, seed), partial(MindSpore, seed), images(10, seed))
    assert report.ok, str(report)
    assert report.tensors == 8
    assert max(row.ratios[group] for row in report.steps for group in ("loss", "buffer", "optimizer")) < 0.5


PLANTED: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({}, {"exact": False}, "optimizer-eps", "optimizer"),
    ({}, {"momentum": 0.1}, "momentum", "buffers"),
    ({}, {"lr": 2e-3}, "lr", "optimizer"),
    ({}, {"betas": (0.9, 0.999)}, "betas", "optimizer"),
    ({"weight_decay": 0.01}, {}, "weight-decay", "optimizer"),
]


@pytest.mark.parametrize(("torch", "mindspore", "cause", "stage"), PLANTED)
def test_what_differs_is_named(torch: dict[str, Any], mindspore: dict[str, Any], cause: str, stage: str) -> None:
    report = compare_steps(partial(Torch, **torch), partial(MindSpore, **mindspore), images(5))
    assert [finding.cause for finding in report.findings] == [cause], str(report)
    assert report.first_divergence is not None and report.first_divergence.stage == stage


def test_mindspore_may_be_side_a() -> None:
    report = compare_steps(MindSpore, partial(Torch, lr=2e-3), images(4))
    assert [finding.cause for finding in report.findings] == ["lr"]
    assert "1.gamma ~ 1.weight" in report.findings[0].layer
