"""Kernels that are less accurate than rounding: measured, for one op on one port, never a looser bound for all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.rounding import bound
from twinzoo.ports.port import Port
from twinzoo.ports.reference import evaluate
from twinzoo.zoo.spec import Node, Spec

Array = NDArray[Any]


@dataclass(frozen=True)
class KernelAccuracy:
    """What a kernel may be off by, beyond rounding.

    Attributes:
        absolute: added as it is.
        relative: times the magnitude of the float64 output.
        note: what is known about it, in one line.
    """

    absolute: float
    relative: float
    note: str


_MS = "MindSpore 2.10 on CPU: "

KERNELS: dict[tuple[str, str], KernelAccuracy] = {
    ("mindspore", "exp"): KernelAccuracy(3e-38, 2.5e-5, _MS + "4.6e-6 for |x| < 4, growing with |x| to 2.2e-5 at 87"),
    ("mindspore", "sigmoid"): KernelAccuracy(5e-14, 4.5e-6, _MS + "inherits exp; 2e-6 where the output is above 1e-4"),
    ("mindspore", "silu"): KernelAccuracy(6e-14, 5.5e-6, _MS + "inherits exp"),
    ("mindspore", "tanh"): KernelAccuracy(1.8e-6, 0.0, _MS + "as 2 sigmoid(2x) - 1; its own tanh errs by 1e-4"),
    ("mindspore", "softplus"): KernelAccuracy(2.2e-6, 0.0, _MS + "log(1 + exp(x)) as written, with its exp"),
    ("mindspore", "elu"): KernelAccuracy(2.4e-6, 0.0, _MS + "exp(x) - 1 as written, with its exp"),
    ("mindspore", "log"): KernelAccuracy(2.8e-7, 1.5e-7, _MS + "absolute near x = 1, not relative"),
    ("mindspore", "softmax"): KernelAccuracy(5e-10, 5e-6, _MS + "inherits exp"),
    ("mindspore", "log_softmax"): KernelAccuracy(3.4e-6, 0.0, _MS + "inherits exp and log"),
    ("mindspore", "logsumexp"): KernelAccuracy(1.1e-6, 0.0, _MS + "inherits exp and log"),
    ("mindspore", "cross_entropy"): KernelAccuracy(1.1e-6, 0.0, _MS + "inherits log_softmax"),
    ("torch", "gelu"): KernelAccuracy(3.5e-7, 0.0, "PyTorch on CPU: its vectorised erf errs by 2e-7 near x = -3"),
}
"""(port, op) -> the accuracy of its kernel; `measure` says whether a row holds."""

LIVE = "live "
"""Before a port's name: the framework's own kernels, as a stranger's model calls them, not as the port writes them."""

KERNELS |= {(LIVE + port, op): known for (port, op), known in list(KERNELS.items())}
KERNELS["live mindspore", "tanh"] = KernelAccuracy(1.1e-4, 0.0, _MS + "its own tanh errs by 1e-4 near |x| = 5")

_EXP = _MS + "inherits exp"

GRADIENT_KERNELS: dict[tuple[str, str], KernelAccuracy] = {
    ("mindspore", "silu"): KernelAccuracy(3e-10, 3.6e-6, _EXP),
    ("mindspore", "softplus"): KernelAccuracy(2.5e-10, 2.2e-6, _EXP),
    ("mindspore", "gelu"): KernelAccuracy(4e-7, 0.0, _EXP),
    ("mindspore", "logsumexp"): KernelAccuracy(3e-10, 3.2e-6, _EXP),
    ("mindspore", "cross_entropy"): KernelAccuracy(4e-10, 4.2e-6, _EXP),
    ("mindspore", "bce_with_logits"): KernelAccuracy(6e-7, 0.0, _MS + "sigmoid(x) - t cancels"),
}
"""(port, op) -> the accuracy of its backward pass: a share of the incoming gradient, and one of what is passed back."""

GRADIENT_KERNELS |= {(LIVE + port, op): known for (port, op), known in list(GRADIENT_KERNELS.items())}


def gradient_allowance(known: KernelAccuracy, node: Node, gradient: Array, pulled: Array) -> Array:
    """What a row of GRADIENT_KERNELS adds to the bound of one gradient that a node passes back."""
    share = 1 / pulled.size if node.attrs.get("reduction") == "mean" else 1.0
    allowed: Array = known.absolute * share * np.abs(gradient).max(initial=0.0) + known.relative * np.abs(pulled)
    return allowed


