"""Processors may read numbers too small for all their digits as zeros: no op is accused of that, forwards or back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.parity import gradient_rounding, rounding
from twinzoo.parity.gradient_rounding import gradient_bound
from twinzoo.parity.op_cases import CASES, NODE, OpCase, case_inputs, case_spec, case_state
from twinzoo.parity.rounding import bound, flushed
from twinzoo.ports.reference import evaluate
from twinzoo.ports.reference.pull import pull
from twinzoo.zoo.spec import Node

Array = NDArray[Any]

SMALL = 5e-39
"""Below the smallest normal number of float32, 1.2e-38."""


def _with_small(x: Array, random: np.random.Generator) -> Array:
    """A third of the numbers made too small, the others larger than they were."""
    if x.dtype.kind in "iu":
        return x
    chosen = random.random(x.shape) < 1 / 3
    return np.asarray(np.where(chosen, np.sign(x) * SMALL, 50 * x), np.float32)


def _drawn(case: OpCase) -> tuple[Node, dict[str, Array], tuple[Array, ...]]:
    node, random = case_spec(case).nodes[NODE], np.random.default_rng(5)
    state = {name.removeprefix(f"{NODE}."): _with_small(x, random) for name, x in case_state(case).items()}
    fed = {role: x for role, x in case_inputs(case).items() if role.startswith(f"{NODE}_")}
    inputs = tuple(_with_small(case_inputs(case)[value.ref], random) for value in node.inputs)
    return node, {**state, **{name.removeprefix(f"{NODE}_"): x for name, x in fed.items()}}, inputs


def _flushed(params: dict[str, Array], inputs: tuple[Array, ...]) -> tuple[dict[str, Array], tuple[Array, ...]]:
    return {role: flushed(x) for role, x in params.items()}, tuple(map(flushed, inputs))


def _share(apart: Array, allowed: Array) -> float:
    """The largest |apart| / allowed where there is a number."""
    apart = np.abs(apart)
    with np.errstate(all="ignore"):
        ratios = np.where(apart == 0, 0.0, apart / allowed)
    return float(np.nan_to_num(ratios[np.isfinite(apart)], nan=np.inf).max(initial=0.0))


def _forward(case: OpCase) -> float:
    node, params, inputs = _drawn(case)
    with np.errstate(all="ignore"):
        outputs = evaluate(node, params, inputs, train=case.train)
        allowed = bound(node, params, inputs, outputs, train=case.train)[0]
        other = evaluate(node, *_flushed(params, inputs), train=case.train)[0]
    return 0.0 if other.dtype.kind in "iu" else _share(other - outputs[0], allowed)


def _backward(case: OpCase) -> list[float]:
    node, params, inputs = _drawn(case)
    with np.errstate(all="ignore"):
        outputs = evaluate(node, params, inputs, train=case.train)
        gradient = np.random.default_rng(6).standard_normal(outputs[0].shape)
        gradient = _with_small(gradient, np.random.default_rng(7))
        pulled = pull(node, params, inputs, outputs, gradient, train=case.train)
        allowed = gradient_bound(node, params, inputs, outputs, gradient, 0.0, pulled, train=case.train)
        held, given = _flushed(params, inputs)
        there = evaluate(node, held, given, train=case.train)
        other = pull(node, held, given, there, flushed(gradient), train=case.train)
    pairs = [*zip(pulled.inputs, allowed.inputs, other.inputs, strict=True)]
    pairs += [(pulled.params[role], allowed.params[role], other.params[role]) for role in pulled.params]
    return [_share(y - x, b) for x, b, y in pairs if x is not None and b is not None and y is not None]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_no_op_is_accused_of_flushing(case: OpCase) -> None:
    assert _forward(case) <= 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_no_gradient_is_accused_of_flushing(case: OpCase) -> None:
    assert all(share <= 1 for share in _backward(case))


def test_without_the_term_many_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (rounding, gradient_rounding):
        monkeypatch.setattr(module, "with_flushed", lambda bound, some, other: bound)
    forward = {case.op for case in CASES if _forward(case) > 1}
    assert {"mul", "affine", "learned_scale"} <= forward
    assert {"mul", "affine"} <= {case.op for case in CASES if max(_backward(case), default=0.0) > 1}


def test_what_is_not_small_is_the_same_array() -> None:
    x = np.array([0.0, 1.2e-38, -3.0])
    assert flushed(x) is x
    np.testing.assert_array_equal(flushed(np.array([SMALL, -SMALL, 1.0])), [0, 0, 1])
