"""What the arithmetic of forms does with values, and which values it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from twinzoo.converters.forms import Value, carry, reordered
from twinzoo.converters.layers import Shape, layers_of
from twinzoo.zoo.errors import ConversionError


def weight_norm(outputs: int, inputs: int, dtype: Any = np.float64) -> dict[str, NDArray[Any]]:
    return {"weight_g": noise((outputs, 1), dtype), "weight_v": noise((outputs, inputs), dtype)}


def noise(shape: Shape, dtype: Any = np.float64) -> NDArray[Any]:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(dtype)


def weight(state: dict[str, NDArray[Any]], shape: Shape, kinds: tuple[str, str] = ("", "")) -> Value:
    """How a layer's weight is made in a layer that has no other tensor."""
    (source,) = layers_of({key: value.shape for key, value in state.items()}).values()
    (target,) = layers_of({"weight": shape}).values()
    source.kind, target.kind = kinds
    return carry(source, target).values["weight"]


def test_folding_is_done_in_float64() -> None:
    state = weight_norm(4, 300, np.float16)
    value = weight(state, (4, 300))
    found = value.make(state)
    assert found.dtype == np.dtype("float64")
    assert not value.exact
    direction = state["weight_v"].astype(np.float64)
    want = state["weight_g"] * direction / np.linalg.norm(direction, axis=1, keepdims=True)
    assert np.abs(found - want).max() < 1e-15


def test_adding_two_biases_is_not_exact_and_taking_them_apart_is() -> None:
    shapes: dict[str, Shape] = {"weight_ih": (8, 3), "weight_hh": (8, 2), "bias_ih": (8,), "bias_hh": (8,)}
    (lstm,), (flat,) = (layers_of(s).values() for s in (shapes, {"weight": (48, 1, 1)}))
    value = carry(lstm, flat).values["weight"]
    assert (value.exact, value.words) == (False, "packed flat, both biases added")
    apart = carry(flat, lstm).values
    assert all(value.exact for value in apart.values())
    assert not apart["bias_hh"].make({}).any()


def test_directions_of_length_0_and_spectral_norms_of_0_are_refused() -> None:
    state = weight_norm(4, 3) | {"weight_v": np.zeros((4, 3))}
    with pytest.raises(ConversionError, match="weight_v: has a direction of length 0"):
        weight(state, (4, 3)).make(state)
    state = {"weight_orig": np.zeros((4, 3)), "weight_u": noise((4,)), "weight_v": noise((3,))}
    with pytest.raises(ConversionError, match="weight_orig: its spectral norm"):
        weight(state, (4, 3)).make(state)


SQUARE = (3, 3, 2, 2)


def spectral_norm() -> tuple[dict[str, NDArray[Any]], list[NDArray[Any]]]:
    """A spectral norm of a square layer, and W v along both axes; u is neither."""
    state = {"weight_orig": noise(SQUARE), "weight_u": noise((3,)), "weight_v": noise((12,))}
    return state, [np.moveaxis(state["weight_orig"], axis, 0).reshape(3, 12) @ state["weight_v"] for axis in (0, 1)]


@pytest.mark.parametrize(("kind", "axis"), [("conv2d", 0), ("conv_transpose2d", 1)])
def test_the_kind_tells_the_rows_of_a_square_spectral_norm(kind: str, axis: int) -> None:
    state, products = spectral_norm()
    for kinds in ((kind, ""), ("", kind)):
        found = weight(state, SQUARE, kinds).make(state)
        assert np.allclose(found, state["weight_orig"] / (state["weight_u"] @ products[axis]))


@pytest.mark.parametrize("axis", [0, 1])
def test_values_tell_the_rows_where_u_is_the_direction_along_one_axis(axis: int) -> None:
    state, products = spectral_norm()
    state["weight_u"] = products[axis]
    assert np.allclose(weight(state, SQUARE).make(state), state["weight_orig"] / (products[axis] @ products[axis]))


def test_rows_that_values_leave_open_are_refused() -> None:
    state, products = spectral_norm()
    first, second = (product / np.linalg.norm(product) for product in products)
    away = np.cross(first, second) / np.linalg.norm(np.cross(first, second))
    for doubtful in (state["weight_u"], first + 0.1 * away, first + second):
        with pytest.raises(ConversionError, match="axis 0 or 1"):
            weight(state, SQUARE).make(state | {"weight_u": doubtful})


def test_one_channel_has_the_same_rows_along_both_axes() -> None:
    state = {"weight_orig": noise((1, 1, 2, 2)), "weight_u": np.ones(1), "weight_v": noise((4,))}
    found = weight(state, (1, 1, 2, 2)).make(state)
    assert np.allclose(found, state["weight_orig"] / (state["weight_orig"].reshape(-1) @ state["weight_v"]))


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.randoms(use_true_random=False), st.integers(1, 3))
def test_reordered_inputs_of_a_convolution_after_a_concat(blocks: list[int], random: Any, outputs: int) -> None:
    order = tuple(random.sample(range(len(blocks)), len(blocks)))
    state = {"weight": noise((outputs, sum(blocks), 1, 1))}
    parts = [noise((size, 5)) for size in blocks]
    moved = reordered(weight(state, state["weight"].shape), 1, tuple(blocks), order)
    assert moved.exact
    found = moved.make(state)[..., 0, 0] @ np.concatenate([parts[i] for i in order])
    assert np.allclose(found, state["weight"][..., 0, 0] @ np.concatenate(parts))


def test_reordering_refuses_what_does_not_make_up_the_axis() -> None:
    value = weight({"weight": noise((2, 5))}, (2, 5))
    for sizes, order in (((2, 2), (1, 0)), ((2, 3), (0, 0)), ((2, 3), (0,))):
        with pytest.raises(ConversionError, match="do not make up axis 1"):
            reordered(value, 1, sizes, order)
    assert reordered(value, 1, (2, 3), (1, 0)).words == "axis 1: blocks of 2, 3 put in the order 2, 1"
