"""Ops of both frameworks in half precision, and the largest share of the bound that their errors take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.parity.bounds.precision import (
    FORMATS,
    SINGLE,
    Precision,
    as_computed,
    precision_of,
)
from twinzoo.parity.op_cases import CASES, NODE, OpCase, Tensor, case_inputs, case_spec, case_state
from twinzoo.parity.rounding import bound
from twinzoo.parity.verdict import held_to, kernel_of
from twinzoo.ports.reference import evaluate
from twinzoo.zoo.spec import OPS, Node

Array = NDArray[Any]

PORTS = ("torch", "mindspore")
SCALES = (1e-2, 1.0, 1e2)
UNSCALED = ("exp", "cross_entropy")
"""Ops whose outputs overflow, or whose inputs are labels."""

IMAGE = (2, 4, 9, 8)
CONSTANTS = (
    OpCase("affine", {"scale": 0.3, "shift": 0.7}, (Tensor(IMAGE),), "constants"),
    OpCase("leaky_relu", {"slope": 0.3}, (Tensor(IMAGE),), "constants"),
    OpCase("elu", {"alpha": 0.3}, (Tensor(IMAGE),), "constants"),
    OpCase("clamp", {"low": -0.7, "high": 0.33}, (Tensor(IMAGE),), "constants"),
    OpCase("interpolate", {"size": (112, 112), "mode": "bilinear"}, (Tensor((1, 4, 30, 40)),), "shares"),
    OpCase("conv2d", {"channels": 16, "kernel": 3}, (Tensor((1, 256, 8, 8)),), "long"),
    OpCase("linear", {"features": 64}, (Tensor((8, 4096)),), "long"),
    OpCase("mean", {"axes": (2, 3)}, (Tensor((2, 4, 96, 96)),), "long"),
    OpCase("instance_norm", {}, (Tensor(IMAGE, low=6.0, high=10.0),), "offset"),
    OpCase("layer_norm", {}, (Tensor((4, 8, 64), low=6.0, high=10.0),), "offset"),
)
"""Constants that no half number is, shares of many sizes, long sums, and means far from zero."""

_BFLOAT16 = ["dropout", "neg", "stop_gradient", "affine", "add", "sub", "mul", "div", "bce_with_logits", "concat"]
LACKS = {
    ("mindspore", "bfloat16"): frozenset(OPS) - {*_BFLOAT16, "reshape", "transpose", "pixel_shuffle", "standardize"}
}
"""The ops for which a framework has no kernel on CPU in an element type, or none in every form of the op."""


def on_torch(case: OpCase, state: dict[str, Array], inputs: dict[str, Array], dtype: str) -> list[Array]:
    """What the PyTorch twin of a case returns, with its tensors and inputs in an element type, in the types it has."""
    torch = pytest.importorskip("torch")
    port, spec = import_module("twinzoo.ports.torch.port").PORT, case_spec(case)
    model = port.build(spec)
    port.load(model, {name: value.astype(np.float32) for name, value in state.items()})
    model = model.to(getattr(torch, dtype)).train(case.train)
    given = []
    for name in (*spec.inputs, *spec.draws):
        x = inputs.get(name)
        if x is None or x.dtype.kind == "i":
            given.append(None if x is None else torch.from_numpy(x))
        else:
            given.append(torch.from_numpy(x.astype(np.float32)).to(getattr(torch, dtype)))
    with torch.no_grad():
        made = model(*given)
    return [array_of(y, str(y.dtype).removeprefix("torch.")) for y in (made if isinstance(made, tuple) else (made,))]


def array_of(y: Any, dtype: str) -> Array:
    """A PyTorch tensor of an element type as an array of it."""
    array: Array = y.float().numpy().astype(FORMATS[dtype].dtype) if dtype in FORMATS else y.numpy()
    return array


def on_mindspore(case: OpCase, state: dict[str, Array], inputs: dict[str, Array], dtype: str) -> list[Array]:
    """The same of the MindSpore twin."""
    ms = pytest.importorskip("mindspore")
    port, spec, kind = import_module("twinzoo.ports.mindspore.port").PORT, case_spec(case), getattr(ms, dtype)
    model = port.build(spec)
    port.load(model, {name: value.astype(np.float32) for name, value in state.items()})
    for parameter in model.get_parameters():
        parameter.set_dtype(kind)
    given = []
    for name in (*spec.inputs, *spec.draws):
        x = inputs.get(name)
        if x is None or x.dtype.kind == "i":
            given.append(None if x is None else ms.Tensor(x.astype(np.int32)))
        else:
            given.append(ms.Tensor(x.astype(np.float32)).astype(kind))
    model.set_train(case.train)
    made = model(*given)
    arrays = []
    for y in made if isinstance(made, tuple) else (made,):
        name = str(y.dtype).lower()
        wide = y.astype(ms.float32).asnumpy() if name in FORMATS else y.asnumpy()
        arrays.append(wide.astype(FORMATS[name].dtype) if name in FORMATS else wide)
    return arrays


RUN: dict[str, Callable[..., list[Array]]] = {"torch": on_torch, "mindspore": on_mindspore}


def numbers_of(case: OpCase, seed: int, scale: float, dtype: str) -> tuple[dict[str, Array], dict[str, Array]]:
    """State and inputs as numbers of an element type."""
    kind = FORMATS[dtype].dtype
    inputs = case_inputs(case, seed)
    for name, x in inputs.items():
        if x.dtype == np.float32:
            factor = scale if name in case_spec(case).inputs and name != "target" else 1.0
            inputs[name] = (x * np.float32(factor)).astype(kind)
    return {name: value.astype(kind) for name, value in case_state(case, seed).items()}, inputs


def share_of(
    node: Node, params: dict[str, Array], given: tuple[Array, ...], got: Array, precision: Precision, **how: Any
) -> float:
    """The largest error of a node's first output over its bound."""
    known = how.pop("known", None)
    params, given = as_computed(params, given, precision)
    train = how.get("train", False)
    with np.errstate(all="ignore"):
        outputs = evaluate(node, params, given, **how)
        allowed = bound(node, params, given, outputs, train=train, precision=precision)[0]
    if known is not None:
        allowed = allowed + known.absolute + known.relative * np.abs(outputs[0])
    return held_to(got, outputs[0], allowed).ratio


