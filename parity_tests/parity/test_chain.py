"""The chain runs behind the walk: it gives what it would in step, stays near, and its errors come out."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.parity import chain as module
from twinzoo.parity.chain import BEHIND, Chain, Judged, Slot, given
from twinzoo.parity.results import LayerResult, SideResult
from twinzoo.parity.runs import Runs
from twinzoo.parity.verdict import Held
from twinzoo.zoo.spec import Node, Spec

Array = NDArray[Any]

X = np.random.default_rng(0).standard_normal((1, 3, 4, 4))


def _node() -> Node:
    spec = Spec("one")
    spec.output(y=spec.affine("node", spec.input("x", channels=3), scale=2.0, shift=1.0))
    return spec.nodes["node"]


def _judged(array: Array, allowed: float = 0.0) -> Judged:
    held = Held(SideResult(0.0, 0.0, (), 0.0), array, array, np.full(array.shape, allowed), False)
    return Judged("node", "affine", "", (held, held))


def _followed(allowed: float, seed: int = 0) -> tuple[list[LayerResult], list[Slot]]:
    """Four nodes in a row, of which each side is off by 0.5."""
    slots = [given((X, X), X)]
    with Chain(seed) as chain:
        for _ in range(4):
            side = 2 * slots[-1].sides[0] + 1.5
            judged = _judged(side, allowed)
            slots.append(judged.slot())
            chain.node(Runs(_node(), {}), {}, slots[-2:-1], slots[-1:], [judged])
        again = _judged(slots[-1].sides[0])
        slots.append(again.slot())
        chain.repeated(slots[-1], slots[-2], again)
    return chain.rows, slots


def test_the_chain_goes_on_from_the_inputs_and_not_from_the_sides() -> None:
    rows, slots = _followed(0.0)
    exact = X
    for slot, row in zip(slots[1:5], rows, strict=False):
        exact = 2 * exact + 1
        np.testing.assert_array_equal(slot.chain, exact)
        np.testing.assert_array_equal(slot.noisy, exact)
        assert row.rounding == 0 and row.shape == exact.shape
    assert [row.a.drift for row in rows] == pytest.approx([0.5, 1.5, 3.5, 7.5, 7.5])
    assert len(rows) == 5 and np.array_equal(slots[5].chain, exact)


def test_what_is_allowed_moves_the_noisy_chain_alone() -> None:
    rows, slots = _followed(1e-3)
    moved = [np.abs(slot.noisy - slot.chain) for slot in slots[1:5]]
    assert 5e-4 < moved[0].max() <= 1e-3 and moved[0].min() < 5e-4
    assert 2.5e-3 < moved[3].max() <= 15e-3
    assert [row.rounding for row in rows[:4]] == [m.max() for m in moved]
    assert [row.rounding for row in rows] == [row.rounding for row in _followed(1e-3)[0]]
    assert [row.rounding for row in rows] != [row.rounding for row in _followed(1e-3, seed=1)[0]]


def test_an_infinite_allowance_moves_nothing() -> None:
    slot = _followed(np.inf)[1][1]
    np.testing.assert_array_equal(slot.noisy, slot.chain)


@pytest.mark.parametrize("wide", ["a", "b"])
def test_the_wider_of_the_two_allowances_counts(wide: str) -> None:
    narrow, allowed = _judged(2 * X + 1, 1e-6).held[0], _judged(2 * X + 1, 1e-2).held[0]
    judged = Judged("node", "affine", "", (allowed, narrow) if wide == "a" else (narrow, allowed))
    made = judged.slot()
    with Chain() as chain:
        chain.node(Runs(_node(), {}), {}, [given((X, X), X)], [made], [judged])
    assert 5e-3 < made.rounding <= 1e-2


def test_outputs_that_nobody_recorded_go_on_too() -> None:
    spec = Spec("one")
    spec.topk("best", spec.input("rows", shape=(1, 3, 4, 4)), 2, axis=1)
    runs, judged = Runs(spec.nodes["best"], {}), _judged(X[:, :2])
    made = [judged.slot(), Slot((X, X))]
    with Chain() as chain:
        chain.node(runs, {}, [given((X, X), X)], made, [judged])
    assert len(chain.rows) == 1
    np.testing.assert_array_equal(made[0].chain, -np.sort(-X, axis=1)[:, :2])
    np.testing.assert_array_equal(np.take_along_axis(X, made[1].noisy, axis=1), made[0].chain)


def test_large_values_are_moved_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    from twinzoo.parity import measure

    monkeypatch.setattr(measure, "PIECE", 10)
    rows, slots = _followed(1e-3)
    moved = np.abs(slots[1].noisy - slots[1].chain)
    assert rows[0].rounding == moved.max() and np.count_nonzero(moved) == moved.size


def test_it_stays_near() -> None:
    """The walk waits as soon as the chain is further behind than it may be."""
    entered, free = threading.Semaphore(0), threading.Event()

    class Slow:
        def __call__(self, params: Any, inputs: Any) -> Any:
            entered.release()
            assert free.wait(10)
            return inputs

    slot, judged = given((X, X), X), _judged(X)
    with Chain() as chain:
        for _ in range(BEHIND):
            chain.node(Slow(), {}, [slot], [judged.slot()], [judged])  # type: ignore[arg-type]
        walk = threading.Thread(target=chain.node, args=(Slow(), {}, [slot], [judged.slot()], [judged]))
        walk.start()
        assert entered.acquire(timeout=10)
        walk.join(0.1)
        assert walk.is_alive()
        free.set()
        walk.join(10)
        assert not walk.is_alive()


def test_its_errors_come_out() -> None:
    with pytest.raises(ZeroDivisionError), Chain() as chain:
        slot, judged = given((X, X), X), _judged(X)
        chain.node(lambda params, inputs: 1 / 0, {}, [slot], [judged.slot()], [judged])  # type: ignore[arg-type]


def test_an_error_of_the_walk_is_not_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEHIND", 10)
    with pytest.raises(KeyError), Chain() as chain:
        slot, judged = given((X, X), X), _judged(X)
        chain.node(lambda params, inputs: 1 / 0, {}, [slot], [judged.slot()], [judged])  # type: ignore[arg-type]
        raise KeyError


def test_an_error_of_the_walk_ends_the_thread_and_what_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    submitted: list[Future[Any]] = []
    begun: list[int] = []
    entered = threading.Event()

    class Kept(ThreadPoolExecutor):
        def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
            submitted.append(super().submit(*args, **kwargs))
            return submitted[-1]

    def slow(params: Any, inputs: Any) -> Any:
        begun.append(1)
        entered.set()
        until = time.monotonic() + 2
        while not submitted[-1].cancelled() and time.monotonic() < until:
            time.sleep(0.001)
        return inputs

    monkeypatch.setattr(module, "ThreadPoolExecutor", Kept)
    threads = set(threading.enumerate())
    slot, judged = given((X, X), X), _judged(X)
    with pytest.raises(KeyError), Chain() as chain:
        for _ in range(BEHIND):
            chain.node(slow, {}, [slot], [judged.slot()], [judged])  # type: ignore[arg-type]
        assert entered.wait(10)
        raise KeyError
    assert begun == [1]
    assert set(threading.enumerate()) <= threads


def test_a_value_that_the_chain_has_not_reached_cannot_be_read() -> None:
    with pytest.raises(AttributeError):
        _ = _judged(X).slot().chain
