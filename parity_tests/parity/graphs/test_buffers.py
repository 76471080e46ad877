"""Running statistics after a step: each side's own, moved by its own values, as often as its layer was called."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from parity_tests.parity.graphs.made import IMAGE, Array, Side
from parity_tests.parity.graphs.passes import Plant, moved, norm
from twinzoo.parity.bounds.reductions import moments
from twinzoo.parity.graphs.buffers import Moved, buffer_rows
from twinzoo.parity.graphs.pairs import pair
from twinzoo.parity.graphs.run import How, Run
from twinzoo.parity.results import Finding, LayerResult

MEAN, VAR = "running_mean", "running_var"

SHIFTED = IMAGE * np.float32(2) + np.float32(1)


def stepped(
    image: Array = IMAGE,
    momentum: float = 0.1,
    calls: int = 1,
    order: int = 1,
    said: float = 0.1,
    path: str = "norm",
    before: float = 0.0,
    **how: Any,
) -> Run:
    """A run in training mode of a norm that is called on an image, then on its square, ...

    Args:
        momentum: that the statistics really moved by.
        order: -1: they were moved by the last call first.
        said: the momentum of the layer's own attributes.
        before: added to the statistics that it has before.
        how: of `moved`.
    """
    side = Side()
    x, places = side.input(image), []
    for i in range(calls):
        places.append(norm(side, x, path, said))
        side.output(places[-1])
        x = side.op("square", x) if i + 1 < calls else x
    for role in (MEAN, VAR):
        side.state[f"{path}.{role}"] = side.state[f"{path}.{role}"] + np.float32(before)
    return replace(side.run(), how=How(train=True), after=moved(side, places[::order], momentum, **how))


def judged(a: Run, b: Run) -> tuple[list[LayerResult], list[tuple[int, Finding]]]:
    return buffer_rows(pair(a, b))


def causes(b: Run, a: Run | None = None) -> list[tuple[str, str]]:
    """Which statistic of side b is wrong, and why."""
    found = judged(a or stepped(), b)[1]
    return [(finding.evidence.partition(" ")[0], finding.cause) for _, finding in found]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("calls", [1, 2, 3])
def test_each_side_is_held_to_its_own_batches(scale: float, calls: int) -> None:
    a = stepped(IMAGE * np.float32(scale), calls=calls)
    b = stepped(SHIFTED * np.float32(scale), calls=calls, path="bn")
    rows, findings = judged(a, b)
    assert [(row.name, row.quantity) for row in rows] == [("n1", f"buffer {MEAN}"), ("n1", f"buffer {VAR}")]
    assert all(row.a.ok and row.b.ok for row in rows) and not findings
    assert all(row.max_abs > 0 for row in rows)


def test_momentum_against_one_minus_momentum() -> None:
    (_, first), (_, second) = judged(stepped(), stepped(momentum=0.9))[1]
    assert [first.cause, second.cause] == ["momentum", "momentum"]
    assert first.evidence.startswith("running_mean after the step: with momentum 0.9 float64 reproduces side b to 0.")
    assert "with momentum 0.1 and the unbiased variance it misses by" in first.evidence
    assert first.fix.startswith("give norm the share 0.1 of the batch")
    assert causes(stepped(momentum=0.1, said=0.9), stepped(momentum=0.9, said=0.9)) == [
        (MEAN, "momentum"),
        (VAR, "momentum"),
    ]


def test_the_momentum_that_side_b_has_itself() -> None:
    (_, found), _ = judged(stepped(), stepped(momentum=0.3, said=0.3))[1]
    assert found.cause == "momentum" and "with momentum 0.3 float64" in found.evidence
    assert causes(stepped(said=0.3)) == []
    assert causes(stepped(momentum=0.3)) == [(MEAN, "unexplained"), (VAR, "unexplained")]
    assert causes(stepped(momentum=0.30001, said=0.3)) == [(MEAN, "unexplained"), (VAR, "unexplained")]


def test_the_biased_variance() -> None:
    ((position, found),) = judged(stepped(), stepped(unbiased=False))[1]
    assert (position, found.cause) == (1, "variance")
    assert found.evidence.startswith("running_var after the step: with the biased variance of the batch")
    assert "n / (n - 1)" in found.fix and "in norm" in found.fix


def test_a_statistic_that_did_not_move() -> None:
    assert causes(replace(stepped(), after={})) == [(MEAN, "norm-mode"), (VAR, "norm-mode")]
    assert causes(stepped(momentum=0.0)) == [(MEAN, "norm-mode"), (VAR, "norm-mode")]
    still = stepped()
    assert causes(replace(still, after={k: v for k, v in still.after.items() if MEAN in k})) == [(VAR, "norm-mode")]


@pytest.mark.parametrize(
    "fault", [lambda x: x + 0.01, lambda x: x * 1.001, lambda x: -x, lambda x: x[::-1], lambda x: x * np.nan]
)
def test_what_nothing_explains(fault: Plant) -> None:
    (_, found), _ = judged(stepped(), stepped(by=fault))[1]
    assert found.cause == "unexplained" and "it misses by" in found.evidence
    rows, findings = judged(stepped(by=fault), stepped())
    assert not findings and all(not row.a.ok and row.b.ok for row in rows)


def test_the_calls_of_a_layer_count_each_and_in_their_order() -> None:
    assert causes(stepped(calls=2, order=-1), stepped(calls=2)) == [(MEAN, "unexplained"), (VAR, "unexplained")]
    one, two = stepped(), stepped(calls=2)
    assert causes(replace(two, after=one.after), two) == [(MEAN, "unexplained"), (VAR, "unexplained")]


@pytest.mark.parametrize(("share", "ok"), [(0.5, True), (3.0, False)])
def test_the_bound_is_that_of_the_batch_and_of_the_update(share: float, ok: bool) -> None:
    x = IMAGE.astype(np.float64)
    mean, var, mean_off, var_off = (np.asarray(array).ravel() for array in moments(x, (0, 2, 3)))
    unbiased = 0.1 * 128 / 127
    for role, first, factor, batch, off in (
        (MEAN, np.linspace(-3, 3, 3), 0.1, mean, mean_off),
        (VAR, np.linspace(1, 4, 3), unbiased, var, var_off),
    ):
        kept = 0.9 * first.astype(np.float32).astype(np.float64)
        limit = factor * off + 4 * 2.0**-24 * (np.abs(kept) + factor * np.abs(batch))
        b = stepped()
        b = replace(b, after={**b.after, f"norm.{role}": kept + factor * batch + share * limit})
        rows, findings = judged(stepped(), b)
        row = rows[role == VAR]
        assert row.b.ok is ok and bool(findings) is not ok
        assert row.b.ratio == pytest.approx(share, rel=0.02)


def test_only_norms_that_use_the_batch_have_rows() -> None:
    a = stepped()
    operations = list(a.graph.operations)
    kept = {k: v for k, v in operations[1].attrs.items() if k != "batch_statistics"}
    operations[1] = replace(operations[1], attrs=kept)
    still = replace(a, graph=replace(a.graph, operations=tuple(operations)))
    assert judged(still, a) == ([], [])
    assert [row.b.ok for row in judged(a, replace(still, after={}))[0]] == [False, False]


def test_a_side_without_statistics_has_no_row() -> None:
    b = Side()
    b.output(b.op("relu", b.input()))
    assert judged(stepped(), replace(b.run(), how=How(train=True))) == ([], [])


def test_each_side_begins_with_its_own_statistics() -> None:
    rows, findings = judged(stepped(), stepped(before=0.5))
    assert all(row.a.ok and row.b.ok for row in rows) and not findings
    assert rows[0].max_abs == pytest.approx(0.45, rel=1e-3)


def test_what_an_earlier_batch_may_be_off_by_fades_as_the_batch_does() -> None:
    zeros, one = np.zeros(2), np.ones(2)
    found = Moved(MEAN, zeros, one, ((zeros, one, 4), (zeros, zeros, 4))).judged(0.1)
    assert found.ratio == pytest.approx(1 / (0.9 * 0.1))
    found = Moved(VAR, zeros, one, ((zeros, zeros, 4), (zeros, one, 4))).judged(0.1)
    assert found.ratio == pytest.approx(1 / (0.1 * 4 / 3))
    assert Moved(VAR, zeros, one, ((zeros, one, 4),)).judged(0.1, unbiased=False).ratio == pytest.approx(10)
