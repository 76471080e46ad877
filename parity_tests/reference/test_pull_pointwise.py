"""Gradients of functions, norms, reductions and losses in float64, against torch's in double; and planted faults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from parity_tests.reference.test_ops import DEFINITIONS
from twinzoo.parity.op_cases import CASES, NODE, OpCase, Tensor, case_inputs, case_spec, case_state
from twinzoo.ports.reference import evaluate
from twinzoo.ports.reference.backward import losses, norms, pointwise, reductions
from twinzoo.ports.reference.backward.rule import Pulled
from twinzoo.ports.reference.pull import TABLE, pull
from twinzoo.zoo.spec import Spec

torch = pytest.importorskip("torch")

OURS = {**pointwise.RULES, **norms.RULES, **reductions.RULES, **losses.RULES}
OUR_CASES = [case for case in CASES if case.op in OURS]


def _by_torch(case: OpCase, params: Any, draws: Any, inputs: Any, gradient: Any) -> Pulled:
    """The gradients of the case's node by autograd in float64."""
    node = case_spec(case).nodes[NODE]
    held = {role: torch.from_numpy(np.array(value, np.float64)) for role, value in {**params, **draws}.items()}
    trained = [role for role, param in node.params.items() if not param.buffer]
    given = [torch.from_numpy(np.array(x, np.int64 if x.dtype.kind == "i" else np.float64)) for x in inputs]
    floating = [x for x in given if x.is_floating_point()]
    sources = [source.requires_grad_() for source in [*floating, *(held[role] for role in trained)]]
    mode = {"train": case.train} if case.op == "batch_norm" else {}
    made = DEFINITIONS[case.op](node.attrs, held, *given, **mode)
    if not made.requires_grad:
        return Pulled((None,) * len(given), {})
    found = iter(torch.autograd.grad(made, sources, torch.from_numpy(gradient)))
    by_inputs = tuple(next(found).numpy() if x.is_floating_point() else None for x in given)
    return Pulled(by_inputs, {role: next(found).numpy() for role in trained})


def _both(case: OpCase, seed: int, inputs: Any = None) -> tuple[Pulled, Pulled]:
    spec, state, fed = case_spec(case), case_state(case, seed), case_inputs(case, seed)
    node, params = spec.nodes[NODE], {name.partition(".")[2]: value for name, value in state.items()}
    draws = {suffix: fed[f"{NODE}_{suffix}"] for suffix in node.draws if case.fed}
    arrays = inputs or tuple(fed[name] for name in spec.inputs)
    outputs = evaluate(node, params, arrays, train=case.train, draws=draws)
    gradient = np.random.default_rng(seed).standard_normal(outputs[0].shape)
    ours = pull(node, params, arrays, outputs, gradient, train=case.train, draws=draws)
    return ours, _by_torch(case, params, draws, arrays, gradient)


def _pairs(ours: Pulled, theirs: Pulled) -> Iterator[tuple[Any, Any]]:
    assert ours.params.keys() == theirs.params.keys()
    yield from zip(ours.inputs, theirs.inputs, strict=True)
    yield from ((ours.params[role], theirs.params[role]) for role in ours.params)


def _assert_equal(ours: Pulled, theirs: Pulled) -> None:
    """Up to the rounding of float64; elements that cancel are held to the scale of the whole."""
    for mine, wanted in _pairs(ours, theirs):
        assert (mine is None) == (wanted is None)
        if mine is not None:
            assert mine.shape == wanted.shape and mine.dtype == np.float64
            np.testing.assert_allclose(mine, wanted, rtol=1e-10, atol=1e-12 * np.abs(wanted).max(initial=0))


@pytest.mark.parametrize("case", OUR_CASES, ids=lambda case: case.id)
@pytest.mark.parametrize("seed", [0, 1])
def test_case_agrees_with_torch(case: OpCase, seed: int) -> None:
    _assert_equal(*_both(case, seed))


_KINKS = ("relu", "abs", "leaky_relu", "elu", "prelu", "clamp", "maximum", "amax", "amin", "l1_loss", "smooth_l1_loss")
_WHOLE = st_np.arrays(np.float64, (2, 3, 4), elements=st.integers(-2, 2).map(float))


@settings(max_examples=60, deadline=None)
@given(op=st.sampled_from(_KINKS), x=_WHOLE, y=_WHOLE)
def test_kinks_and_ties_are_shared_as_torch_does(op: str, x: Any, y: Any) -> None:
    attrs: dict[str, dict[str, Any]] = {"clamp": {"low": -1.0, "high": 1.0}, "elu": {"alpha": 0.5}}
    attrs |= dict.fromkeys(("amax", "amin"), {"axes": (1, 2)})
    pair = op in ("maximum", "l1_loss", "smooth_l1_loss")
    case = OpCase(op, attrs.get(op, {}), (Tensor((2, 3, 4)),) * (2 if pair else 1))
    _assert_equal(*_both(case, 0, (x, y) if pair else (x,)))


