"""Every op of the table on both frameworks: outputs, gradients, buffers, and the state there and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.parity.op_cases import CASES, OpCase, case_inputs, case_spec, case_state
from twinzoo.ports.mindspore.port import MindSporePort
from twinzoo.ports.mindspore.table import LANGUAGE as MINDSPORE
from twinzoo.ports.port import Port
from twinzoo.ports.torch.port import TorchPort
from twinzoo.ports.torch.table import ROWS as TORCH_ROWS
from twinzoo.zoo.spec import OPS, Spec

Array = NDArray[Any]

# Both sides round every product and sum to 2**-24 of its value; the longest sums here have about 100 terms, whose
# roundings add up like a random walk to 10 * 2**-24 on either side: 1.2e-6 between them.
ROUNDING = 2e-6

# MindSpore's CPU kernel of exp errs by up to 4.6e-6 of the value, sigmoid's by 2.4e-6 (measured), and these ops use it
# once; their gradients use it up to three times (logsumexp: in the sum, in its logarithm and in the quotient).
EXPONENTIAL = 5e-6
EXPONENTIAL_SLOPE = 3 * EXPONENTIAL
WITH_EXP = {
    *("exp", "logsumexp", "softmax", "log_softmax", "sigmoid", "tanh", "softplus", "silu", "elu", "gelu"),
    *("bce_with_logits", "cross_entropy"),
}


def tolerance(case: OpCase, *, slope: bool = False) -> float:
    """The largest difference that rounding explains, as a share of the largest element, of outputs or gradients."""
    if case.op not in WITH_EXP:
        return ROUNDING
    return EXPONENTIAL_SLOPE if slope else EXPONENTIAL


def assert_close(ours: dict[str, Array], theirs: dict[str, Array], share: float) -> None:
    """Hold two sets of arrays against each other, on the scale of each array's largest element."""
    assert list(ours) == list(theirs)
    for name, a in ours.items():
        b = theirs[name]
        assert a.shape == b.shape, name
        assert np.isfinite(a).all() and np.isfinite(b).all(), name
        scale = max(np.abs(a).max(initial=0), np.abs(b).max(initial=0))
        assert np.abs(a.astype(np.float64) - b).max(initial=0) <= share * scale, name


def cotangents(outputs: dict[str, Array]) -> dict[str, Array]:
    """Random weights for every floating-point output."""
    generator = np.random.default_rng(1)
    floating = {name: value for name, value in outputs.items() if value.dtype.kind == "f"}
    return {name: generator.uniform(-1, 1, value.shape).astype(np.float32) for name, value in floating.items()}


def test_every_op_has_a_row_and_a_case() -> None:
    assert set(TORCH_ROWS) == set(OPS)
    assert set(MINDSPORE.rows) == set(OPS)
    assert {case.op for case in CASES} == set(OPS)
    assert len({case.id for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_op(case: OpCase, torch_port: TorchPort, mindspore_port: MindSporePort) -> None:
    spec, inputs, state = case_spec(case), case_inputs(case), case_state(case)
    ports: tuple[Port, Port] = (torch_port, mindspore_port)
    models = [port.build(spec) for port in ports]
    for port, model in zip(ports, models, strict=True):
        port.load(model, state)
        assert_close(port.state(model), state, 0.0)

    outputs = [port.run(model, inputs, train=case.train) for port, model in zip(ports, models, strict=True)]
    assert_close(outputs[0], outputs[1], tolerance(case))
    for name, value in spec.outputs.items():
        assert outputs[0][name].shape == spec.concrete(value, case.sizes)
    assert_close(torch_port.state(models[0]), mindspore_port.state(models[1]), ROUNDING)

    pulled = cotangents(outputs[0])
    gradients = [p.gradients(m, inputs, pulled, train=case.train) for p, m in zip(ports, models, strict=True)]
    floating = [name for name, item in spec.inputs.items() if item.value.dtype == "float"]
    assert list(gradients[0]) == floating + [name for name, param in spec.params.items() if not param.buffer]
    assert_close(gradients[0], gradients[1], tolerance(case, slope=True))


def test_dropout_draws_its_own_mask(torch_port: TorchPort, mindspore_port: MindSporePort) -> None:
    (case,) = (case for case in CASES if case.id == "dropout")
    inputs = {"x": np.ones((2, 4, 9, 8), np.float32)}
    for port in (torch_port, mindspore_port):
        model = port.build(case_spec(case))
        assert (port.run(model, inputs)["y"] == 1).all()
        kept = port.run(model, inputs, train=True)["y"]
        assert set(np.unique(kept.round(4))) == {np.float32(0), np.float32(1.6667)}


def test_tanh_is_exact_to_2e_6_everywhere(mindspore_port: MindSporePort) -> None:
    (case,) = (case for case in CASES if case.id == "tanh-wide")
    x = np.concatenate([np.linspace(-90, 90, 238), [1e30, -1e30]]).astype(np.float32).reshape(2, 3, 40)
    model = mindspore_port.build(case_spec(case))
    exact = np.tanh(x.astype(np.float64))
    assert np.abs(mindspore_port.run(model, {"x": x})["y"] - exact).max() < 2e-6
    slope = mindspore_port.gradients(model, {"x": x}, {"y": np.ones_like(x)})["x"]
    assert np.abs(slope - (1 - exact**2)).max() < 2e-6


@pytest.mark.parametrize("correction", [0, 1])
def test_the_variance_of_equal_numbers_has_a_gradient_of_0(mindspore_port: MindSporePort, correction: int) -> None:
    """ops.var gives NaN for it; the other channel's is (x - mean) * 2 / (n - correction)."""
    spec = Spec("spread")
    x = spec.input("x", channels=2)
    spec.output(y=spec.var("spread", x, axes=(2, 3), correction=correction))
    image = np.random.default_rng(0).normal(size=(1, 2, 4, 4)).astype(np.float32)
    image[0, 1] = 0.25
    model = mindspore_port.build(spec)
    made = mindspore_port.gradients(model, {"x": image}, {"y": np.ones((1, 2), np.float32)})["x"]
    expected = 2 / (16 - correction) * (image - image.mean((2, 3), keepdims=True))
    np.testing.assert_allclose(made, expected, atol=1e-6)
