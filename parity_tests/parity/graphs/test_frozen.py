"""Models in training mode with parts in eval mode are compared as they are handed over, on both frameworks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
mindspore = pytest.importorskip("mindspore")

from mindspore import nn as cells  # noqa: E402
from torch import nn  # noqa: E402

import twinzoo as tz  # noqa: E402
from twinzoo.parity.report import ParityReport  # noqa: E402

IMAGE = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)


class Module(nn.Module):
    """Two norms around a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.conv, self.second = nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, image: Any) -> Any:
        return self.second(self.conv(self.first(image)))


class Cell(cells.Cell):  # type: ignore[misc]
    """The same in MindSpore."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = cells.BatchNorm2d(3), cells.BatchNorm2d(4)
        self.conv = cells.Conv2d(3, 4, 3, pad_mode="pad", padding=1, has_bias=True)

    def construct(self, image: Any) -> Any:
        return self.second(self.conv(self.first(image)))


def module(*frozen: str, train: bool = True) -> Module:
    torch.manual_seed(0)
    made = Module().train(train)
    for name in frozen:
        made.get_submodule(name).eval()
    return made


def twin(a: Module, *frozen: str, train: bool = True) -> Cell:
    made = Cell()
    tz.convert(a, made)
    made.set_train(train)
    for name in frozen:
        getattr(made, name).set_train(False)
    return made


def rows(report: ParityReport, quantity: str) -> list[str]:
    return [row.name.partition(" ")[0] for row in report.layers if row.quantity == quantity]


@pytest.mark.parametrize("grad", [False, True])
def test_a_frozen_norm_stays_frozen_on_both_sides(grad: bool) -> None:
    a = module("first")
    for b in (twin(a, "first"), module("first")):
        report = tz.compare(a, b, IMAGE, train=True, grad=grad)
        assert report.ok, str(report)
        assert rows(report, "buffer running_mean") == ["second"]
        assert [f"side {label} ran with first in eval mode, as it was handed over" for label in "ab"] == report.notes
        assert not a.first.training and a.second.training and a.training
    assert twin(a, "first").first.training is False


@pytest.mark.parametrize("framework", ["torch", "mindspore"])
@pytest.mark.parametrize("train", [True, False])
def test_a_norm_that_one_side_alone_freezes_is_named(framework: str, train: bool) -> None:
    a = module("first")
    b = twin(a, train=train) if framework == "mindspore" else module(train=train)
    for report in (tz.compare(a, b, IMAGE, train=True), tz.compare(b, a, IMAGE, train=True)):
        assert {(finding.layer, finding.cause) for finding in report.findings} == {("first", "norm-mode")}


def test_a_model_in_eval_mode_trains_as_a_whole() -> None:
    a = module(train=False)
    a.second.train()
    for b in (twin(a, train=False), module()):
        report = tz.compare(a, b, IMAGE, train=True)
        assert report.ok, str(report)
        assert rows(report, "buffer running_mean") == ["first", "second"]


def test_in_eval_mode_frozen_parts_make_no_difference() -> None:
    a = module("first")
    for b in (twin(a, "first"), twin(a, train=False)):
        report = tz.compare(a, b, IMAGE)
        assert report.ok, str(report)