@dataclass(frozen=True)
class Measured:
    """The worst of an op on a port over its grids.

    Attributes:
        ratio: error over the rounding bound alone; above 1 a row is needed.
        needed: error beyond the bound over what the row adds; above 1 the row is too small, below 0.1 too large.
            Without a row infinite, or 0 where none is needed.
        where: the attributes and the input of the worst place.
    """

    ratio: float
    needed: float
    where: str


def measure(port: Port, op: str) -> Measured:
    """Hold an op of GRIDS against float64 over dense grids of inputs."""
    known = KERNELS.get((port.name, op), KernelAccuracy(0.0, 0.0, ""))
    worst = Measured(0.0, 0.0, "")
    for attrs, inputs in _grids(op):
        spec = Spec("kernel")
        values = [
            spec.input(f"x{i}", shape=x.shape, dtype="int" if x.dtype.kind == "i" else "float")
            for i, x in enumerate(inputs)
        ]
        spec.output(y=getattr(spec, op)("op", *values, **attrs))
        (got,) = port.run(port.build(spec), {f"x{i}": x for i, x in enumerate(inputs)}).values()
        ratios, needed = _shares(spec.nodes["op"], inputs, got, known)
        shares = needed if known.note else ratios
        place = np.unravel_index(int(np.argmax(shares)), shares.shape)
        found = shares[place] > (worst.needed if known.note else worst.ratio)
        where = f"{attrs or ''} {inputs[0][place[: inputs[0].ndim]]}".strip() if found else worst.where
        worst = Measured(max(worst.ratio, float(ratios.max())), max(worst.needed, float(needed.max())), where)
    return worst


def _shares(node: Node, inputs: tuple[Array, ...], got: Array, known: KernelAccuracy) -> tuple[Array, Array]:
    """Elementwise the error over the bound, and what is beyond the bound over what the row adds."""
    outputs = evaluate(node, {}, inputs)
    (allowed,) = bound(node, {}, inputs, outputs)
    error = np.abs(got.astype(np.float64) - outputs[0])
    beyond = np.maximum(error - allowed, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        added = known.absolute + known.relative * np.abs(outputs[0])
        return error / allowed, np.where(beyond > 0, beyond / added, 0.0)


_STEPS = 100_001
_ATTRS: dict[str, tuple[dict[str, Any], ...]] = {
    "gelu": ({}, {"approximate": "tanh"}),
    "pow": ({"exponent": 0.3}, {"exponent": 2.0}, {"exponent": -1.5}),
    "softmax": ({"axis": 1},),
    "log_softmax": ({"axis": 1},),
    "logsumexp": ({"axes": (1,)},),
    "cross_entropy": ({"reduction": "none"},),
    "bce_with_logits": ({"reduction": "none"},),
}
_ROWS = ("softmax", "log_softmax", "logsumexp", "cross_entropy", "bce_with_logits")

GRIDS = ("tanh", "sigmoid", "silu", "softplus", "exp", "elu", "gelu", "log", "sqrt", "pow", *_ROWS)
"""The ops whose kernels come from a library of functions, or are made of those."""


def _grids(op: str) -> Iterator[tuple[dict[str, Any], tuple[Array, ...]]]:
    for attrs in _ATTRS.get(op, ({},)):
        if op not in _ROWS:
            yield attrs, (_numbers(op).astype(np.float32),)
            continue
        for seed, (classes, scale) in enumerate((c, s) for c in (2, 10, 100, 313) for s in (1e-3, 0.1, 1, 5, 20, 60)):
            random = np.random.default_rng(seed)
            logits = (random.standard_normal((100_000 // classes, classes)) * scale).astype(np.float32)
            if op == "cross_entropy":
                yield attrs, (logits, random.integers(0, classes, logits.shape[0]))
            elif op == "bce_with_logits":
                yield attrs, (logits, random.integers(0, 2, logits.shape).astype(np.float32))
            else:
                yield attrs, (logits,)


def _numbers(op: str) -> Array:
    """Evenly and by powers of ten, wherever the op is defined and float32 has a number for it."""
    if op in ("log", "sqrt", "pow"):
        reach = 12 if op == "pow" else 37
        return np.concatenate([np.logspace(-reach, reach, _STEPS), np.linspace(0.5, 2, _STEPS)])
    wide = 87 if op == "exp" else 100
    small = np.logspace(-30, 1, _STEPS)
    return np.concatenate([np.linspace(-wide, wide, _STEPS), np.linspace(-4, 4, _STEPS), small, -small])
