"""Dropouts that are given zeros: what comes back says which were kept, and it must be one or the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from parity_tests.parity.graphs.made import Array, Side
from twinzoo.parity.graphs.compare import compare_runs
from twinzoo.parity.graphs.dropouts import SIGMAS
from twinzoo.parity.graphs.pairs import pair
from twinzoo.parity.graphs.run import Gradients, How, Run
from twinzoo.parity.graphs.zeros import QUANTITY, zero_gradients

RNG = np.random.default_rng(3)
N = 6400
TRAIN = How(train=True, grad=True)

Fault = Callable[[Array, Array], Array]


def thinned(
    fault: Fault | None = None, p: float = 0.5, dtype: str = "float32", twice: bool = False, zeros: int = N // 2
) -> Run:
    """A product, and a dropout of it; the first elements of the product are zeros.

    Args:
        fault: what becomes of the gradient of the dropout's input, and the mask.
        twice: whether the model returns the product too.
    """
    side = Side()
    image = RNG.uniform(0.5, 2, (1, N)).astype(np.float32)
    image[:, :zeros] = 0
    x = side.op("affine", side.input(image), name="double", scale=2.0)
    place = side.op("dropout", x, name="drop", p=p)
    mask = np.random.default_rng(4).random((1, N)) >= p
    factor = 1 / (1 - p) if p < 1 else 0.0
    for position in (0, 1):
        side.values[position] = side.values[position].astype(dtype)
    side.values[place] = (side.values[x].astype(np.float64) * mask * factor).astype(dtype)
    side.output(place)
    if twice:
        side.output(x)
    pulls = [TRAIN.pull(index, (1, N)).astype(dtype).astype(np.float64) for index in range(1 + twice)]
    back = (pulls[0] * mask * factor + (pulls[1] if twice else 0)).astype(dtype)
    if fault is not None:
        back = fault(back, mask).astype(dtype)
    gradients = {2: pulls[0].astype(dtype), 1: back, 0: (2 * back.astype(np.float64)).astype(dtype)}
    return replace(side.run(), how=TRAIN, gradients=Gradients(gradients))


def told(a: Run, b: Run) -> list[tuple[str, str, str]]:
    return [(f.layer, f.cause, f.evidence) for f in zero_gradients(pair(a, b))[1]]


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_was_kept_or_dropped_passes(p: float, dtype: str) -> None:
    run = thinned(p=p, dtype=dtype)
    (row,), findings = zero_gradients(pair(run, run))
    assert (row.name, row.quantity, row.backward, row.ok) == ("n2", QUANTITY, True, True) and not findings
    assert compare_runs(run, run, 0.0).ok or p == 1.0


def scaled(share: float) -> Fault:
    """Of half of the zeros, kept or dropped, the gradient is multiplied."""

    def fault(back: Array, mask: Array) -> Array:
        made = back.astype(np.float64)
        made[:, : N // 4] *= share
        return made

    return fault


@pytest.mark.parametrize("share", [0.5, 1.5, 2.0, -1.0, 0.999, 1.001, np.nan])
def test_anything_between_does_not(share: float) -> None:
    """The interval from 0 to twice the gradient is what the sum of all uses is held to."""
    run, wrong = thinned(), thinned(scaled(share))
    ((layer, cause, evidence),) = told(run, wrong)
    assert (layer, cause) == ("drop", "dropout")
    assert evidence.startswith("side b, where the input is 0: ") and "are neither 0 nor those" in evidence
    assert told(wrong, run)[0][2].startswith("side a, where")
    assert ("drop", "dropout") in [(f.layer, f.cause) for f in compare_runs(run, wrong, 0.0).findings]
    assert told(thinned(dtype="float16"), thinned(scaled(share), dtype="float16")) or share in (0.999, 1.001)


@pytest.mark.parametrize(("share", "ok"), [(0.9, True), (1.1, False)])
def test_the_bound_is_four_roundings(share: float, ok: bool) -> None:
    """Of the largest gradient of a kept zero, in a type that can hold the difference."""
    run = thinned()
    double = {place: gradient.astype(np.float64) for place, gradient in run.gradients.values.items()}
    kept = np.abs(double[1][0, : N // 2])
    place = int(kept.argmax())
    double[1][0, place] *= 1 + share * 4 * 2.0**-24
    (row,), findings = zero_gradients(pair(run, replace(run, gradients=Gradients(double))))
    assert row.b.ratio == pytest.approx(share, rel=1e-3)
    assert row.b.error == pytest.approx(share * 4 * 2.0**-24 * kept.max(), rel=1e-3)
    assert row.b.ok is ok and ["1 of " in finding.evidence for finding in findings] == [True] * (not ok)


def shown(back: Array, mask: Array) -> Array:
    """A backward pass that takes the mask from the output: no zero is kept."""
    return np.where(np.arange(N) < N // 2, 0.0, back)


def test_a_mask_that_is_read_off_the_output() -> None:
    ((_, cause, evidence),) = told(thinned(), thinned(shown))
    assert cause == "dropout"
    assert evidence == "side b, where the input is 0: 0 of 3,200 gradients come back, where p 0.5 keeps 1,600"
    assert not told(thinned(zeros=2), thinned(shown, zeros=2))


@pytest.mark.parametrize("sign", [1, -1])
def test_how_many_are_kept_is_held_to_its_deviation(sign: int) -> None:
    edge = int(SIGMAS * np.sqrt(N / 8)) + 1

    def exactly(count: int) -> Fault:
        def fault(back: Array, mask: Array) -> Array:
            full = 2.0 * TRAIN.pull(0, (1, N)).astype(np.float64)
            return np.where(np.arange(N) < N // 2, full * (np.arange(N) < count), back)

        return fault

    assert not told(thinned(), thinned(exactly(N // 4 + sign * edge)))
    assert len(told(thinned(), thinned(exactly(N // 4 + sign * (edge + 1))))) == 1


def test_sums_with_other_uses_are_left_out() -> None:
    run = thinned(twice=True)
    assert zero_gradients(pair(run, run)) == ([], [])
    assert zero_gradients(pair(run, thinned(scaled(0.5), twice=True))) == ([], [])


def test_without_zeros_gradients_or_training_there_is_nothing_to_see() -> None:
    run = thinned()
    assert zero_gradients(pair(*[thinned(zeros=0)] * 2)) == ([], [])
    for other in (replace(run, how=How(grad=True)), replace(run, gradients=Gradients())):
        assert zero_gradients(pair(other, other)) == ([], [])
    nothing, wrong = replace(run, gradients=Gradients()), thinned(scaled(0.5))
    for sides in ((nothing, wrong), (wrong, nothing)):
        (row,), findings = zero_gradients(pair(*sides))
        assert len(findings) == 1
        assert [side.ratio == 0 for side in (row.a, row.b)] == [side is nothing for side in sides]


def test_what_is_not_known_is_not_judged() -> None:
    """What nothing comes back to, and the further outputs of an operation, whose gradients are not recorded."""
    run, wrong = thinned(), thinned(scaled(0.5))
    for absent in (0, 1, 2):
        kept = {place: gradient for place, gradient in wrong.gradients.values.items() if place != absent}
        found, _ = zero_gradients(pair(*[replace(wrong, gradients=Gradients(kept))] * 2))
        assert len(found) == (absent == 0)
    operations = list(wrong.graph.operations)
    operations[1:3] = [replace(operations[1], kind="torch.split"), replace(operations[2], operands=((1, 1),))]
    other = replace(wrong, graph=replace(wrong.graph, operations=tuple(operations)))
    assert zero_gradients(pair(other, other)) == ([], [])
    silent = {place: gradient * 0 for place, gradient in run.gradients.values.items()}
    assert zero_gradients(pair(*[replace(run, gradients=Gradients(silent))] * 2)) == ([], [])


def test_where_all_is_dropped_nothing_comes_back() -> None:
    ((_, cause, evidence),) = told(thinned(p=1.0), thinned(lambda back, mask: back + 1, p=1.0))
    assert cause == "dropout" and "3,200 of 3,200 gradients are neither" in evidence


def test_the_frameworks_dropouts_are_clean() -> None:
    torch, mindspore = pytest.importorskip("torch"), pytest.importorskip("mindspore")
    import twinzoo as tz

    image = RNG.normal(size=(1, 4, 16, 16)).astype(np.float32)
    a = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Dropout(0.3))
    for drop in (mindspore.nn.Dropout(p=0.3), mindspore.nn.Dropout(keep_prob=0.7)):
        b = mindspore.nn.SequentialCell(mindspore.nn.ReLU(), drop)
        report = tz.compare(a, b, image, train=True, grad=True)
        assert report.ok, str(report)
        assert QUANTITY in [row.quantity for row in report.layers]
