"""Operations that float64 cannot follow: held against side a's, named by attributes, never by what was before them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from parity_tests.parity.graphs.made import IMAGE, Array, Side, report, told
from twinzoo.parity.graphs.diagnosis import diagnose
from twinzoo.parity.graphs.pairs import Paired, pair
from twinzoo.parity.results import Finding


def found(a: Side, b: Side) -> list[Finding]:
    return report(a, b).findings


def paired(a: Side, b: Side) -> Paired:
    return pair(a.run(), b.run())


def strange(value: Array, port: str = "torch", x: Array = IMAGE, **attrs: Any) -> Side:
    side = Side(port)
    image = side.input(x)
    side.output(side.op("relu", image))
    side.output(side.other(f"{port}.strange", value, image, name="strange", **attrs))
    return side


def test_what_cannot_be_computed_is_held_against_side_a() -> None:
    assert report(strange(IMAGE), strange(IMAGE * np.float32(1 + 5e-5))).ok
    (finding,) = found(strange(IMAGE), strange(IMAGE * np.float32(2)))
    assert finding.cause == "scale" and "held against side a's, it is a multiple" in finding.evidence
    (finding,) = found(strange(IMAGE), strange(np.tanh(IMAGE), "mindspore"))
    assert finding.cause == "unexplained" and "it cannot be computed here" in finding.evidence


def test_another_function_that_cannot_be_computed_either() -> None:
    b = strange(np.tanh(IMAGE))
    b.operations[3] = replace(b.operations[3], kind="torch.other", name="other")
    (finding,) = found(strange(IMAGE), b)
    assert finding.cause == "missing-op" and finding.fix == "replace other (torch.other) by torch.strange"


def test_attributes_of_two_frameworks_are_not_held_against_each_other() -> None:
    (finding,) = found(strange(IMAGE, eps=1e-5), strange(np.tanh(IMAGE), "mindspore", epsilon=1e-3))
    assert finding.cause == "unexplained"


def test_what_can_be_computed_on_side_b_alone() -> None:
    b = Side()
    image = b.input()
    b.output(b.op("relu", image))
    b.output(b.op("tanh", image))
    (finding,) = found(strange(IMAGE), b)
    assert (finding.layer, finding.cause) == ("strange ~ tanh", "missing-op")
    assert finding.evidence.startswith("with tanh in the place of torch.strange float64 reproduces side b")


def test_attributes_of_what_cannot_be_computed() -> None:
    (finding,) = found(strange(IMAGE, eps=1e-5), strange(np.tanh(IMAGE), eps=1e-3))
    assert finding.cause == "eps"
    assert finding.evidence.startswith("it cannot be computed here, and differs from side a; side b has eps 0.001")


def test_what_cannot_be_computed_is_not_accused_of_what_was_before_it() -> None:
    def network(slope: float) -> Side:
        side = Side()
        x = side.op("leaky_relu", side.input(), slope=slope)
        side.output(side.other("torch.strange", np.sin(side.values[x]), x))
        return side

    assert told(network(0.2), network(0.1)) == [("leaky_relu", "slope")]
    other = network(0.2)
    other.values[1] = other.values[1][:, :2]
    other.values[2] = other.values[2][:, :2]
    assert diagnose(paired(network(0.2), other), 2, "PyTorch") == []
    near = network(0.2)
    near.values[1] = near.values[1] * np.float32(1 + 2e-5)
    assert diagnose(paired(network(0.2), near), 2, "PyTorch") == []
    near.values[1] = network(0.2).values[1] * np.float32(1 + 5e-6)
    near.values[2] = near.values[2] + 1
    assert len(diagnose(paired(network(0.2), near), 2, "PyTorch")) == 1


def loss(target: float, shape: tuple[int, ...] = IMAGE.shape, port: str = "torch", kind: str = "mse_loss") -> Side:
    side = Side(port)
    x = side.input()
    label = side.other(f"{port}.full_like", np.full(shape, target, np.float32), name="label")
    side.output(side.op(kind, x, label))
    return side


@pytest.mark.parametrize("port", ["torch", "mindspore"])
def test_a_label(port: str) -> None:
    (finding,) = found(loss(1.0), loss(0.9, port=port))
    assert (finding.layer, finding.cause) == ("label", "label")
    assert finding.evidence == "the labels are not those of side a: it is a multiple of what is right, by 0.9"
    assert finding.fix == "give the loss the labels of side a (the constant label)"


def test_a_constant_that_is_no_label() -> None:
    (finding,) = found(loss(1.0, kind="mul"), loss(0.9, kind="mul"))
    assert finding.cause == "scale"


def test_a_constant_has_the_shape_of_what_it_meets() -> None:
    both = paired(loss(1.0), loss(1.0))
    both.b.values[1] = np.ones((2, 3, 4, 4), np.float32)  # type: ignore[index]
    assert diagnose(both, 1, "PyTorch") == []
    both.b.values[1] = np.full((2, 3, 4, 4), 0.5, np.float32)  # type: ignore[index]
    assert [f.cause for f in diagnose(both, 1, "PyTorch")] == ["label"]
