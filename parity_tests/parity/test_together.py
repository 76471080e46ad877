"""Calls at once: their results in order, NumPy's settings and errors as the caller's, verdicts as one by one."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest

from twinzoo.parity import together as module
from twinzoo.parity.compare import compare
from twinzoo.parity.results import LayerResult
from twinzoo.parity.together import LARGE, together
from twinzoo.ports.build import build


@pytest.mark.parametrize("elements", [LARGE - 1, LARGE])
def test_results_are_in_the_order_of_the_calls(elements: int) -> None:
    second = threading.Event()

    def first() -> tuple[str, int]:
        if elements >= LARGE:
            assert second.wait(10)  # it ends after the second has begun
        return "first", threading.get_ident()

    def other() -> tuple[str, int]:
        second.set()
        return "second", threading.get_ident()

    (a, one), (b, two) = together(elements, first, other)
    assert (a, b) == ("first", "second")
    assert (one == two == threading.get_ident()) is (elements < LARGE)


@pytest.mark.parametrize("elements", [1, LARGE])
def test_what_numpy_warns_of_is_as_in_the_callers_thread(elements: int) -> None:
    def divide() -> float:
        return float(np.ones(1)[0] / np.zeros(1)[0])

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with np.errstate(all="ignore"):
            assert together(elements, divide, divide) == [np.inf, np.inf]
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        together(elements, divide, divide)


def test_verdicts_are_the_same_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)
    a, b = (build("unet", port, width=4, depth=4) for port in ("torch", "reference"))

    def rows(large: int) -> tuple[LayerResult, ...]:
        monkeypatch.setattr(module, "LARGE", large)
        return tuple(compare(a, b, image).layers)

    at_once, one_by_one = rows(0), rows(10**9)
    assert len(at_once) > 10 and at_once == one_by_one
