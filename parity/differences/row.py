"""A row of the table: the same thing written in PyTorch and in MindSpore, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from twinzoo.parity.results import CAUSES

Kind = Literal["layer", "optimizer", "value", "names", "initial", "dropped"]


@dataclass(frozen=True)
class Row:
    """What is measured for one topic. Forms are Python expressions: what is shown is what runs.

    Attributes:
        topic: short, and of its own.
        torch, mindspore: what somebody writes who ports by the name; the same meaning, where there is one.
        instead: the MindSpore form that is meant to equal the PyTorch form, or empty.
        cause: the id that `compare` reports for it, or empty where it reports none.
        note: why, in one line; shown where the measured forms differ.
        kind: `layer` runs a layer or a function forward and back; `optimizer` makes ten steps; `value` compares what
            the forms are; `names` the tensors of a layer's checkpoint; `initial` mean and deviation of fresh weights;
            `dropped` the share of zeros in train mode.
        inputs: names of arrays.INPUTS.
        train: whether layers are in train mode; their buffers are compared in either.
        relative: whether errors are over each element's own size, rather than over the largest.
        defaults: what to read from the signatures of either side: `callable parameter ...`.
    """

    topic: str
    torch: str
    mindspore: str
    instead: str = ""
    cause: str = ""
    note: str = ""
    kind: Kind = "layer"
    inputs: tuple[str, ...] = ("image",)
    train: bool = False
    relative: bool = False
    defaults: tuple[str, str] = ("", "")

    def __post_init__(self) -> None:
        if self.cause and self.cause not in CAUSES:
            raise ValueError(f"{self.topic}: no cause has the id {self.cause!r}")
