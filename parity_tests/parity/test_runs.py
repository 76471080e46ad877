"""Nothing is computed twice, and a bound stands for another only where that is harmless."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.parity import runs as runs_module
from twinzoo.parity.bounds.precision import FLOAT16
from twinzoo.parity.runs import Runs
from twinzoo.zoo.spec import Node, Spec

Array = NDArray[Any]

RANDOM = np.random.default_rng(0)
X = RANDOM.random((1, 3, 6, 6))
PARAMS = {"weight": RANDOM.random((2, 3, 3, 3)), "bias": np.zeros(2)}


@pytest.fixture
def conv() -> Node:
    s = Spec("one")
    s.conv2d("conv", s.input("image", channels=3), 2, kernel=3)
    return s.nodes["conv"]


def test_equal_inputs_are_run_once(conv: Node) -> None:
    runs = Runs(conv, {})
    once = runs(PARAMS, (X,))
    assert runs(PARAMS, (X.copy(),)) is once
    assert runs(PARAMS, (X + 1e-9,)) is not once
    assert runs(dict(PARAMS), (X,)) is not once
    nothing = np.full_like(X, np.nan)
    assert runs(PARAMS, (nothing,)) is runs(PARAMS, (nothing,))


def test_equal_scalars_are_run_once() -> None:
    s = Spec("one")
    s.sigmoid("act", s.input("x", shape=(1,)))
    runs, one, other = Runs(s.nodes["act"], {}), np.array(1.0), np.array(2.0)
    once = runs(PARAMS, (one,))
    assert runs(PARAMS, (one.copy(),)) is once
    assert runs(PARAMS, (other,)) is not once


def test_each_precision_has_a_run_of_its_own_on_what_it_rounds(conv: Node) -> None:
    runs = Runs(conv, {})
    single, half = runs(PARAMS, (X,)), runs(PARAMS, (X,), FLOAT16)
    rounded = {role: tensor.astype(np.float16).astype(np.float64) for role, tensor in PARAMS.items()}
    np.testing.assert_array_equal(half[0], Runs(conv, {})(rounded, (X.astype(np.float16).astype(np.float64),))[0])
    assert np.abs(half[0] - single[0]).max() > 0
    assert runs.bound(half)[0].min() > 100 * runs.bound(single)[0].max()
    assert runs.alike(half, half) and not runs.alike(single, half)


@pytest.mark.parametrize("train", [False, True])
def test_training_mode_decides_values_and_bounds(train: bool) -> None:
    s = Spec("one")
    s.batch_norm("norm", s.input("image", channels=3))
    params = {"weight": np.ones(3), "bias": np.zeros(3), "running_mean": np.full(3, 5.0), "running_var": np.ones(3)}
    runs = Runs(s.nodes["norm"], {}, train=True) if train else Runs(s.nodes["norm"], {})
    out = runs(params, (X,))
    assert out[0].mean() == pytest.approx(0.0 if train else X.mean() - 5, abs=1e-4)
    running = {**params, "running_mean": np.full(3, 1e6)}
    assert (runs.bound(runs(running, (X,)))[0].max() > 1e-3) is not train


def test_a_bound_is_computed_once_and_only_where_asked(conv: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Array] = []

    def counted(
        node: Node, params: Any, inputs: tuple[Array, ...], outputs: tuple[Array, ...], **how: Any
    ) -> tuple[Array, ...]:
        asked.append(inputs[0])
        return outputs

    monkeypatch.setattr(runs_module, "bound", counted)
    runs = Runs(conv, {})
    one, other = runs(PARAMS, (X,)), runs(PARAMS, (2 * X,))
    assert runs.bound(other) is other
    assert runs.bound(other) is other
    assert runs.bound(one) is one
    assert [float(x.max()) for x in asked] == [2 * X.max(), X.max()]


def test_nearly_the_same_inputs_of_products_are_alike(conv: Node) -> None:
    runs = Runs(conv, {})
    one = runs(PARAMS, (X,))
    assert runs.alike(one, runs(PARAMS, (X + 1e-4,)))
    assert not runs.alike(one, runs(PARAMS, (X + 1e-2,)))
    for size in (1e-6, 1.0, 1e6):  # as a share of the largest
        one, step = runs(PARAMS, (size * X,)), size * X.max() * 2.0**-10
        assert runs.alike(one, runs(PARAMS, (size * X + 0.9 * step,)))
        assert not runs.alike(one, runs(PARAMS, (size * X + 1.1 * step,)))
    zero = np.zeros_like(X)
    assert runs.alike(runs(PARAMS, (zero,)), runs(PARAMS, (zero.copy(),)))
    assert not runs.alike(runs(PARAMS, (zero,)), runs(PARAMS, (zero + 1e-30,)))
    one = runs(PARAMS, (X,))
    assert not runs.alike(one, runs(PARAMS, (X * np.nan,)))
    assert not runs.alike(one, runs(dict(PARAMS), (X + 1e-4,)))


def test_other_ops_have_bounds_of_their_own() -> None:
    s = Spec("one")
    s.sigmoid("act", s.input("image", channels=3))
    runs = Runs(s.nodes["act"], {})
    assert not runs.alike(runs(PARAMS, (X,)), runs(PARAMS, (X + 1e-9,)))
