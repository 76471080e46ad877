"""Training live models of which a part is in eval mode: it stays so, and a side that does not freeze it is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import twinzoo as tz
from twinzoo.parity.steps.live import live_steps

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.usefixtures("one_thread")
IMAGE = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)


def _torch(frozen: bool) -> Any:
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3)).train()
    if frozen:
        model[1].eval()
    return model


def _mindspore(frozen: bool) -> Any:
    pytest.importorskip("mindspore")
    from mindspore import nn

    conv = {"pad_mode": "valid", "has_bias": True}
    model = nn.SequentialCell(
        nn.Conv2d(3, 4, 3, **conv), nn.BatchNorm2d(4, momentum=0.9), nn.ReLU(), nn.Conv2d(4, 2, 3, **conv)
    )
    model.set_train()
    if frozen:
        model[1].set_train(False)
    tz.convert(_torch(frozen), model)
    return model


def _steps(a: Any, b: Any) -> Any:
    return live_steps(a, b, IMAGE, 2, True, (None, None))


@pytest.mark.parametrize("make", [_torch, _mindspore])
def test_a_frozen_norm_stays_frozen(make: Any) -> None:
    model = make(True)
    report = _steps(_torch(True), model)
    assert report.ok, str(report)
    free = _steps(_torch(False), make(False))
    assert free.ok, str(free)


@pytest.mark.parametrize("make", [_torch, _mindspore])
def test_a_side_that_does_not_freeze_it_is_told(make: Any) -> None:
    report = _steps(_torch(True), make(False))
    assert not report.ok
    assert "norm-mode" in [finding.cause for finding in report.findings], str(report)