@pytest.mark.parametrize("op", ["tanh", "sigmoid", "softplus", "silu", "elu", "gelu", "softmax", "bce_with_logits"])
def test_nothing_overflows_or_cancels_far_out(op: str) -> None:
    """Where the gradient is nearly 0 or 1, to the last digits: tanh'(20) is 4 exp(-40), and not 1 - 1."""
    x = np.array([[-700.0, -40.0, -20.0, 20.0, 40.0, 700.0]])
    shape = Tensor(x.shape)
    case = OpCase(op, {}, (shape, shape) if op == "bce_with_logits" else (shape,))
    ours, _ = _both(case, 0, (x, np.full(x.shape, 0.25)) if op == "bce_with_logits" else (x,))
    assert ours.inputs[0] is not None and np.all(np.isfinite(ours.inputs[0]))
    if op == "tanh":
        gradient = np.random.default_rng(0).standard_normal(x.shape)
        np.testing.assert_allclose(ours.inputs[0][0, 2:4], 4 * np.exp(-40) * gradient[0, 2:4], rtol=1e-13)


def test_a_deviation_of_zero_passes_nothing() -> None:
    spec = Spec("one")
    spec.output(y=spec.std("op", spec.input("x", shape=(2, 3)), axes=(1,)))
    x = np.array([[1.0, 1, 1], [1, 2, 3]])
    dx: Any = pull(spec.nodes["op"], {}, (x,), evaluate(spec.nodes["op"], {}, (x,)), np.ones(2)).inputs[0]
    np.testing.assert_allclose(dx, np.array([[0, 0, 0], [-0.5, 0, 0.5]]))


def test_a_norm_below_eps_is_a_constant() -> None:
    case = OpCase("l2_normalize", {"eps": 1.0}, (Tensor((4, 3)),))
    x = np.array([[0.0, 0, 0], [0.1, 0.2, 0.3], [1, 0, 0], [1, 2, 3]])
    _assert_equal(*_both(case, 0, (x,)))


@pytest.mark.parametrize("op", sorted(OURS))
def test_a_share_of_1e_9_that_is_off_shows(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rule in turn is spoiled, to see that the comparison above looks at what it gives."""
    case = next(case for case in OUR_CASES if case.op == op)
    table, rule = (norms.TRAINING, norms.TRAINING[op]) if case.train else (TABLE, TABLE[op])

    def spoiled(*arguments: Any) -> Pulled:
        made = rule(*arguments)
        moved = (np.ones(arguments[4].shape) if dx is None else dx * (1 + 1e-9) for dx in made.inputs[:1])
        return Pulled((*moved, *made.inputs[1:]), made.params)

    monkeypatch.setitem(table, op, spoiled)
    with pytest.raises(AssertionError):
        _assert_equal(*_both(case, 0))


@pytest.mark.parametrize(
    "case_id", ["batch_norm", "instance_norm-affine", "group_norm", "layer_norm", "prelu", "learned_scale"]
)
def test_a_parameter_that_is_off_shows(case_id: str) -> None:
    (case,) = (case for case in OUR_CASES if case.id == case_id)
    for role in case_spec(case).nodes[NODE].params:
        ours, theirs = _both(case, 0)
        if role in ours.params:  # buffers have no gradient
            ours.params[role].flat[0] *= 1 + 1e-9
            with pytest.raises(AssertionError):
                _assert_equal(ours, theirs)


@pytest.mark.parametrize("op", sorted(norms.RULES))
@pytest.mark.parametrize("lost", ["through the mean", "through the variance"])
def test_a_lost_term_of_a_norm_shows(op: str, lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = next(case for case in OUR_CASES if case.op == op and (case.train or op != "batch_norm"))
    through_moments = norms._through_moments

    def short(h: Any, x: Any, axes: tuple[int, ...], eps: float) -> tuple[Any, Any]:
        dx, z = through_moments(h, x, axes, eps)
        term = h.mean(axes, keepdims=True) if lost == "through the mean" else z * (h * z).mean(axes, keepdims=True)
        return dx + term / np.sqrt(x.var(axes, keepdims=True) + eps), z

    monkeypatch.setattr(norms, "_through_moments", short)
    with pytest.raises(AssertionError):
        _assert_equal(*_both(case, 0))
