"""Every row of the table of kernels is measured: not too small, and not much larger than the kernel needs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest

from twinzoo.parity import kernels
from twinzoo.parity.kernels import GRIDS, KERNELS, LIVE, KernelAccuracy, measure
from twinzoo.ports.port import Port
from twinzoo.ports.reference import PORT

PORTS = ("torch", "mindspore")


def _port(name: str) -> Port:
    pytest.importorskip(name)
    port: Port = import_module(f"twinzoo.ports.{name}.port").PORT
    return port


def test_every_row_can_be_measured() -> None:
    assert {op for _, op in KERNELS} <= set(GRIDS)
    assert {port.removeprefix(LIVE) for port, _ in KERNELS} <= set(PORTS)


@pytest.mark.parametrize("op", GRIDS)
@pytest.mark.parametrize("name", PORTS)
def test_row_is_what_the_kernel_needs(name: str, op: str) -> None:
    found = measure(_port(name), op)
    assert found.needed <= 1, f"{name} {op} errs by more at {found.where}: {found}"
    if (name, op) in KERNELS:
        assert found.ratio > 1, "rounding alone explains it: the row can go"
        assert found.needed >= 0.1, f"the row is {1 / found.needed:.0f} times too large"


def test_a_row_that_is_too_small_and_one_that_is_too_large_show(monkeypatch: pytest.MonkeyPatch) -> None:
    port = _port("torch")
    monkeypatch.setitem(KERNELS, ("torch", "gelu"), KernelAccuracy(1e-8, 0.0, "too small"))
    assert measure(port, "gelu").needed > 1
    monkeypatch.setitem(KERNELS, ("torch", "gelu"), KernelAccuracy(1e-5, 0.0, "too large"))
    assert measure(port, "gelu").needed < 0.1


def test_a_kernel_without_a_row_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    class Rough:
        name = "rough"

        def build(self, spec: Any) -> Any:
            return PORT.build(spec)

        def run(self, model: Any, inputs: Any) -> Any:
            return {name: y * (1 + 1e-6) for name, y in PORT.run(model, inputs).items()}

    port: Any = Rough()
    assert measure(port, "tanh").needed == float("inf")
    monkeypatch.setitem(kernels.KERNELS, ("rough", "tanh"), KernelAccuracy(0.0, 2e-6, "rough"))
    assert 0.1 <= measure(port, "tanh").needed <= 1


def test_the_tanh_of_a_live_cell_is_as_far_off_as_its_row_says() -> None:
    mindspore = pytest.importorskip("mindspore")
    x = np.linspace(-8, 8, 100_001).astype(np.float32)
    off = np.abs(mindspore.ops.tanh(mindspore.Tensor(x)).asnumpy().astype(np.float64) - np.tanh(x.astype(np.float64)))
    allowed = KERNELS["live mindspore", "tanh"].absolute
    assert 0.8 * allowed < off.max() < allowed
