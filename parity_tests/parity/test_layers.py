"""The walk over two traces by itself: which inputs, draws, modes, types and precisions each side is judged by."""

from __future__ import annotations

import weakref
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.parity.chain import BEHIND
from twinzoo.parity.layers import Walk
from twinzoo.parity.results import LayerResult
from twinzoo.parity.trace import Trace
from twinzoo.ports.reference import evaluate
from twinzoo.zoo.spec import Spec

Array = NDArray[Any]

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((2, 3, 8, 8)).astype(np.float32)
OTHER = RANDOM.standard_normal((2, 3, 8, 8)).astype(np.float32)


def one(op: str, x: Array = X, **attrs: Any) -> Spec:
    """A spec of one node."""
    s = Spec("one")
    s.output(y=getattr(s, op)("node", s.input("x", shape=x.shape), **attrs))
    return s


def rows(
    spec: Spec, a: Array, b: Array, inputs: dict[str, Array], beside: dict[str, Array] | None = None, **options: Any
) -> list[LayerResult]:
    """The rows of the one node and of the model, of what each side gave."""
    walk = Walk(**options)
    sides = [Trace("torch", {}, {"y": y}, {"node": y}) for y in (a, b)]
    walk.model(spec, (sides[0], sides[1]), inputs, beside)
    return walk.rows


def walked(*given: Any, **options: Any) -> LayerResult:
    """The row of the one node."""
    return rows(*given, **options)[0]


def test_each_side_is_judged_by_its_own_inputs() -> None:
    spec = one("square")
    row = walked(spec, X**2, OTHER**2, {"x": X}, {"x": OTHER})
    assert row.a.ok and row.b.ok and row.max_abs > 0.1
    row = walked(spec, X**2, OTHER**2, {"x": X})
    assert row.a.ok and not row.b.ok


def test_draws_that_are_fed_are_those_of_both_sides() -> None:
    mask = RANDOM.random(X.shape) > 0.5
    right, kept = np.where(mask, X * 2, 0).astype(np.float32), X.copy()
    row = walked(one("dropout"), right, kept, {"x": X, "node_mask": mask.astype(np.float32)})
    assert row.a.ok and not row.b.ok


def test_a_dropout_in_training_is_judged_by_the_mask_of_each_side() -> None:
    x = X.copy()
    x[0, 0], x[0, 1] = 0, 1
    a, b = (np.where(RANDOM.random(x.shape) > 0.5, x * 2, 0).astype(np.float32) for _ in "ab")
    row = walked(one("dropout"), a, b, {"x": x}, training={"node"})
    assert row.a.ok and row.b.ok
    assert row.a.drift < 1e-6 < 0.1 < row.b.drift  # float64 of the whole follows side a
    for first, second in ((a * np.float32(1.5), b), (a, b * np.float32(1.5))):
        row = walked(one("dropout"), first, second, {"x": x}, training={"node"})
        assert (row.a.ok, row.b.ok) == (first is a, second is b)
    assert not walked(one("dropout"), a, b, {"x": x}).ok  # and in eval mode nothing is dropped
    beside = walked(one("dropout"), a, np.where(b != 0, OTHER * 2, 0), {"x": x}, {"x": OTHER}, training={"node"})
    assert beside.a.ok and beside.b.ok
    made = np.where(x == 0, np.float32(1), a)
    assert not walked(one("dropout"), made, b, {"x": x}, training={"node"}).a.ok  # a zero cannot become another number


def test_a_dropout_in_training_that_gave_nothing_or_another_shape_is_wrong() -> None:
    row = walked(one("dropout"), X, X[:, :2], {"x": X}, training={"node"})
    assert not row.a.ok and "shape" in row.b.problem
    walk = Walk(training={"node"})
    walk.model(one("dropout"), (Trace("torch", {}, {}, {}), Trace("torch", {}, {}, {})), {"x": X})
    assert walk.rows[0].a.problem == walk.rows[0].b.problem == "returned nothing"


@pytest.mark.parametrize("training", [False, True])
def test_a_norm_is_judged_in_the_mode_that_it_ran_in(training: bool) -> None:
    spec = one("batch_norm")
    state = {
        "weight": np.arange(1.0, 4),
        "bias": np.ones(3),
        "running_mean": np.ones(3),
        "running_var": np.full(3, 4.0),
    }
    for mode in (False, True):
        y = evaluate(spec.nodes["node"], state, (X,), train=mode)[0].astype(np.float32)
        own = {f"node.{role}": tensor.astype(np.float32) for role, tensor in state.items()}
        walk = Walk(training={"node"} if training else set())
        sides = [Trace("torch", own, {"y": y}, {"node": y}) for _ in "ab"]
        walk.model(spec, (sides[0], sides[1]), {"x": X})
        assert walk.rows[0].ok is (mode is training)


@pytest.mark.parametrize("types", [None, "float32"])
def test_of_strangers_the_first_output_alone_is_recorded(types: str | None) -> None:
    s = Spec("best")
    best = s.topk("best", s.input("rows", shape=(2, 6)), 2, axis=1)
    s.output(values=best, second=s.affine("next", s.values("best")[0], scale=2.0))
    table = RANDOM.permutation(12).reshape(2, 6).astype(np.float32)
    right, places = evaluate(s.nodes["best"], {}, (table,))
    given = {"best": right.astype(np.float32), "next": 2 * right.astype(np.float32)}
    outputs = {"values": given["best"], "second": given["next"]}
    walk = Walk(types=types)
    recorded = given if types is None else {**given, "best:1": places}
    sides = [Trace("torch", {}, outputs, dict(recorded)) for _ in "ab"]
    walk.model(s, (sides[0], sides[1]), {"rows": table})
    names = ["best", "next"] if types is None else ["best", "best:1", "next"]
    assert [row.name for row in walk.rows] == [*names, "model: values", "model: second"]
    assert all(row.ok for row in walk.rows)


