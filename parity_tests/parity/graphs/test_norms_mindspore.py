"""Weight norm and spectral norm as people write them for MindSpore, against PyTorch's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from twinzoo.parity.compare import compare
from twinzoo.parity.graphs.compare import compare_runs
from twinzoo.parity.graphs.run import How, run
from twinzoo.ports.mindspore.modes import graph_mode
from twinzoo.ports.mindspore.port import PORT as MINDSPORE
from twinzoo.ports.torch.port import PORT as TORCH
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.registry import spec

torch = pytest.importorskip("torch")
mindspore = pytest.importorskip("mindspore")
nn, ops, Parameter, Tensor = mindspore.nn, mindspore.ops, mindspore.Parameter, mindspore.Tensor
parametrizations = torch.nn.utils.parametrizations

IMAGE = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
MODES: tuple[dict[str, bool], ...] = ({}, {"train": True}, {"grad": True}, {"train": True, "grad": True})


def parameter(value: Any, name: str, *, trained: bool = True) -> Any:
    """A parameter with the values of a PyTorch tensor."""
    return Parameter(Tensor(value.detach().numpy().copy()), name=name, requires_grad=trained)


class SpectralConv(nn.Cell):  # type: ignore[misc, name-defined]
    """A convolution with spectral norm, with the tensors of PyTorch's and the faults that it may have."""

    def __init__(self, made: Any, fault: str = "") -> None:
        super().__init__()
        own = made.parametrizations.weight
        self.weight_bar = parameter(own.original, "weight_bar")
        self.weight_u = parameter(own[0]._u[:, None], "weight_u", trained=False)
        self.weight_v = parameter(own[0]._v[:, None], "weight_v", trained=False)
        self.bias = parameter(made.bias, "bias")
        self.fault = fault

    def construct(self, x: Any) -> Any:
        """x (N, 3, H, W) -> (N, 4, H - 2, W - 2)."""
        matrix = self.weight_bar.reshape(self.weight_bar.shape[0], -1)
        u, v = self.weight_u, self.weight_v
        if self.training and self.fault != "still":
            fixed = ops.stop_gradient(matrix)
            u = ops.matmul(fixed, v)
            u = u / ops.norm(u)
            v = ops.matmul(fixed.T, u)
            v = v / ops.norm(v)
            ops.assign(self.weight_u, u)
            ops.assign(self.weight_v, v)
        sigma = ops.matmul(u.T, ops.matmul(matrix, v)).reshape(())
        sigma = ops.stop_gradient(sigma) if self.fault == "detached" else sigma
        return ops.conv2d(x, self.weight_bar / sigma, self.bias)


class WeightConv(nn.Cell):  # type: ignore[misc, name-defined]
    """A convolution with weight norm, of which a length may be taken over everything."""

    def __init__(self, made: Any, fault: str = "") -> None:
        super().__init__()
        own = made.parametrizations.weight
        self.weight_g, self.weight_v = parameter(own.original0, "weight_g"), parameter(own.original1, "weight_v")
        self.bias = parameter(made.bias, "bias")
        self.axes = (0, 1, 2, 3) if fault == "axes" else (1, 2, 3)

    def construct(self, x: Any) -> Any:
        """x (N, 3, H, W) -> (N, 4, H - 2, W - 2)."""
        length = ops.sqrt(ops.square(self.weight_v).sum(self.axes, keepdims=True))
        return ops.conv2d(x, self.weight_v * (self.weight_g / length), self.bias)


def pair(kind: str, fault: str = "") -> tuple[Any, Any]:
    """PyTorch's own layer and the hand-written cell."""
    torch.manual_seed(2)
    layer = torch.nn.Conv2d(3, 4, 3)
    if kind == "weight":
        normed = parametrizations.weight_norm(layer).eval()
        return normed, WeightConv(normed, fault)
    a = parametrizations.spectral_norm(layer)
    with torch.no_grad():
        for name in ("_u", "_v"):  # far from where they go
            vector = torch.rand(getattr(a.parametrizations.weight[0], name).shape) + 0.2
            getattr(a.parametrizations.weight[0], name).copy_(vector / vector.norm())
    return a.eval(), SpectralConv(a, fault)


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("kind", ["spectral", "weight"])
def test_hand_written_cells_pass(kind: str, mode: dict[str, bool]) -> None:
    report = compare(*pair(kind), IMAGE, **mode)
    assert report.ok and not report.notes, report.findings
    assert {("conv2d", "output"), (f"{kind}_norm", "weight")} <= {(row.op, row.quantity) for row in report.layers}


@pytest.mark.parametrize(
    "kind, fault, mode, cause",
    [
        ("spectral", "still", {"train": True}, "norm-mode"),
        ("spectral", "detached", {"grad": True}, "unexplained"),
        ("weight", "axes", {}, "unexplained"),
    ],
)
def test_planted_faults_are_caught(kind: str, fault: str, mode: dict[str, bool], cause: str) -> None:
    report = compare(*pair(kind, fault), IMAGE, **mode)
    assert not report.ok and {finding.cause for finding in report.findings} == {cause}


@pytest.mark.parametrize("mode", MODES[1:], ids=str)
def test_both_twins_of_a_spec_pass_as_strangers(mode: dict[str, bool]) -> None:
    drawn = spec("patchgan", width=2, layers=1, norm="instance", spectral_norm=True)
    a, b = TORCH.build(drawn), MINDSPORE.build(drawn)
    TORCH.load(a, initial_state(drawn, seed=1))
    MINDSPORE.load(b, initial_state(drawn, seed=1))
    image = np.random.default_rng(1).uniform(-1, 1, (2, 3, 16, 16)).astype(np.float32)
    report = compare(a, b, image, **mode)
    assert report.ok, report.findings
    assert sum(row.op == "spectral_norm" and row.quantity == "weight" for row in report.layers) == 3


@pytest.mark.parametrize("factor", [1.0, 1.001])
def test_a_compiled_side_is_held_to_its_own_gradients_of_what_the_weight_is_made_from(factor: float) -> None:
    """A compiled run has no gradient of the weight itself."""
    drawn = spec("patchgan", width=2, layers=1, norm="instance", spectral_norm=True)
    a, b = TORCH.build(drawn), MINDSPORE.build(drawn)
    TORCH.load(a, initial_state(drawn, seed=1))
    MINDSPORE.load(b, initial_state(drawn, seed=1))
    inputs = {"image": np.random.default_rng(1).uniform(-1, 1, (1, 3, 16, 16)).astype(np.float32)}
    how = How(grad=True)
    with graph_mode():
        ours, theirs = run("a", a, inputs, how), run("b", b, inputs, how)
    assert theirs.whole is not None
    spoiled = {**theirs.whole.parameter_gradients}
    spoiled["conv1.weight_orig"] = spoiled["conv1.weight_orig"] * np.float32(factor)
    report = compare_runs(ours, replace(theirs, whole=replace(theirs.whole, parameter_gradients=spoiled)), 0.0)
    found = [row for row in report.layers if row.quantity == "gradient of weight_orig" and row.name.startswith("model")]
    wrong = [row.name for row in found if not row.ok]
    assert wrong == ([] if factor == 1 else ["model: conv1 ~ conv1.conv2d"])
    assert len(found) == 3 and report.ok is (factor == 1)
