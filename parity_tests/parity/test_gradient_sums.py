"""The formulas of the bounds of sums over pixels, and of what meets in one place. NumPy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.parity.bounds.gradients import layers, structure
from twinzoo.parity.bounds.sums import BLOCKS, STRAY, spread, sum_bound
from twinzoo.ports.reference.convolution import correlate

Array = NDArray[Any]

_KINDS: dict[str, Any] = {
    "even": lambda random, shape: random.standard_normal(shape),
    "positive": lambda random, shape: random.random(shape),
    "up and down": lambda random, shape: random.random(shape) * np.where(np.arange(shape[2]) < 24, 1, -1)[:, None],
    "constant": lambda random, shape: np.full(shape, 0.1),
}


def _pixels(kind: str, shape: tuple[int, ...] = (1, 1, 48, 48)) -> Array:
    x: Array = _KINDS[kind](np.random.default_rng(4), shape)
    return x.astype(np.float32).astype(np.float64)


_POINT = {"kernel": (1, 1), "stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}


@pytest.mark.parametrize("kind", ["even", "positive", "up and down"])
def test_a_sum_over_pixels_counts_its_partial_sums(kind: str) -> None:
    """Against the partial sums of one weight's gradient, term by term in the order of memory."""
    gradient, x = _pixels(kind), _pixels("positive")
    terms = (gradient * x).ravel()
    counted = spread(np.sum(np.cumsum(terms) ** 2) + np.sum(terms**2), 2 * terms.size)
    allowed = layers.correlate_bound(_POINT, gradient, x).item()
    assert counted <= allowed <= 4 * counted


def test_equal_products_are_rounded_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain running sum of one number is beyond what independent roundings explain, and within the bound."""
    gradient, x = _pixels("constant"), _pixels("constant")
    products = (gradient * x).astype(np.float32).ravel()
    error = abs(float(np.cumsum(products, dtype=np.float32)[-1]) - np.sum(gradient * x))
    assert error <= layers.correlate_bound(_POINT, gradient, x).item()
    monkeypatch.setattr(layers, "_alike", lambda x: np.ones(x.shape[1]))
    assert error > layers.correlate_bound(_POINT, gradient, x).item()


@pytest.mark.parametrize("shape", [(1, 5, 5), (3, 9, 4), (40, 3, 3), (1, 1, 700), (1, 64, 64), (17, 30, 30)])
def test_runs_cover_every_pixel_once(shape: tuple[int, int, int]) -> None:
    seen, places = np.zeros(shape, int), np.arange(np.prod(shape)).reshape(shape)
    last = -1
    runs = list(layers._runs(*shape))
    for images, rows in runs:
        seen[images, rows] += 1
        assert places[images, rows].min() > last, "not in the order of memory"
        last = places[images, rows].min()
    assert (seen == 1).all() and len(runs) <= 2 * BLOCKS


@pytest.mark.parametrize("groups", [1, 2])
def test_every_product_counts_once(groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ones everywhere n products have the partial sums 1, 2 ... n; in n the padding does not count."""
    monkeypatch.setattr(layers, "_alike", lambda x: np.ones(x.shape[1]))
    attrs: dict[str, Any] = {
        "kernel": (3, 2),
        "stride": (1, 2),
        "padding": (1, 1),
        "dilation": (1, 1),
        "groups": groups,
    }
    x, gradient = np.ones((3, 4, 9, 8)), np.ones((3, 2, 9, 5))
    count = correlate(gradient, x, *attrs.values())
    squares = STRAY * np.array([np.sum(np.arange(n + 1) ** 2) for n in count.ravel()]).reshape(count.shape)
    allowed = layers.correlate_bound(attrs, gradient, x)
    np.testing.assert_allclose(allowed, spread(squares + count, 2 * count), rtol=1e-5)


def test_what_is_met_once_is_exact_and_what_is_met_often_is_a_sum() -> None:
    random = np.random.default_rng(3)
    terms = random.standard_normal((2, 40)).astype(np.float32).astype(np.float64)
    places = np.array([0, *[1] * 2, *[2] * 3, *[4] * 34])
    order = random.permutation(40)
    bound = structure.scatter_bound(terms[:, order], places[order], 6)
    assert not bound[:, [0, 3, 5]].any()
    for place in (1, 2, 4):
        own = terms[:, order][:, places[order] == place]
        np.testing.assert_allclose(bound[:, place], sum_bound(own, (1,)))