def test_what_nobody_recorded_goes_on_as_it_should_be() -> None:
    """The indices of a top-k, which strangers' runs do not keep, are what float64 says on each side."""
    s = Spec("pick")
    x = s.input("rows", shape=(1, 6))
    s.topk("best", x, 2, axis=1)
    s.output(y=s.gather("taken", x, s.reshape("flat", s.values("best")[1], (2,)), axis=1))
    values = []
    for table in (sides := [RANDOM.permutation(6).reshape(1, 6).astype(np.float32) for _ in "ab"]):
        places = np.argsort(-table[0])[:2]
        values.append({"best": table[:, places], "flat": places, "taken": table[:, places]})
    walk = Walk(types=None)
    traces = [Trace("torch", {}, {"y": found["taken"]}, found) for found in values]
    walk.model(s, (traces[0], traces[1]), {"rows": sides[0]}, {"rows": sides[1]})
    assert all(row.a.ok and row.b.ok for row in walk.rows), walk.rows


BRAIN = np.dtype(ml_dtypes.bfloat16)


@pytest.mark.parametrize("dtype", [np.dtype(np.float16), BRAIN])
def test_types_are_side_as_where_none_is_right_for_all(dtype: Any) -> None:
    spec, x = one("square"), X.astype(dtype)
    half, single = (x.astype(np.float64) ** 2).astype(dtype), x.astype(np.float32) ** 2
    assert not walked(spec, half, single, {"x": x}).a.ok
    row, returned = rows(spec, half, half, {"x": x}, types=None)
    assert row.ok and returned.ok and row.a.dtype == str(dtype)
    assert not walked(spec, half, half * dtype.type(1.05), {"x": x}, types=None).b.ok
    row, returned = rows(spec, half, single, {"x": x}, types=None)
    assert not row.a.problem and row.b.problem == f"dtype float32, where {dtype} is right"
    assert not returned.a.problem and returned.b.problem == row.b.problem
    row = walked(spec, single, half, {"x": x}, types=None)
    assert not row.a.problem and row.b.problem == f"dtype {dtype}, where float32 is right"
    row = walked(spec, x.astype(np.float64) ** 2, single, {"x": x}, types=None)
    assert row.a.problem and not row.b.problem


def test_where_side_a_gave_nothing_any_type_is_right() -> None:
    walk = Walk(types=None)
    walk.model(one("square"), (Trace("torch", {}, {}, {}), Trace("torch", {}, {"y": X**2}, {"node": X**2})), {"x": X})
    assert [(row.a.problem, row.b.ok) for row in walk.rows] == [("returned nothing", True)] * 2


def test_products_may_round_their_factors_where_the_side_says_so() -> None:
    s = Spec("one")
    s.output(y=s.linear("node", s.input("x", shape=(4, 256)), 3, bias=False))
    x, weight = (RANDOM.standard_normal(shape).astype(np.float32) for shape in ((4, 256), (3, 256)))
    exact = x.astype(np.float64) @ weight.T.astype(np.float64)
    off = (exact + 2e-3).astype(np.float32)  # of 16, in sums of 256 products
    found = []
    for products in ("", "tf32"):
        walk = Walk()
        sides = [Trace("torch", {"node.weight": weight}, {"y": off}, {"node": off}, products=p) for p in ("", products)]
        walk.model(s, (sides[0], sides[1]), {"x": x})
        found.append(walk.rows[0])
    assert [(row.a.ok, row.b.ok) for row in found] == [(False, False), (False, True)]


def test_what_rounding_may_have_moved_is_given_by_reference() -> None:
    s = Spec("two")
    s.output(y=s.square("second", s.sigmoid("first", s.input("x", shape=X.shape))))
    values = {"first": 1 / (1 + np.exp(-X.astype(np.float64)))}
    values["second"] = values["first"] ** 2
    made = {name: value.astype(np.float32) for name, value in values.items()}
    moved: dict[str, Array] = {}
    walk = Walk(moved=moved)
    sides = [Trace("torch", {}, {"y": made["second"]}, dict(made)) for _ in "ab"]
    walk.model(s, (sides[0], sides[1]), {"x": X})
    assert list(moved) == ["first", "second"]
    for name, value in values.items():
        apart = np.abs(moved[name] - value)
        assert 2.0**-27 < apart.max() < 2.0**-20 and np.median(apart) > 0
    assert [row.rounding for row in walk.rows[:2]] == [np.abs(moved[name] - values[name]).max() for name in values]


def test_values_that_are_used_up_are_let_go() -> None:
    """What waits is bounded: a walk through a deep network holds the values of a few layers."""
    s = Spec("deep")
    x = s.input("x", shape=X.shape)
    for i in range(20):
        x = s.neg(f"n{i}", x)
    s.output(y=x)

    class Watched(dict[str, Array]):
        """Counts those of its arrays that were taken out and are still in use."""

        most = 0

        def pop(self, name: str, default: Any = None) -> Any:
            self.taken = [*getattr(self, "taken", []), weakref.ref(self[name])]
            self.most = max(self.most, sum(found() is not None for found in self.taken))
            return super().pop(name)

    sides = [Watched({f"n{i}": (X if i % 2 else -X).copy() for i in range(20)}) for _ in "ab"]
    traces = [Trace("torch", {}, {"y": values["n19"]}, values) for values in sides]
    walk = Walk()
    walk.model(s, (traces[0], traces[1]), {"x": X})
    assert len(walk.rows) == 21 and all(row.ok for row in walk.rows)
    assert sides[0].most <= BEHIND + 4
