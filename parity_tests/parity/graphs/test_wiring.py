"""An operation that is right on what it was given: what came before it on one side alone, or from where it came."""

from __future__ import annotations

from typing import Any

import pytest

from parity_tests.parity.graphs.made import Side, convolution, report, told
from twinzoo.parity.results import Finding


def chain(*kinds: str, **attrs: Any) -> Side:
    """Functions between two convolutions; the attributes are those of the last."""
    side = Side()
    x = convolution(side, side.input(), "one")
    for place, kind in enumerate(kinds):
        x = side.op(kind, x, **(attrs if place == len(kinds) - 1 else {}))
    side.output(side.op("square", x))
    return side


def only(a: Side, b: Side) -> Finding:
    (finding,) = report(a, b).findings
    return finding


def test_an_operation_that_only_side_b_has() -> None:
    finding = only(chain("tanh"), chain("tanh", "sigmoid"))
    assert (finding.layer, finding.cause) == ("square", "extra-op")
    assert finding.evidence.startswith("on what side b really gave it, float64 reproduces side b to ")
    assert finding.evidence.endswith(": before it only side b has sigmoid (sigmoid)")
    assert finding.fix == "remove sigmoid (sigmoid) from side b"


def test_an_operation_that_only_side_a_has() -> None:
    finding = only(chain("tanh", "sigmoid"), chain("tanh"))
    assert (finding.layer, finding.cause) == ("square", "missing-op")
    assert finding.evidence.endswith(": before it only side a has sigmoid (sigmoid)")
    assert finding.fix == "add sigmoid (sigmoid) to side b"


def test_several_are_listed_together() -> None:
    finding = only(chain(), chain("sigmoid", "leaky_relu", slope=0.5))
    assert finding.cause == "extra-op"
    assert "leaky_relu (leaky_relu: slope=0.5)" in finding.fix and "sigmoid (sigmoid)" in finding.fix


@pytest.mark.parametrize(
    "attrs, cause", [({"scale": 2.0}, "scale"), ({"shift": 2.0}, "offset"), ({"scale": 2.0, "shift": 1.0}, "scale")]
)
def test_a_number_that_only_one_side_has(attrs: dict[str, float], cause: str) -> None:
    assert only(chain(), chain("affine", **attrs)).cause == cause
    assert only(chain("affine", **attrs), chain()).cause == cause


def test_what_several_use_is_told_once() -> None:
    def network(extra: bool) -> Side:
        side = Side()
        x = convolution(side, side.input())
        x = side.op("sigmoid", x) if extra else x
        side.output(side.op("square", x))
        side.output(side.op("exp", x))
        return side

    assert told(network(False), network(True)) == [("square", "extra-op")]
    assert told(network(True), network(False)) == [("square", "missing-op")]


def test_a_number_that_several_use_is_told_once() -> None:
    def network(scale: float) -> Side:
        side = Side()
        x = convolution(side, side.input())
        x = side.op("affine", x, scale=scale) if scale != 1 else x
        side.output(side.op("square", x))
        side.output(side.op("exp", x))
        return side

    assert told(network(1), network(0.5)) == [("square", "scale")]
    assert told(network(0.5), network(1)) == [("square", "scale")]


def test_what_is_used_twice_by_one_operation_is_listed_once() -> None:
    def network(extra: bool) -> Side:
        side = Side()
        x = convolution(side, side.input())
        x = side.op("sigmoid", x) if extra else x
        side.output(side.op("mul", x, x))
        return side

    assert only(network(False), network(True)).fix == "remove sigmoid (sigmoid) from side b"


def test_an_operand_more_than_side_a_has() -> None:
    def network(*operands: int) -> Side:
        side = Side()
        x = side.op("tanh", side.input())
        side.output(side.op("concat", *operands))
        assert x == 1
        return side

    finding = only(network(0, 1), network(0, 1, 1))
    assert finding.cause == "missing-op" and finding.evidence.endswith("something before it that was not seen")
    assert finding.fix == "look at what side b does before concat"


def skipping(source: str, port: str = "torch") -> Side:
    """relu(x) convolved, and added to x; or to what a change in place has made of x; or to the input."""
    side = Side(port)
    image = side.input()
    x = convolution(side, image, "one")
    y = side.op("relu", x)
    z = side.op("tanh", y)
    side.output(side.op("sub", {"x": x, "relu": y, "tanh": z}[source], side.op("sigmoid", z)))
    return side


def test_a_change_in_place() -> None:
    finding = only(skipping("x"), skipping("relu"))
    assert (finding.layer, finding.cause) == ("sub", "inplace")
    assert "on the output of relu (relu) float64 reproduces side b" in finding.evidence
    assert "side a gives it that of one: on side b relu seems to change what it is given in place" in finding.evidence
    assert "inplace=False" in finding.fix
    finding = only(skipping("relu"), skipping("x"))
    assert finding.cause == "inplace" and "on side a relu seems to change" in finding.evidence


def test_the_operand_that_is_the_same_is_not_told() -> None:
    def network(second: str) -> Side:
        side = Side()
        x = convolution(side, side.input(), "one")
        made = {"tanh": side.op("tanh", x), "exp": side.op("exp", x)}
        side.output(side.op("sub", x, made[second]))
        side.output(made["exp"])
        return side

    assert only(network("tanh"), network("exp")).fix == "give sub the output of tanh"


def test_an_operand_from_elsewhere() -> None:
    finding = only(skipping("x"), skipping("tanh"))
    assert (finding.layer, finding.cause) == ("sub", "operand-order")
    assert finding.fix == "give sub the output of one"


def joined(kind: str, swapped: bool, extra: bool) -> Side:
    side = Side()
    x = convolution(side, side.input())
    y = side.op("tanh", x)
    y = side.op("sigmoid", y) if extra else y
    side.output(side.op(kind, *((y, x) if swapped else (x, y))))
    return side


def test_an_operation_of_one_side_and_another_order() -> None:
    assert told(joined("sub", False, False), joined("sub", True, True)) == [
        ("sub", "extra-op"),
        ("sub", "operand-order"),
    ]
    assert told(joined("sub", False, True), joined("sub", True, False)) == [
        ("sub", "missing-op"),
        ("sub", "operand-order"),
    ]
    assert told(joined("sub", False, False), joined("sub", False, True)) == [("sub", "extra-op")]


@pytest.mark.parametrize("kind", ["add", "mul", "maximum"])
def test_an_order_that_makes_no_difference(kind: str) -> None:
    assert told(joined(kind, False, False), joined(kind, True, True)) == [(kind, "extra-op")]
    assert report(joined(kind, False, False), joined(kind, True, False)).ok
