"""Nothing is computed twice, and a bound stands for another only where that is harmless."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.parity import runs as runs_module
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
    assert not runs.alike(one, runs(PARAMS, (X * np.nan,)))
    assert not runs.alike(one, runs(dict(PARAMS), (X + 1e-4,)))


def test_other_ops_have_bounds_of_their_own() -> None:
    s = Spec("one")
    s.sigmoid("act", s.input("image", channels=3))
    runs = Runs(s.nodes["act"], {})
    assert not runs.alike(runs(PARAMS, (X,)), runs(PARAMS, (X + 1e-9,)))
