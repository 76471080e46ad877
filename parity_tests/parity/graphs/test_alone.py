"""One operation in float64: on what it can be computed, and how close an output must be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parity_tests.parity.graphs.made import BIAS, IMAGE, KERNEL, RNG
from twinzoo.parity.graphs.alone import Alone
from twinzoo.parity.graphs.foreign import read
from twinzoo.parity.kernels import KERNELS

CONV: dict[str, Any] = {
    "channels": 4, "kernel": (3, 3), "stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1, "bias": True,
}  # fmt: skip
TENSORS = {"weight": KERNEL, "bias": BIAS}


def test_an_output_within_rounding_passes_and_one_beyond_does_not() -> None:
    alone = Alone("conv2d", CONV, TENSORS)
    wanted = alone.output([IMAGE])
    assert wanted is not None
    judged = alone.judged(wanted.astype(np.float32), [IMAGE], "live torch")
    assert judged is not None and judged.ratio < 1
    off = alone.judged((wanted * 1.001).astype(np.float32), [IMAGE], "live torch")
    assert off is not None and off.ratio > 100


def test_a_kernel_that_errs_is_allowed_what_it_was_measured_to() -> None:
    x = np.linspace(-6, 6, 64, dtype=np.float32).reshape(1, 1, 8, 8)
    known = KERNELS["live mindspore", "tanh"]
    near, far = (np.tanh(x.astype(np.float64)) + share * known.absolute for share in (0.9, 1.2))
    tanh = Alone("tanh", {}, {})
    verdicts = [
        tanh.judged(y, [x], port).ratio <= 1  # type: ignore[union-attr]
        for y, port in ((near, "live mindspore"), (near, "live torch"), (far, "live mindspore"))
    ]
    assert verdicts == [True, False, False]
    exp, relative = np.exp(x.astype(np.float64)), KERNELS["live mindspore", "exp"].relative
    near, far = exp * (1 + 0.9 * relative), exp * (1 + 1.3 * relative)
    verdicts = [Alone("exp", {}, {}).judged(y, [x], "live mindspore").ratio <= 1 for y in (near, far)]  # type: ignore[union-attr]
    assert verdicts == [True, False]


@pytest.mark.parametrize(
    "alone, given",
    [
        (Alone("torch.einsum", {}, {}), [IMAGE]),
        (Alone("conv2d", {**CONV, "torch.padding_mode": "circular"}, TENSORS), [IMAGE]),
        (Alone("conv2d", CONV, {"weight": KERNEL}), [IMAGE]),
        (Alone("conv2d", CONV, {"weight": KERNEL[:3], "bias": BIAS}), [IMAGE]),
        (Alone("add", {}, {}), [IMAGE]),
        (Alone("matmul", {}, {}), [IMAGE, IMAGE[:, :, :3]]),
        (Alone("gather", {"axis": 1}, {}), [IMAGE, np.array([7])]),
    ],
)
def test_what_cannot_be_computed_gives_nothing(alone: Alone, given: list[Any]) -> None:
    assert alone.output(given) is None
    assert alone.judged(IMAGE, given, "live torch") is None


def test_an_output_of_another_shape_is_not_judged() -> None:
    assert Alone("relu", {}, {}).judged(IMAGE[:1], [IMAGE], "live torch") is None


def test_vectors_and_numbers_too_large_for_float32() -> None:
    x = np.array([[1.0, 100.0]], np.float32)
    exp = Alone("exp", {}, {})
    with np.errstate(over="ignore"):
        judged = exp.judged(np.exp(x), [x], "live torch")
    assert judged is not None and judged.ratio <= 1
    made = exp.output([x])
    assert made is not None and made.shape == (1, 2)


def test_only_the_tensors_that_it_has_are_used() -> None:
    without = Alone("conv2d", {**CONV, "bias": False}, TENSORS).output([IMAGE])
    made = Alone("conv2d", CONV, {**TENSORS, "bias": np.zeros_like(BIAS)}).output([IMAGE])
    assert without is not None and made is not None
    np.testing.assert_array_equal(without, made)


def test_statistics_of_the_batch() -> None:
    attrs: dict[str, Any] = {"eps": 1e-5, "momentum": 0.1, "affine": False}
    tensors = {"running_mean": np.ones(3, np.float32), "running_var": np.full(3, 2, np.float32)}
    x = IMAGE.astype(np.float64)
    mean, var = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    wanted = (x - mean) / np.sqrt(var + 1e-5)
    for own in ({"torch.training": True}, {"mindspore.batch_statistics": True}, {"batch_statistics": True}):
        alone = Alone("batch_norm", {**attrs, **own}, tensors)
        made = alone.output([IMAGE])
        assert made is not None and np.allclose(made, wanted)
        judged = alone.judged(wanted.astype(np.float32), [IMAGE], "live torch")
        assert judged is not None and judged.ratio <= 1
    for own in ({"mindspore.batch_statistics": False}, {}):
        fixed = Alone("batch_norm", {**attrs, **own}, tensors).output([IMAGE])
        assert fixed is not None and np.allclose(fixed, (x - 1) / np.sqrt(2 + 1e-5))


def padded(x: Any, top: int, bottom: int, left: int, right: int) -> Any:
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))


@pytest.mark.parametrize(
    "own, kernel, stride, dilation, sides",
    [
        ({"mindspore.padding_tblr": (1, 0, 2, 3)}, 3, 1, 1, (1, 0, 2, 3)),
        ({"mindspore.pad_mode": "same"}, 3, 2, 1, (0, 1, 0, 1)),
        ({"mindspore.pad_mode": "same"}, 2, 1, 1, (0, 1, 0, 1)),
        ({"mindspore.pad_mode": "same"}, 3, 3, 1, (0, 1, 0, 1)),
        ({"mindspore.pad_mode": "same"}, 2, 3, 1, (0, 0, 0, 0)),
        ({"mindspore.pad_mode": "same"}, 1, 2, 1, (0, 0, 0, 0)),
        ({"torch.padding": "same"}, 2, 1, 3, (1, 2, 1, 2)),
    ],
)
def test_padding_that_is_more_on_one_side(
    own: dict[str, Any], kernel: int, stride: int, dilation: int, sides: tuple[int, int, int, int]
) -> None:
    attrs = {**CONV, "kernel": (kernel,) * 2, "stride": (stride,) * 2, "dilation": (dilation,) * 2, "padding": (0, 0)}
    tensors = {**TENSORS, "weight": RNG.normal(size=(4, 3, kernel, kernel)).astype(np.float32)}
    made = Alone("conv2d", {**attrs, **own}, tensors).output([IMAGE])
    wanted = Alone("conv2d", attrs, tensors).output([padded(IMAGE, *sides)])
    assert made is not None and wanted is not None
    np.testing.assert_array_equal(made, wanted)
    if "same" in own.values():
        assert made.shape[2:] == (-(-8 // stride),) * 2


def test_a_transposed_convolution_cropped_more_on_one_side() -> None:
    attrs: dict[str, Any] = {"channels": 2, "kernel": (3, 3), "stride": (2, 2), "padding": (0, 0)}
    attrs |= {"output_padding": (0, 0), "dilation": (1, 1), "groups": 1, "bias": False}
    tensors = {"weight": RNG.normal(size=(3, 2, 3, 3)).astype(np.float32)}
    whole = Alone("conv_transpose2d", attrs, tensors).output([IMAGE])
    own: dict[str, Any] = {"mindspore.before": (0, 1), "mindspore.behind": (1, 0)}
    alone = Alone("conv_transpose2d", {**attrs, **own}, tensors)
    made = alone.output([IMAGE])
    assert whole is not None and made is not None
    np.testing.assert_array_equal(made, whole[:, :, :-1, 1:])
    turned: dict[str, Any] = {"mindspore.before": (1, 0), "mindspore.behind": (0, 2)}
    other = Alone("conv_transpose2d", {**attrs, **turned}, tensors).output([IMAGE])
    assert other is not None
    np.testing.assert_array_equal(other, whole[:, :, 1:, :-2])
    judged = alone.judged(made.astype(np.float32), [IMAGE], "live mindspore")
    assert judged is not None and judged.ratio <= 1


def test_other_words_of_a_framework_are_left_as_they_are() -> None:
    attrs = {"eps": 1e-5, "torch.something": 3}
    assert read("batch_norm", attrs, (1, 2)).attrs == attrs
    assert read("max_pool2d", {"mindspore.pad_mode": "same"}, (1, 1, 4, 4)).attrs == {"mindspore.pad_mode": "same"}
    assert not read("batch_norm", attrs, (1, 2)).train
