"""Several bugs at once, in different layers and in one: each is found and named, an early one hides no later one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import twinzoo as tz
from parity_tests.planted.cases import IMAGE, network_in, one_value
from parity_tests.planted.plan import State, weights

LAYERS: dict[str, tuple[dict[str, Any], str]] = {
    "an attribute and a resize": ({"slope": 0.1, "align_corners": True}, "leaky_relu slope, interpolate align-corners"),
    "the first layer and the last": ({"pad_mode": "constant", "loss": "sum"}, "pad pad-mode, loss reduction"),
    "three layers": (
        {"eps": 1e-3, "correction": 0, "approximate": "tanh"},
        "norm eps, var variance, gelu approximation",
    ),
    "shapes and then values": (
        {"strides": (2, 1), "ceil_mode": True, "correction": 0},
        "fine stride, coarse stride, pool ceil-mode, var variance",
    ),
    "an operation and its neighbour": ({"missing": True, "swapped": True}, "sub missing-op, sub operand-order"),
    "two that one side has, and an axis": (
        {"scale": 0.5, "missing": True, "axis": 0},
        "cat scale, sub missing-op, softmax axis",
    ),
    "layers without tensors": (
        {"mixed_bias": False, "groups": 2, "affine": False},
        "mixed bias, fine groups, norm affine",
    ),
    "a shape before a constant": ({"output_padding": 0, "label": 0.9}, "up output-padding, full_like label"),
    "one of a layer that shows and one that does not": ({"eps": 1e-3, "momentum": 0.01}, "norm eps, norm momentum"),
    "two of one layer that show": ({"dilation": 2, "padding": 2}, "down dilation, down padding"),
    "two of one layer that change its tensor": ({"kernel": 1, "groups": 2}, "fine kernel, fine groups"),
}


@pytest.mark.parametrize("framework", ["torch", "mindspore"])
@pytest.mark.parametrize("name", LAYERS)
def test_each_is_named(name: str, framework: str) -> None:
    pytest.importorskip(framework)
    choices, words = LAYERS[name]
    wanted = {(layer, cause) for layer, cause in map(str.split, words.split(", "))}
    state = weights(0)
    report = tz.compare(network_in("torch", state), network_in(framework, state, **choices), IMAGE)
    named = {
        (layer, cause) for layer, cause in wanted for f in report.findings if f.cause == cause and layer in f.layer
    }
    assert named == wanted, [str(finding) for finding in report.findings]
    assert len(report.findings) <= len(wanted) + 1, [str(finding) for finding in report.findings]


def test_a_tensor_and_an_attribute_of_one_layer() -> None:
    state = weights(0)
    wrong: State = {
        **state,
        "norm.weight": one_value(state["norm.weight"]),
        "down.weight": np.zeros_like(state["down.weight"]),
    }
    report = tz.compare(network_in("torch", state), network_in("torch", wrong, eps=1e-3, axis=0), IMAGE)
    causes = sorted((finding.layer, finding.cause) for finding in report.findings)
    assert causes == [("down", "weight-value"), ("norm", "eps"), ("norm", "weight-value"), ("softmax", "axis")]
