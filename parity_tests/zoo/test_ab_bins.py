"""Bins of ab: the published lists, colours as distributions over them and back, and what losses make of them."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from parity_tests.zoo import cie
from twinzoo.ports.reference.evaluate import trace
from twinzoo.ports.reference.port import PORT
from twinzoo.zoo.models.ab_bins import ab_bins, rebalancing, square_ab_bins
from twinzoo.zoo.registry import spec

Array = NDArray[Any]
PUBLISHED = "e74b520cf1929e90"
BINS = ab_bins().astype(np.float64)


def value(name: str, options: dict[str, Any], **inputs: Array) -> Array:
    """The one output of a spec, in float64."""
    drawn = spec(name, **options)
    (output,) = drawn.outputs.values()
    return np.asarray(trace(drawn, {}, inputs).values[output.ref])


def test_the_bins_are_those_published() -> None:
    """The first digits of the hash of pts_in_hull, as little-endian integers of 16 bits, row by row."""
    bins = ab_bins()
    assert bins.shape == (313, 2)
    assert hashlib.sha256(bins.astype("<i2").tobytes()).hexdigest().startswith(PUBLISHED)


def test_the_bins_are_corners_of_squares_with_a_colour_and_four_more() -> None:
    """The solid's shadow on the ab plane is that of its surface, the six faces of the RGB cube."""
    steps = np.linspace(0, 1, 256)
    face = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    faces = [np.insert(face, axis, end, axis=1) for axis in range(3) for end in (0.0, 1.0)]
    squares = np.unique(np.floor(cie.rgb_to_lab(np.concatenate(faces))[:, 1:] / 10).astype(int), axis=0)
    corners = {(10 * (a + i), 10 * (b + j)) for a, b in squares for i in (0, 1) for j in (0, 1)}
    bins = {(int(a), int(b)) for a, b in ab_bins()}
    assert len(corners) == 309
    assert bins - corners == {(40, 90), (100, -90), (100, -10), (100, 0)}
    assert corners < bins


def encoded_by_hand(colour: Array, bins: Array, neighbours: int, sigma: float) -> Array:
    """One colour (2,) as the published code encodes it: the nearest bins, a Gaussian each, normalised."""
    distance = np.hypot(*(bins - colour).T)
    nearest = np.argsort(distance, kind="stable")[:neighbours]
    weights = np.zeros(len(bins))
    weights[nearest] = np.exp(-(distance[nearest] ** 2) / (2 * sigma**2))
    made: Array = weights / weights.sum()
    return made


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 5, 10]), st.sampled_from([5.0, 3.0]))
def test_encoding_is_the_published_one(seed: int, neighbours: int, sigma: float) -> None:
    random = np.random.default_rng(seed)
    ab = BINS[random.integers(0, 313, 6)] + random.uniform(-9, 9, (6, 2))
    options = {"neighbours": neighbours, "sigma": sigma}
    made = value("soft_ab_encoding", options, ab=ab.T.reshape(1, 2, 2, 3), bins=BINS).reshape(313, 6)
    for i, colour in enumerate(ab):
        squares = np.sort(((BINS - colour) ** 2).sum(1))
        if squares[neighbours] - squares[neighbours - 1] > 1e-3:
            np.testing.assert_allclose(made[:, i], encoded_by_hand(colour, BINS, neighbours, sigma), atol=1e-12)
    np.testing.assert_allclose(made.sum(0), 1, rtol=1e-12)


def test_bins_that_tie_share() -> None:
    """Between two bins, and among four: no framework's order of search decides."""
    ab = np.array([[5.0, 0.0], [5.0, 5.0], [0.0, 0.0]]).T.reshape(1, 2, 1, 3)
    made = value("soft_ab_encoding", {"neighbours": 1}, ab=ab, bins=BINS).reshape(313, 3)
    assert sorted(made[made[:, 0] > 0, 0]) == [0.5, 0.5]
    assert sorted(made[made[:, 1] > 0, 1]) == [0.25] * 4
    assert made[(BINS == 0).all(1), 2] == [1.0]


def test_a_colour_beyond_all_bins_is_encoded() -> None:
    made = value("soft_ab_encoding", {}, ab=np.full((1, 2, 1, 1), 5000.0), bins=BINS)
    assert made.sum() == pytest.approx(1)


@given(st.floats(-109.9, 109.9), st.floats(-109.9, 109.9))
def test_the_nearest_of_529_is_the_published_label(a: float, b: float) -> None:
    """encode_ab_ind of richzhang/colorization-pytorch: 23 times the rounded a, and the rounded b."""
    ties = [abs((x + 110) / 10 % 1 - 0.5) < 1e-4 for x in (a, b)]
    if any(ties):
        return
    ab = np.array([a, b]).reshape(1, 2, 1, 1)
    made = value("soft_ab_encoding", {"classes": 529, "neighbours": 1}, ab=ab, bins=square_ab_bins()).ravel()
    label = round((a + 110) / 10) * 23 + round((b + 110) / 10)
    assert made[label] == 1
    assert made.sum() == 1