def case_share(port: str, case: OpCase, seed: int, scale: float, dtype: str, kept: bool = True) -> float:
    state, inputs = numbers_of(case, seed, scale, dtype)
    got = RUN[port](case, state, inputs, dtype)[0]
    spec = case_spec(case)
    node, params = spec.nodes[NODE], {name.partition(".")[2]: value for name, value in state.items()}
    draws = {suffix: inputs[f"{NODE}_{suffix}"].astype(np.float64) for suffix in node.draws if case.fed}
    name = str(got.dtype)
    precision = precision_of(port, case.op, name, train=case.train)
    precision = precision if kept else replace(precision, kept=SINGLE)
    known = kernel_of(port, case.op, name) if kept else None
    given = tuple(inputs[name] for name in spec.inputs)
    return share_of(node, params, given, got, precision, train=case.train, draws=draws, known=known)


def shares_of(port: str, op: str, dtype: str, kept: bool = True) -> Iterator[float]:
    return (
        case_share(port, case, 0, scale, dtype, kept)
        for case in (*CASES, *CONSTANTS)
        if case.op == op
        for scale in ((1.0,) if op in UNSCALED else SCALES)
        if not (port == "mindspore" and op == "l2_normalize" and scale > 1)  # its squares are beyond 65504
        if not (port == "mindspore" and op == "var" and scale > 1)  # as their sum is
        if not (op == "mse_loss" and scale > 1)  # its sum is
        if not (port == "mindspore" and op == "batch_norm" and not case.attrs.get("affine", True))  # no kernel
    )
