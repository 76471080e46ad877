"""Backward passes of whole models in half precision: clean pairs agree, planted faults are found and named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import twinzoo as tz  # noqa: E402
from parity_tests.planted.backward_torch import learner, twin  # noqa: E402

IMAGE = np.random.default_rng(1).standard_normal((4, 3, 12, 12)).astype(np.float32)
HALVES = [torch.float16, torch.bfloat16]


class Cast(torch.nn.Module):  # type: ignore[name-defined, misc]
    """A model under autocast, and with explicit casts around what it returns."""

    def __init__(self, model: Any, dtype: Any) -> None:
        super().__init__()
        self.model = model
        self.dtype = dtype

    def forward(self, image: Any) -> Any:
        with torch.autocast("cpu", self.dtype):
            out = self.model(image)
        return out.float().half().float()


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("train", [False, True])
def test_clean_halves_agree(dtype: Any, train: bool) -> None:
    a = learner().to(dtype)
    report = tz.compare(a, twin(learner()).to(dtype), IMAGE, grad=True, train=train)
    assert report.ok, str(report)
    name = str(dtype).removeprefix("torch.")
    rows = [row for row in report.layers if row.quantity.startswith("gradient")]
    assert len(rows) > 12 and {row.b.dtype for row in rows} == {name}


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("train", [False, True])
def test_autocast_agrees_and_gives_float32_gradients_of_float32_weights(dtype: Any, train: bool) -> None:
    report = tz.compare(Cast(learner(), dtype), Cast(learner(), dtype), IMAGE, grad=True, train=train)
    assert report.ok, str(report)
    kinds = {row.op: row.b.dtype for row in report.layers if row.quantity == "gradient of weight"}
    assert kinds["conv2d"] == "float32"


@pytest.mark.parametrize("train", [False, True])
def test_mindspore_s_to_float_agrees_with_halves(train: bool) -> None:
    ms = pytest.importorskip("mindspore")
    from parity_tests.planted.backward_mindspore import cell_of

    model = learner()
    with torch.no_grad():
        model.norm.weight.uniform_(0.5, 2).copy_(model.norm.weight.half())
        model.norm.bias.normal_().copy_(model.norm.bias.half())
    cell = cell_of(model).to_float(ms.float16)
    report = tz.compare(model.half(), cell, IMAGE, grad=True, train=train)
    assert report.ok or {f.cause for f in report.findings} == {"weight-value"}, str(report)


def test_running_statistics_in_half_do_not_move_in_mindspore() -> None:
    """A fact of its kernel, and a difference that is told."""
    ms = pytest.importorskip("mindspore")
    from parity_tests.planted.backward_mindspore import cell_of

    cell = cell_of(learner())
    for parameter in cell.get_parameters():
        parameter.set_dtype(ms.float16)
    (finding,) = tz.compare(learner().half(), cell, IMAGE, grad=True, train=True).findings
    assert finding.cause == "norm-mode" and "did not move" in finding.evidence


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(
    "bug, cause, layer",
    [
        ("halved", "scale", "add"),
        ("reversed", "scale", "add"),
        ("weight hook", "scale", "second"),
        ("detached skip", "grad-missing", "leaky_relu"),
        ("no_grad", "grad-missing", "second"),
        ("frozen", "grad-missing", "second"),
    ],
)
def test_a_planted_fault_is_named(dtype: Any, bug: str, cause: str, layer: str) -> None:
    report = tz.compare(learner().to(dtype), twin(learner(), bug).to(dtype), IMAGE, grad=True)
    assert not report.ok
    assert any(f.cause == cause and layer in f.layer for f in report.findings), str(report)


def _channels_swapped(g: Any) -> Any:
    return g[[1, 0, *range(2, g.shape[0])]]


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("fault", [_channels_swapped, lambda g: g * 1024, lambda g: g + g.abs().max() / 8])
def test_the_gradient_of_a_weight_that_is_another_is_found_there(dtype: Any, fault: Any) -> None:
    """Of a wrong channel; without the division by the scale of the loss; with something added."""
    b = twin(learner()).to(dtype)
    b.second.weight.register_hook(fault)  # type: ignore[no-untyped-call]
    report = tz.compare(learner().to(dtype), b, IMAGE, grad=True)
    wrong = [(row.name, row.quantity) for row in report.layers if not row.ok]
    assert len(wrong) == 1 and "second" in wrong[0][0] and wrong[0][1] == "gradient of weight"


def test_what_overflows_is_allowed_where_float64_is_beyond_the_type_and_only_there() -> None:

    def layer() -> Any:
        made = torch.nn.Linear(2, 1, bias=False).half()
        torch.nn.init.ones_(made.weight)
        return made

    def compared(size: float, b: Any) -> Any:
        return tz.compare(layer(), b, np.full((8, 2), size, np.float32), grad=True, loss=lambda y: y.float().sum())

    clean = compared(3e4, layer())
    (row,) = (row for row in clean.layers if row.quantity == "gradient of weight")
    assert row.a.ok and row.a.infs == 2, "a sum over rows that is beyond 65,504"
    b = layer()
    b.weight.register_hook(lambda g: g * float("inf"))
    assert not compared(1.0, b).ok
