"""Operations that cannot be computed: held against side a's where both were given the same, and only there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from parity_tests.parity.graphs.made import IMAGE, Array, Side
from twinzoo.parity.graphs.opaque import OPAQUE, opaque_rows
from twinzoo.parity.graphs.pairs import pair
from twinzoo.parity.results import LayerResult

UNIT = (IMAGE / np.abs(IMAGE).max()).astype(np.float32)


def off(x: Array, share: float) -> Array:
    """One value off by a share of the largest."""
    moved = x.astype(np.float64)
    moved[0, 0, 0, 0] += share * np.abs(x).max()
    return moved.astype(np.float32)


def strange(value: Array, *operands: Array, kind: str = "torch.strange") -> Side:
    """An operation that nobody can compute, of tensors that nobody can compute either."""
    side = Side()
    image = side.input(UNIT)
    given = [side.other("torch.given", x, image, name=f"given{i}") for i, x in enumerate(operands)]
    side.output(side.op("relu", side.other(kind, value, *given, name="strange")))
    return side


def judged(a: Side, b: Side) -> tuple[list[LayerResult], list[str]]:
    """Rows, in order of execution, and notes."""
    return opaque_rows(pair(a.run(), b.run()))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("apart", "ok"), [(0.0, True), (0.9 * OPAQUE, True), (1.1 * OPAQUE, False)])
def test_outputs_of_the_same_inputs_agree_within_a_share_of_their_largest(scale: float, apart: float, ok: bool) -> None:
    value = UNIT * np.float32(scale)
    rows, notes = judged(strange(value, UNIT), strange(off(value, apart), UNIT))
    assert [row.ok for row in rows] == [True, ok] and not notes
    assert rows[1].a.ok and rows[1].a.ratio == 0
    assert rows[1].b.ratio == pytest.approx(apart / OPAQUE, rel=1e-2)
    assert rows[1].rounding == pytest.approx(OPAQUE * scale, rel=1e-6)
    assert (rows[1].name, rows[1].op, rows[1].shape) == ("n2", "torch.strange", UNIT.shape)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(("apart", "ok"), [(4.9e-4, True), (5.1e-4, False)])
def test_what_the_inputs_are_apart_is_allowed_eight_times(first: bool, apart: float, ok: bool) -> None:
    others = (off(UNIT, 5e-5), UNIT) if first else (UNIT, off(UNIT, 5e-5))
    rows, notes = judged(strange(UNIT, UNIT, UNIT), strange(off(UNIT, apart), *others))
    assert rows[-1].ok is ok and not notes


def test_inputs_that_differ_already_make_it_incomparable() -> None:
    for apart, count in ((0.9 * OPAQUE, 0), (1.1 * OPAQUE, 1)):
        rows, notes = judged(strange(UNIT, UNIT, UNIT), strange(UNIT, UNIT, off(UNIT, apart)))
        assert len(notes) == count and len(rows) == 3 - count
    assert notes[0].startswith("strange is not comparable: its inputs are apart by 0.00011 of their size already")


@pytest.mark.parametrize("kind", ["torch.rand_like", "torch.bernoulli", "mindspore.StandardNormal", "torch.Dropout3d"])
def test_random_operations_are_not_compared(kind: str) -> None:
    rows, notes = judged(strange(UNIT, UNIT, kind=kind), strange(-UNIT, UNIT, kind=kind))
    assert [row.name for row in rows] == ["n1"]
    assert notes == ["strange is not comparable: it draws random numbers"]


def test_another_shape_is_wrong() -> None:
    small = np.ascontiguousarray(UNIT[:, :, :4])
    rows, _ = judged(strange(UNIT, UNIT), strange(small, UNIT))
    assert not rows[1].ok and rows[1].a.ok and not rows[1].b.ok and rows[1].b.problem == "returned nothing"


def test_zeros_and_no_numbers() -> None:
    zeros, nan, infinite = np.zeros_like(UNIT), off(UNIT, np.nan), off(UNIT, np.inf)
    assert judged(strange(zeros, UNIT), strange(zeros, UNIT))[0][1].ok
    assert not judged(strange(zeros, UNIT), strange(off(UNIT, 1), UNIT))[0][1].ok
    assert not judged(strange(UNIT, UNIT), strange(nan, UNIT))[0][1].ok
    assert not judged(strange(infinite, UNIT), strange(UNIT, UNIT))[0][1].ok
    assert judged(strange(nan, UNIT), strange(nan, UNIT))[0][1].ok
    assert judged(strange(UNIT, UNIT), strange(UNIT, nan))[1]


def test_only_first_outputs_are_known_to_differ() -> None:
    sides = strange(UNIT, UNIT), strange(UNIT, off(UNIT, 0.5))
    for side in sides:
        side.operations[2] = replace(side.operations[2], operands=((1, 1),))
    rows, notes = judged(*sides)
    assert rows[-1].name == "n2" and rows[-1].ok and not notes