def test_annealed_mean() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (2, 313, 3, 2))
    for temperature in (1.0, 0.38):
        share = np.exp(logits / temperature)
        expected = np.einsum("nqhw,qc->nchw", share / share.sum(1, keepdims=True), BINS)
        made = value("annealed_mean", {"temperature": temperature}, logits=logits, bins=BINS)
        np.testing.assert_allclose(made, expected, atol=1e-10)
    cold = value("annealed_mean", {"temperature": 1e-3}, logits=logits, bins=BINS)
    np.testing.assert_allclose(np.moveaxis(cold, 1, -1), BINS[logits.argmax(1)], atol=1e-6)


def test_rebalancing() -> None:
    """Zhang et al. 2016, equation 4; a bin that never occurs has no weight, and does not dilute the others."""
    prior = np.array([6.0, 3.0, 1.0, 0.0], np.float32)
    weights = rebalancing(prior)
    share = prior[:3] / 10
    raw = 1 / (0.5 * share + 0.5 / 3)
    np.testing.assert_allclose(weights[:3], raw / (share * raw).sum(), rtol=1e-6)
    assert weights[3] == 0
    assert (weights[:3] * share).sum() == pytest.approx(1)
    np.testing.assert_allclose(rebalancing(prior, 1.0)[:3], 1, rtol=1e-6)


def loss_inputs(vivid: float) -> dict[str, Array]:
    """Two images, of which the second one's colours reach `vivid`."""
    random = np.random.default_rng(1)
    ab = random.uniform(-40, 40, (2, 2, 3, 3))
    ab[1] *= vivid / np.abs(ab[1]).max()
    return {
        "logits": random.normal(0, 1, (2, 313, 3, 3)),
        "ab": ab,
        "bins": BINS,
        "rarity": random.uniform(0.2, 3, 313),
    }


@pytest.mark.parametrize("vivid", [4.9, 5.1])
def test_rebalanced_cross_entropy(vivid: float) -> None:
    """Equations 2 and 3, written out; the second image counts only where it is not gray."""
    inputs = loss_inputs(vivid)
    logits, terms = inputs["logits"], []
    log_share = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    for n, y, x in np.ndindex(2, 3, 3):
        target = encoded_by_hand(inputs["ab"][n, :, y, x], BINS, 5, 5.0)
        counts = inputs["rarity"][target.argmax()] * (n == 0 or vivid > 5)
        terms.append(-counts * (target * log_share[n, :, y, x]).sum())
    assert value("rebalanced_cross_entropy", {}, **inputs) == pytest.approx(np.mean(terms), rel=1e-12)


def test_weighing_the_loss_is_weighing_the_gradient() -> None:
    """The authors' Caffe layer multiplies the gradient: weight (share - target), over the pixels."""
    inputs = loss_inputs(30.0)
    drawn = spec("rebalanced_cross_entropy")
    gradient = PORT.gradients(PORT.build(drawn), inputs, {"output": np.ones(())})["logits"]
    share = np.exp(inputs["logits"]) / np.exp(inputs["logits"]).sum(1, keepdims=True)
    for n, y, x in np.ndindex(2, 3, 3):
        target = encoded_by_hand(inputs["ab"][n, :, y, x], BINS, 5, 5.0)
        expected = inputs["rarity"][target.argmax()] * (share[n, :, y, x] - target) / 18
        np.testing.assert_allclose(gradient[n, :, y, x], expected, atol=1e-12)


def test_bin_cross_entropy_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(2)
    logits, ab = random.normal(0, 1, (2, 529, 3, 4)), random.uniform(-100, 100, (2, 2, 3, 4))
    labels = np.rint((ab + 110) / 10).astype(np.int64)
    labels = labels[:, 0] * 23 + labels[:, 1]
    expected = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))
    made = value("bin_cross_entropy", {}, logits=logits, ab=ab, bins=square_ab_bins())
    assert made == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("distance", ["l1", "huber"])
def test_ab_distance_is_the_published_one(distance: str) -> None:
    """On ab / 110, summed over a and b; Huber with delta 1 / 110 divided by delta, as the authors' code writes it."""
    random = np.random.default_rng(3)
    x, y = random.uniform(-3, 3, (2, 2, 2, 4, 5))
    d, delta = np.abs(x - y) / 110, 1 / 110
    each = d if distance == "l1" else np.where(d < delta, d**2 / 2 / delta, d - delta / 2)
    made = value("ab_distance", {"distance": distance}, prediction=x, target=y)
    assert made == pytest.approx(each.sum(1).mean(), rel=1e-12)
