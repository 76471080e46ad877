"""What a difference is called."""

from __future__ import annotations

from typing import Any

import pytest

from twinzoo.converters.graph import Operation
from twinzoo.parity.graphs import causes
from twinzoo.parity.results import CAUSES
from twinzoo.zoo.spec.schema import OPS


def operation(kind: str = "x", **attrs: Any) -> Operation:
    return Operation("f", kind, (), attrs)


def test_attributes_that_differ() -> None:
    a, b = operation(eps=1e-5, mode="x", more=1), operation(eps=1e-5 * (1 + 1e-7), mode="y", other=None)
    assert causes.differing(a, b) == {"mode": ("x", "y"), "more": (1, None)}
    assert causes.differing(b, a) == {"mode": ("y", "x"), "more": (None, 1)}


@pytest.mark.parametrize("near, same", [(1 + 9e-7, True), (1 + 2e-6, False), (1, True), (2, False)])
def test_floats_differ_in_the_digits_of_float32(near: float, same: bool) -> None:
    assert (causes.differing(operation(eps=1.0), operation(eps=near)) == {}) is same
    assert (causes.differing(operation(eps=-1000.0), operation(eps=-1000 * near)) == {}) is same


def test_every_name_is_a_cause() -> None:
    assert set(causes.OF_ATTRIBUTE.values()) <= CAUSES
    assert set(causes.FAMILIES) <= CAUSES
    for kind, schema in OPS.items():
        assert {causes.of_attribute(kind, name) for name in schema.attrs} <= CAUSES


@pytest.mark.parametrize(
    "kind, name, cause",
    [
        ("batch_norm", "eps", "eps"),
        ("batch_norm", "torch.training", "norm-mode"),
        ("batch_norm", "mindspore.batch_statistics", "norm-mode"),
        ("conv2d", "mindspore.pad_mode", "padding"),
        ("conv2d", "mindspore.padding_tblr", "padding"),
        ("conv2d", "groups", "groups"),
        ("group_norm", "groups", "norm-kind"),
        ("pad2d", "mode", "pad-mode"),
        ("pad2d", "padding", "padding"),
        ("interpolate", "mode", "resize-mode"),
        ("interpolate", "size", "resize-mode"),
        ("interpolate", "scale", "resize-mode"),
        ("affine", "scale", "scale"),
        ("affine", "shift", "offset"),
        ("conv_transpose2d", "mindspore.behind", "output-padding"),
        ("conv_transpose2d", "padding", "padding"),
        ("clamp", "low", "activation"),
        ("standardize", "mean", "offset"),
        ("elu", "alpha", "slope"),
        ("topk", "k", "unexplained"),
    ],
)
def test_an_attribute_stands_for_a_cause(kind: str, name: str, cause: str) -> None:
    assert causes.of_attribute(kind, name) == cause


@pytest.mark.parametrize(
    "a, b, cause",
    [
        ("relu", "silu", "activation"),
        ("clamp", "tanh", "activation"),
        ("batch_norm", "group_norm", "norm-kind"),
        ("max_pool2d", "avg_pool2d", "pool-kind"),
        ("mean", "amax", "reduction"),
        ("relu", "mean", "missing-op"),
    ],
)
def test_a_kind_in_anothers_stead(a: str, b: str, cause: str) -> None:
    assert causes.of_kinds(a, b) == causes.of_kinds(b, a) == cause


@pytest.mark.parametrize(
    "operations, cause",
    [
        ([operation("torch.dropout")], "dropout"),
        ([operation("dropout", p=0.5)], "dropout"),
        ([operation("mindspore.dropout2d")], "dropout"),
        ([operation("pad2d", mode="zero")], "padding"),
        ([operation("pad2d", mode="reflect")], "pad-mode"),
        ([operation("affine", scale=1.0, shift=1.0)], "offset"),
        ([operation("affine", scale=2.0, shift=0.0)], "scale"),
        ([operation("affine", scale=2.0, shift=0.0), operation("affine", scale=3.0, shift=1.0)], "scale"),
        ([operation("affine", scale=2.0, shift=0.0), operation("relu")], "extra-op"),
        ([operation("sigmoid")], "extra-op"),
    ],
)
def test_operations_of_one_side_alone(operations: list[Operation], cause: str) -> None:
    assert causes.of_lone(operations, "extra-op") == cause


def test_what_is_told_although_it_does_not_show() -> None:
    assert all(causes.silent(name) for name in ("momentum", "p", "eps", "slope", "alpha", "ceil_mode"))
    assert not any(causes.silent(name) for name in ("count_include_pad", "scale", "size", "padding", "channels"))
