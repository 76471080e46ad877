"""Sliding windows and resizing against torch in float64, over random sizes, kernels and options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from twinzoo.ports.reference import convolution, run
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.spec import Spec

torch = pytest.importorskip("torch")
F = torch.nn.functional

_few = settings(max_examples=60, deadline=None, derandomize=True)
_pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
_size = st.tuples(st.integers(1, 9), st.integers(1, 9))
_SEED = 7


def _reference(op: str, x: Any, state: dict[str, Any] | None = None, **attrs: Any) -> Any:
    """The op's output; skips what the spec language does not allow."""
    spec = Spec("windows")
    try:
        spec.output(y=getattr(spec, op)("op", spec.input("x", shape=x.shape), **attrs))
    except SpecError:
        assume(False)
    return run(spec, {f"op.{role}": value for role, value in (state or {}).items()}, {"x": x})["op"]


def _same(got: Any, want: Any) -> None:
    assert got.shape == tuple(want.shape)
    np.testing.assert_allclose(got, want.numpy(), rtol=1e-12, atol=1e-13)


def _numbers(*shape: int) -> Any:
    return np.random.default_rng(_SEED).standard_normal(shape)


@_few
@given(_size, _pair, _pair, st.tuples(st.integers(0, 2), st.integers(0, 2)), _pair, st.sampled_from([1, 2, 4]))
def test_conv2d(size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> None:
    x, weight, bias = _numbers(2, 4, *size), _numbers(8, 4 // groups, *kernel), _numbers(8)
    got = _reference(
        "conv2d",
        x,
        {"weight": weight, "bias": bias},
        channels=8,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    x, weight, bias = (torch.from_numpy(array) for array in (x, weight, bias))
    _same(got, F.conv2d(x, weight, bias, stride, padding, dilation, groups))


@_few
@given(_size, _pair, _pair, st.tuples(st.integers(0, 2), st.integers(0, 2)), _pair, _pair, st.sampled_from([1, 2, 4]))
def test_conv_transpose2d(
    size: Any, kernel: Any, stride: Any, padding: Any, extra: Any, dilation: Any, groups: int
) -> None:
    extra = tuple(e - 1 for e in extra)
    x, weight = _numbers(2, 4, *size), _numbers(4, 8 // groups, *kernel)
    got = _reference(
        "conv_transpose2d",
        x,
        {"weight": weight},
        channels=8,
        kernel=kernel,
        stride=stride,
        padding=padding,
        output_padding=extra,
        dilation=dilation,
        groups=groups,
        bias=False,
    )
    x, weight = torch.from_numpy(x), torch.from_numpy(weight)
    _same(got, F.conv_transpose2d(x, weight, None, stride, padding, extra, groups, dilation))


@_few
@given(_size, _pair, st.one_of(st.none(), _pair), st.tuples(st.integers(0, 1), st.integers(0, 1)), st.booleans())
def test_max_pool2d(size: Any, kernel: Any, stride: Any, padding: Any, ceil_mode: bool) -> None:
    x = _numbers(2, 3, *size)
    got = _reference("max_pool2d", x, kernel=kernel, stride=stride, padding=padding, ceil_mode=ceil_mode)
    _same(got, F.max_pool2d(torch.from_numpy(x), kernel, stride, padding, ceil_mode=ceil_mode))


@_few
@given(
    _size,
    _pair,
    st.one_of(st.none(), _pair),
    st.tuples(st.integers(0, 1), st.integers(0, 1)),
    st.booleans(),
    st.booleans(),
)
def test_avg_pool2d(size: Any, kernel: Any, stride: Any, padding: Any, ceil_mode: bool, counted: bool) -> None:
    x = _numbers(2, 3, *size)
    attrs = {"kernel": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    got = _reference("avg_pool2d", x, count_include_pad=counted, **attrs)
    _same(got, F.avg_pool2d(torch.from_numpy(x), kernel, stride, padding, ceil_mode, counted))


@_few
@given(_size, _size)
def test_adaptive_avg_pool2d(size: Any, wanted: Any) -> None:
    x = _numbers(2, 3, *size)
    _same(_reference("adaptive_avg_pool2d", x, size=wanted), F.adaptive_avg_pool2d(torch.from_numpy(x), wanted))


@_few
@given(_size, _size, st.sampled_from(["corners", "bilinear"]))
def test_interpolate_bilinear(size: Any, wanted: Any, how: str) -> None:
    x, corners = _numbers(2, 3, *size), how == "corners"
    got = _reference("interpolate", x, size=wanted, mode="bilinear", align_corners=corners)
    _same(got, F.interpolate(torch.from_numpy(x), wanted, mode="bilinear", align_corners=corners))


@_few
@given(_size, st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_interpolate_nearest_takes_the_floor_of_the_exact_place(size: Any, wanted: Any) -> None:
    """torch rounds the place in float32 and is one pixel off now and then, so that whole numbers are the judge here."""
    x = np.arange(size[0] * size[1], dtype=float).reshape(1, 1, *size)
    got = _reference("interpolate", x, size=wanted)[0, 0]
    want = [
        [(i * size[0] // wanted[0]) * size[1] + j * size[1] // wanted[1] for j in range(wanted[1])]
        for i in range(wanted[0])
    ]
    np.testing.assert_array_equal(got, want)


@_few
@given(
    st.tuples(st.integers(2, 9), st.integers(2, 9)),
    st.tuples(*(st.integers(0, 4) for _ in range(4))),
    st.sampled_from(["zero", "reflect", "replicate"]),
)
def test_pad2d(size: Any, padding: Any, mode: str) -> None:
    x = _numbers(2, 3, *size)
    got = _reference("pad2d", x, padding=padding, mode=mode)
    _same(got, F.pad(torch.from_numpy(x), padding, "constant" if mode == "zero" else mode))


def test_strips_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A convolution and its adjoint cut into strips of one row give the numbers of one piece."""
    x, weight = _numbers(2, 4, 9, 8), _numbers(6, 4, 3, 3)
    whole = convolution.convolve(x, weight, (2, 1), (1, 2), (1, 2), 1)
    adjoint = convolution.convolve_transposed(whole, weight, (2, 1), (1, 2), (1, 2), 1)
    monkeypatch.setattr(convolution, "WORKSPACE", 1)
    np.testing.assert_allclose(
        convolution.convolve(x, weight, (2, 1), (1, 2), (1, 2), 1), whole, rtol=1e-13, atol=1e-13
    )
    again = convolution.convolve_transposed(whole, weight, (2, 1), (1, 2), (1, 2), 1)
    np.testing.assert_allclose(again, adjoint, rtol=1e-13, atol=1e-13)


def test_adjoint() -> None:
    """<conv(x), y> = <x, adjoint(y)>: the transposed convolution is what its name says."""
    x, y, weight = _numbers(2, 4, 9, 8), _numbers(2, 6, 5, 8), _numbers(6, 4, 3, 3)
    forward = convolution.convolve(x, weight, (2, 1), (1, 1), (1, 1), 1)
    back = convolution.convolve_transposed(y, weight, (2, 1), (1, 1), (1, 1), 1)
    assert np.sum(forward * y) == pytest.approx(np.sum(x * back), rel=1e-12)
