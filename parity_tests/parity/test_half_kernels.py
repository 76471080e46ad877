"""Clean half kernels of every port stay within the rounding model that is said to be theirs."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.parity.half import IMAGE, LACKS, PORTS, RUN, array_of, share_of, shares_of
from twinzoo.parity.bounds.precision import (
    FORMATS,
    KEPT,
    SINGLE,
    precision_of,
)
from twinzoo.parity.half_kernels import HALF_KERNELS
from twinzoo.parity.kernels import LIVE, KernelAccuracy
from twinzoo.parity.op_cases import NODE, OpCase, Tensor, case_inputs, case_spec, case_state
from twinzoo.parity.rounding import bound
from twinzoo.parity.verdict import held_to, kernel_of
from twinzoo.ports.reference import evaluate
from twinzoo.zoo.spec import OPS

Array = NDArray[Any]


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("port", PORTS)
def test_clean_ops_are_within_the_bound(port: str, dtype: str, op: str) -> None:
    if op in LACKS.get((port, dtype), ()):
        pytest.skip("no kernel on CPU")
    shares = list(shares_of(port, op, dtype))
    assert max(shares) <= 1
    assert max(shares) == 0 or max(shares) >= 0.02, f"{op}: the bound is {1 / max(shares):.0f} times too wide"


BY_LAYOUT = {("torch", "linear"), ("torch", "dropout train")}
"""What the cases above do not show: a linear layer along a turned axis, a dropout that draws."""


@pytest.mark.parametrize(
    "row", [(p, op) for p in PORTS for op in sorted(KEPT[p]) if (p, op) not in BY_LAYOUT], ids="-".join
)
def test_what_is_said_to_keep_halves_does(row: tuple[str, str]) -> None:
    """As if everything were computed in float32 and rounded once, its kernels are outside."""
    port, op = row[0], row[1].removesuffix(" train")
    kinds = [dtype for dtype in ("float16", "bfloat16") if op not in LACKS.get((port, dtype), ())]
    assert any(share > 1 for dtype in kinds for share in shares_of(port, op, dtype, kept=False))


_EVERY = ("tanh", "sigmoid", "softplus", "silu", "exp", "square", "elu", "gelu", "log", "sqrt", "leaky_relu", "neg")


def _every(op: str, dtype: str) -> Array:
    """Every finite number of a half type, where the op is defined and 2 x is finite."""
    x = np.arange(2**16, dtype=np.uint16).view(FORMATS[dtype].dtype)
    with np.errstate(invalid="ignore"):
        wide = x.astype(np.float64)
    usable = np.isfinite(wide) & (np.abs(wide) < FORMATS[dtype].largest / 2)
    return x[usable & (wide > 0)] if op in ("log", "sqrt") else x[usable]


@pytest.mark.parametrize("op", _EVERY)
@pytest.mark.parametrize("port, dtype", [("torch", "float16"), ("torch", "bfloat16"), ("mindspore", "float16")])
def test_every_half_number_is_within_the_bound(port: str, dtype: str, op: str) -> None:
    x = _every(op, dtype)
    case = OpCase(op, {}, (Tensor(x.shape),))
    (got,) = RUN[port](case, {}, {"x": x}, dtype)
    known = kernel_of(port, op, dtype)
    share = share_of(case_spec(case).nodes[NODE], {}, (x,), got, precision_of(port, op, dtype), known=known)
    assert 0.3 <= share <= 1 or op == "neg"


@pytest.mark.parametrize("row", [row for row in HALF_KERNELS if not row[0].startswith(LIVE)], ids="-".join)
def test_a_row_of_a_half_kernel_is_what_it_needs(row: tuple[str, str, str]) -> None:
    port, op, dtype = row
    x = _every(op, dtype)
    case = OpCase(op, {"alpha": 0.7} if op == "elu" else {}, (Tensor(x.shape),))
    (got,) = RUN[port](case, {}, {"x": x}, dtype)
    node, precision, known = case_spec(case).nodes[NODE], precision_of(port, op, dtype), HALF_KERNELS[row]
    assert share_of(node, {}, (x,), got, precision) > 1
    assert share_of(node, {}, (x,), got, precision, known=known) <= 1
    tenth = KernelAccuracy(known.absolute / 10, known.relative / 10, "")
    assert share_of(node, {}, (x,), got, precision, known=tenth) > 1


@pytest.mark.parametrize("op, attrs", [("conv2d", {"channels": 6, "kernel": 3}), ("linear", {"features": 6})])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_autocast_rounds_operands_first(op: str, attrs: dict[str, Any], dtype: str) -> None:
    """float32 weights and inputs, a half result: as float64 has it for the rounded operands."""
    torch = pytest.importorskip("torch")
    case = OpCase(op, attrs, (Tensor(IMAGE),))
    state, inputs = case_state(case), case_inputs(case)
    port = import_module("twinzoo.ports.torch.port").PORT
    model = port.build(case_spec(case))
    port.load(model, state)
    with torch.no_grad(), torch.autocast("cpu", getattr(torch, dtype)):
        got = array_of(model(torch.from_numpy(inputs["x"])), dtype)
    node, params = case_spec(case).nodes[NODE], {name.partition(".")[2]: value for name, value in state.items()}
    assert share_of(node, params, (inputs["x"],), got, precision_of("torch", op, dtype)) <= 1
    exact = evaluate(node, {r: v.astype(np.float64) for r, v in params.items()}, (inputs["x"].astype(np.float64),))
    allowed = bound(node, params, (inputs["x"],), exact, precision=precision_of("torch", op, dtype))[0]
    assert held_to(got, exact[0], allowed).ratio > 1, "without the rounding of the operands it is outside"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("op", ["linear", "dropout"])
def test_what_only_some_layouts_and_draws_keep(op: str, dtype: str) -> None:
    """Along a turned axis PyTorch adds a bias to sums that were stored; a drawn mask is stored with its factor."""
    torch = pytest.importorskip("torch")
    case = OpCase(
        op, {"features": 6} if op == "linear" else {"p": 0.4}, (Tensor((2, 6, 6, 10)),), train=op == "dropout"
    )
    state, inputs = case_state(case), case_inputs(case)
    kind = getattr(torch, dtype)
    x = torch.from_numpy(inputs["x"]).permute(0, 3, 1, 2).contiguous().to(kind).permute(0, 2, 3, 1)
    tensors = {name.partition(".")[2]: torch.from_numpy(value).to(kind) for name, value in state.items()}
    functions = torch.nn.functional
    got = functions.linear(x, **tensors) if op == "linear" else functions.dropout(x, 0.4)
    node, params = case_spec(case).nodes[NODE], {role: array_of(t, dtype) for role, t in tensors.items()}
    params |= {"mask": array_of(got, dtype) != 0} if op == "dropout" else {}
    precision = precision_of("torch", op, dtype, train=True)
    given, result = (array_of(x, dtype),), array_of(got, dtype)
    assert share_of(node, params, given, result, precision, train=True) <= 1
    assert share_of(node, params, given, result, replace(precision, kept=SINGLE), train=True) > 1
