"""A floor never lies above its bound, and decides only what is clear: between the two, the bound does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from twinzoo.parity import verdict
from twinzoo.parity.bounds.precision import BFLOAT16, FLOAT16, FLOAT32, HF32, TF32
from twinzoo.parity.kernels import KernelAccuracy
from twinzoo.parity.layers import CLEAR, Walk
from twinzoo.parity.results import SideResult
from twinzoo.parity.rounding import BOUNDS, FLOORS, bound
from twinzoo.parity.runs import Runs
from twinzoo.parity.trace import Trace
from twinzoo.ports.reference import evaluate
from twinzoo.zoo.spec import Node, Spec

Array = NDArray[Any]

SHAPES: dict[str, tuple[list[tuple[int, ...]], dict[str, Any]]] = {
    "conv1d": ([(1, 6, 20)], {"channels": 4, "kernel": 5, "padding": 2}),
    "conv2d": ([(1, 6, 9, 8)], {"channels": 4, "kernel": 3, "stride": 2, "padding": 1, "groups": 2}),
    "conv_transpose2d": ([(1, 6, 5, 6)], {"channels": 4, "kernel": 3, "stride": 2, "output_padding": 1, "groups": 2}),
    "blur2d": ([(1, 3, 9, 9)], {"taps": (1, 2, 1)}),
    "blur_transpose2d": ([(1, 3, 5, 5)], {"taps": (1, 2, 1)}),
    "linear": ([(3, 40)], {"features": 5}),
    "matmul": ([(2, 3, 40), (2, 40, 5)], {}),
}

PICTURES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "random": lambda r, shape: r.standard_normal(shape),
    "positive": lambda r, shape: r.random(shape),
    "rising": lambda r, shape: np.sort(r.standard_normal(shape), -1),
    "sparse": lambda r, shape: r.standard_normal(shape) * (r.random(shape) < 0.2),
    "one value": lambda r, shape: np.full(shape, 0.3),
    "huge and tiny": lambda r, shape: r.standard_normal(shape) * 10.0 ** r.integers(-18, 18, shape),
}


def _node(op: str, random: np.random.Generator, picture: str) -> tuple[Node, dict[str, Array], tuple[Array, ...]]:
    shapes, attrs = SHAPES[op]
    spec = Spec("one")
    inputs = [spec.input(f"x{i}", shape=shape) for i, shape in enumerate(shapes)]
    spec.output(y=getattr(spec, op)("op", *inputs, **attrs))
    node = spec.nodes["op"]
    draw = PICTURES[picture]
    params = {role: np.asarray(draw(random, tuple(param.shape))) for role, param in node.params.items()}
    return node, params, tuple(draw(random, shape).astype(np.float32) for shape in shapes)


def test_every_floor_is_of_an_op_with_a_bound_and_is_tested() -> None:
    assert set(FLOORS) == set(SHAPES) <= set(BOUNDS)


@given(
    op=st.sampled_from(sorted(SHAPES)),
    picture=st.sampled_from(sorted(PICTURES)),
    precision=st.sampled_from([FLOAT32, FLOAT16, BFLOAT16, TF32, HF32]),
    seed=st.integers(0, 2**32),
)
def test_a_floor_is_no_more_than_the_bound(op: str, picture: str, precision: Any, seed: int) -> None:
    node, params, inputs = _node(op, np.random.default_rng(seed), picture)
    outputs = evaluate(node, params, inputs)
    low, high = (bound(node, params, inputs, outputs, precision=precision, floor=floor)[0] for floor in (True, False))
    assert np.all(low <= high * (1 + 1e-5)) and np.all(low > 0)


def _hill() -> tuple[Spec, dict[str, Array], Array, Array, Array]:
    """A sum that rises and falls, whose bound is well above its floor: spec, state, input, floor, bound."""
    spec = Spec("one")
    x = spec.input("x", shape=(1, 512))
    spec.output(y=spec.linear("fc", x, 4, bias=False))
    state = {"fc.weight": np.tile(np.linspace(1, -0.9, 512), (4, 1)).astype(np.float32)}
    given_ = np.ones((1, 512), np.float32)
    runs = Runs(spec.nodes["fc"], {})
    out = runs({"weight": state["fc.weight"].astype(np.float64)}, (given_,))
    return spec, state, given_, runs.bound(out, floor=True)[0], runs.bound(out)[0]


def _walk(off: Array) -> Walk:
    """The walk where side b is off by so much."""
    spec, state, x, _, _ = _hill()
    exact = evaluate(spec.nodes["fc"], {"weight": state["fc.weight"].astype(np.float64)}, (x,))[0]
    walk = Walk()
    sides = [exact.astype(np.float32), (exact + off).astype(np.float32)]
    traces = tuple(Trace("torch", state, {"y": y}, {"fc": y}) for y in sides)
    walk.model(spec, (traces[0], traces[1]), {"x": x})
    return walk


def _row(off: Array) -> SideResult:
    return _walk(off).rows[0].b


def test_between_floor_and_bound_the_bound_decides() -> None:
    _, _, _, low, high = _hill()
    assert low.max() * 2 < high.max()
    within, beyond = _row((low + high) / 2), _row(2.5 * high)
    assert within.ok and within.ratio == pytest.approx(((low + high) / 2 / high).max(), rel=0.05)
    assert not beyond.ok and beyond.ratio == pytest.approx(2.5, rel=0.05)
    clear = _row(CLEAR / 2 * low)
    assert clear.ok and clear.ratio <= CLEAR


def test_an_allowance_is_listed_where_the_bound_does_not_do_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that passes by its allowance where it is held against the floor may not need it within the bound."""
    _, _, _, low, high = _hill()
    allowed = KernelAccuracy(float(10 * high.max()), 0.0, "measured")
    monkeypatch.setattr(verdict, "KERNELS", {("torch", "linear"): allowed})
    for off, kernels in (((low + high) / 2, []), (2 * high, [("torch", "linear", "float32")])):
        walk = _walk(off)
        assert walk.rows[0].b.ok and list(walk.kernels) == kernels
