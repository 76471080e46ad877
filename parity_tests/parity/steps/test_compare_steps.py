"""What compare_steps returns of a run: its rows, its verdict, and what is said where the sides do not start alike."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.parity.steps.numpy_run import Run, batches
from twinzoo.parity.steps.compare import compare_steps
from twinzoo.parity.steps.report import Divergence
from twinzoo.zoo.errors import ParityError

Array = NDArray[Any]

B = partial(Run, backwards=True)


def test_no_batches_are_refused() -> None:
    with pytest.raises(ParityError, match="batches has none: give at least one"):
        compare_steps(Run, B, [])
    with pytest.raises(ParityError, match="batch 2 is a int"):
        compare_steps(Run, B, [*batches(1), 7])  # type: ignore[list-item]
    assert compare_steps(Run, B, iter(batches(1))).ok


def test_sides_are_named_by_where_they_are_written() -> None:
    report = compare_steps(Run(), Run, batches(1))
    assert (report.a, report.b) == ("parity_tests.parity.steps.numpy_run.Run",) * 2
    report = compare_steps(made_by_hand, B, batches(1))
    assert (report.a, report.b) == (f"{__name__}.made_by_hand", "functools.partial")


def made_by_hand() -> Run:
    return Run()


def test_each_step_is_reported_as_it_is_made() -> None:
    said: list[int] = []
    began = time.perf_counter()
    report = compare_steps(Run, B, batches(3), progress=said.append)
    assert said == [1, 2, 3] == [row.step for row in report.steps]
    assert 0 < report.seconds < time.perf_counter() - began
    assert report.tensors == 8


def test_four_restarts_from_one_seed_unless_it_is_said_otherwise() -> None:
    """Other seeds draw other envelopes; the same one the same."""

    def bands(**options: Any) -> list[dict[str, float]]:
        return [row.high for row in compare_steps(Run, B, batches(3), **options).steps]

    assert bands() == bands(seed=0, draws=4)
    assert bands() != bands(seed=1)
    assert all(few["loss"] <= many["loss"] for few, many in zip(bands(draws=1), bands(), strict=True))
    assert compare_steps(Run, B, batches(1)).envelope == "4 restarts of a an ulp away"
    assert compare_steps(Run(), B, batches(1), draws=2).envelope == "2 restarts of b an ulp away"
    assert compare_steps(Run, B, batches(1), draws=0).envelope == ""


def test_a_row_has_as_much_to_both_sides_of_as_loss_as_is_explained() -> None:
    report = compare_steps(Run, partial(B, lr=0.02), batches(3))
    for row in report.steps:
        (a, b), limit = (row.a["loss"], row.b["loss"]), row.high["loss"] - row.a["loss"]
        assert row.low["loss"] == pytest.approx(a - limit) and 0 < limit < 0.1 * a
        assert row.ratios["loss"] == pytest.approx(abs(a - b) / limit)
        assert row.worst["loss"] == "loss loss" and row.worst["buffer"].startswith("norm.running_")
    assert [row.ok for row in report.steps] == [False] * 3  # after the first step the optimizer
    assert report.first_divergence == Divergence(1, "optimizer", report.findings[0].layer)
    clean = compare_steps(Run, B, batches(3))
    assert clean.ok and clean.first_divergence is None and not clean.findings


class Exploding(Run):
    """In its second step the loss is no number."""

    def step(self, batch: Mapping[str, Array]) -> dict[str, float]:
        losses = super().step(batch)
        return losses if self.t != 2 else {"loss": float("nan")}


def test_a_loss_that_is_no_number_on_both_sides_has_no_band() -> None:
    first, second, third = compare_steps(Exploding, partial(Exploding, backwards=True), batches(3)).steps
    assert first.low and first.high and third.low and third.high
    assert second.low == second.high == {} and second.ratios["loss"] == 0


class Wider(Run):
    """With a tensor of its own."""

    def state(self) -> dict[str, Array]:
        return {"extra": np.ones(3, np.float32), **super().state()}


def test_nothing_is_judged_where_the_sides_do_not_start_alike() -> None:
    """And that is where they part, whatever else is told."""
    start = {"last.bias": lambda x: x + 0.01}
    report = compare_steps(Wider, partial(B, start=start), batches(3))
    assert {finding.cause for finding in report.findings} == {"missing-op", "weight-value"}
    assert report.findings[0].cause == "missing-op"
    assert report.first_divergence == Divergence(0, "start", "last.bias")
    assert [row.step for row in report.steps] == [1, 2, 3] and not report.ok
    for row in report.steps:
        assert row.a["loss"] != row.b["loss"] and row.low == row.high == {}
        assert all(np.isnan(ratio) for ratio in row.ratios.values()) and set(row.worst.values()) == {""}


def test_pairs_that_are_given_decide() -> None:
    """The norm's weight and bias have one shape, and other names on this side."""
    words = {"norm.weight": "norm.one", "norm.bias": "norm.other"}
    b = partial(B, words=lambda key: words.get(key, key))
    assert compare_steps(Run, b, batches(2), pairs=words).ok
    crossed = {"norm.weight": "norm.other", "norm.bias": "norm.one"}
    report = compare_steps(Run, b, batches(2), pairs=crossed)
    assert report.first_divergence is not None and report.first_divergence.stage == "start"
