"""A run as a spec: what the op table has no word for is an input of it, and what does not fit leaves nothing behind."""

from __future__ import annotations

import numpy as np
import pytest

from parity_tests.parity.graphs.made import BIAS, IMAGE, KERNEL, Array, Side, convolution
from twinzoo.converters.layers import Layer, Tensor
from twinzoo.parity.graphs.drawing import draw


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
