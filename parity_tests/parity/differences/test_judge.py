"""What counts as agreeing: each rule of the comparison, broken by a little."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from twinzoo.parity.differences.child import Outcome
from twinzoo.parity.differences.measure import AGREES, judge
from twinzoo.parity.differences.row import Kind, Row
from twinzoo.parity.differences.rows import SECTIONS

ROW = Row("topic", "a", "b")


def outcome(**arrays: object) -> Outcome:
    return Outcome({name.replace("__", " of "): np.asarray(x, np.float64) for name, x in arrays.items()})


@pytest.mark.parametrize("kind", ["layer", "optimizer", "initial"])
def test_the_limit_is_over_the_largest_value(kind: Kind) -> None:
    row = replace(ROW, kind=kind)
    for share, word in ((0.9, "agrees"), (1.1, "differs")):
        verdict = judge(row, outcome(forward=[0, 50, 100]), outcome(forward=[0, 50 + share * 100 * AGREES[kind], 100]))
        assert verdict.word == word
        assert verdict.errors["forward"] == pytest.approx(share * AGREES[kind])


def test_relative_rows_divide_by_each_value_of_the_output_alone() -> None:
    x, y = outcome(forward=[1e-3, 1], gradient__x=[1e-3, 1]), outcome(forward=[1.01e-3, 1], gradient__x=[1.01e-3, 1])
    verdict = judge(replace(ROW, relative=True), x, y)
    assert verdict.errors == {"forward": pytest.approx(1e-2), "gradient": pytest.approx(1e-5)}
    assert judge(ROW, x, y).errors["forward"] == pytest.approx(1e-5)


def test_gradients_are_one_figure_the_worst() -> None:
    clean = outcome(forward=[1], gradient__weight=[1], gradient__bias=[1])
    for worse in ("weight", "bias"):
        planted = outcome(
            forward=[1], gradient__weight=[1 + 0.5 * (worse == "weight")], gradient__bias=[1 + 0.5 * (worse == "bias")]
        )
        verdict = judge(ROW, clean, planted)
        assert verdict.word == "differs"
        assert verdict.errors == {"forward": 0.0, "gradient": 0.5}


@pytest.mark.parametrize(
    ("torch", "mindspore", "problem"),
    [
        (outcome(forward=[1, 2]), outcome(forward=[[1, 2]]), "forward (1, 2), PyTorch's (2,)"),
        (outcome(forward=[1], gradient__bias=[1]), outcome(forward=[1]), "no gradient of bias"),
        (outcome(forward=[1]), outcome(forward=[1], running_mean=[0]), "running_mean, which PyTorch has not"),
    ],
)
def test_other_shapes_and_other_arrays_differ(torch: Outcome, mindspore: Outcome, problem: str) -> None:
    verdict = judge(ROW, torch, mindspore)
    assert (verdict.word, verdict.problem) == ("differs", problem)


def test_zeros_are_not_a_scale_and_a_nan_is_never_close() -> None:
    assert judge(ROW, outcome(forward=[0, 0]), outcome(forward=[0, 0])).word == "agrees"
    assert judge(ROW, outcome(forward=[0, 0]), outcome(forward=[0, 1e-30])).errors["forward"] == np.inf
    assert judge(ROW, outcome(forward=[1, 2]), outcome(forward=[1, np.nan])).word == "differs"


def test_a_failure_on_either_side_is_told() -> None:
    half = Outcome({"forward": np.ones(1)}, problem="gradient: RuntimeError: no kernel")
    verdict = judge(ROW, outcome(forward=[1], gradient__x=[1]), half)
    assert (verdict.word, verdict.problem) == ("fails", "gradient: RuntimeError: no kernel")
    assert verdict.errors == {"forward": 0.0}
    broken = judge(ROW, Outcome(problem="TypeError: no"), outcome(forward=[1]))
    assert (broken.word, broken.problem) == ("fails", "PyTorch's fails: TypeError: no")


@pytest.mark.parametrize("kind", ["value", "names", "dropped"])
def test_texts_are_compared_as_they_are(kind: Kind) -> None:
    row = replace(ROW, kind=kind)
    assert judge(row, Outcome(text="x"), Outcome(text="x")).word == "agrees"
    assert judge(row, Outcome(text="x"), Outcome(text="y")).word == "differs"
    assert judge(row, Outcome(text=""), Outcome(problem="ValueError: y")).word == "fails"


def test_the_text_beside_initial_weights_is_not_compared() -> None:
    row = replace(ROW, kind="initial")
    a, b = Outcome({"weight": np.array([0, 1])}, "0 ± 1"), Outcome({"weight": np.array([0.01, 1])}, "0.01 ± 1")
    assert judge(row, a, b).word == "agrees"


def test_a_cause_must_be_known() -> None:
    with pytest.raises(ValueError, match="topic: no cause has the id 'gremlins'"):
        replace(ROW, cause="gremlins")


def test_topics_are_told_apart() -> None:
    for section, rows in SECTIONS.items():
        assert len({row.topic for row in rows}) == len(rows), section
