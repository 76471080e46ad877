"""The backward pass held against float64: clean sides pass, a planted fault is found where it is, and there alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.parity.gradients import Backward, Reverse
from twinzoo.ports.reference import evaluate
from twinzoo.ports.reference.pull import pull
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.spec import Spec

Array = NDArray[Any]


def network() -> Spec:
    """A convolution whose output is used three times, a layer that is used twice, and two outputs."""
    spec = Spec("network")
    x = spec.input("image", shape=(2, 3, 8, 8))
    y = spec.conv2d("conv", x, channels=4, kernel=3, padding=1)
    z = spec.leaky_relu("act", y, slope=0.2)
    w = spec.conv2d("again", z, channels=4, kernel=3, padding=1)
    s = spec.add("sum", w, y)
    m = spec.mul("product", s, y)
    spec.output(m=m, mean=spec.mean("mean", z, axes=(2, 3)))
    return spec


Plant = Callable[[Array], Array]


def side(
    spec: Spec,
    seed: int = 0,
    scale: float = 1.0,
    plant: Mapping[str, Plant] | None = None,
    cut: tuple[str, str] = ("", ""),
) -> Backward:
    """Both passes, rounded to float32 after every node.

    Args:
        plant: what happens to the gradient of a value or a parameter, and with it to all that follows from it.
        cut: a node and one of its operands, to which it lets nothing back.
    """
    plant = plant or {}
    random = np.random.default_rng(seed)
    state = initial_state(spec, seed)
    values: dict[str, Array] = {"image": (scale * random.standard_normal((2, 3, 8, 8))).astype(np.float32)}
    for node in spec.nodes.values():
        params = {role: state[f"{node.name}.{role}"] for role in node.params}
        made = evaluate(node, params, tuple(values[value.ref] for value in node.inputs))
        values[node.outputs[0].ref] = made[0].astype(np.float32)
    cotangents = {v.ref: random.standard_normal(values[v.ref].shape).astype(np.float32) for v in spec.outputs.values()}
    gradients: dict[str, Array] = {ref: array.astype(np.float64) for ref, array in cotangents.items()}
    for node in reversed(spec.nodes.values()):
        ref = node.outputs[0].ref
        gradients[ref] = plant.get(ref, _same)(gradients[ref]).astype(np.float32)
        params = {role: state[f"{node.name}.{role}"] for role in node.params}
        inputs = tuple(values[value.ref] for value in node.inputs)
        pulled = pull(node, params, inputs, (values[ref],), gradients[ref])
        for value, gradient in zip(node.inputs, pulled.inputs, strict=True):
            if gradient is not None and (node.name, value.ref) != cut:
                gradients[value.ref] = gradients.get(value.ref, np.zeros(())) + gradient
        for name, gradient in ((f"{node.name}.{role}", g) for role, g in pulled.params.items()):
            gradients[name] = plant.get(name, _same)(gradient).astype(np.float32)
    gradients["image"] = gradients["image"].astype(np.float32)
    return Backward("fake", state, values, gradients, {ref: (array,) for ref, array in cotangents.items()})


def _same(gradient: Array) -> Array:
    return gradient


def without(clean: Backward, *names: str) -> Backward:
    """A side to which nothing came back there."""
    return replace(clean, gradients={key: value for key, value in clean.gradients.items() if key not in names})


def wrong(spec: Spec, a: Backward, b: Backward, **rest: Any) -> list[tuple[int, str]]:
    return [(item.side, item.name) for item in Reverse(spec, (a, b), **rest).wrong]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_clean_sides_pass_at_every_value_and_parameter(scale: float) -> None:
    spec = network()
    found = Reverse(spec, (side(spec, 1, scale), side(spec, 2, scale)))
    assert not found.wrong and all(row.ok for row in found.rows)
    assert [(row.name, row.quantity) for row in found.rows] == [
        ("image", "gradient"),
        *((name, "gradient") for name in ("conv", "act", "again", "sum", "product", "mean")),
        ("conv", "gradient of weight"),
        ("conv", "gradient of bias"),
        ("again", "gradient of weight"),
        ("again", "gradient of bias"),
    ]


@pytest.mark.parametrize("name", ["act", "conv", "again", "sum", "image", "conv.weight", "again.bias"])
@pytest.mark.parametrize("fault", [lambda g: g * 1.001, lambda g: -g, lambda g: g + 0.01, lambda g: g * 0])
def test_a_gradient_that_is_wrong_is_named_and_what_follows_from_it_is_not(name: str, fault: Plant) -> None:
    spec = network()
    clean = side(spec)
    if name == "image":
        b = replace(clean, gradients={**clean.gradients, name: fault(clean.gradients[name])})
    else:
        b = side(spec, plant={name: fault})
    assert wrong(spec, clean, b) == [(1, name)]
    assert wrong(spec, b, clean) == [(0, name)]


def test_a_way_back_that_is_cut_off_is_found_where_it_would_join() -> None:
    spec = network()
    (item,) = Reverse(spec, (side(spec), side(spec, cut=("product", "conv")))).wrong
    assert item.name == "conv" and set(item.due.parts) == {"act", "sum", "product"}


def test_what_did_not_come_back_is_wrong_only_where_something_is_due() -> None:
    spec, clean = network(), side(network())
    found = Reverse(spec, (clean, without(clean, "conv.weight", "mean")))
    assert [item.name for item in found.wrong] == ["mean", "act", "conv.weight"]
    assert found.rows[-4].b.problem == "nothing came back"
    stopped = Spec("stopped")
    x = stopped.input("x", shape=(3,))
    stopped.output(y=stopped.square("y", stopped.stop_gradient("held", x)))
    array = np.ones(3, np.float32)
    values, pulled = {"x": array, "held": array, "y": array}, {"y": (array,)}
    quiet = Backward("fake", {}, values, {"y": array, "held": 2 * array}, pulled)
    assert not Reverse(stopped, (quiet, quiet)).wrong
    loud = replace(quiet, gradients={**quiet.gradients, "x": 2 * array})
    assert wrong(stopped, quiet, loud) == [(1, "x")]


def test_a_frozen_parameter_is_not_asked_for_its_gradient() -> None:
    spec, clean = network(), side(network())
    names = frozenset({"conv.weight", "again.bias"})
    found = Reverse(spec, (clean, replace(without(clean, *names), frozen=names)))
    assert not found.wrong and len(found.rows) == 11


def test_what_a_side_has_not_is_filled_in() -> None:
    spec, clean = network(), side(network())
    filled = replace(without(clean, "act"), filled=frozenset({"act"}))
    assert not Reverse(spec, (clean, filled)).wrong
    assert wrong(spec, clean, replace(filled, filled=frozenset())) == [(1, "act"), (1, "conv")]


def test_what_is_filled_in_may_be_as_far_off_as_what_it_was_made_of() -> None:
    """A convolution that pads by itself rounds what comes back to its input; a padding that is drawn apart does not."""
    spec = Spec("padded")
    x = spec.input("image", shape=(2, 3, 8, 8))
    spec.output(y=spec.conv2d("conv", spec.pad2d("pad", x, padding=(1, 1, 1, 1), mode="zero"), channels=4, kernel=3))
    clean = side(spec)
    off = (clean.gradients["image"] * np.float32(1 + 2.0**-23)).astype(np.float32)
    b = replace(without(clean, "pad"), filled=frozenset({"pad"}))
    assert not wrong(spec, clean, replace(b, gradients={**b.gradients, "image": off}))
    assert wrong(spec, clean, replace(b, gradients={**b.gradients, "image": 1.001 * off})) == [(1, "image")]


def test_what_follows_from_infinity_is_not_judged_and_all_else_is() -> None:
    spec, clean = network(), side(network())
    ref = "again"
    plant: dict[str, Plant] = {ref: lambda g: np.where(np.arange(g.size).reshape(g.shape) == 5, np.inf, g)}
    with np.errstate(all="ignore"):
        b = side(spec, plant=plant)
    b = replace(b, gradients={**b.gradients, "again.weight": np.nan_to_num(b.gradients["again.weight"])})
    assert wrong(spec, clean, b) == [(1, ref)]
    off = b.gradients["act"].copy()
    place = np.unravel_index(int(np.argmax(np.where(np.isfinite(off), np.abs(off), 0))), off.shape)
    off[place] *= 2
    assert (1, "act") in wrong(spec, clean, replace(b, gradients={**b.gradients, "act": off}))


def test_values_with_users_that_are_not_in_the_spec_are_taken_as_they_are() -> None:
    spec, b = network(), side(network(), plant={"act": lambda g: g * 3})
    found = Reverse(spec, (side(spec), b), unknown=frozenset({"act"}))
    assert not found.wrong and "act" not in [row.name for row in found.rows]


def test_layers_that_share_a_parameter_add_up() -> None:
    spec, clean = network(), side(network())
    once = {"conv.bias": "conv.bias", "again.bias": "conv.bias"}
    summed = clean.gradients["conv.bias"] + clean.gradients["again.bias"]
    both = replace(clean, gradients={**clean.gradients, "conv.bias": summed})
    found = Reverse(spec, (both, both), owners=once)
    assert not found.wrong and len(found.rows) == 10
    assert wrong(spec, both, clean, owners=once) == [(1, "conv.bias")]


def test_a_shape_that_is_not_the_value_s_is_wrong() -> None:
    spec, clean = network(), side(network())
    b = replace(clean, gradients={**clean.gradients, "conv.bias": np.zeros((2, 2), np.float32)})
    (item,) = Reverse(spec, (clean, b)).wrong
    assert (item.side, item.name) == (1, "conv.bias")


def dropped(p: float = 0.5, seed: int = 0) -> tuple[Spec, Backward]:
    """A dropout in training mode, and what it did by its own draws."""
    spec = Spec("dropped")
    x = spec.input("x", shape=(4, 50))
    spec.output(y=spec.affine("y", spec.dropout("drop", x, p=p), scale=3.0))
    random = np.random.default_rng(seed)
    image = random.standard_normal((4, 50)).astype(np.float32)
    image[0] = 0
    mask = random.random((4, 50)) >= p
    made = (image * mask / (1 - p)).astype(np.float32)
    pulled = random.standard_normal((4, 50)).astype(np.float32)
    back = 3 * pulled
    values = {"x": image, "drop": made, "y": 3 * made}
    gradients = {"y": pulled, "drop": back, "x": (back * mask / (1 - p)).astype(np.float32)}
    return spec, Backward("fake", {}, values, gradients, {"y": (pulled,)})


def test_each_side_s_dropout_is_judged_by_its_own_draws() -> None:
    (spec, a), (_, b) = dropped(seed=1), dropped(seed=2)
    assert not wrong(spec, a, b, training={"drop"})
    kept = replace(b, gradients={**b.gradients, "x": b.gradients["drop"] * 2})  # the mask is forgotten on the way back
    assert wrong(spec, a, kept, training={"drop"}) == [(1, "x")]
    zeros = b.gradients["x"].copy()
    zeros[0] = np.where(zeros[0] == 0, 2 * b.gradients["drop"][0], 0)  # whether a zero was kept cannot be seen
    assert not wrong(spec, a, replace(b, gradients={**b.gradients, "x": zeros}), training={"drop"})
    other = replace(b, gradients={**b.gradients, "x": b.gradients["x"] * np.float32(1.01)})
    assert wrong(spec, a, other, training={"drop"}) == [(1, "x")]
