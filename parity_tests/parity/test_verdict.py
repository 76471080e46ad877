"""One value of one side: what passes, by what, and with which array the comparison goes on."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.parity import verdict
from twinzoo.parity.bounds.precision import FORMATS
from twinzoo.parity.kernels import KernelAccuracy
from twinzoo.parity.verdict import Held, held_to, hold, kernel_of, kernel_uses
from twinzoo.zoo.spec import Spec

Array = NDArray[Any]

LOCAL = np.linspace(1, 2, 12).reshape(3, 4)
ALLOWED = np.full((3, 4), 1e-6)


def held(
    output: Array | None, *, op: str = "tanh", port: str = "torch", local: Array = LOCAL, **options: Any
) -> tuple[Held, str]:
    """The verdict, and its problem."""
    s = Spec("one")
    x = s.input("x", shape=local.shape, dtype="int" if local.dtype.kind == "i" else "float")
    made = hold(output, x, (port, op), local, np.full(local.shape, 1e-6), **options)
    return made, made.result.problem


def off(by: float, dtype: Any = np.float64) -> Array:
    """What float64 says with one value off by so much."""
    made = LOCAL.copy()
    made[1, 2] += by
    return made.astype(dtype)


def test_a_value_is_held_to_what_is_allowed_and_goes_on_as_it_is() -> None:
    for by, ok in ((0.9e-6, True), (1.1e-6, False)):
        output = off(by)
        found, problem = held(output, wanted="float64")
        assert (found.result.ok, problem, found.kernel) == (ok, "", False)
        assert found.result.ratio == pytest.approx(by / 1e-6, rel=1e-6) and found.result.index == (1, 2)
        assert found.array is output and found.output is output  # an error does not become the next layer's
        np.testing.assert_array_equal(found.allowed, ALLOWED)


@pytest.mark.parametrize("output", [None, LOCAL[:2].astype(np.float32), LOCAL.T.astype(np.float32)])
def test_where_nothing_usable_came_float64_goes_on(output: Array | None) -> None:
    for wanted, dtype in (("float32", np.float32), ("float16", np.float16), ("", np.float32)):
        found, problem = held(output, wanted=wanted)
        assert not found.result.ok and found.result.ratio == np.inf and not found.kernel
        assert problem == ("returned nothing" if output is None else f"shape {output.shape}, where (3, 4) is right")
        assert found.output is None and found.array.dtype == dtype
        np.testing.assert_array_equal(found.array, LOCAL.astype(dtype))
        assert found.beside(LOCAL + 1).drift == np.inf
    assert held(output, port="reference")[0].array.dtype == np.float64


def test_an_index_that_is_wrong_indexes_nothing() -> None:
    places = np.array([[0, 1, 2, 3]])
    right, wrong = (places + by for by in (0, 7))
    found, _ = held(right.astype(np.int32), local=places)
    assert found.result.ok and found.array.dtype == np.int32 and found.result.dtype == "int"
    found, _ = held(wrong, local=places)
    assert not found.result.ok
    np.testing.assert_array_equal(found.array, places)
    _, problem = held(right.astype(np.float32), local=places)
    assert problem == "dtype float32, where int is right"


@pytest.mark.parametrize(
    ("wanted", "port", "right"),
    [
        ("float32", "torch", ["float32"]),
        ("float16", "torch", ["float16"]),
        ("", "torch", list(FORMATS)),
        ("float32", "reference", ["float64"]),
    ],
)
def test_the_element_type_is_part_of_the_verdict(wanted: str, port: str, right: list[str]) -> None:
    for dtype in ("float16", "float32", "float64", "bfloat16"):
        given = LOCAL.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
        made, problem = held(given, port=port, wanted=wanted, local=given.astype(np.float64))
        assert made.result.ok is (dtype in right) and made.result.dtype == dtype
        assert problem == ("" if dtype in right else f"dtype {dtype}, where {' or '.join(right)} is right")


def test_a_kernel_is_allowed_what_was_measured_and_told_where_it_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    row = KernelAccuracy(absolute=1e-3, relative=1e-2, note="measured")
    monkeypatch.setattr(verdict, "KERNELS", {("torch", "tanh"): row})
    local = -LOCAL
    share = 1e-3 + 1e-2 * abs(local[1, 2]) + 1e-6
    for by, ok, needed in (
        (0.9e-6, True, False),
        (1.5e-6, True, True),
        (0.99 * share, True, True),
        (1.01 * share, False, False),
    ):
        found, _ = held(-off(by), local=local, wanted="float64")
        assert (found.result.ok, found.kernel) == (ok, needed)
        np.testing.assert_allclose(found.allowed, 1e-6 + 1e-3 + 1e-2 * LOCAL, rtol=1e-12)
    for op, port in (("relu", "torch"), ("tanh", "mindspore")):
        assert not held(off(1e-3), wanted="float64", op=op, port=port)[0].result.ok


def test_half_kernels_are_rows_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    single, half = (KernelAccuracy(error, 0.0, "measured") for error in (1e-4, 1e-2))
    monkeypatch.setattr(verdict, "KERNELS", {("torch", "tanh"): single})
    monkeypatch.setattr(verdict, "HALF_KERNELS", {("torch", "tanh", "float16"): half})
    assert kernel_of("torch", "tanh", "float32") is single and kernel_of("torch", "tanh", "float16") is half
    assert kernel_of("torch", "tanh", "bfloat16") is None and kernel_of("torch", "exp", "float32") is None
    used = {("torch", "tanh", "float16"): ["first", "second"], ("torch", "exp", "float32"): ["third"]}
    (use,) = kernel_uses(used, str.upper)
    assert (use.port, use.op, use.layers) == ("torch", "tanh", ("FIRST", "SECOND"))
    assert (use.absolute, use.relative, use.note) == (1e-2, 0.0, "measured")


@pytest.mark.parametrize("name", list(FORMATS))
def test_an_infinity_passes_where_its_type_has_no_number_for_what_is_allowed(name: str) -> None:
    form = FORMATS[name]
    for sign in (1, -1):
        for share, allowed, ok in ((0.98, 0.03, True), (0.98, 0.01, False), (1.02, 0.0, True)):
            local = np.array([1.0, sign * share * form.largest])
            output = np.array([1.0, sign * np.inf]).astype(form.dtype)
            limit = np.array([1e-3, allowed * form.largest])
            assert (held_to(output, local, limit).ratio <= 1) is ok, (sign, share)
            assert held_to(-output, -local * [1, -1], limit).ratio > 1  # the other infinity


@pytest.mark.parametrize("name", list(FORMATS))
def test_beside_an_infinity_that_passes_all_else_is_judged(name: str) -> None:
    form = FORMATS[name]
    local = np.array([1.0, 2 * form.largest, 3.0])
    for wrong in (1.5, np.nan, np.inf):
        output = np.array([wrong, np.inf, 3.0]).astype(form.dtype)
        judged = held_to(output, local, np.full(3, 1e-1))
        assert judged.ratio > 1 and judged.index == (0,)
    assert held_to(np.array([1.0, np.inf, 3.0]).astype(form.dtype), local, np.full(3, 1e-1)).ratio <= 1


def test_drift_is_from_the_chain() -> None:
    found, _ = held(off(0.0, np.float32))
    assert found.beside(LOCAL + 0.25).drift == pytest.approx(0.25)
    assert found.beside(LOCAL + 0.25).ratio == found.result.ratio
