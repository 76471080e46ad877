"""What of two runs is recorded and held against an envelope: nothing is passed over, whenever it turns up."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from parity_tests.parity.steps.numpy_run import Loading, Run, batches
from twinzoo.parity.steps.compare import compare_steps


class Keeping(Run):
    """A run that keeps its last inputs, from a step on.

    Attributes:
        since: that step; before the first they are zeros.
        times: what becomes of them.
    """

    since: int = 1
    times: float = 1.0

    def step(self, batch: Any) -> dict[str, float]:
        self.kept = batch["x"]
        return super().step(batch)

    def state(self) -> dict[str, Any]:
        kept = getattr(self, "kept", np.zeros((16, 6), np.float32))
        return super().state() | ({"pool.images": kept * np.float32(self.times)} if self.t >= self.since else {})


def keeping(since: int, times: float = 1.0) -> Keeping:
    made = Keeping(backwards=times != 1)
    made.since, made.times = since, times
    return made


@pytest.mark.parametrize("since", [(0, 1), (1, 0), (1, 1), (3, 3), (0, 3), (3, 0)])
def test_what_is_kept_from_some_step_on_is_compared_where_both_keep_it(since: tuple[int, int]) -> None:
    a, b = (partial(keeping, step) for step in since)
    report = compare_steps(a, b, batches(4))
    assert report.ok and report.tensors == 9, str(report)
    wrong = compare_steps(a, partial(keeping, since[1], 2.0), batches(4))
    assert [finding.layer for finding in wrong.findings] == ["pool.images"]


@pytest.mark.parametrize("since", [1, 3])
def test_what_one_side_alone_keeps_from_some_step_on_is_a_finding(since: int) -> None:
    more = compare_steps(partial(keeping, since), Run, batches(4))
    assert [(found.layer, found.cause) for found in more.findings] == [("pool.images", "missing-op")]
    less = compare_steps(Run, partial(keeping, since), batches(4))
    assert [(found.layer, found.cause) for found in less.findings] == [("pool.images", "extra-op")]


class Warmed(Run):
    """A run with one loss more from the third step on."""

    def step(self, batch: Any) -> dict[str, float]:
        losses = super().step(batch)
        return losses | ({"late": 1.0} if self.t > 2 else {})


def test_a_loss_that_one_side_alone_returns_in_some_step_is_a_finding() -> None:
    for a, b, has in ((Run, Warmed, "b"), (Warmed, Run, "a")):
        (found,) = compare_steps(a, b, batches(4)).findings
        assert (found.layer, found.cause) == ("late", "unexplained")
        assert found.evidence == f"only {has} returns a loss of this name in step 3, so it was not compared"
    assert compare_steps(Warmed, partial(Warmed, backwards=True), batches(4)).ok


def test_progress_is_told_after_each_step() -> None:
    steps: list[int] = []
    compare_steps(Run, Run, batches(3), progress=steps.append)
    assert steps == [1, 2, 3]


class Movable(Loading):
    """A run whose steps can be moved; it counts them."""

    made: list[Any]

    def step_moved(self, batch: Any, move: Any) -> dict[str, float]:
        self.made.append(move(np.ones(1, np.float32)))
        return super().step(batch)


def movable(made: list[Any]) -> Movable:
    run = Movable(numbers=True)
    run.made = made
    return run


def test_draws_alone_move_what_is_computed_within_a_step() -> None:
    made: list[Any] = []
    assert compare_steps(partial(movable, made), partial(movable, made), batches(3), draws=2).ok
    assert len(made) == 2 * 3 and all(abs(factor - 1) == pytest.approx(2.0**-23, rel=0.6) for (factor,) in made)


class Casting(Run):
    """A run that takes numbers of any type, as a loop does that calls torch.tensor(x, dtype=torch.float32)."""

    def step(self, batch: Any) -> dict[str, float]:
        return super().step({name: value.astype(np.float32) for name, value in batch.items()})

    def state(self) -> dict[str, Any]:
        """With a few numbers of other types, which say nothing of what most is computed in."""
        return {**super().state(), "seconds": np.array([1.5]), "seen": np.arange(1000), "half": np.ones(2, np.float16)}


def of_doubles() -> list[Any]:
    return [{name: value.tolist() for name, value in batch.items()} for batch in batches(6)]


def of_bytes() -> list[Any]:
    return [{name: np.rint(20 * value).astype(np.int8) for name, value in batch.items()} for batch in batches(6)]


@pytest.mark.parametrize("moments", [True, False])
@pytest.mark.parametrize("given", [of_doubles, of_bytes])
def test_batches_that_a_side_casts_accuse_nobody(given: Any, moments: bool) -> None:
    """An ulp of a double is lost in the cast, and a whole number has none: such draws would allow nothing."""
    a, b = (partial(Casting, backwards=side, moments=moments) for side in (False, True))
    report = compare_steps(a, b, given())
    assert report.ok, str(report)
    assert report.envelope == ("4 restarts of a an ulp away" if given is of_doubles else "")
    assert ("if batches are no whole numbers" in "".join(report.notes)) == (given is of_bytes)
    wrong = compare_steps(Casting, partial(Casting, backwards=True, lr=1.001e-2), given())
    assert [finding.cause for finding in wrong.findings] == ["lr"]


@pytest.mark.parametrize(("given", "own"), [("float64", "float32"), ("float32", "float32"), ("float16", "float16")])
def test_draws_of_batches_are_an_ulp_away_in_the_coarser_of_their_type_and_the_side_s(given: str, own: str) -> None:
    fed: list[Any] = []

    class Fed(Casting):
        def step(self, batch: Any) -> dict[str, float]:
            fed.append(batch["x"])
            return super().step(batch)

    (batch,) = ({name: value.astype(given) for name, value in batch.items()} for batch in batches(1))
    assert compare_steps(Fed, Casting, [batch], draws=1).ok
    (moved,) = (x for x in fed if (x != batch["x"]).any())
    plain = batch["x"].astype(own)
    up, down = (np.nextafter(plain, np.array(way, own)) for way in (np.inf, -np.inf))
    assert moved.dtype == given and ((moved.astype(own) == up) | (moved.astype(own) == down)).all()


def test_whole_numbers_do_not_keep_a_side_that_loads_from_its_envelope() -> None:
    class Both(Casting, Loading):
        pass

    a, b = (Both(backwards=side, numbers=True) for side in (False, True))
    report = compare_steps(a, b, of_bytes())
    assert report.ok and report.envelope.startswith("4 restarts of a")


class Kinked:
    """sum(gain * relu(w - threshold)) by its own SGD, which can be loaded; the first threshold is 3 ulps above w.

    Attributes:
        error: what the kernel that computes w - threshold errs by, in ulps.
        gain: of every element.
        name: of w.
    """

    def __init__(self, error: float = 0.0, gain: float = 1.0, name: str = "w") -> None:
        self._error, self._gain, self._name = error * 2.0**-23, gain, name
        self._w, self._gradient = np.ones((2, 2), np.float32), np.zeros((2, 2), np.float32)

    def step(self, batch: Any) -> dict[str, float]:
        far = self._w + self._error - np.array([[1 + 3 * 2.0**-23, 0.5], [0.25, 0.1]])
        slope = self._gain * np.array([[1.0, 0.3], [0.7, 0.9]]) * batch["x"]
        self._gradient = (slope * (far > 0)).astype(np.float32)
        self._w = (self._w - 0.01 * self._gradient).astype(np.float32)
        return {"loss": float((slope * np.maximum(far, 0)).sum())}

    def state(self) -> dict[str, Any]:
        return {self._name: self._w.copy()}

    def gradients(self) -> dict[str, Any]:
        return {self._name: self._gradient.copy()}


class KinkedAndLoaded(Kinked):
    def load(self, state: Any) -> None:
        self._w = state[self._name]


X = [{"x": np.float32(1.5).reshape(1)}]


@pytest.mark.parametrize("name", ["w", "v"])
def test_draws_from_afar_of_either_side_count_under_the_names_of_a(name: str) -> None:
    """Of an ulp nothing would reach over the kink; a fault beside it is found all the same."""
    for error in (0.0, 4.0):
        a, b = Kinked(error, name=name), KinkedAndLoaded(4.0 - error)
        report = compare_steps(a, b, X, pairs={name: "w"})
        assert report.ok and report.envelope.startswith("4 restarts of b"), str(report)
        a, b = Kinked(4.0 - error), KinkedAndLoaded(error, name=name)
        report = compare_steps(b, a, X, pairs={name: "w"})
        assert report.ok and report.envelope.startswith("4 restarts of a"), str(report)
    assert not compare_steps(Kinked(name=name), KinkedAndLoaded(4.0, gain=2.5), X, pairs={name: "w"}).ok
    assert not compare_steps(Kinked(name=name), KinkedAndLoaded(gain=1.0001), X, pairs={name: "w"}).ok


class Counting(KinkedAndLoaded):
    """One that counts its steps, and starts in doubles."""

    def state(self) -> dict[str, Any]:
        return {name: value.astype(np.float64) for name, value in super().state().items()} | {"steps": np.array(0)}


def test_whole_numbers_do_not_make_a_side_coarse() -> None:
    class Singles(Counting):
        def state(self) -> dict[str, Any]:
            return {**super().state(), "w": self._w.copy()}

    for a, b, anchor in ((Counting(), Singles(), "b"), (Singles(), Counting(), "a")):
        assert compare_steps(a, b, X).envelope == f"4 restarts of {anchor} an ulp away"
