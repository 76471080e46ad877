"""Statistics and distances in small pieces are those of the whole arrays, whatever the type and the layout."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from twinzoo.converters import files
from twinzoo.converters.files import Entry, Lazy, made
from twinzoo.converters.inspect import statistics
from twinzoo.converters.inspect.deviation import Deviation, deviation
from twinzoo.converters.inspect.statistics import Statistics, statistics_of

Array = NDArray[Any]
FLOATS: list[type[np.floating[Any]]] = [np.float16, np.float32, np.float64]


def tensors(**named: Array) -> Lazy:
    """Arrays as the readers give them."""

    def deferred(array: Array) -> files.Deferred:
        return made(Entry(array.shape, array.dtype), lambda: array)

    return Lazy({name: deferred(array) for name, array in named.items()})


def look(array: Array) -> Statistics:
    return statistics_of(tensors(x=array), "x", lambda count: None)


def apart(a: Array, b: Array) -> Deviation:
    return deviation(tensors(x=a), tensors(x=b), "x", "x", lambda count: None)


def floats(dtype: type[np.floating[Any]]) -> st.SearchStrategy[Array]:
    return arrays(dtype, array_shapes(min_dims=0, max_dims=3, max_side=5))


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "CHUNK", 3)


@given(st.sampled_from(FLOATS).flatmap(floats))
def test_they_are_those_of_the_whole_array(array: Array) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(statistics, "CHUNK", 3)
        found = look(array)
    finite = array[np.isfinite(array)].astype(np.float64)
    tiny = np.finfo(array.dtype).smallest_normal
    assert (found.size, found.finite) == (array.size, finite.size)
    assert found.nan == np.isnan(array).sum()
    assert found.infinite == np.isinf(array).sum()
    assert found.zeros == (array == 0).sum()
    assert found.denormal == ((np.abs(array) < tiny) & (array != 0)).sum()
    if not finite.size:
        assert (found.minimum, found.maximum, found.mean, found.std) == (None, None, None, None)
        return
    assert (found.minimum, found.maximum) == (finite.min(), finite.max())
    scale = np.abs(finite).max() or 1.0
    if 1e-150 < scale < 1e150:  # its square is a float64
        assert found.mean is not None and found.std is not None
        assert math.isclose(found.mean / scale, (finite / scale).mean(), abs_tol=1e-12)
        assert math.isclose(found.std / scale, (finite / scale).std(), abs_tol=1e-7)


def test_the_mean_of_many_float32_is_summed_in_float64() -> None:
    array = np.full(1_000_003, 0.1, np.float32)
    found = look(array)
    assert found.mean == pytest.approx(float(np.float32(0.1)), rel=1e-13)
    assert found.std == pytest.approx(0, abs=1e-9)
    assert found.constant
    for other in (0.2, np.nan, np.inf):
        array[-1] = other
        assert not look(array).constant


@pytest.mark.parametrize(
    ("array", "minimum", "maximum", "zeros"),
    [
        (np.array([True, False, True]), 0, 1, 1),
        (np.array([[-3, 0], [5, 0]], np.int64).T, -3, 5, 2),
        (np.array([0, 255], np.uint8), 0, 255, 1),
        (np.array([1 - 2j, 0 + 4j], np.complex64), -2, 4, 1),
        (np.array([-1.5, 0, 3], ml_dtypes.bfloat16), -1.5, 3, 1),
        (np.array([-0.0, 448], ml_dtypes.float8_e4m3fn), 0, 448, 1),
    ],
)
def test_every_type_has_a_range(array: Array, minimum: float, maximum: float, zeros: int) -> None:
    found = look(array)
    assert (found.minimum, found.maximum, found.zeros) == (minimum, maximum, zeros)
    assert found.mean == pytest.approx(np.mean([float(x) for x in np.ravel(array.view(array.real.dtype))]))


def test_an_empty_tensor_has_no_range() -> None:
    found = look(np.zeros((0, 3), np.float32))
    assert found == Statistics()
    assert not found.constant


@given(floats(np.float32), floats(np.float32))
def test_two_parts_add_up(a: Array, b: Array) -> None:
    both, whole = look(a) + look(b), look(np.concatenate([a.ravel(), b.ravel()]))
    counts = ("size", "nan", "infinite", "zeros", "denormal", "minimum", "maximum")
    assert [getattr(both, name) for name in counts] == [getattr(whole, name) for name in counts]
    if both.mean is not None:
        assert whole.mean is not None
        assert math.isclose(both.mean, whole.mean, rel_tol=1e-9, abs_tol=both.magnitude * 1e-12)
        assert math.isclose(both.spread, whole.spread, rel_tol=1e-9, abs_tol=both.magnitude**2 * 1e-12)


def test_a_big_tensor_passes_in_pieces(tmp_path: Path) -> None:
    array = np.arange(2**21, dtype=np.float32)
    files.write(tmp_path / "big.npz", {"x": array})
    steps: list[int] = []
    statistics_of(files.read(tmp_path / "big.npz"), "x", steps.append)
    assert sum(steps) == array.nbytes
    assert max(steps) <= 4 * statistics.CHUNK


@given(st.sampled_from(FLOATS).flatmap(lambda d: st.tuples(floats(d), st.integers(-4, 4), st.integers(0, 10**6))))
def test_steps_are_counted_between_neighbours(case: tuple[Array, int, int]) -> None:
    array, steps, seed = case
    array = np.where(np.isfinite(array), array, array.dtype.type(1)).astype(array.dtype)
    if not array.size:
        return
    index = seed % array.size
    moved = array.copy().ravel()
    for _ in range(abs(steps)):
        moved[index] = np.nextafter(moved[index], moved.dtype.type(np.inf if steps > 0 else -np.inf))
    moved = moved.reshape(array.shape)
    found = apart(array, moved)
    if not np.isfinite(moved).all():
        assert found.undefined == 1
        return
    assert found.differing == (1 if steps else 0)
    assert (found.ulp or 0) == abs(steps)
    assert found.absolute == np.abs(array.astype(np.float64) - moved).max()


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("build", [lambda a: a, np.asfortranarray, lambda a: a[::-1][::-1]])
def test_the_distance_does_not_depend_on_the_layout(build: Callable[[Array], Array]) -> None:
    a = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    b = a.copy()
    b[3, 2] += 0.5
    b[4, 6] = np.nan
    found = apart(build(a), b)
    assert (found.size, found.differing, found.undefined) == (35, 2, 1)
    assert found.absolute == pytest.approx(0.5)
    assert found.relative == pytest.approx(abs(b[3, 2] - a[3, 2]) / max(abs(a[3, 2]), abs(b[3, 2])))


def test_signs_of_zero_and_bits_of_nan_differ_without_a_distance() -> None:
    zeros = apart(np.array([0.0], np.float32), np.array([-0.0], np.float32))
    assert (zeros.differing, zeros.absolute, zeros.ulp) == (1, 0.0, 0)
    quiet = np.array([0x7FC00000, 0x7FC00001], np.uint32).view(np.float32)
    nans = apart(quiet[:1], quiet[1:])
    assert (nans.differing, nans.undefined, nans.absolute) == (1, 1, 0.0)
    assert apart(quiet, quiet) == Deviation(2)


def test_two_types_are_compared_as_numbers() -> None:
    a = np.array([1.0, 1 / 3, np.nan, np.inf], np.float32)
    b = np.array([1.0, 1 / 3, np.nan, 6e4], np.float16)
    found = apart(a, b)
    assert (found.differing, found.ulp, found.undefined) == (2, None, 1)
    assert found.absolute == pytest.approx(abs(float(a[1]) - float(np.float16(1 / 3))))
    assert apart(np.array([3, 4]), np.array([3, 5])) == Deviation(2, 1, 1.0, 0.2, None, 0)


def test_runs_of_different_lengths_are_compared_in_step() -> None:
    """What passes through memory at a time is a number of bytes, so not as many values of one type as of another."""
    a = np.arange(600_001, dtype=np.float32)
    b = a.astype(np.float64)
    assert apart(a, b) == Deviation(a.size)
    b[[300_000, 600_000]] += 0.5
    assert (apart(a, b).differing, apart(b, a).differing) == (2, 2)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, np.complex64, np.bool_])
def test_any_type_is_equal_to_itself_and_not_to_another(dtype: Any) -> None:
    a, b = np.array([1, 0, 1]).astype(dtype), np.array([1, 1, 1]).astype(dtype)
    assert apart(a, a).differing == 0
    assert apart(a, b).differing == 1
    assert apart(a, b).absolute == 1
