"""Of equal values a top-k may name any place: such indices pass, and those of another value do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from twinzoo.parity.compare import compare
from twinzoo.parity.rounding import bound
from twinzoo.ports.reference.evaluate import trace
from twinzoo.zoo.spec import Spec


def _spec(k: int, axis: int) -> Spec:
    s = Spec("ties")
    s.output(best=s.topk("best", s.input("x", shape=("N", 5, 4)), k, axis=axis))
    return s


@given(arrays(np.float32, (2, 5, 4), elements=st.sampled_from([0.0, 1.0, 2.0])), st.integers(1, 4), st.integers(1, 2))
def test_an_index_passes_where_its_value_is_the_one(x: NDArray[np.float32], k: int, axis: int) -> None:
    spec = _spec(k, axis)
    values = trace(spec, {}, {"x": x}).values
    best, places = values["best"], values["best:1"]
    _, allowed = bound(spec.nodes["best"], {}, (x,), (best, places))
    assert allowed.shape == places.shape
    for rank in range(k):
        kept, place = np.take(best, [rank], axis), np.take(places, [rank], axis)
        limit = np.take(allowed, [rank], axis)
        equals = x == kept
        away = np.abs(np.arange(x.shape[axis]).reshape((-1, 1) if axis == 1 else (1, -1)) - place)
        assert ((away <= limit) | ~equals).all()
        alone = equals.sum(axis, keepdims=True) == 1
        assert (limit[alone] == 0).all()


@pytest.mark.parametrize("framework", ["torch", "mindspore"])
def test_ties_accuse_nobody(framework: str) -> None:
    pytest.importorskip(framework)
    x: NDArray[Any] = np.tile(np.array([[1.0], [3.0], [3.0], [2.0], [3.0]], np.float32), (1, 1, 4))
    report = compare((_spec(2, 1), framework), (_spec(2, 1), "reference"), {"x": x})
    assert report.ok, str(report)
