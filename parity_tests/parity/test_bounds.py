"""The formulas of the rounding bounds, one by one, against sums counted out term by term. NumPy alone."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest

from twinzoo.parity.bounds import reductions
from twinzoo.parity.bounds.sliding import Convolution, Sliding
from twinzoo.parity.bounds.sums import (
    BLOCKS,
    LAMBDA,
    STRAY,
    U,
    Walk,
    blocks,
    cumsum_bound,
    random_order,
    spread,
    sum_bound,
)
from twinzoo.parity.rounding import BOUNDS, bound
from twinzoo.ports.reference import evaluate
from twinzoo.ports.reference.convolution import convolve, convolve_transposed
from twinzoo.ports.reference.spatial import source_pixels
from twinzoo.zoo.spec import OPS, Spec


def _generator() -> np.random.Generator:
    return np.random.default_rng(11)


def _node(op: str, *inputs: Any, **attrs: Any) -> Any:
    spec = Spec("one")
    values = [
        spec.input(f"x{i}", shape=x.shape, dtype="int" if x.dtype.kind == "i" else "float")
        for i, x in enumerate(inputs)
    ]
    spec.output(y=getattr(spec, op)("op", *values, **attrs))
    return spec.nodes["op"]


def _bound(op: str, *inputs: Any, params: Any = None, **attrs: Any) -> tuple[Any, Any]:
    """The float64 output and its bound."""
    node = _node(op, *inputs, **attrs)
    outputs = evaluate(node, params or {}, inputs)
    return outputs[0], bound(node, params or {}, inputs, outputs)[0]


def test_every_op_has_a_bound() -> None:
    assert set(BOUNDS) == set(OPS)


def test_spread_takes_the_lesser_of_two_factors() -> None:
    assert spread(np.array(9.0), 4) == pytest.approx(U * 2 * 3)
    assert spread(np.array(9.0), 1000) == pytest.approx(U * LAMBDA / 3**0.5 * 3)
    assert spread(np.array(9.0), 0) == 0


def test_random_order_is_the_mean_over_all_orders() -> None:
    terms = [1.0, -2.5, 4.0, 0.5, -3.0]
    counted = np.mean([np.sum(np.cumsum(order) ** 2) for order in permutations(terms)])
    assert random_order(np.sum(terms), np.sum(np.square(terms)), 5) == pytest.approx(STRAY * counted)


@pytest.mark.parametrize("bias", [0.0, 2.0, -7.0])
def test_a_walk_of_single_terms_counts_every_partial_sum(bias: float) -> None:
    terms = _generator().standard_normal(30)
    walk = Walk()
    for term in terms:
        walk.step(np.array(term), 1)
    orders = [terms, terms[::-1]]
    counted = max(np.sum((first + np.cumsum(order)) ** 2) for order in orders for first in (0.0, bias))
    assert walk.squares(np.array(0.0), 30, bias) == pytest.approx(counted)
    assert walk.total == pytest.approx(terms.sum())


def test_a_walk_of_blocks_goes_straight_and_strays_as_a_bridge_does() -> None:
    """Even steps are counted in full; the rest, for random ones, is what `own` adds, on average."""
    walk = Walk()
    for _ in range(4):
        walk.step(np.array(8.0), 8)
    assert walk.squares(np.array(0.0), 32) == pytest.approx(np.sum(np.arange(1, 33) ** 2), rel=0.05)
    assert walk.squares(np.array(32.0), 32) - walk.squares(np.array(0.0), 32) == pytest.approx(8 * 32 / 6)
    terms = _generator().standard_normal((64, 20_000))
    walk = Walk()
    for block in blocks(64, 4):
        walk.step(terms[block].sum(0), 16)
    counted = np.sum(np.cumsum(terms, 0) ** 2, 0)
    guessed = walk.squares(np.sum(terms**2, 0), 64)
    assert 1 < np.mean(guessed) / np.mean(counted) < 1.5  # the worse of both directions


def test_blocks_cover_everything_once() -> None:
    for count in (1, 5, 16, 17, 100):
        places = [place for block in blocks(count) for place in range(count)[block]]
        assert places == list(range(count))
        assert len(list(blocks(count))) <= BLOCKS


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 4), (5, 5)])
def test_walks_of_a_convolution_cover_every_product_once(transposed: bool, kernel: tuple[int, int]) -> None:
    random, groups, stride, padding, dilation = _generator(), 2, (2, 1), (2, 1), (1, 2)
    channels = groups * (BLOCKS + 2)
    x = random.standard_normal((2, channels, 11, 12))
    weight = random.standard_normal((channels, 3, *kernel) if transposed else (6, channels // groups, *kernel))
    product = convolve_transposed if transposed else convolve
    out = product(x, weight, stride, padding, dilation, groups)
    ones = product(np.ones((1, channels, 11, 12)), np.ones_like(weight), stride, padding, dilation, groups)
    squared = product(x * x, weight * weight, stride, padding, dilation, groups)
    how = Sliding(transposed, kernel, (out.shape[2], out.shape[3]), stride, padding, dilation)
    reached = np.zeros(out.shape[2:], int)
    for axes in how.phases():
        here = (..., axes[0].outputs, axes[1].outputs)
        reached[here] += 1
        phase = Convolution.of(axes, x, weight, groups, transposed)
        own, count = phase.squares()
        for walk in phase.walks():
            np.testing.assert_allclose(walk.total, out[here], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(own, squared[here])
        np.testing.assert_allclose(np.broadcast_to(count, ones[here].shape), ones[here])
        equal = Convolution.of(axes, np.ones_like(x), np.ones_like(weight), groups, transposed)
        for walk in equal.walks():  # partial sums 1, 2 ... n
            counted = ones[here] * (ones[here] + 1) * (2 * ones[here] + 1) / 6
            assert np.all(walk.squares(np.zeros(()), ones[here]) >= counted * (1 - 1e-12))
            assert np.all(walk.squares(np.zeros(()), ones[here]) <= 1.2 * counted)
    assert np.all(reached == 1)


def test_convolution_bound_of_one_product_is_two_roundings() -> None:
    x, weight = np.full((1, 1, 1, 1), 3.0), np.full((1, 1, 1, 1), 5.0)
    out, allowed = _bound("conv2d", x, params={"weight": weight}, channels=1, kernel=1, bias=False)
    # partial sums: one, in the mean over orders times STRAY; the product's own rounding besides
    assert allowed.item() == pytest.approx(U * 2**0.5 * (STRAY + 1) ** 0.5 * out.item(), rel=1e-3)
    with_bias = _bound("conv2d", x, params={"weight": weight, "bias": np.zeros(1)}, channels=1, kernel=1)[1]
    assert with_bias.item() == pytest.approx(allowed.item(), rel=1e-6)
    with_bias = _bound("conv2d", x, params={"weight": weight, "bias": np.full(1, 2.0)}, channels=1, kernel=1)[1]
    assert with_bias.item() > allowed.item()


def test_products_are_bounded_in_proportion() -> None:
    """Scaling the input or the weights scales output and bound alike."""
    x, weight = _generator().standard_normal((1, 8, 9, 9)), _generator().standard_normal((4, 8, 3, 3))
    params = {"channels": 4, "kernel": 3, "bias": False}
    one = _bound("conv2d", x, params={"weight": weight}, **params)[1]
    np.testing.assert_allclose(
        _bound("conv2d", x * 1e-3, params={"weight": weight}, **params)[1], one * 1e-3, rtol=1e-3
    )
    np.testing.assert_allclose(_bound("conv2d", x, params={"weight": weight * 1e3}, **params)[1], one * 1e3, rtol=1e-3)


def _in_float32(terms: Any) -> float:
    """One running sum, as the plainest kernel has it."""
    return float(np.cumsum(terms.astype(np.float32), dtype=np.float32)[-1])


def _in_lanes(terms: Any, lanes: int = 8) -> float:
    parts = np.cumsum(terms.astype(np.float32).reshape(-1, lanes), 0, dtype=np.float32)[-1]
    return float(parts.sum(dtype=np.float64))


_SUMS: dict[str, Any] = {
    "even": lambda random: random.random(65536),
    "normal": lambda random: random.standard_normal(65536),
    "constant": lambda random: np.full(65536, 0.1),
    "eight bits": lambda random: random.integers(0, 6, 65536) / 255,
    "nearly constant": lambda random: (1000 + random.standard_normal(65536)) * 1000,
    "constant with a square": lambda random: np.where(np.arange(65536) % 256 < 20, random.random(65536), 0.1),
    "sorted": lambda random: np.sort(random.standard_normal(65536)),
    "growing": lambda random: np.exp(np.linspace(-20, 5, 65536)),
}


@pytest.mark.parametrize("kind", _SUMS)
def test_sums_of_all_kinds_of_data_stay_within(kind: str) -> None:
    terms = _SUMS[kind](_generator()).astype(np.float32).astype(np.float64)
    allowed = float(sum_bound(terms[None], (1,))[0])
    for summed in (_in_float32(terms), _in_float32(terms[::-1]), _in_lanes(terms)):
        assert abs(summed - terms.sum()) <= allowed
    assert allowed <= 1.01 * U * np.abs(np.cumsum(terms)).sum() + 40 * U * np.abs(terms).sum(), "wider than the worst"


@pytest.mark.parametrize("kind", ["constant", "nearly constant"])
def test_equal_roundings_need_more_than_the_square_root(kind: str) -> None:
    """Without the two rules for terms that are rounded alike, these sums would be beyond their bound."""
    terms = _SUMS[kind](_generator()).astype(np.float32).astype(np.float64)
    naive = spread(np.sum(np.cumsum(terms) ** 2), terms.size)
    assert abs(_in_float32(terms) - terms.sum()) > naive


def test_sum_of_two_is_one_rounding_and_of_one_is_none() -> None:
    assert sum_bound(np.array([[3.0]]), (1,))[0] == 0
    assert sum_bound(np.zeros((1, 50)), (1,))[0] == 0
    two = sum_bound(np.array([[3.0, 4.0]]), (1,))[0]
    assert U * 7 <= two <= 1.6 * U * 7


def test_zeros_add_nothing_to_a_sum() -> None:
    terms = np.round(_generator().standard_normal((1, 500)) * 4) / 256
    dotted = np.zeros((1, 50_000))
    dotted[:, ::100] = terms
    np.testing.assert_allclose(sum_bound(dotted, (1,)), sum_bound(terms, (1,)), rtol=1e-12)


def test_sums_keep_the_axes_apart() -> None:
    x = _generator().standard_normal((3, 4, 5))
    whole = sum_bound(x, (0, 2), keepdims=True)
    assert whole.shape == (1, 4, 1)
    one = sum_bound(x[:, 2].reshape(1, -1), (1,))[0]
    assert whole[0, 2, 0] == pytest.approx(one)
    assert sum_bound(x, (-1,)).shape == (3, 4)


def test_running_sums_count_what_came_before() -> None:
    terms = np.array([1.0, 2.0, -4.0])
    np.testing.assert_allclose(cumsum_bound(terms, 0), U * np.array([0.0, 3.0, 4.0]))


@pytest.mark.parametrize("offset", [0.0, 50.0, 10_000.0])
def test_moments_bound_what_a_wrong_mean_does(offset: float) -> None:
    """A mean off by its bound moves the variance by its square."""
    x = offset + _generator().standard_normal((2, 4096))
    mean, var, mean_off, var_off = reductions.moments(x, (1,))
    moved = ((x - mean - mean_off) ** 2).mean(1, keepdims=True)
    assert np.all(np.abs(moved - var) <= var_off)
    assert np.all(var_off <= 2e-5 * var + mean_off**2)
    assert np.all(mean_off >= 2 * U * mean)


@pytest.mark.parametrize("op", ["softmax", "logsumexp", "log_softmax"])
def test_exponentials_pass_on_what_their_arguments_lose(op: str) -> None:
    """x - max is rounded and exp errs by 4 u: all to one side, they need most of what is allowed for them."""
    x = np.array([[0.0, *np.linspace(-9, -1, 9)]])
    attrs: dict[str, Any] = {"axes": (1,)} if op == "logsumexp" else {"axis": 1}
    out, allowed = _bound(op, x, **attrs)
    powers = np.exp(x * (1 - U)) * (1 + 4 * U * (x < 0))
    total = powers.sum(1, keepdims=True)
    wrong = {"softmax": powers / total, "logsumexp": np.log(total)[:, 0], "log_softmax": x * (1 - U) - np.log(total)}
    shares = np.abs(wrong[op] - out) / allowed
    assert np.all(shares <= 1)
    assert np.max(shares) > 0.1
    least = {"softmax": 5.0, "logsumexp": 4 + 5 * np.log(2), "log_softmax": 4 + 6 * np.log(2)}
    assert np.all(_bound(op, np.zeros((1, 2)), **attrs)[1] >= least[op] * U), "both terms may err by 4 u"


def test_a_deep_share_of_softmax_keeps_its_own_error() -> None:
    out, allowed = _bound("softmax", np.array([[0.0, -50.0]]))
    assert 50 * U <= allowed[0, 1] / out[0, 1] <= 65 * U


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_keeps_the_absolute_error_of_what_cancels(approximate: str) -> None:
    x = np.linspace(-6, 6, 1001)
    out, allowed = _bound("gelu", x, approximate=approximate)
    inner = 2 * np.divide(out, x, out=np.full(x.shape, 0.5), where=x != 0) - 1  # erf or tanh
    wrong = np.abs(x * (1 + inner * (1 + 4 * U)) / 2 - out)
    assert np.all(wrong <= allowed)
    assert np.max(wrong[1:-1] / allowed[1:-1]) > 0.25


@pytest.mark.parametrize("op", ["instance_norm", "batch_norm"])
def test_normalisation_bounds_what_moments_that_are_off_do(op: str) -> None:
    x = 30 + _generator().standard_normal((2, 3, 16, 16))
    attrs: dict[str, Any] = {"affine": True} if op == "instance_norm" else {}
    node = _node(op, x, **attrs)
    params = {"weight": np.array([1.0, -2.0, 0.5]), "bias": np.array([0.0, 60.0, 1.0])}
    if op == "batch_norm":
        params |= {"running_mean": np.full(3, 30.0), "running_var": np.full(3, 1.1)}
    axes = (0, 2, 3) if op == "batch_norm" else (2, 3)
    outputs = evaluate(node, params, (x,), train=True)
    (allowed,) = bound(node, params, (x,), outputs, train=True)
    mean, var, mean_off, var_off = reductions.moments(x, axes)
    weight, bias = params["weight"].reshape(-1, 1, 1), params["bias"].reshape(-1, 1, 1)
    gain = weight / np.sqrt(var + var_off + 1e-5)
    direct = (x - mean - mean_off) * gain + bias
    assert np.all(np.abs(direct - outputs[0]) <= allowed)
    folded = np.float32(x * gain) + np.float32(bias - np.float32((mean + mean_off) * gain))
    assert np.all(np.abs(folded - outputs[0]) <= allowed)
    assert np.all(allowed < 1e-3), "still small enough to see a wrong eps"


def test_evaluation_mode_is_bounded_by_its_own_statistics() -> None:
    x = 30 + _generator().standard_normal((2, 3, 16, 16))
    node, params = _node("batch_norm", x, affine=False), {"running_mean": np.zeros(3), "running_var": np.ones(3)}
    outputs = evaluate(node, params, (x,))
    (allowed,) = bound(node, params, (x,), outputs)
    np.testing.assert_allclose(allowed / (U * np.abs(x)), 7, rtol=1e-3)  # 5 for the gain, 1 for x g, 1 for the sum


def test_nearest_allows_the_neighbour_at_whole_places_alone() -> None:
    x = np.arange(6.0)[None, None, None] ** 2
    out, allowed = _bound("interpolate", x, size=(1, 9))
    places = np.arange(9) * 6 / 9
    other = np.maximum(np.floor(places - 1e-6), 0) ** 2
    np.testing.assert_allclose(allowed[0, 0, 0], np.abs(out[0, 0, 0] - other), rtol=1e-4, atol=1e-30)
    assert np.count_nonzero(allowed > 1e-9) == 2


@pytest.mark.parametrize("corners", [False, True])
def test_bilinear_bounds_places_rounded_to_float32(corners: bool) -> None:
    x = _generator().standard_normal((1, 2, 37, 41)) * np.logspace(-3, 3, 41)
    node = _node("interpolate", x, size=(91, 23), mode="bilinear", align_corners=corners)
    (out,) = evaluate(node, {}, (x,))
    (allowed,) = bound(node, {}, (x,), (out,))
    moved = []
    for nudge in (-2 * U, 2 * U):
        matrices = []
        for size, count in ((37, 91), (41, 23)):
            place = source_pixels(size, count, corners)
            wrong = np.clip(place + nudge * (place + (0 if corners else 0.5)), 0, size - 1)
            rows = np.zeros((count, size))
            below = np.minimum(np.floor(wrong).astype(int), size - 2)
            rows[np.arange(count), below], rows[np.arange(count), below + 1] = 1 - (wrong - below), wrong - below
            matrices.append(rows)
        moved.append(matrices[0] @ x @ matrices[1].T)
    assert all(np.all(np.abs(m - out) <= allowed) for m in moved)
    assert max(np.max(np.abs(m - out) / allowed) for m in moved) > 0.2


def test_silu_may_vanish_where_its_exponential_overflows() -> None:
    out, allowed = _bound("silu", np.array([-88.8, -95.0]))
    assert np.all(np.abs(out) <= allowed) and np.all(allowed < 1e-35)


def test_moved_elements_and_indices_are_exact() -> None:
    x = _generator().standard_normal((2, 5))
    for op, attrs in (("relu", {}), ("flip", {"axis": 0}), ("amax", {}), ("transpose", {"order": (1, 0)})):
        assert np.all(_bound(op, x, **attrs)[1] == 2.0**-126)
    node = _node("topk", x, k=2)
    outputs = evaluate(node, {}, (x,))
    values, indices = bound(node, {}, (x,), outputs)
    assert values.shape == indices.shape == (2, 2)
    assert np.all(values == 2.0**-126) and not indices.any()
    labels = np.array([[1, 0]])
    assert not bound(_node("flip", labels, axis=1), {}, (labels,), (labels[:, ::-1],))[0].any()


def test_constants_that_float32_has_not_are_allowed_for() -> None:
    x = np.linspace(-2, 2, 101)
    low = float(np.float32(0.1))
    out, allowed = _bound("clamp", x, low=0.1)
    assert np.all(np.abs(np.maximum(x, low) - out) <= allowed)
    assert np.count_nonzero(allowed > 1e-30) == np.count_nonzero(x <= 0.1)
    out, allowed = _bound("leaky_relu", x, slope=0.01)
    assert np.all(np.abs(np.where(x < 0, x * np.float32(0.01).astype(float), x) - out) <= allowed)
    assert np.all(allowed[x >= 0] == 2.0**-126)
    assert np.all(_bound("affine", x, scale=0.5)[1] <= 1.001 * U * np.abs(x) / 2 + 2.0**-125)
    assert np.all(_bound("affine", x, scale=1.0, shift=0.0)[1] == 2.0**-126)
