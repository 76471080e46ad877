"""Layers with spectral norm within their bounds, forwards and backwards, in both modes; what is wrong is outside."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.parity.gradient_rounding import gradient_bound
from twinzoo.parity.op_cases import CASES, NODE, OpCase, Tensor, case_inputs, case_spec, case_state
from twinzoo.parity.rounding import bound
from twinzoo.ports.reference import evaluate
from twinzoo.ports.reference.backward.layers import RULES as BACKWARD
from twinzoo.ports.reference.pull import pull
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.spectral import PLAIN, moved, normalised, sigma_of

Array = NDArray[Any]

LAYERS = (
    OpCase("spectral_conv2d", {"channels": 32, "kernel": 7, "padding": 3}, (Tensor((1, 3, 32, 32)),)),
    OpCase("spectral_conv2d", {"channels": 64, "kernel": 4, "stride": 2}, (Tensor((1, 128, 10, 10)),)),
    OpCase("spectral_conv_transpose2d", {"channels": 32, "kernel": 4, "stride": 2}, (Tensor((1, 64, 8, 8)),)),
    OpCase("spectral_linear", {"features": 64}, (Tensor((8, 1024)),)),
)
"""Layers of the size that models have, or nearly."""


@dataclass
class Run:
    """One layer in one mode: what is right, and how far a kernel may lie from it."""

    case: OpCase
    state: dict[str, Array]
    train: bool

    def __post_init__(self) -> None:
        self.spec = case_spec(self.case)
        self.node, self.inputs = self.spec.nodes[NODE], case_inputs(self.case)
        self.params = {name.partition(".")[2]: value for name, value in self.state.items()}
        x = (self.inputs["x"],)
        self.outputs = evaluate(self.node, self.params, x, train=self.train)
        self.allowed = bound(self.node, self.params, x, self.outputs, train=self.train)[0]
        self.gradient = np.random.default_rng(8).standard_normal(self.outputs[0].shape).astype(np.float32)
        self.pulled = pull(self.node, self.params, x, self.outputs, self.gradient, train=self.train)
        self.bounds = gradient_bound(
            self.node, self.params, x, self.outputs, self.gradient, 0.0, self.pulled, train=self.train
        )

    def shares(self, name: str) -> dict[str, float]:
        """The largest error of a port over its bound, by what it is of."""
        port = import_module(f"twinzoo.ports.{name}.port").PORT
        model = port.build(self.spec)
        port.load(model, self.state)
        found = {"y": _share(port.run(model, self.inputs, train=self.train)["y"], self.outputs[0], self.allowed)}
        port.load(model, self.state)
        made = port.gradients(model, self.inputs, {"y": self.gradient}, train=self.train)
        found["x"] = _share(made["x"], self.pulled.inputs[0], self.bounds.inputs[0])
        for role, wanted in self.pulled.params.items():
            found[role] = _share(made[f"{NODE}.{role}"], wanted, self.bounds.params[role])
        return found


def _share(got: Array, wanted: Any, allowed: Any) -> float:
    assert got.shape == wanted.shape == allowed.shape and np.all(np.isfinite(allowed))
    return float(np.max(np.abs(got - wanted) / allowed))


@pytest.mark.parametrize("name", ["torch", "mindspore"])
def test_clean_layers_are_within_the_bounds(name: str) -> None:
    pytest.importorskip(name)
    cases = [case for case in CASES if case.op in PLAIN]
    runs = [Run(case, case_state(case, seed), train) for case in cases for seed in (0, 1) for train in (False, True)]
    largest: dict[str, float] = {}
    for run in runs:
        for what, share in run.shares(name).items():
            assert share <= 1, (run.case.id, run.train, what)
            largest[what] = max(share, largest.get(what, 0.0))
    assert min(largest.values()) >= 0.05, largest


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("case", LAYERS, ids=lambda case: f"{case.op}-{case.inputs[0].shape[1]}")
@pytest.mark.parametrize("name", ["torch", "mindspore"])
def test_layers_of_models_use_part_of_the_bounds(name: str, case: OpCase, train: bool) -> None:
    pytest.importorskip(name)
    shares = Run(case, dict(initial_state(case_spec(case), 2)), train).shares(name)
    assert max(shares.values()) <= 0.9 and max(shares.values()) >= 0.02


CASE = OpCase("spectral_conv2d", {"channels": 6, "kernel": 3}, (Tensor((2, 4, 9, 8)),))


def _wrong(run: Run, fault: str) -> Array:
    """The output with a fault, as float32 numbers."""
    params = {role: value.astype(np.float64) for role, value in run.params.items()}
    if fault == "eps":
        params |= moved(CASE.op, 1e3, params)
    elif fault == "v":
        params["weight_v"] = params["weight_v"][::-1]
    elif fault == "weight":
        params["weight_orig"] = params["weight_orig"] * (1 + 1e-4 * (np.arange(9).reshape(3, 3) == 4))
    elif fault == "rows":
        params |= {"weight_u": params["weight_u"][::-1]}
    made = evaluate(run.node, params, (run.inputs["x"],), train=run.train and fault in ("v", "weight"))
    return np.asarray(made[0].astype(np.float32))


FAULTS = [("still", True), ("eps", True), ("v", False), ("rows", False), ("weight", True)]


@pytest.mark.parametrize("fault, train", FAULTS)
def test_what_is_wrong_is_outside(fault: str, train: bool) -> None:
    run = Run(CASE, case_state(CASE), train)
    assert _share(_wrong(run, fault), run.outputs[0], run.allowed) > 1


def test_a_sigma_that_is_cut_off_is_outside() -> None:
    """The gradient by W is then G / sigma, without what comes back through sigma; and by x it is the same."""
    run = Run(CASE, case_state(CASE), False)
    params = {role: value.astype(np.float64) for role, value in run.params.items()}
    given = (run.gradient.astype(np.float64), run.outputs[0], run.inputs["x"].astype(np.float64))
    plain = BACKWARD["conv2d"](run.node.attrs, normalised(CASE.op, params), *given)
    cut = (plain.params["weight"] / sigma_of(CASE.op, params)).astype(np.float32)
    assert _share(cut, run.pulled.params["weight_orig"], run.bounds.params["weight_orig"]) > 100
    by_x: list[Any] = [pulled.inputs[0] for pulled in (plain, run.pulled)]
    assert np.array_equal(*by_x)
