"""Tensors that are not the same, and what became of them."""

from __future__ import annotations

import numpy as np
import pytest

from parity_tests.parity.graphs.made import BIAS, RNG, Array, Side, convolution
from twinzoo.parity.graphs.pairs import pair
from twinzoo.parity.graphs.weights import weight_findings
from twinzoo.parity.results import Finding

SQUARE = RNG.normal(size=(4, 4, 3, 3)).astype(np.float32)
OTHER = RNG.normal(size=(4, 4, 3, 3)).astype(np.float32)
OFFSET = RNG.normal(size=4).astype(np.float32)


def network(one: Array = SQUARE, two: Array = OTHER, bias: Array = BIAS, offset: Array = OFFSET) -> Side:
    side = Side()
    x = convolution(side, side.input(), "first")
    x = convolution(side, x, "one", one, bias)
    side.output(convolution(side, x, "two", two, offset))
    return side


def findings(b: Side, a: Side | None = None) -> list[Finding]:
    return list(weight_findings(pair((a or network()).run(), b.run())).values())


def test_equal_tensors_are_no_finding() -> None:
    assert findings(network()) == []
    odd = SQUARE.copy()
    odd[0, 0, 0, 0] = np.nan
    assert findings(network(odd), network(odd.copy())) == []


def test_a_value() -> None:
    wrong = SQUARE.copy()
    wrong[1, 2, 0, 1] += 0.5
    (found,) = findings(network(wrong))
    assert (found.layer, found.cause) == ("one", "weight-value")
    assert found.evidence == "one.weight differs in 1 of 144 values, largest |a-b| 0.5 at (1, 2, 0, 1)"
    assert "same weights" in found.fix


@pytest.mark.parametrize(
    "wrong, words, fix",
    [
        (SQUARE.swapaxes(0, 1), "its axes are in the order (1, 0, 2, 3)", "transpose it by (1, 0, 2, 3)"),
        (SQUARE[..., ::-1], "it is flipped along axis 3", "flip it along axis 3"),
        (SQUARE[:, :, ::-1, ::-1], "it is flipped along axis 2 and 3", "flip it along axis 2 and 3"),
        (SQUARE[::-1, ::-1, ::-1, ::-1], "it is flipped along axis 0 and 1 and 2 and 3", "0 and 1 and 2 and 3"),
        (np.roll(SQUARE, 2, 1), "it has the same values in another order", "in side a's order"),
    ],
)
def test_the_same_values_in_another_order(wrong: Array, words: str, fix: str) -> None:
    (found,) = findings(network(np.ascontiguousarray(wrong)))
    assert found.cause == "weight-layout"
    assert found.evidence.endswith(words) and fix in found.fix


def test_a_matrix_that_is_transposed() -> None:
    matrix = RNG.normal(size=(8, 8)).astype(np.float32)
    sides = []
    for made in (matrix, np.ascontiguousarray(matrix.T)):
        side = Side()
        side.output(side.layer("dense", "linear", side.input(), tensors={"weight": made}, features=8, bias=False))
        sides.append(side)
    (found,) = findings(sides[1], sides[0])
    assert found.cause == "weight-layout" and found.fix == "transpose it by (1, 0)"


def test_the_fix_of_a_transposition_undoes_it() -> None:
    cube = RNG.normal(size=(4, 4, 4, 4)).astype(np.float32)
    wrong = np.ascontiguousarray(cube.transpose(1, 2, 0, 3))
    side, right = Side(), Side()
    for made, kernel in ((right, cube), (side, wrong)):
        x = convolution(made, made.input(), "first")
        made.output(convolution(made, x, "one", kernel, padding=2))
    (found,) = findings(side, right)
    assert "(1, 2, 0, 3)" in found.evidence and found.fix == "transpose it by (2, 0, 1, 3)"
    np.testing.assert_array_equal(wrong.transpose(2, 0, 1, 3), cube)


def test_two_tensors_in_each_others_place() -> None:
    one, two = findings(network(OTHER, SQUARE))
    assert (one.cause, two.cause) == ("weight-swapped", "weight-swapped")
    assert one.evidence.endswith("; side b has two.weight in its place")
    assert two.evidence.endswith("; side b has one.weight in its place")


def test_one_tensor_in_two_places() -> None:
    (found,) = findings(network(OTHER, OTHER))
    assert (found.layer, found.cause) == ("one", "weight-shared")
    assert found.evidence.endswith("; side b has two.weight in its place, as it has in the place of that")


def test_a_constant_is_nobody_elses() -> None:
    """All ones are many tensors."""
    ones = np.ones_like(BIAS)
    (found,) = findings(network(bias=ones), network(offset=ones))[:1]
    assert found.cause == "weight-value"


def test_single_numbers_are_nobody_elses() -> None:
    def slope(value: float, other: float) -> Side:
        side = Side()
        x = side.input()
        for path, number in (("p", value), ("q", other)):
            x = side.layer(path, "prelu", x, tensors={"weight": np.array([number], np.float32)}, parameters=1)
        side.output(x)
        return side

    (found,) = findings(slope(0.5, 0.5), slope(0.25, 0.5))
    assert found.cause == "weight-value"


def test_a_bias_of_zeros() -> None:
    (found,) = findings(network(bias=np.zeros_like(BIAS)))
    assert (found.layer, found.cause) == ("one", "bias")
    assert found.evidence.endswith("; side b has zeros")
    (found,) = findings(network(np.zeros_like(SQUARE)))
    assert found.cause == "weight-value"


@pytest.mark.parametrize("affine", [(True, False), (True, True)])
def test_a_norm_that_is_affine_on_side_a_alone(affine: tuple[bool, bool]) -> None:
    """MindSpore's norms keep a frozen gain and offset."""
    sides = []
    for is_affine, gain in zip(affine, (2.0, 1.0), strict=True):
        side = Side("mindspore")
        tensors = {"weight": np.full(3, gain, np.float32), "bias": np.ones(3, np.float32)}
        x = side.layer("norm", "group_norm", side.input(), tensors=tensors, groups=3)
        side.operations[x] = side.operations[x].__class__(
            "norm", "group_norm", ((0, 0),), {**side.operations[x].attrs, "affine": is_affine}, "norm"
        )
        side.output(x)
        sides.append(side)
    (found,) = findings(sides[1], sides[0])
    assert found.cause == ("weight-value" if affine[1] else "affine")
    assert "nn.GroupNorm(affine=True)" in found.fix or affine[1]
