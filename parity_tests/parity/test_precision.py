"""Half precision, TF32 and HF32 have bounds of their own: what is wrong by more than their rounding is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.parity.half import IMAGE, PORTS, numbers_of, share_of
from twinzoo.parity.bounds.precision import (
    BFLOAT16,
    BRAIN,
    FLOAT16,
    FLOAT32,
    FORMATS,
    HALF,
    HF32,
    SINGLE,
    TF32,
    Format,
    Precision,
    as_computed,
    precision_of,
)
from twinzoo.parity.kernels import LIVE
from twinzoo.parity.op_cases import NODE, OpCase, Tensor, case_spec
from twinzoo.parity.rounding import bound
from twinzoo.parity.verdict import held_to, hold
from twinzoo.ports.reference import evaluate
from twinzoo.zoo.errors import ParityError
from twinzoo.zoo.spec import Node, Spec, Value

Array = NDArray[Any]


def _layer(op: str, shape: tuple[int, ...], dtype: str, scale: float = 1.0, **attrs: Any) -> tuple[Node, Any, Any]:
    """A node, its parameters by role and its input, as numbers of an element type."""
    case = OpCase(op, attrs, (Tensor(shape),))
    state, inputs = numbers_of(case, 3, scale, dtype)
    params = {name.partition(".")[2]: value.astype(np.float64) for name, value in state.items()}
    return case_spec(case).nodes[NODE], params, inputs["x"].astype(np.float64)


def _rounded(node: Node, params: Any, x: Array, form: Format) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(evaluate(node, params, (x,))[0].astype(form.dtype))


_LAYERS: list[tuple[str, tuple[int, ...], dict[str, Any], str]] = [
    ("conv2d", (1, 3, 16, 16), {"channels": 4, "kernel": 3}, "weight"),
    ("conv_transpose2d", (1, 4, 8, 8), {"channels": 4, "kernel": 4, "stride": 2, "padding": 1}, "weight"),
    ("linear", (16, 32), {"features": 8}, "weight"),
    ("conv2d", (1, 3, 16, 16), {"channels": 4, "kernel": 3}, "bias"),
    ("batch_norm", IMAGE, {}, "weight"),
    ("batch_norm", IMAGE, {}, "running_var"),
    ("group_norm", IMAGE, {"groups": 2}, "weight"),
    ("layer_norm", (3, 5, 16), {}, "bias"),
    ("prelu", IMAGE, {"parameters": 4}, "weight"),
]


@pytest.mark.parametrize("dtype, change", [("float16", 2.0**-9), ("bfloat16", 2.0**-6)])
@pytest.mark.parametrize("op, shape, attrs, role", _LAYERS)
def test_one_number_of_the_state_that_is_off_is_seen(
    op: str, shape: tuple[int, ...], attrs: dict[str, Any], role: str, dtype: str, change: float
) -> None:
    form, precision = FORMATS[dtype], Precision(FORMATS[dtype])
    node, params, x = _layer(op, shape, dtype, **attrs)
    assert share_of(node, params, (x,), _rounded(node, params, x, form), precision) <= 1
    place = np.unravel_index(int(np.argmax(np.abs(params[role]))), params[role].shape)
    other = {name: value.copy() for name, value in params.items()}
    other[role][place] *= 1 + 2 * change if role == "running_var" else 1 + change
    assert share_of(node, params, (x,), _rounded(node, other, x, form), precision) > 1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    "op, attrs", [("instance_norm", {"affine": True}), ("layer_norm", {}), ("group_norm", {"groups": 2})]
)
@pytest.mark.parametrize("port", PORTS)
def test_another_eps_is_seen(port: str, op: str, attrs: dict[str, Any], dtype: str) -> None:
    """1e-3 in place of 1e-5, for a variance of 1e-2; also by ops that keep halves."""
    form = FORMATS[dtype]
    node, params, x = _layer(op, IMAGE, dtype, scale=0.1, **attrs)
    precision = precision_of(port, op, dtype)
    assert share_of(node, params, (x,), _rounded(node, params, x, form), precision) <= 1
    wrong = replace(node, attrs={**node.attrs, "eps": 1e-3})
    assert share_of(node, params, (x,), _rounded(wrong, params, x, form), precision) > 1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_what_is_moved_is_not_rounded(dtype: str) -> None:
    form = FORMATS[dtype]
    node, _, x = _layer("flip", IMAGE, dtype, axis=3)
    right = _rounded(node, {}, x, form)
    assert share_of(node, {}, (x,), right, Precision(form)) == 0
    right[0, 0, 0, 0] = np.nextafter(right[0, 0, 0, 0], form.dtype.type(9))
    assert share_of(node, {}, (x,), right, Precision(form)) > 100


def test_terms_of_second_order_count_in_half() -> None:
    """Four roundings up in bfloat16 are 1.5 u more than four times one."""
    case = OpCase("dropout", {"p": 0.5}, (Tensor((4,)),))
    x, draws = np.ones(4), {"mask": np.ones(4)}
    got = np.full(4, 2 * (1 + BRAIN.unit) ** 4)
    for precision, within in ((Precision(BRAIN, BRAIN), True), (FLOAT32, False)):
        assert (share_of(case_spec(case).nodes[NODE], {}, (x,), got, precision, draws=draws) <= 1) == within


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_formats_are_what_they_are(form: Format) -> None:
    info: Any = ml_dtypes.finfo(form.dtype)  # type: ignore[no-untyped-call]
    assert form.unit == info.eps / 2
    assert form.largest == info.max
    assert form.least == (info.smallest_subnormal / 2 if form is HALF else info.smallest_normal)
    assert form.off(0.1) == abs(float(form.dtype.type(0.1)) - 0.1) > 0 == form.off(0.25)


def _cut(x: Array, digits: int, nearest: bool) -> Array:
    """float32 numbers with so many explicit binary digits."""
    dropped = 23 - digits
    bits = x.astype(np.float32).view(np.uint32)
    bits = bits + np.uint32(1 << (dropped - 1)) if nearest else bits
    return np.asarray((bits & np.uint32(0xFFFFFFFF << dropped & 0xFFFFFFFF)).view(np.float32))


_PRODUCTS = [
    ("conv2d", (1, 3, 24, 24), {"channels": 8, "kernel": 7}),
    ("conv2d", (1, 64, 10, 10), {"channels": 8, "kernel": 3, "padding": 1}),
    ("conv2d", (2, 8, 10, 10), {"channels": 8, "kernel": 1, "groups": 8, "bias": False}),
    ("conv_transpose2d", (1, 32, 8, 8), {"channels": 8, "kernel": 4, "stride": 2, "padding": 1}),
    ("linear", (16, 512), {"features": 16}),
]


def _product(op: str, shape: tuple[int, ...], attrs: dict[str, Any], picture: str) -> tuple[Node, Any, Array]:
    node, params, x = _layer(op, shape, "float32", **attrs)
    if picture == "positive":
        return node, {role: np.abs(value) for role, value in params.items()}, np.abs(x)
    if picture == "one colour":
        x = np.broadcast_to(x[:, :, :1, :1] if x.ndim == 4 else x[:, :1], x.shape).copy()
    return node, params, x


def _with_cut_factors(node: Node, params: Any, x: Array, digits: int, nearest: bool) -> Array:
    """Factors with fewer digits, summed by BLAS in float32."""
    short = {role: value if role == "bias" else _cut(value, digits, nearest) for role, value in params.items()}
    short = {role: value.astype(np.float32) for role, value in short.items()}
    return np.asarray(evaluate(node, short, (_cut(x, digits, nearest),))[0].astype(np.float32))


@pytest.mark.parametrize("picture", ["random", "positive", "one colour"])
@pytest.mark.parametrize("op, shape, attrs", _PRODUCTS)
@pytest.mark.parametrize("precision, digits, nearest", [(TF32, 10, True), (TF32, 10, False), (HF32, 11, True)])
def test_short_factors_are_within_their_bound_and_not_within_float32s(
    precision: Precision, digits: int, nearest: bool, op: str, shape: tuple[int, ...], attrs: Any, picture: str
) -> None:
    node, params, x = _product(op, shape, attrs, picture)
    got = _with_cut_factors(node, params, x, digits, nearest)
    assert (0.1 if picture == "random" else 0.01) <= share_of(node, params, (x,), got, precision) <= 1
    assert share_of(node, params, (x,), got, FLOAT32) > 1


@pytest.mark.parametrize(
    "op, shape, attrs",
    [
        ("conv2d", (1, 64, 10, 10), {"channels": 8, "kernel": 3}),
        ("conv2d", (2, 8, 10, 10), {"channels": 8, "kernel": 1, "groups": 8, "bias": False}),
        ("conv_transpose2d", (1, 128, 8, 8), {"channels": 8, "kernel": 4, "stride": 2, "padding": 1}),
        ("linear", (16, 512), {"features": 16}),
    ],
)
def test_twice_the_error_of_tf32_is_seen(op: str, shape: tuple[int, ...], attrs: Any) -> None:
    """A digit less, cut off: in sums of one sign, where it adds up, or of one term."""
    node, params, x = _product(op, shape, attrs, "positive")
    assert share_of(node, params, (x,), _with_cut_factors(node, params, x, 10, False), TF32) <= 1
    assert share_of(node, params, (x,), _with_cut_factors(node, params, x, 9, False), TF32) > 1


@pytest.mark.parametrize("op, shape, attrs", _PRODUCTS)
def test_bfloat16_factors_are_not_tf32(op: str, shape: tuple[int, ...], attrs: Any) -> None:
    """Seven digits, rounded to nearest, in sums of all signs: eight times the error."""
    node, params, x = _product(op, shape, attrs, "random")
    assert share_of(node, params, (x,), _with_cut_factors(node, params, x, 7, True), TF32) > 1


def test_equal_factors_err_alike() -> None:
    """Two colours whose sums cancel: all of the one are rounded up, those of the other are exact."""
    node = _layer("linear", (1, 4096), "float32", features=1, bias=False)[0]
    x = np.repeat([1 + 2.0**-11, 1.0], 2048)[None]
    rising = np.linspace(1.0, 1.5, 2048)
    params = {"weight": np.concatenate([rising, -rising])[None]}
    got = _with_cut_factors(node, params, x, 10, True)
    assert share_of(node, params, (x,), got, TF32) <= 1
    some = np.random.default_rng(3).permutation(np.linspace(0.5, 1.5, 4096))[None]
    outputs = [evaluate(node, params, (given,)) for given in (x, some)]
    two, many = (bound(node, params, (g,), o, precision=TF32)[0] for g, o in zip((x, some), outputs, strict=True))
    assert two.item() > 5 * many.item()


def test_factors_are_the_business_of_products_alone() -> None:
    node, params, x = _layer("batch_norm", IMAGE, "float32")
    outputs = evaluate(node, params, (x,))
    one, other = (bound(node, params, (x,), outputs, precision=precision)[0] for precision in (FLOAT32, TF32))
    np.testing.assert_array_equal(one, other)


def _truncated(wide: Array) -> Array:
    """float64 numbers cut off to float32."""
    return np.asarray((wide.view(np.uint64) & ~np.uint64(2**29 - 1)).view(np.float64))


def test_units_that_cut_off_partial_sums_are_within_the_half_bound() -> None:
    """Blocks of four products, each added to the sum so far and cut off to float32: positive terms drift down."""
    rng = np.random.default_rng(4)
    drawn = (np.abs(rng.standard_normal((64, 4608))) * size for size in (1.0, 0.7))
    x, weight = (numbers.astype(np.float16).astype(np.float64) for numbers in drawn)
    node = _layer("linear", x.shape, "float16", features=64, bias=False)[0]
    total = np.zeros((64, 64))
    for first in range(0, 4608, 4):
        total = _truncated(total + x[:, first : first + 4] @ weight[:, first : first + 4].T)
    got = total.astype(np.float16)
    assert share_of(node, {"weight": weight}, (x,), got, FLOAT16) <= 1
    out = evaluate(node, {"weight": weight}, (x,))
    plain = bound(node, {"weight": weight}, (x,), out)[0]
    assert held_to(got, out[0], plain + HALF.unit * (np.abs(out[0]) + plain)).ratio > 1


def _value(dtype: str = "float") -> Value:
    return Spec("value").input("x", shape=(4,), dtype=dtype)


def _held(output: Array, local: Array, precision: Precision, **how: Any) -> Any:
    allowed = np.abs(local) * precision.stored.unit
    return hold(output, _value(), ("torch", "mul"), local, allowed, **how)


@pytest.mark.parametrize("precision", [FLOAT16, BFLOAT16], ids=["float16", "bfloat16"])
def test_infinity_passes_where_the_type_has_no_number(precision: Precision) -> None:
    form = precision.stored
    far, near = form.largest * 1.01, form.largest * 0.9
    local = np.array([far, -far, 1.0, 2.0])
    right = np.array([np.inf, -np.inf, 1.0, 2.0]).astype(form.dtype)
    assert _held(right, local, precision, wanted=form.name).result.ok
    assert not _held(-right, local, precision, wanted=form.name).result.ok
    result = _held(right, np.array([near, -far, 1.0, 2.0]), precision, wanted=form.name).result
    assert not result.ok and result.index == (0,) and "inf" in result.problem


def test_float32_has_numbers_beyond_65504() -> None:
    local = np.array([70000.0, 1.0, 1.0, 1.0])
    assert not _held(np.array([np.inf, 1, 1, 1], np.float32), local, FLOAT32).result.ok
    assert _held(np.array([np.inf, 1, 1, 1], np.float16), local, FLOAT16, wanted="").result.ok


def test_nan_is_a_problem_in_every_type() -> None:
    for form in FORMATS.values():
        got = np.array([np.nan, 1, 1, 1]).astype(form.dtype)
        result = _held(got, np.ones(4), Precision(form), wanted="").result
        assert "nan" in result.problem and result.dtype == form.name


def test_which_element_types_are_right() -> None:
    local = np.ones(4)
    for form in FORMATS.values():
        got = local.astype(form.dtype)
        assert _held(got, local, Precision(form), wanted="").result.ok
        assert _held(got, local, Precision(form), wanted=form.name).result.ok
        assert _held(got, local, Precision(form)).result.ok == (form is SINGLE)
    problem = _held(local.astype(np.float16), local, FLOAT16, wanted="bfloat16").result.problem
    assert problem == "dtype float16, where bfloat16 is right"
    assert not _held(local, local, FLOAT32, wanted="").result.ok, "float64 is for the reference alone"
    stand_in = _held(np.ones(3, np.float16), local, FLOAT16, wanted="bfloat16").array
    assert stand_in.dtype == BRAIN.dtype and stand_in.shape == (4,)


def test_norms_keep_the_types_of_their_parameters() -> None:
    params, x = {"weight": np.array([0.1], np.float32)}, np.array([0.1], np.float32)
    for op, unrounded in (("batch_norm", True), ("conv2d", False)):
        used, (given, labels) = as_computed(params, (x, np.array([3])), precision_of("torch", op, "float16"))
        assert (used["weight"][0] == np.float64(np.float32(0.1))) == unrounded
        assert given[0] == np.float64(np.float16(0.1)) and labels.dtype.kind == "i"
    assert as_computed(params, (x,), FLOAT32)[1][0][0] == np.float64(np.float32(0.1))


def test_mindspore_casts_the_parameters_of_norms_but_of_one_in_training_mode() -> None:
    assert precision_of("live mindspore", "batch_norm", "float16", train=True).own
    for op in ("batch_norm", "group_norm", "layer_norm"):
        assert precision_of("torch", op, "float16").own and not precision_of("live mindspore", op, "float16").own


def test_precision_of_an_op() -> None:
    assert precision_of("torch", "conv2d", "float16") == FLOAT16
    assert precision_of("mindspore", "conv2d", "float16") == precision_of(LIVE + "mindspore", "conv2d", "float16")
    assert precision_of("mindspore", "conv2d", "bfloat16").kept is BRAIN
    assert precision_of("torch", "batch_norm", "bfloat16") == replace(BFLOAT16, own=True)
    assert precision_of("torch", "batch_norm", "bfloat16", train=True).kept is BRAIN
    assert precision_of("torch", "conv2d", "float32", products="tf32") == TF32
    assert precision_of("torch", "conv2d", "float16", products="tf32") == FLOAT16
    assert precision_of("reference", "conv2d", "float64") == FLOAT32
    with pytest.raises(ParityError, match="tf32, hf32"):
        precision_of("torch", "conv2d", "float32", products="tf16")
