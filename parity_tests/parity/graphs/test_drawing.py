"""A run as a spec: what the op table has no word for is an input of it, and what does not fit leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from parity_tests.parity.graphs.made import BIAS, IMAGE, KERNEL, Array, Side, convolution
from parity_tests.parity.graphs.passes import norm
from twinzoo.converters.graph import OUTPUT, Operation
from twinzoo.converters.layers import Layer, Tensor
from twinzoo.parity.graphs.drawing import BATCH, draw
from twinzoo.parity.graphs.run import How


@pytest.mark.parametrize(("shape", "opaque"), [((1, 3), True), ((2, 3), True), ((0, 3), False), ((), False)])
def test_what_has_no_word_is_an_input_where_it_has_elements(shape: tuple[int, ...], opaque: bool) -> None:
    side = Side()
    x = side.other("torch.strange", np.ones(shape, np.float32), side.input())
    side.output(side.op("relu", side.input(name="second")))
    drawing = draw(side.run())
    assert drawing.opaque == ([x] if opaque else [])
    assert (f"n{x}" in drawing.spec.inputs) is opaque
    assert {"n0", "n2"} <= drawing.spec.inputs.keys()


def test_an_operation_that_gave_another_shape_is_opaque() -> None:
    side = Side()
    x = side.op("relu", side.input())
    side.values[x] = IMAGE[:, :2]
    side.output(x)
    drawing = draw(side.run())
    assert drawing.opaque == [x] and not drawing.spec.nodes
    assert tuple(drawing.spec.inputs["n1"].value.shape) == (2, 2, 8, 8)


@pytest.mark.parametrize("tensors", [{"weight": KERNEL}, {"weight": KERNEL, "bias": BIAS[:2]}])
def test_a_layer_whose_tensors_do_not_fit_is_opaque(tensors: dict[str, Array]) -> None:
    side = Side()
    x = convolution(side, side.input())
    side.output(x)
    assert "n1" in draw(side.run()).spec.nodes
    owned = {role: Tensor(f"conv.{role}", role, array.shape) for role, array in tensors.items()}
    side.layers["conv"] = Layer("conv", owned, "conv2d")
    side.state = {f"conv.{role}": array for role, array in tensors.items()}
    drawing = draw(side.run())
    assert drawing.opaque == [x] and not drawing.spec.nodes and not drawing.state


def test_what_follows_a_value_that_is_not_known_is_opaque() -> None:
    """A lost value leads nowhere, nor does its second output; what has the values of its own goes on from those."""
    for output in (0, 1):
        side = Side()
        lost = side.op("sigmoid", side.input())
        after = side.op("relu", lost)
        side.operations[after] = replace(side.operations[after], operands=((lost, output),))
        side.output(side.op("tanh", after))
        del side.values[lost]
        drawing = draw(side.run())
        assert drawing.opaque == [after] and list(drawing.spec.nodes) == ["n3"]
        assert list(drawing.spec.inputs) == ["n0", "n2"]
        assert [value.ref for value in drawing.spec.nodes["n3"].inputs] == ["n2"]


def test_what_a_model_returns_that_is_not_known_is_no_output() -> None:
    side = Side()
    side.output(side.op("relu", side.input()))
    lost = side.op("sigmoid", 0)
    side.output(lost)
    side.operations.append(Operation("2", OUTPUT, (), {"index": 2}))
    del side.values[lost]
    outputs = draw(side.run()).spec.outputs
    assert {name: value.ref for name, value in outputs.items()} == {"n2": "n1"}


def test_a_second_output_is_that_of_the_node_and_of_nothing_else() -> None:
    def second(kind: str) -> Side:
        side = Side()
        x = side.input(np.arange(6, dtype=np.float32).reshape(1, 6), "rows")
        attrs = {"k": 2, "axis": 1} if kind == "topk" else {}
        best = side._add(Operation(kind, kind, ((x, 0),), attrs), side.values[x][:, :2])
        flat = Operation("flat", "reshape", ((best, 1),), {"shape": (2,)})
        side.output(side._add(flat, np.array([5, 4])))
        return side

    spec = draw(second("topk").run()).spec
    assert [value.ref for value in spec.nodes["n2"].inputs] == ["n1:1"]
    drawing = draw(second("torch.strange").run())
    assert drawing.opaque == [1, 2] and not drawing.spec.nodes
    assert drawing.spec.inputs["n2"].value.dtype == "int" and drawing.spec.inputs["n1"].value.dtype == "float"


def test_what_a_trace_adds_to_the_attributes_is_none_of_the_op() -> None:
    side = Side()
    x = side.op("leaky_relu", norm(side, convolution(side, side.input())), slope=0.3)
    made = side.operations[x]
    side.operations[x] = replace(made, attrs={**made.attrs, "weight_from": "v"})
    side.output(side.op("dropout", x, p=0.5))
    drawing = draw(side.run())
    assert not drawing.opaque and drawing.training == {"n2"}
    assert drawing.spec.nodes["n3"].attrs == {"slope": 0.3} and BATCH not in drawing.spec.nodes["n2"].attrs
    assert drawing.keys["n2.running_mean"] == "norm.running_mean"
    np.testing.assert_array_equal(drawing.state["n1.weight"], KERNEL)
    assert draw(replace(side.run(), how=How(train=True))).training == {"n2", "n4"}
