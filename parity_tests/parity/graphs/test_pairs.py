"""Side b's values and tensors in the places of side a's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from parity_tests.parity.graphs.made import BIAS, IMAGE, KERNEL, Array, Side, convolution
from twinzoo.converters.layers import Tensor
from twinzoo.parity.graphs.pairs import Paired, pair


def paired(a: Side, b: Side) -> Paired:
    return pair(a.run(), b.run())


def chain(*kinds: str, path: str = "conv", scale: float = 1.0) -> Side:
    side = Side()
    x = convolution(side, side.input(), path, KERNEL * np.float32(scale))
    for kind in kinds:
        x = side.op(kind, x)
    side.output(x)
    return side


def test_values_of_the_counterparts() -> None:
    b = chain("tanh", scale=2)
    found = paired(chain("tanh"), b)
    for position in (0, 1, 2):
        assert found.values[position] is b.values[position] and found.value(position) is b.values[position]


def test_where_there_is_no_counterpart_side_as_operation_makes_it_of_side_bs() -> None:
    b = chain("square", scale=2)
    found = paired(chain("tanh", "square"), b)
    assert found.alignment.only_a == [2]
    made = found.value(2)
    assert made is not None and made.dtype == np.float32
    np.testing.assert_array_equal(made, np.tanh(b.values[1].astype(np.float64)).astype(np.float32))
    assert found.given(3)[0] is made and found.really_given(3)[0] is b.values[1]
    assert found.given_to_a(3)[0] is found.a.values[2]


def test_tensors_of_side_b_by_side_as_names() -> None:
    found = paired(chain("tanh", path="here"), chain("tanh", path="there", scale=2))
    assert found.name(1) == "here ~ there" and found.name(2) == "tanh"
    np.testing.assert_array_equal(found.state["n1.weight"], KERNEL * 2)
    np.testing.assert_array_equal(found.drawing.state["n1.weight"], KERNEL)
    assert found.drawing.keys["n1.weight"] == "here.weight"
    np.testing.assert_array_equal(found.alone(1).params["weight"], KERNEL * 2)
    np.testing.assert_array_equal(found.theirs(1).params["bias"], BIAS)


def test_a_tensor_that_side_b_has_not_is_side_as() -> None:
    sides = []
    for kernel in (KERNEL, KERNEL[:, :, 1:2, 1:2]):
        side = Side()
        side.output(convolution(side, side.input(), kernel=kernel, padding=kernel.shape[2] // 2))
        sides.append(side)
    found = paired(*sides)
    assert found.state["n1.weight"] is found.drawing.state["n1.weight"]
    assert found.theirs(1).params["weight"].shape == (4, 3, 1, 1)


def test_what_cannot_be_computed_has_side_as_shape_or_is_left_out() -> None:
    def network(value: Array) -> Side:
        side = Side()
        x = side.op("relu", side.input())
        side.output(side.op("tanh", side.other("torch.strange", value, x)))
        return side

    small = np.ascontiguousarray(IMAGE[:, :, :4])
    found = paired(network(IMAGE), network(small))
    assert 2 not in found.values and found.value(2) is not None
    found = paired(network(IMAGE), network(IMAGE * 2))
    np.testing.assert_array_equal(found.values[2], IMAGE * 2)


def test_only_first_outputs_are_values() -> None:
    def network() -> Side:
        side = Side()
        x = side.op("topk", side.input(), k=2, axis=1)
        y = side.op("tanh", x)
        side.operations[y] = replace(side.operations[y], operands=((x, 1),))
        side.output(y)
        return side

    found = paired(network(), network())
    assert found.given(2) == found.really_given(2) == found.given_to_a(2) == []
    assert len(found.given(1)) == 1


def test_nothing_is_made_of_what_is_not_there() -> None:
    a, b = Side(), Side()
    for side in (a, b):
        x = side.op("tanh", side.input())
        if side is a:
            x = side.op("concat", x, side.other("torch.strange", IMAGE, x))
        side.output(x)
    found = paired(a, b)
    assert found.alignment.only_a == [2, 3]
    assert 2 not in found.values and 3 not in found.values


def test_counters_are_no_tensors_to_compare() -> None:
    def network(count: int) -> Side:
        side = Side()
        tensors = {"running_mean": np.zeros(3, np.float32), "running_var": np.ones(3, np.float32)}
        x = side.layer("norm", "batch_norm", side.op("relu", side.input()), tensors=tensors, affine=False)
        made = side.operations[x]
        side.operations[x] = replace(made, attrs={**made.attrs, "torch.training": True})
        side.layers["norm"].tensors["num_batches_tracked"] = Tensor("norm.num", "num_batches_tracked", ())
        side.state["norm.num"] = np.array(count)
        side.output(x)
        return side

    found = paired(network(1), network(2))
    assert set(found.state) == {"n2.running_mean", "n2.running_var"}


def test_the_tensors_of_an_operation_that_nobody_knows() -> None:
    def network(kind: str) -> Side:
        side = Side()
        tensors = {"weight": BIAS[:3], "bias": BIAS[:3]}
        x = side.layer("norm", "group_norm", side.input(), tensors=tensors, groups=3)
        side.operations[x] = replace(side.operations[x], kind=kind)
        side.output(x)
        return side

    found = paired(network("group_norm"), network("torch.strange"))
    assert found.theirs(1).kind == "torch.strange" and set(found.theirs(1).params) == {"weight", "bias"}


def test_traces_are_of_both_sides() -> None:
    a, b = chain("tanh"), chain("tanh", scale=2)
    returned = b.values[2] + np.float32(1)
    b.outputs["0"] = returned
    ours, theirs = paired(a, b).traces()
    assert (ours.port, theirs.port) == ("live torch", "live torch")
    assert set(ours.values) == set(theirs.values) == {"n1", "n2"}
    assert ours.outputs["n3"] is a.outputs["0"] and theirs.outputs["n3"] is returned
    assert theirs.values["n1"] is b.values[1]


def test_several_outputs_in_their_order() -> None:
    sides = []
    for factor in (1, 2):
        side = Side()
        x = side.input(IMAGE * np.float32(factor))
        for kind in ("relu", "tanh", "exp"):
            side.output(side.op(kind, x))
        sides.append(side)
    ours, theirs = paired(*sides).traces()
    assert [x is y for x, y in zip(ours.outputs.values(), sides[0].outputs.values(), strict=True)] == [True] * 3
    assert [x is y for x, y in zip(theirs.outputs.values(), sides[1].outputs.values(), strict=True)] == [True] * 3
