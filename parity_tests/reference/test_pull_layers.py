"""Gradients of layers, images and structure in float64, against torch's in double; and planted faults."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinzoo.parity.op_cases import CASES, NODE, OpCase, case_inputs, case_spec, case_state
from twinzoo.ports.reference import evaluate
from twinzoo.ports.reference.backward import layers, spatial, structure
from twinzoo.ports.reference.backward.rule import Pulled
from twinzoo.ports.reference.convolution import convolve, correlate
from twinzoo.ports.reference.pull import TABLE, pull
from twinzoo.zoo.spec import OPS, Spec

torch = pytest.importorskip("torch")

OURS = {**layers.RULES, **spatial.RULES, **structure.RULES}
OUR_CASES = [case for case in CASES if case.op in OURS]


def _by_torch(spec: Spec, state: Any, inputs: Any, gradient: Any, train: bool) -> Pulled:
    """The gradients of the node by autograd in float64."""
    from twinzoo.ports.torch.port import PORT

    model = PORT.build(spec)
    PORT.load(model, state)
    model.double().train(train)
    given = [torch.from_numpy(np.array(inputs[name])) for name in spec.inputs]
    given = [x.double().requires_grad_() if x.is_floating_point() else x for x in given]
    made = model(*given)
    first = made[0] if isinstance(made, tuple) else made
    trained = {name.partition(".")[2]: tensor for name, tensor in PORT.parameters(model).items()}
    sources = [x for x in given if x.is_floating_point()] + list(trained.values())
    # Of `like` only the shape is used: autograd has no gradient by it, which is one of zeros.
    settings = {"allow_unused": "like" in spec.inputs, "materialize_grads": "like" in spec.inputs}
    found = iter(torch.autograd.grad(first, sources, torch.from_numpy(gradient), **settings))
    by_input = tuple(next(found).numpy() if x.is_floating_point() else None for x in given)
    return Pulled(by_input, {role: next(found).numpy() for role in trained})


def _both(case: OpCase, seed: int) -> tuple[Pulled, Pulled]:
    spec, state, inputs = case_spec(case), case_state(case, seed), case_inputs(case, seed)
    node, params = spec.nodes[NODE], {name.partition(".")[2]: value for name, value in state.items()}
    arrays = tuple(inputs[name] for name in spec.inputs)
    outputs = evaluate(node, params, arrays, train=case.train)
    gradient = np.random.default_rng(seed).standard_normal(outputs[0].shape)
    ours = pull(node, params, arrays, outputs, gradient, train=case.train)
    return ours, _by_torch(spec, state, inputs, gradient, case.train)


def _assert_equal(ours: Pulled, theirs: Pulled) -> None:
    assert ours.params.keys() == theirs.params.keys()
    assert len(ours.inputs) == len(theirs.inputs)
    pairs = [*zip(ours.inputs, theirs.inputs, strict=True), *((ours.params[r], theirs.params[r]) for r in ours.params)]
    for mine, wanted in pairs:
        assert (mine is None) == (wanted is None)
        if mine is not None and wanted is not None:
            assert mine.shape == wanted.shape and mine.dtype == np.float64
            np.testing.assert_allclose(mine, wanted, rtol=1e-11, atol=1e-12)


def test_every_op_has_a_row() -> None:
    assert set(TABLE) == set(OPS)


@pytest.mark.parametrize("case", OUR_CASES, ids=lambda case: case.id)
@pytest.mark.parametrize("seed", [0, 1])
def test_case_agrees_with_torch(case: OpCase, seed: int) -> None:
    _assert_equal(*_both(case, seed))


_SIZES = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=60, deadline=None)
@given(
    kernel=_SIZES,
    stride=_SIZES,
    dilation=_SIZES,
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    size=st.tuples(st.integers(7, 10), st.integers(7, 10)),
    groups=st.integers(1, 2),
    transposed=st.booleans(),
)
def test_convolutions_of_any_form_agree_with_torch(
    kernel: Any, stride: Any, dilation: Any, padding: Any, size: Any, groups: int, transposed: bool
) -> None:
    attrs = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    op = "conv_transpose2d" if transposed else "conv2d"
    _assert_equal(*_both(OpCase(op, {"channels": 4, **attrs}, (_tensor(2, 2, *size),)), 3))


def _tensor(*shape: int) -> Any:
    from twinzoo.parity.op_cases import Tensor

    return Tensor(shape)


def test_strips_of_rows_add_up_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    x, weight = random.standard_normal((5, 4, 6, 6)), random.standard_normal((2, 4, 3, 3))
    how = ((1, 1), (1, 1), (1, 1), 1)
    gradient = random.standard_normal(convolve(x, weight, *how).shape)
    whole = correlate(gradient, x, (3, 3), *how)
    monkeypatch.setattr("twinzoo.ports.reference.convolution.WORKSPACE", 4 * 36 * 2)
    np.testing.assert_allclose(correlate(gradient, x, (3, 3), *how), whole, rtol=1e-12)


def _pulled(op: str, x: Any, gradient: Any, **attrs: Any) -> Any:
    spec = Spec("one")
    spec.output(y=getattr(spec, op)("op", spec.input("x", shape=x.shape), **attrs))
    node = spec.nodes["op"]
    return pull(node, {}, (x,), evaluate(node, {}, (x,)), gradient).inputs[0]


def test_of_equal_numbers_the_first_takes_the_gradient() -> None:
    flat = np.zeros((1, 1, 2, 4))
    pulled = _pulled("max_pool2d", flat, np.array([[[[3.0, 5.0]]]]), kernel=2)
    np.testing.assert_array_equal(pulled[0, 0], [[3, 0, 5, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(_pulled("topk", np.zeros((1, 3)), np.array([[7.0]]), k=1), [[7, 0, 0]])


@pytest.mark.parametrize("lost", ["weight", "bias"])
def test_a_lost_parameter_shows(lost: str) -> None:
    (case,) = (case for case in OUR_CASES if case.id == "conv2d-dilated_grouped")
    ours, theirs = _both(case, 0)
    ours.params[lost] = ours.params[lost] * 0.999
    with pytest.raises(AssertionError):
        _assert_equal(ours, theirs)
