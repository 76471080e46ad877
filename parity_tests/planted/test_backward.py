"""Planted backward passes in both frameworks: each is caught where it is and named; clean pairs are never accused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import twinzoo as tz  # noqa: E402
from parity_tests.planted.backward_cases import CASES, Case  # noqa: E402
from parity_tests.planted.backward_torch import Learner, learner, twin  # noqa: E402

IMAGE = np.random.default_rng(1).standard_normal((4, 3, 12, 12)).astype(np.float32)


def in_mindspore(model: Learner, bug: str = "") -> Any:
    pytest.importorskip("mindspore")
    from parity_tests.planted.backward_mindspore import cell_of

    return cell_of(model, bug)


def other(framework: str, bug: str) -> Any:
    """The network of seed 0 with a bug."""
    return (in_mindspore if framework == "mindspore" else twin)(learner(), bug)


def caught(case: Case, b: Any) -> None:
    report = tz.compare(learner(), b, IMAGE, grad=True, train=case.train)
    assert not report.ok
    assert [finding.cause for finding in report.findings] == [case.cause] * case.known, list(map(str, report.findings))
    assert all(case.layer in finding.layer for finding in report.findings)


def named(case: Case) -> str:
    return f"{case.bug}{' train' if case.train else ''}"


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_planted_bug_is_caught_and_named_in_pytorch(case: Case) -> None:
    caught(case, twin(learner(), case.bug))


@pytest.mark.parametrize("case", [case for case in CASES if case.both], ids=named)
def test_a_planted_bug_is_caught_and_named_in_mindspore(case: Case) -> None:
    caught(case, in_mindspore(learner(), case.bug))


@pytest.mark.parametrize("build", [twin, in_mindspore], ids=["torch", "mindspore"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("train", [False, True])
def test_a_clean_pair_is_not_accused(build: Any, scale: float, train: bool) -> None:
    for seed in range(3):
        model = learner(seed)
        report = tz.compare(model, build(model), IMAGE * np.float32(scale), grad=True, train=train)
        assert report.ok, str(report)
        assert sum(row.quantity.startswith("gradient") for row in report.layers) >= 16
        assert sum(row.quantity.startswith("buffer") for row in report.layers) == (2 if train else 0)


def test_a_loss_is_compared_as_part_of_the_model() -> None:
    def loss(out: Any) -> Any:
        return (out * out).mean()

    def summed(out: Any) -> Any:
        return (out * out).sum()

    model = learner()
    assert tz.compare(model, in_mindspore(model), IMAGE, grad=True, loss=loss).ok
    report = tz.compare(model, in_mindspore(model), IMAGE, grad=True, loss=(loss, summed))
    assert [finding.cause for finding in report.findings] == ["reduction"]
