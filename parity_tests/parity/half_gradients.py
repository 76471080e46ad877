"""Gradients of ops in half precision, as both frameworks' own kernels have them, held against their bounds."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import twinzoo as tz
from parity_tests.parity.half import CONSTANTS, UNSCALED, numbers_of
from twinzoo.parity.op_cases import CASES, OpCase, case_spec
from twinzoo.parity.report import ParityReport
from twinzoo.zoo.errors import ParityError

Array = NDArray[Any]

SCALES = (1.0, 1e-2)

BEYOND = {("mindspore", "pow-negative"), ("torch", "pow-negative")}
"""The cases in which a derivative of small numbers is beyond the largest half number."""


def model_of(port: str, case: OpCase, state: dict[str, Array], dtype: str) -> Any:
    """The twin of a case with its tensors in an element type."""
    framework = pytest.importorskip(port)
    found, spec = import_module(f"twinzoo.ports.{port}.port").PORT, case_spec(case)
    model = found.build(spec)
    found.load(model, {name: value.astype(np.float32) for name, value in state.items()})
    if port == "torch":
        return model.to(getattr(framework, dtype))
    for parameter in model.get_parameters():
        parameter.set_dtype(getattr(framework, dtype))
    return model


def compared(port: str, case: OpCase, dtype: str, seed: int = 0, scale: float = 1.0) -> ParityReport | None:
    """A twin against itself; None where there is nothing to compare, or the framework has no such kernel."""
    state, inputs = numbers_of(case, seed, scale, dtype)
    model, given = model_of(port, case, state, dtype), tuple(inputs[name] for name in case_spec(case).inputs)
    try:
        return tz.compare(model, model, given, grad=True, train=case.train)
    except ParityError:
        return None


def shares_of(port: str, op: str, dtype: str, most: int = 3) -> Iterator[float]:
    """The largest share of its bound that any gradient takes, in each of the first cases of an op."""
    cases = [case for case in (*CASES, *CONSTANTS) if case.op == op and (port, case.id) not in BEYOND]
    for case in cases[:most]:
        for seed, scale in enumerate((1.0,) if op in UNSCALED else SCALES):
            report = compared(port, case, dtype, seed, scale)
            if report is not None:
                yield max((row.a.ratio for row in report.layers if row.quantity.startswith("gradient")), default=0.0)
