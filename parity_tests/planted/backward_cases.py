"""Planted bugs that only training shows: in gradients, running statistics and dropout."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One bug.

    Attributes:
        bug: what the networks of this folder call it.
        cause, layer: what a finding must say.
        train: whether training mode shows it.
        both: whether it is planted in MindSpore too.
        known: how many findings may name it: what a hook changes shows at all that comes before it.
    """

    bug: str
    cause: str
    layer: str
    train: bool = False
    both: bool = True
    known: int = 1


CASES = (
    Case("detached skip", "grad-missing", "leaky_relu"),
    Case("no_grad", "grad-missing", ""),
    Case("frozen", "grad-missing", "second"),
    Case("weight hook", "scale", "second", both=False),
    Case("halved", "scale", "add"),
    Case("reversed", "scale", "add"),
    Case("hook", "offset", "", known=2),
    Case("clipped", "unexplained", "", known=2),
    Case("momentum", "momentum", "norm"),
    Case("momentum", "momentum", "norm", train=True),
    Case("eval norm", "norm-mode", "norm", train=True),
    Case("no statistics", "norm-mode", "norm", train=True, both=False),
    Case("biased variance", "variance", "norm", train=True, both=False),
    Case("drop less", "dropout", "drop", train=True),
    Case("no dropout", "missing-op", "drop", train=True),
)
