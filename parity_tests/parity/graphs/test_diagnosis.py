"""Every hypothesis about one operation: planted in a run, named with its evidence and fix, and nothing else told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from parity_tests.parity.graphs.made import BIAS, IMAGE, KERNEL, RNG, Array, Side, convolution, report, told
from twinzoo.parity.graphs.diagnosis import diagnose, diagnose_output, silent_findings
from twinzoo.parity.graphs.pairs import Paired, pair
from twinzoo.parity.results import Finding
from twinzoo.parity.rounding import bound
from twinzoo.ports.reference import evaluate
from twinzoo.zoo.spec import Spec


def one(kind: str, port: str = "torch", **attrs: Any) -> Side:
    """A network of one function."""
    side = Side(port)
    side.output(side.op(kind, side.input(), **attrs))
    return side


def found(a: Side, b: Side) -> list[Finding]:
    return report(a, b).findings


def paired(a: Side, b: Side) -> Paired:
    return pair(a.run(), b.run())


def test_an_attribute_with_its_evidence_and_fix() -> None:
    (finding,) = found(one("leaky_relu", slope=0.2), one("leaky_relu", "mindspore", slope=0.1))
    assert (finding.layer, finding.cause) == ("leaky_relu", "slope")
    assert finding.evidence.startswith("with slope 0.1 float64 reproduces side b to ")
    assert " of the bound; as side a has it, it misses by " in finding.evidence
    assert finding.evidence.endswith("; side a has slope 0.2")
    assert finding.fix == "set slope of leaky_relu to 0.2, as leaky_relu has it: nn.LeakyReLU(alpha=0.2)"


def test_of_several_attributes_only_what_is_needed_is_told() -> None:
    """The resize to a size is the resize by a scale; only the corners differ."""
    a = one("interpolate", scale=2.0, mode="bilinear")
    b = one("interpolate", size=(16, 16), mode="bilinear", align_corners=True)
    assert told(a, b) == [("interpolate", "align-corners")]


def test_of_all_attributes_those_that_are_not_needed_are_left_out() -> None:
    a = one("interpolate", scale=2.0, mode="nearest")
    b = one("interpolate", size=(16, 16), mode="bilinear", align_corners=True)
    assert told(a, b) == [("interpolate", "resize-mode"), ("interpolate", "align-corners")]


def test_padding_that_is_not_there_is_counted_no_differently() -> None:
    a = one("avg_pool2d", kernel=3, stride=1)
    b = one("avg_pool2d", kernel=2, stride=2, count_include_pad=False)
    assert told(a, b) == [("avg_pool2d", "kernel"), ("avg_pool2d", "stride")]


def test_all_that_is_needed_is_told() -> None:
    a = one("avg_pool2d", kernel=3, stride=1, padding=1)
    b = one("avg_pool2d", kernel=2, stride=1, padding=1, count_include_pad=False)
    assert told(a, b) == [("avg_pool2d", "kernel"), ("avg_pool2d", "count-include-pad")]


def test_a_silent_attribute_beside_one_that_shows() -> None:
    def normed(eps: float, momentum: float) -> Side:
        side = Side()
        tensors = {"running_mean": np.zeros(3, np.float32), "running_var": np.full(3, 1e-3, np.float32)}
        side.output(
            side.layer("n", "batch_norm", side.input(), tensors=tensors, affine=False, eps=eps, momentum=momentum)
        )
        return side

    assert told(normed(1e-5, 0.1), normed(1e-3, 0.2)) == [("n", "eps"), ("n", "momentum")]
    both = paired(normed(1e-5, 0.1), normed(1e-5, 0.2))
    (finding,) = silent_findings(both, 1)
    assert (finding.cause, finding.layer) == ("momentum", "n")
    assert "eval mode do not show" in finding.evidence and finding.fix.endswith("torch.nn.BatchNorm2d(momentum=0.1)")


def test_what_does_not_show_and_need_not_is_not_told() -> None:
    a, b = one("interpolate", scale=2.0), one("interpolate", size=(16, 16))
    assert told(a, b) == [] and report(a, b).ok
    assert silent_findings(paired(a, b), 1) == []
    assert silent_findings(paired(one("leaky_relu", slope=0.1), one("elu", alpha=0.2)), 1) == []


def test_another_kind() -> None:
    (finding,) = found(one("relu"), one("silu"))
    assert (finding.layer, finding.cause) == ("relu ~ silu", "activation")
    assert finding.evidence.startswith("with silu in the place of relu float64 reproduces side b to ")
    assert finding.fix == "replace silu (silu) by torch.nn.ReLU"


def difference(*order: int, between: str = "", port: str = "torch") -> Side:
    side = Side(port)
    x = side.input()
    y = side.op("tanh", side.op(between, x) if between else x)
    side.output(side.op("sub", *(((x, y)[i]) for i in order)))
    return side


def test_operands_in_another_order() -> None:
    (finding,) = found(difference(0, 1), difference(1, 0))
    assert (finding.layer, finding.cause) == ("sub", "operand-order")
    assert finding.evidence.startswith("with the operands in the order 2, 1 float64 reproduces side b to ")
    assert finding.fix == "give sub its operands in the order of sub"


def concatenated(count: int, order: list[int], axis: int = 1) -> Side:
    side = Side()
    x = side.input()
    parts = [side.op("affine", x, scale=i + 2.0) for i in range(count)]
    side.output(side.op("concat", *(parts[i] for i in order), axis=axis))
    return side


def test_the_last_of_four_orders_is_tried() -> None:
    (finding,) = found(concatenated(4, [0, 1, 2, 3]), concatenated(4, [3, 2, 1, 0]))
    assert finding.cause == "operand-order" and "4, 3, 2, 1" in finding.evidence


def test_an_order_and_an_attribute() -> None:
    a, b = concatenated(2, [0, 1], axis=2), concatenated(2, [1, 0], axis=3)
    assert told(a, b) == [("concat", "operand-order"), ("concat", "axis")]


def test_an_operation_before_it_and_an_attribute() -> None:
    sides = []
    for slope, extra in ((0.2, False), (0.1, True)):
        side = Side()
        x = side.input()
        x = side.op("tanh", x) if extra else x
        side.output(side.op("leaky_relu", convolution(side, x), slope=slope))
        sides.append(side)
    assert told(*sides) == [("conv", "extra-op"), ("leaky_relu", "slope")]
    sides = []
    for stride, extra in ((1, False), (2, True)):
        side = Side()
        x = side.input()
        side.output(convolution(side, side.op("tanh", x) if extra else x, stride=stride))
        sides.append(side)
    assert told(*sides) == [("conv", "extra-op"), ("conv", "stride")]


def test_padding_by_an_operation_in_place_of_an_attribute() -> None:
    def network(mode: str, padding: tuple[int, int, int, int] = (1, 1, 1, 1)) -> Side:
        side = Side()
        x = side.op("pad2d", side.input(), padding=padding, mode=mode)
        side.output(convolution(side, x, padding=0))
        return side

    plain = Side()
    plain.output(convolution(plain, plain.input()))
    assert report(plain, network("zero")).ok
    (finding,) = found(plain, network("reflect"))
    assert (finding.layer, finding.cause) == ("conv", "pad-mode")
    assert finding.fix.endswith("from side b, and use torch.nn.Conv2d(padding=(1, 1))")
    (finding,) = found(plain, network("zero", (0, 2, 0, 2)))
    assert finding.cause == "padding"
    (finding,) = found(network("reflect"), plain)
    assert finding.cause == "pad-mode" and finding.fix.startswith("add pad2d (pad2d: ")


def test_an_element_type_that_differs() -> None:
    a, b = one("relu"), one("relu")
    a.values[1] = a.values[1].astype(np.float64)
    (finding,) = diagnose(paired(a, b), 1, "PyTorch")
    assert finding.cause == "dtype" and finding.evidence == "side a computes in float64, side b in float32"


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_a_shorter_type_inside(dtype: Any) -> None:
    name = np.dtype(dtype).name
    side = one("tanh")
    side.values[1] = np.tanh(IMAGE.astype(dtype).astype(np.float64)).astype(np.float32)
    (finding,) = diagnose(paired(one("tanh"), side), 1, "PyTorch")
    assert finding.cause == "dtype" and f"it is given has been rounded to {name}; as float32" in finding.evidence
    side.values[1] = np.tanh(IMAGE).astype(dtype).astype(np.float32)
    (finding,) = diagnose(paired(one("tanh"), side), 1, "PyTorch")
    assert finding.cause == "dtype" and f"every number of its output is one of {name}" in finding.evidence


def test_how_many_numbers_are_no_accident() -> None:
    for count in (15, 16):
        side = one("tanh")
        side.values[1] = (np.arange(IMAGE.size).reshape(IMAGE.shape) % count).astype(np.float32)
        (finding,) = diagnose(paired(one("tanh"), side), 1, "PyTorch")
        assert (finding.cause == "dtype") is (count == 16)


def test_indices_are_of_no_shorter_type() -> None:
    def network(table: Array) -> Side:
        side = Side()
        x, index = side.input(IMAGE.reshape(2, -1)), side.input(np.array([101, 99, 77]) + 90, "index")
        picked = side.op("gather", x, index, axis=1)
        side.values[picked] = table.reshape(2, -1)[:, [191, 189, 167]]
        side.output(picked)
        return side

    rounded = network(IMAGE.astype(ml_dtypes.bfloat16).astype(np.float32))
    (finding,) = diagnose(paired(network(IMAGE), rounded), 2, "PyTorch")
    assert finding.cause == "dtype"


def test_a_few_round_numbers_are_no_shorter_type() -> None:
    side = one("tanh")
    side.values[1] = np.where(IMAGE > 0, np.float32(0.5), np.float32(0.25))
    (finding,) = diagnose(paired(one("tanh"), side), 1, "PyTorch")
    assert finding.cause == "unexplained"


def test_what_nothing_explains_shows_its_fingerprint() -> None:
    for change, cause, words in (
        (lambda y: y * np.float32(1.5), "scale", "a multiple of what is right, by 1.5"),
        (lambda y: y + np.float32(0.5), "offset", "higher by 0.5 everywhere"),
        (lambda y: np.roll(y, 1, 3), "unexplained", "moved by 0 pixels down and 1 to the right"),
        (lambda y: y[:, [1, 2, 0]], "unexplained", "in the order 1, 2, 0"),
    ):
        side = one("tanh")
        side.values[1] = change(side.values[1])
        (finding,) = diagnose(paired(one("tanh"), side), 1, "PyTorch")
        assert finding.cause == cause and words in finding.evidence
        assert finding.evidence.startswith("no hypothesis reproduces side b, which misses by ")
        assert finding.fix == "the fault is in tanh, not before it: compare it with tanh"


def moved(side: Side, bounds: float, **attrs: Any) -> Side:
    """One value of a network of one function moved so many bounds away."""
    spec = Spec("x")
    kind = side.operations[1].kind
    getattr(spec, kind)("node", spec.input("x", shape=IMAGE.shape), **attrs)
    exact = evaluate(spec.nodes["node"], {}, (IMAGE,))
    made = exact[0].copy()
    place = np.unravel_index(IMAGE.argmin(), IMAGE.shape)
    made[place] += bounds * bound(spec.nodes["node"], {}, (IMAGE,), exact)[0][place]
    side.values[1] = made
    return side


def test_what_is_beyond_its_bound_is_not_excused() -> None:
    """On side a, on side b, and under a hypothesis; values in float64, so that they can be placed."""

    def causes(a: Side, b: Side) -> list[str]:
        a.values[1] = a.values[1].astype(np.float64)
        b.values[1] = b.values[1].astype(np.float64)
        return [finding.cause for finding in diagnose(paired(a, b), 1, "PyTorch")]

    assert causes(one("tanh"), moved(one("tanh"), 0.9)) == []
    assert causes(one("tanh"), moved(one("tanh"), 1.5)) == ["unexplained"]
    assert causes(moved(one("tanh"), 0.9), one("tanh")) == []
    assert causes(moved(one("tanh"), 1.5), one("tanh")) == ["unexplained"]
    for bounds, cause in ((0.9, "slope"), (1.5, "unexplained")):
        b = moved(one("elu", alpha=0.5), bounds, alpha=0.5)
        assert causes(one("elu", alpha=1.0), b) == [cause]


def test_what_follows_from_an_earlier_fault_is_told_there_alone() -> None:
    def network(stride: int) -> Side:
        side = Side()
        x = convolution(side, side.input(), stride=stride)
        side.output(side.op("tanh", side.op("relu", x)))
        return side

    assert told(network(1), network(2)) == [("conv", "stride")]


def test_an_early_fault_hides_no_later_one() -> None:
    def network(stride: int, slope: float, axis: int) -> Side:
        side = Side()
        x = convolution(side, side.input(), stride=stride)
        x = side.op("leaky_relu", x, slope=slope)
        side.output(side.op("softmax", x, axis=axis))
        return side

    assert told(network(1, 0.2, 1), network(2, 0.1, 2)) == [
        ("conv", "stride"),
        ("leaky_relu", "slope"),
        ("softmax", "axis"),
    ]


def test_a_fault_of_side_a() -> None:
    a = one("tanh")
    a.values[1] = a.values[1] * np.float32(1.01)
    (finding,) = diagnose(paired(a, one("tanh")), 1, "PyTorch")
    assert finding.cause == "unexplained"
    assert finding.evidence.startswith("side a is not where float64 is: it misses by ")
    assert finding.evidence.endswith("times the bound; side b is right")
    clean = paired(one("tanh"), one("tanh"))
    assert diagnose(clean, 1, "PyTorch") == []


def test_side_a_is_judged_with_its_own_tensors() -> None:
    sides = []
    for kernel in (KERNEL, KERNEL * np.float32(1.5)):
        side = Side()
        side.output(convolution(side, side.input(), kernel=kernel))
        sides.append(side)
    assert diagnose(paired(*sides), 1, "PyTorch") == []


def test_an_operation_that_side_b_has_not() -> None:
    a, b = one("tanh"), Side()
    b.output(b.input())
    (finding,) = diagnose(paired(a, b), 1, "MindSpore")
    assert (finding.layer, finding.cause) == ("tanh", "missing-op")
    assert finding.evidence == "only side a has tanh (tanh)"
    assert finding.fix == "add tanh (tanh) to the MindSpore side"


def test_an_operation_that_side_b_has_not_is_told_once() -> None:
    def network(more: bool) -> Side:
        side = Side()
        x = side.op("relu", side.input())
        x = side.other("torch.strange", np.tanh(IMAGE), x, name="strange") if more else x
        side.output(side.op("square", x))
        return side

    assert told(network(True), network(False)) == [("strange", "missing-op")]


def test_what_follows_the_last_layer() -> None:
    def network(*kinds: str) -> Side:
        side = Side()
        x = convolution(side, side.input())
        for kind in kinds:
            x = side.op(kind, x)
        side.output(x)
        return side

    def of_output(a: Side, b: Side) -> list[Finding]:
        return diagnose_output(paired(a, b), len(a.operations) - 1)

    (finding,) = of_output(network("tanh"), network())
    assert finding.cause == "missing-op" and finding.fix == "add tanh (tanh) to side b"
    (finding,) = of_output(network(), network("tanh"))
    assert finding.cause == "extra-op" and finding.fix == "remove tanh (tanh) from side b"
    assert of_output(network("tanh"), network("tanh")) == []
    more = network("tanh")
    more.output(1)
    assert of_output(more, network("tanh")) == []


def test_a_convolution_with_tensors_of_another_shape() -> None:
    sides = []
    for groups, bias in ((1, BIAS), (3, None)):
        side = Side()
        kernel = RNG.normal(size=(3, 3 // groups, 3, 3)).astype(np.float32)
        offset = None if bias is None else bias[:3]
        side.output(convolution(side, side.input(), kernel=kernel, bias=offset, groups=groups))
        sides.append(side)
    assert told(*sides) == [("conv", "groups"), ("conv", "bias")]


def test_padding_of_one_side_only_in_mindspores_words() -> None:
    a, b = Side(), Side("mindspore")
    a.output(convolution(a, a.input(), stride=2))
    a.output(a.op("relu", 0))
    x = b.input()
    padded = np.pad(IMAGE, ((0, 0), (0, 0), (0, 1), (0, 1)))
    other = Side()
    y = convolution(other, other.input(padded), stride=2, padding=0)
    position = convolution(b, x, stride=2)
    b.values[position] = other.values[y]
    made = b.operations[position]
    b.operations[position] = replace(made, attrs={**made.attrs, "padding": (0, 0), "mindspore.pad_mode": "same"})
    b.output(position)
    b.output(b.op("relu", 0))
    findings = found(a, b)
    assert {finding.cause for finding in findings} == {"padding"}
    assert any("nn.Conv2d(pad_mode='pad', padding=1)" in finding.fix for finding in findings)
    findings = found(b, a)
    assert {finding.cause for finding in findings} == {"padding"}
    assert any("with padding (1, 1) " in finding.evidence for finding in findings)
