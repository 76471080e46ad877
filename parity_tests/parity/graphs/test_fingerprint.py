"""A difference that nothing explains is put into the words that fit it, and into no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinzoo.parity.graphs.fingerprint import fingerprint

X = np.random.default_rng(0).normal(size=(2, 5, 12, 14))
Y = np.random.default_rng(1).normal(size=X.shape)


def changed(place: Any) -> Any:
    made = X.copy()
    made[place] += Y[place]
    return made


@given(st.floats(0.01, 100).filter(lambda f: abs(f - 1) > 2e-4), st.sampled_from([-1.0, 1.0]))
def test_a_ratio(factor: float, sign: float) -> None:
    assert fingerprint(X * factor * sign, X) == f"it is a multiple of what is right, by {factor * sign:.6g}"


@given(st.floats(0.002, 5), st.booleans())
def test_an_offset(more: float, up: bool) -> None:
    made = fingerprint(X + (more if up else -more), X)
    assert made == f"it is {'higher' if up else 'lower'} by {more:.6g} everywhere"


@given(st.integers(-4, 4), st.integers(-4, 4))
def test_a_shift_by_pixels(down: int, across: int) -> None:
    if not (down or across):
        return
    made = np.roll(X, (down, across), (2, 3))
    made[:, :, : max(down, 0)] = 7.0  # what comes in at the border is anything
    assert fingerprint(made, X) == f"it is what is right, moved by {down} pixels down and {across} to the right"


def test_no_shift_further_than_it_looks() -> None:
    assert "moved by" not in fingerprint(np.roll(X, 5, 3), X)


def test_a_flat_picture_has_no_shift() -> None:
    flat, made = np.ones((1, 2, 8, 8)), np.ones((1, 2, 8, 8))
    made[:, :, 0] = 2
    assert fingerprint(made, flat) == "it differs at the border only, by at most 1"


def test_channels_in_another_order() -> None:
    assert fingerprint(X[:, [1, 0, 2, 4, 3]], X) == "its channels are the right ones in the order 1, 0, 2, 4, 3"
    many = np.random.default_rng(2).normal(size=(2, 10, 3))
    assert fingerprint(many[:, ::-1], many).endswith("the order 9, 8, 7, 6, 5, 4, 3, 2 ...")


def test_a_channel_that_is_there_twice_is_no_order() -> None:
    assert fingerprint(X[:, [0, 0, 2, 3, 4]], X) == "it differs in channels 1 of 5 only"


def test_the_right_values_in_other_places() -> None:
    assert fingerprint(X[..., ::-1], X) == "it has the right values in other places"
    assert "other places" not in fingerprint(X[..., ::-1] * 1.01, X)


@pytest.mark.parametrize("place", [np.s_[:, :, 0], np.s_[:, :, :, -2:], np.s_[:, 1, 1]])
def test_the_border_only(place: Any) -> None:
    made = changed(place)
    assert fingerprint(made, X) == f"it differs at the border only, by at most {np.abs(made - X).max():.3g}"


def test_two_pixels_are_the_border_and_three_are_not() -> None:
    assert "border" not in fingerprint(changed(np.s_[:, :, 2]), X)
    assert "border" not in fingerprint(changed(np.s_[..., -3]), X)


def test_some_channels_only() -> None:
    assert fingerprint(changed(np.s_[:, [1, 3]]), X) == "it differs in channels 1, 3 of 5 only"
    many, made = np.zeros((1, 12)), np.zeros((1, 12))
    many[:] = np.arange(12)
    made[:] = many
    made[0, 2:12] += [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]
    assert fingerprint(made, many) == "it differs in channels 2, 3, 4, 5, 6, 7, 8, 9 ... of 12 only"


def test_shapes_and_numbers_that_are_none() -> None:
    assert fingerprint(X[:, :4], X) == "it has shape (2, 4, 12, 14), where (2, 5, 12, 14) is right"
    made = X.copy()
    made[0, 0, 0, :3] = np.nan
    assert fingerprint(made, X) == "3 of its values are no numbers"


def test_anything_else_is_counted() -> None:
    made = X + Y
    words = f"it differs in {np.sum(np.abs(Y) > 1e-4 * np.abs(X).max()):,} of {X.size:,} places"
    assert fingerprint(made, X) == f"{words}, at most by {np.abs(Y).max():.3g}"


def test_it_is_relative_to_the_largest_value() -> None:
    small = X * 1e-6
    assert fingerprint(small + 1e-6, small) == "it is higher by 1e-06 everywhere"
    assert fingerprint(np.zeros(3), np.zeros(3)) == "it is off by at most 0, 0 of its size"


def test_vectors_have_channels_too() -> None:
    right = np.array([[1.0, 2.0, 4.0]])
    assert fingerprint(np.array([[2.0, 1.0, 4.0]]), right) == "its channels are the right ones in the order 1, 0, 2"
    assert fingerprint(np.array([1.0, 2.0, 5.0]), right[0]) == "it differs in 1 of 3 places, at most by 1"


def test_a_difference_too_small_for_a_form_is_not_given_one() -> None:
    right = np.random.default_rng(0).standard_normal((2, 3, 8, 8))
    have = right.copy()
    have[0, 0, 0, 0] += 1e-6
    assert fingerprint(have, right).startswith("it is off by at most 1e-06")
