"""Inputs that were given, by name; and the smallest that a model runs on, found from the shapes of its layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinzoo.converters.layers import Layer, Tensor
from twinzoo.converters.live import Inputs
from twinzoo.converters.live.inputs import named_inputs, smallest_inputs
from twinzoo.zoo.errors import ConversionError

ONE, TWO = np.ones(1), np.full(2, 2.0)


def layer(kind: str, *shape: int, role: str = "weight") -> Layer:
    return Layer("layer", {role: Tensor(f"layer.{role}", role, shape)}, kind)


def accepting(*shapes: tuple[int, ...], integers: bool = False) -> Callable[[Inputs], None]:
    """A model that runs on exactly these shapes, one an argument."""

    def run(inputs: Inputs) -> None:
        assert tuple(value.shape for value in inputs.values()) == shapes
        assert all((value.dtype.kind == "i") == integers for value in inputs.values())

    return run


def found(names: str, layers: list[Layer], run: Callable[[Inputs], object]) -> dict[str, Any]:
    return dict(smallest_inputs(names.split(), layers, run, (AssertionError,)))


@pytest.mark.parametrize(
    ("kind", "weight", "wanted"),
    [
        ("conv2d", (8, 3, 5, 5), (1, 3, 16, 16)),
        ("conv2d", (8, 1, 5, 5), (1, 1, 16, 16)),
        ("conv2d", (8, 1, 5, 5), (1, 8, 16, 16)),
        ("conv1d", (8, 3, 5), (1, 3, 16)),
        ("conv1d", (8, 3, 1, 5), (1, 3, 16)),
        ("torch.conv3d", (8, 3, 5, 5, 5), (1, 3, 16, 16, 16)),
        ("conv_transpose2d", (6, 8, 5, 5), (1, 6, 16, 16)),
        ("torch.conv_transpose1d", (6, 8, 5), (1, 6, 16)),
        ("linear", (4, 9), (1, 9)),
        ("linear", (4, 9), (1, 16, 9)),
        ("layer_norm", (7,), (1, 16, 7)),
        ("batch_norm", (7,), (1, 7, 16, 16)),
        ("batch_norm", (7,), (1, 7, 16)),
        ("batch_norm", (7,), (1, 7)),
        ("lstm", (12, 5), (1, 16, 5)),
        ("gru_cell", (12, 5), (1, 5)),
        ("multihead_attention", (24, 8), (1, 16, 8)),
        ("", (8, 3, 5, 5), (1, 3, 16, 16)),
        ("mindspore.something", (4, 9), (1, 9)),
    ],
)
def test_shapes_come_from_the_first_layer(kind: str, weight: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    assert found("x", [layer(kind, *weight)], accepting(wanted))["x"].shape == wanted


def test_indices_are_within_the_table() -> None:
    indices = found("words", [layer("embedding", 5, 3)], accepting((1, 16), integers=True))["words"]
    assert indices.min() >= 0 and indices.max() == 4


@pytest.mark.parametrize("size", [16, 28, 32, 64, 128, 224, 256, 512])
def test_larger_sizes_are_tried(size: int) -> None:
    assert found("x", [layer("conv2d", 8, 3, 5, 5)], accepting((1, 3, size, size)))["x"].shape[-1] == size


def test_small_ones_are_tried_first() -> None:
    sizes: list[int] = []
    run = accepting((1, 3, 64, 64))

    def noted(inputs: Inputs) -> None:
        sizes.append(inputs["x"].shape[-1])
        run(inputs)

    found("x", [layer("conv2d", 8, 3, 5, 5)], noted)
    assert sizes == sorted(sizes) and set(sizes) == {16, 28, 32, 64}


def test_layers_that_are_defined_later_count_too() -> None:
    head, stem = layer("linear", 10, 100), layer("conv2d", 8, 3, 5, 5)
    assert found("x", [head, stem], accepting((1, 3, 32, 32)))["x"].shape == (1, 3, 32, 32)


def test_a_weight_norm_is_seen_through() -> None:
    tensors = {"weight_g": (8, 1, 1, 1), "weight_v": (8, 3, 5, 5), "bias": (8,)}
    conv = Layer("c", {role: Tensor(f"c.{role}", role, shape) for role, shape in tensors.items()}, "conv2d")
    assert found("x", [conv], accepting((1, 3, 16, 16)))


def test_images_are_tried_where_no_layer_tells() -> None:
    assert found("x", [], accepting((1, 3, 16, 16)))
    assert found("x", [layer("", 4)], accepting((1, 1, 16, 16)))
    assert found("", [], accepting()) == {}


@pytest.mark.parametrize(
    ("channels", "shapes"),
    [
        (3, ((1, 3, 32, 32), (1, 3, 32, 32))),
        (6, ((1, 3, 16, 16), (1, 3, 16, 16))),
        (4, ((1, 3, 16, 16), (1, 1, 16, 16))),
        (4, ((1, 1, 16, 16), (1, 2, 16, 16), (1, 1, 16, 16))),
        (3, ((1, 3, 16, 16), (1,))),
    ],
)
def test_several_arguments_are_alike_or_share_the_channels(channels: int, shapes: tuple[tuple[int, ...], ...]) -> None:
    names = "abc"[: len(shapes)]
    inputs = found(" ".join(names), [layer("conv2d", 8, channels, 5, 5)], accepting(*shapes))
    assert list(inputs) == list(names)


def test_arguments_that_are_alike_have_different_values() -> None:
    """So that the two branches of a siamese network differ in what they compute."""
    shape = (1, 3, 16, 16)
    inputs = found("a b", [layer("conv2d", 8, 3, 5, 5)], accepting(shape, shape))
    assert not np.array_equal(inputs["a"], inputs["b"])
    again = found("a b", [layer("conv2d", 8, 3, 5, 5)], accepting(shape, shape))
    assert all(np.array_equal(inputs[name], again[name]) for name in inputs)
    again["a"][:] = 7
    assert found("a b", [layer("conv2d", 8, 3, 5, 5)], accepting(shape, shape))["a"].max() < 7
    assert inputs["a"].dtype == np.float32 and 0.8 < inputs["a"].std() < 1.2


def test_nothing_that_runs_is_one_line_with_the_first_reason() -> None:
    def never(inputs: Inputs) -> None:
        raise AssertionError(f"no {inputs['x'].shape[-1]}\nmore")

    with pytest.raises(ConversionError) as caught:
        found("x", [layer("conv2d", 8, 3, 5, 5)], never)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    assert "none of the 18 inputs tried" in message and "x 1x3x16x16" in message
    assert "AssertionError: no 16:" in message and message.endswith("give inputs=")


@pytest.mark.parametrize("names", ["a", "a b c d e"])
def test_the_number_of_tries_is_bounded_and_each_differs(names: str) -> None:
    tries = []

    def never(inputs: Inputs) -> None:
        tries.append(tuple(value.shape for value in inputs.values()))
        raise AssertionError

    with pytest.raises(ConversionError):
        found(names, [layer("linear", 8, 3), *(layer("conv2d", 8, c, 5, 5) for c in range(2, 5))], never)
    assert len(tries) == len(set(tries)) < 3000
    assert all(0 not in shape for shapes in tries for shape in shapes)


def test_no_input_is_huge() -> None:
    sizes = []

    def never(inputs: Inputs) -> None:
        sizes.append(inputs["x"].nbytes)
        raise AssertionError

    with pytest.raises(ConversionError):
        found("x", [layer("conv2d", 8, 512, 3, 3), layer("conv3d", 8, 3, 3, 3, 3)], never)
    assert 2**20 < max(sizes) <= 2**24


def test_other_errors_are_not_hidden() -> None:
    def broken(inputs: Inputs) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        found("x", [], broken)


@pytest.mark.parametrize("given_inputs", [ONE, (ONE,), [ONE], {"x": ONE}])
def test_one_input_is_given_in_any_form(given_inputs: Any) -> None:
    assert named_inputs(["x", "y"], given_inputs, ["x"]) == {"x": ONE}


@given(st.permutations(["a", "b", "c"]))
def test_mappings_are_put_in_the_order_of_the_arguments(order: list[str]) -> None:
    named = named_inputs(["a", "b", "c"], {name: np.full(1, ord(name)) for name in order})
    assert [(name, int(value[0])) for name, value in named.items()] == [("a", 97), ("b", 98), ("c", 99)]


def test_nested_inputs_keep_their_structure() -> None:
    named = named_inputs(["x", "state"], (ONE, (ONE, {"h": TWO})))
    assert isinstance(named["state"], tuple) and named["state"][1]["h"] is TWO


def test_one_argument_may_take_all_further_ones() -> None:
    assert named_inputs(["x", "more"], (ONE, TWO, ONE), rest="more") == {"x": ONE, "more": (TWO, ONE)}
    assert named_inputs(["more"], (ONE,), rest="more") == {"more": (ONE,)}
    assert named_inputs(["x", "more"], (ONE,), rest="more") == {"x": ONE}
    assert named_inputs(["x", "more", "named"], (ONE, TWO, ONE), rest="more") == {"x": ONE, "more": (TWO, ONE)}


@pytest.mark.parametrize(
    ("given_inputs", "message"),
    [
        ((ONE, ONE, ONE), "inputs: 3 were given: the model takes x, y"),
        ({"z": ONE}, "inputs: the model has no argument 'z': it takes x, y"),
        ({"y": ONE}, "inputs: x is missing: the model takes x, y"),
        ((), "inputs: x is missing: the model takes x, y"),
        ({"x": (ONE, "text")}, "inputs: x.1: must be an array of numbers, got str"),
        (None, "inputs: x: must be an array of numbers, got NoneType"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(given_inputs: Any, message: str) -> None:
    with pytest.raises(ConversionError) as caught:
        named_inputs(["x", "y"], given_inputs, ["x"])
    assert str(caught.value) == message
