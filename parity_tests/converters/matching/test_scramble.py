"""Random networks, renamed, renested and shuffled: right in either framework, or refused with the tie named."""

from __future__ import annotations

from functools import cache

import pytest

from parity_tests.scramble.plan import random_plan

pytest.importorskip("torch")
pytest.importorskip("mindspore")

from parity_tests.scramble import case as scramble

SEEDS = range(50)
run = cache(scramble.run)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_scrambled_network_is_converted_or_refused(seed: int) -> None:
    outcome = run(seed)
    assert outcome.verdict != "wrong", outcome
    if outcome.verdict == "refused":
        assert "ambiguous" in outcome.detail
        assert "layer" in outcome.detail


def test_nearly_all_are_right() -> None:
    outcomes = [run(seed).verdict for seed in SEEDS]
    assert outcomes.count("right") >= 0.97 * len(SEEDS)


def test_the_judge_sees_two_layers_that_were_exchanged() -> None:
    """Without this the judge could call anything right."""
    source, target = scramble.networks(scramble.scramble(3))
    assert scramble.difference(scramble.scramble(3), source, target) > 0.01


def test_the_generator_has_what_makes_matching_hard() -> None:
    plans = [random_plan(seed) for seed in SEEDS]
    assert any(len(plan.inputs) == 2 for plan in plans)
    assert any(len(plan.outputs) == 2 for plan in plans)
    runs = [[step.layer for step in plan.steps if step.layer >= 0] for plan in plans]
    assert sum(len(layers) > len(set(layers)) for layers in runs) > 10
    assert sum(len(plan.layers) - len(set(plan.layers)) > 3 for plan in plans) > 25
