"""The mirrored modules of both frameworks give what plain arithmetic gives."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from twinzoo.parity.differences.arrays import INPUTS, draw

X = INPUTS["image"]
LAYERS = {"torch": "nn.Linear(5, 3)", "mindspore": "nn.Dense(5, 3)"}
BATCH_NORM = "nn.BatchNorm2d(4)"
SGD = {"torch": "optim.SGD(params, lr=0.5)", "mindspore": "nn.SGD(params, 0.5)"}


@pytest.fixture(params=["torch", "mindspore"])
def framework(request: pytest.FixtureRequest) -> Any:
    """The name of a framework that is installed here."""
    pytest.importorskip(request.param)
    return request.param


def module(name: str) -> Any:
    return import_module(f"twinzoo.ports.{name}.differences")


def test_both_modules_have_the_same_functions() -> None:
    public = [
        {
            name: str(inspect.signature(f))
            for name, f in inspect.getmembers(module(m), inspect.isfunction)
            if name[0] != "_"
        }
        for m in ("torch", "mindspore")
    ]
    assert public[0] == public[1]
    assert len(public[0]) == 8


def test_a_function_and_its_gradient(framework: str) -> None:
    forms = module(framework)
    made = forms.make("lambda x, y: 3 * x + y * y", draw, False)
    inputs = (X, X + 1)
    np.testing.assert_allclose(forms.forward(made, inputs)["forward"], 3 * X + (X + 1) ** 2, rtol=1e-6)
    found = forms.gradients(made, inputs, draw)
    cotangent = draw("cotangent", X.shape)
    np.testing.assert_allclose(found["gradient of input 0"], 3 * cotangent, rtol=1e-6)
    np.testing.assert_allclose(found["gradient of input 1"], 2 * (X + 1) * cotangent, rtol=1e-5, atol=1e-6)


def test_a_layer_has_the_drawn_weights_and_all_gradients(framework: str) -> None:
    forms, x = module(framework), INPUTS["matrix"]
    made = forms.make(LAYERS[framework], draw, False)
    weight, bias, cotangent = draw("weight", (3, 5)), draw("bias", (3,)), draw("cotangent", (6, 3))
    assert set(forms.forward(made, (x,))) == {"forward"}
    np.testing.assert_allclose(forms.forward(made, (x,))["forward"], x @ weight.T + bias, rtol=1e-4, atol=1e-6)
    found = forms.gradients(made, (x,), draw)
    assert set(found) == {"gradient of input 0", "gradient of weight", "gradient of bias"}
    np.testing.assert_allclose(found["gradient of weight"], cotangent.T @ x, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["gradient of bias"], cotangent.sum(0), rtol=1e-4, atol=1e-6)


def test_buffers_move_once_and_in_train_mode_alone(framework: str) -> None:
    forms = module(framework)
    start, mean = draw("running_mean", (4,)), X.mean((0, 2, 3))
    for train, wanted in ((False, start), (True, 0.9 * start + 0.1 * mean)):
        made = forms.make(BATCH_NORM, draw, train)
        found = forms.forward(made, (X,))
        forms.gradients(made, (X,), draw)
        assert set(found) == {"forward", "running_mean", "running_var"}
        np.testing.assert_allclose(found["running_mean"], wanted, rtol=1e-5, atol=1e-7)


def test_integer_inputs_have_no_gradient(framework: str) -> None:
    made = module(framework).make("nn.Embedding(5, 2)", draw, False)
    assert set(module(framework).gradients(made, (INPUTS["labels"],), draw)) == {"gradient of weight"}


def test_an_optimizer_makes_every_step_and_leaves_its_start_alone(framework: str) -> None:
    start, slopes = draw("weight", (6,)), INPUTS["gradients"]
    before = start.copy()
    after = module(framework).optimize(SGD[framework], start, list(slopes))
    np.testing.assert_array_equal(start, before)
    np.testing.assert_allclose(after, start - 0.5 * np.cumsum(slopes, axis=0), rtol=1e-4, atol=1e-6)


def test_names_are_those_of_a_checkpoint(framework: str) -> None:
    names = {"torch": "running_mean", "mindspore": "moving_mean"}
    assert module(framework).names(BATCH_NORM)[names[framework]] == (4,)


def test_initial_weights_are_by_role_and_not_the_drawn_ones(framework: str) -> None:
    found = module(framework).initial(BATCH_NORM)
    assert {role: float(x.mean()) for role, x in found.items()} == {
        "weight": 1, "bias": 0, "running_mean": 0, "running_var": 1
    }  # fmt: skip


def test_the_share_of_zeros_is_in_train_mode(framework: str) -> None:
    assert module(framework).dropped("nn.Dropout(p=0.2)") == pytest.approx(0.2, abs=0.02)


def test_draws_are_the_same_for_other_shapes_of_one_size() -> None:
    np.testing.assert_array_equal(draw("weight", (8, 4, 3)).ravel(), draw("weight", (8, 4, 1, 3)).ravel())
    assert not np.array_equal(draw("weight", (4,)), draw("bias", (4,)))
    assert (draw("running_var", (100,)) > 0).all()
