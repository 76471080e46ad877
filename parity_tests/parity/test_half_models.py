"""Whole models in half precision: judged by their own rounding, an element type that differs is one finding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import twinzoo as tz  # noqa: E402
from parity_tests.planted.backward_torch import learner, twin  # noqa: E402

IMAGE = np.random.default_rng(1).standard_normal((4, 3, 12, 12)).astype(np.float32)
HALVES = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("seed", range(3))
def test_clean_halves_agree(dtype: Any, seed: int) -> None:
    a = learner(seed).to(dtype)
    report = tz.compare(a, twin(learner(seed)).to(dtype), IMAGE)
    assert report.ok, str(report)
    assert {row.b.dtype for row in report.layers} == {str(dtype).removeprefix("torch.")}


@pytest.mark.parametrize("dtype", HALVES)
def test_a_bug_in_half_precision_is_named(dtype: Any) -> None:
    b = learner().to(dtype)
    b.norm.eps = 0.1
    assert [f.cause for f in tz.compare(learner().to(dtype), b, IMAGE).findings] == ["eps"]
    b = learner().to(dtype)
    with torch.no_grad():
        b.second.weight[0, 0, 0, 0] += 0.05
    assert [f.cause for f in tz.compare(learner().to(dtype), b, IMAGE).findings] == ["weight-value"]


@pytest.mark.parametrize("dtype", HALVES)
def test_another_element_type_is_one_finding(dtype: Any) -> None:
    (finding,) = tz.compare(learner(), learner().to(dtype), IMAGE).findings
    assert (finding.cause, finding.layer) == ("dtype", "first")


def test_mindspore_s_to_float_is_half_precision_too() -> None:
    ms = pytest.importorskip("mindspore")
    from parity_tests.planted.backward_mindspore import cell_of

    report = tz.compare(learner().half(), cell_of(learner()).to_float(ms.float16), IMAGE)
    assert report.ok, str(report)
