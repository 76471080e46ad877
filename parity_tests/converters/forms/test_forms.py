"""Roles and shapes alone: round trips at any size, pairs that do not fit, what is refused and what is said about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from twinzoo.converters.forms import Carried, carry, idle, plain
from twinzoo.converters.layers import Layer, Shape, layers_of

Shapes = Mapping[str, Shape]
State = Mapping[str, NDArray[Any]]


def layer(shapes: Shapes, kind: str = "") -> Layer:
    """The only layer of a key list."""
    (found,) = layers_of(shapes).values()
    return Layer(found.prefix, found.tensors, kind)


def state_of(shapes: Shapes, dtype: Any = np.float32) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(0)
    return {key: (rng.standard_normal(shape) + 0.1).astype(dtype) for key, shape in shapes.items()}


def made(carried: Carried, state: State) -> dict[str, NDArray[Any]]:
    found = {key: value.make(state) for key, value in carried.values.items()}
    assert {key: value.shape for key, value in found.items()} == {k: v.shape for k, v in carried.values.items()}
    return found


sizes = st.integers(1, 4)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Shapes, Shapes]:
    """Two ways of storing one layer that hold the same bits."""
    o, i, k, h = (draw(sizes) for _ in range(4))
    bias: Shapes = {"bias": (o,)} if draw(st.booleans()) else {}
    packed: Shapes = {"in_proj_weight": (3 * o, o), "in_proj_bias": (3 * o,)}
    apart: Shapes = {f"{n}_proj_{w}": s for n in "qkv" for w, s in (("weight", (o, o)), ("bias", (o,)))}
    lstm: Shapes = {"weight_ih": (4 * h, i), "weight_hh": (4 * h, h), "bias_ih": (4 * h,), "bias_hh": (4 * h,)}
    hooks: Shapes = {"weight_g": (o, 1, 1), "weight_v": (o, i, k)}
    parametrized: Shapes = {
        "parametrizations.weight.original0": (o, 1, 1),
        "parametrizations.weight.original1": (o, i, k),
    }
    spectral: Shapes = {"weight_orig": (o, i, k), "weight_u": (o,), "weight_v": (i * k,)}
    parametrizations: Shapes = {
        "parametrizations.weight.original": (o, i, k),
        "parametrizations.weight.0._u": (o,),
        "parametrizations.weight.0._v": (i * k,),
    }
    norm: Shapes = {"weight": (o,), "bias": (o,), "running_mean": (o,), "running_var": (o,)}
    alike: list[tuple[Shapes, Shapes]] = [
        ({"weight": (o, i, k), **bias}, {"weight": (o, i, 1, k), **bias}),
        ({"weight": (o, i, h, k), **bias}, {"weight": (o, i * h * k), **bias}),
        ({"weight": (o, i, 1, 1), **bias}, {"weight": (o, i), **bias}),
        ({"weight": (o,)}, {"weight": (1, o, 1, 1)}),
        ({"weight": (o,), "bias": (o,)}, {"gamma": (1, o, 1, 1), "beta": (1, o, 1, 1)}),
        (norm, {"gamma": (o,), "beta": (o,), "moving_mean": (o,), "moving_variance": (o,)}),
        ({"gamma": (1,)}, {"gamma": ()}),
        ({"weight": (o, i)}, {"embedding_table": (o, i)}),
        (packed, apart),
        (lstm, {f"{name}_l0": shape for name, shape in lstm.items()}),
        (lstm, {"weight": (4 * h * (i + h + 2), 1, 1)}),
        ({**hooks, **bias}, {**parametrized, **bias}),
        ({**hooks, **bias}, {"weight_g": (o, 1, 1, 1), "weight_v": (o, i, 1, k), **bias}),
        ({**spectral, **bias}, {**parametrizations, **bias}),
    ]
    one, other = draw(st.sampled_from(alike))
    return (one, other) if draw(st.booleans()) else (other, one)


@settings(deadline=None)
@given(pairs(), st.sampled_from([np.float32, np.float16, np.complex64, ml_dtypes.bfloat16]))
def test_what_holds_the_same_bits_comes_back_the_same(pair: tuple[Shapes, Shapes], dtype: Any) -> None:
    one, other = pair
    state = state_of(one, dtype)
    there, back = carry(layer(one), layer(other)), carry(layer(other), layer(one))
    assert there.fits
    assert back.fits
    assert all(value.exact for value in (*there.values.values(), *back.values.values()))
    middle = made(there, state)
    assert middle.keys() == other.keys()
    assert sum(value.size for value in middle.values()) == sum(value.size for value in state.values())
    final = made(back, middle)
    assert {key: (v.dtype, v.tobytes()) for key, v in final.items()} == {
        key: (v.dtype, v.tobytes()) for key, v in state.items()
    }


@pytest.mark.parametrize(
    ("shapes", "same"),
    [
        ({"weight_g": (8, 1, 1, 1), "weight_v": (8, 4, 3, 3)}, {"weight": (8, 4, 3, 3)}),
        ({"c.weight_g": (8, 1, 1), "c.weight_v": (8, 4, 3)}, {"weight": (8, 4, 1, 3)}),
        ({"weight_orig": (8, 4, 3, 3), "weight_u": (8,), "weight_v": (36,)}, {"weight": (8, 4, 3, 3)}),
        (
            {"parametrizations.weight.original0": (8, 1), "parametrizations.weight.original1": (8, 4)},
            {"weight": (8, 4)},
        ),
        ({"weight": (8, 4, 1, 1), "bias": (8,)}, {"weight": (8, 4), "bias": (8,)}),
        ({"weight": (8, 4, 1), "bias": (8,)}, {"weight": (8, 4), "bias": (8,)}),
        ({"gamma": (1, 8, 1, 1), "beta": (1, 8, 1, 1)}, {"weight": (8,), "bias": (8,)}),
        ({"weight_ih_l0": (8, 3), "weight_hh_l0": (8, 2)}, {"weight_ih": (8, 3), "weight_hh": (8, 2)}),
        ({"in_proj_weight": (6, 2)}, {f"{n}_proj_weight": (2, 2) for n in "qkv"}),
        (
            {"weight_hh_l0_g": (8, 1), "weight_hh_l0_v": (8, 2), "weight_ih_l0": (8, 3)},
            {"weight_ih": (8, 3), "weight_hh": (8, 2)},
        ),
    ],
)
def test_plain(shapes: Shapes, same: Shapes) -> None:
    assert plain(layer(shapes)).signature == layer(same).signature


def test_plain_keeps_apart_what_is_not_the_same() -> None:
    vector, kernel = {"weight": (8,)}, {"weight": (1, 8, 1, 1)}
    assert plain(layer(kernel)).signature == (("weight", (1, 8)),)
    assert plain(layer(kernel, "prelu")).signature == plain(layer(vector)).signature
    square = {"weight": (8, 8, 1, 1)}
    assert plain(layer(square, "conv_transpose2d")).signature != plain(layer(square, "conv2d")).signature
    stacked = {"weight_ih_l0": (8, 3), "weight_hh_l0": (8, 2), "weight_ih_l1": (8, 2), "weight_hh_l1": (8, 2)}
    assert "weight_ih_l0" in plain(layer(stacked)).tensors
    assert plain(layer({"a.weight": (8, 4, 1, 1)}, "conv2d")).kind == "conv2d"
    counted = plain(layer({"running_mean": (8,), "running_var": (8,), "num_batches_tracked": ()}))
    assert [tensor.shape for tensor in counted.tensors.values()] == [(8,), (8,), ()]
    assert plain(layer({"a.weight_g": (8, 1), "a.weight_v": (8, 4)})).tensors["weight"].key == "a.weight_g"


@pytest.mark.parametrize(
    ("one", "other", "missing", "unused"),
    [
        ({"weight": (4, 3)}, {"weight": (3, 4)}, ["weight"], ["weight"]),
        ({"weight": (4, 3, 3, 3)}, {"weight": (4, 3, 3)}, ["weight"], ["weight"]),
        ({"weight": (4, 1, 3, 3)}, {"weight": (1, 4, 3, 3)}, ["weight"], ["weight"]),
        ({"weight": (1, 4, 1, 1)}, {"weight": (4, 1, 1, 1)}, ["weight"], ["weight"]),
        ({"weight": (4, 1, 1), "bias": (4,)}, {"weight": (4,), "bias": (4,)}, ["weight"], ["weight"]),
        ({"weight": (4, 1, 1)}, {"weight": (1, 4, 1, 1)}, ["weight"], ["weight"]),
        ({"weight": (2, 4, 1, 1)}, {"weight": (4,)}, ["weight"], ["weight"]),
        ({"weight": (4, 3)}, {"weight": ()}, ["weight"], ["weight"]),
        ({"weight": ()}, {"weight": (4, 3)}, ["weight"], ["weight"]),
        ({"weight": (4, 3), "bias": (4,)}, {"weight": (4, 3)}, [], ["bias"]),
        ({"weight": (4, 3)}, {"weight": (4, 3), "bias": (4,)}, ["bias"], []),
        ({"weight_g": (4, 1), "weight_v": (4, 3)}, {"weight": (4, 4)}, ["weight"], ["weight_g", "weight_v"]),
        ({"weight_g": (4, 3), "weight_v": (4, 3)}, {"weight": (4, 3)}, ["weight"], ["weight_g", "weight_v"]),
        ({"weight_v": (4, 3)}, {"weight_g": (4, 1), "weight_v": (4, 3)}, 2, ["weight_v"]),
        ({"weight_orig": (4, 3)}, {"weight": (4, 3)}, ["weight"], ["weight_orig"]),
        ({"weight_orig": (4, 3), "weight_u": (3,), "weight_v": (3,)}, {"weight": (4, 3)}, ["weight"],
         ["weight_orig", "weight_u", "weight_v"]),
        ({"in_proj_weight": (12, 5)}, {f"{n}_proj_weight": (4, 5) for n in "qkv"}, 3, ["in_proj_weight"]),
        ({"in_proj_weight": (12, 4)}, {f"{n}_proj_weight": (4, 5) for n in "qkv"}, 3, ["in_proj_weight"]),
        ({"weight": (100, 1, 1)}, {"weight_ih": (8, 3), "weight_hh": (8, 2)}, 2, ["weight"]),
        ({"weight": (30, 1, 1)}, {"weight_ih": (6, 3), "weight_hh": (6, 2)}, 2, ["weight"]),
        ({"running_mean": (4,)}, {"weight": (4,), "bias": (4,)}, 2, ["running_mean"]),
        ({"num_batches_tracked": (), "weight": (4,)}, {"weight": (4,)}, [], ["num_batches_tracked"]),
    ],
)  # fmt: skip
def test_pairs_that_do_not_fit(one: Shapes, other: Shapes, missing: list[str] | int, unused: list[str]) -> None:
    carried = carry(layer(one), layer(other))
    assert not carried.fits
    assert (len(carried.missing) if isinstance(missing, int) else list(carried.missing)) == missing
    assert list(carried.unused) == unused
    assert carried.values.keys() == other.keys() - carried.missing.keys()
    assert all(carried.missing.values())


def test_why_a_tensor_is_missing() -> None:
    norm: Shapes = {"a.weight_g": (4, 1), "a.weight_v": (4, 3)}
    missing = carry(layer(norm), layer({"b.weight": (4, 5), "b.bias": (4,)})).missing
    assert missing == {
        "b.weight": "a.weight_g with a.weight_v is (4, 3), the target needs (4, 5)",
        "b.bias": "the source has no bias",
    }


def test_a_transposed_convolution_is_no_matrix() -> None:
    """Its axis 0 are the inputs: square ones would fit and be wrong."""
    square, matrix = {"weight": (4, 4, 1, 1)}, {"weight": (4, 4)}
    assert carry(layer(square), layer(matrix)).fits
    assert not carry(layer(square, "conv_transpose2d"), layer(matrix)).fits
    assert not carry(layer(matrix), layer(square, "conv_transpose2d")).fits


def test_a_spectral_norm_is_not_made_up() -> None:
    target = {"weight_orig": (4, 3), "weight_u": (4,), "weight_v": (3,), "bias": (4,)}
    carried = carry(layer({"weight": (4, 3), "bias": (4,)}), layer(target))
    assert list(carried.missing) == ["weight_orig", "weight_u", "weight_v"]
    assert "cannot be made from a plain weight" in carried.missing["weight_u"]
    assert list(carried.values) == ["bias"]


def test_unknown_parametrizations_are_kept_and_never_folded() -> None:
    orthogonal = {"parametrizations.weight.original": (4, 4), "parametrizations.weight.0.base": (4, 4)}
    assert layer(orthogonal).tensors.keys() == {"weight_orig", "parametrizations.weight.0.base"}
    assert carry(layer(orthogonal), layer(orthogonal)).fits
    assert not carry(layer(orthogonal), layer({"weight": (4, 4)})).fits
    two = {
        "a.parametrizations.weight.original0": (4, 1),
        "a.parametrizations.weight.original1": (4, 3),
        "a.parametrizations.weight.1._u": (4,),
        "a.parametrizations.weight.1._v": (3,),
    }
    carried = carry(layer(two), layer({"a.weight": (4, 3)}))
    assert carried.unused == ("a.parametrizations.weight.1._u", "a.parametrizations.weight.1._v")


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ({"weight": (4, 3)}, {"weight": (4, 3)}, ""),
        ({"parametrizations.weight.original0": (4, 1), "parametrizations.weight.original1": (4, 3)},
         {"weight_g": (4, 1), "weight_v": (4, 3)}, ""),
        ({"weight_ih_l0": (8, 3)}, {"weight_ih": (8, 3)}, ""),
        ({"weight": (4, 3, 5)}, {"weight": (4, 3, 1, 5)}, "axis 2 added"),
        ({"weight": (4, 3, 1, 5)}, {"weight": (4, 3, 5)}, "axis 2 removed"),
        ({"weight": (4, 3)}, {"weight": (4, 3, 1, 1)}, "matrix as a 1x1 kernel"),
        ({"weight": (4, 12, 2, 3)}, {"weight": (4, 72)}, "2x3 kernel as a matrix"),
        ({"weight": (4,)}, {"weight": (1, 4, 1, 1)}, "axes of 1 added"),
        ({"weight_g": (4, 1, 1), "weight_v": (4, 3, 5)}, {"weight": (4, 3, 1, 5)}, "weight_norm folded, axis 2 added"),
        ({"weight_orig": (4, 3), "weight_u": (4,), "weight_v": (3,)}, {"weight": (4, 3)}, "spectral_norm folded"),
        ({"weight": (4, 3)}, {"weight_g": (4, 1), "weight_v": (4, 3)}, "weight_norm unfolded"),
        ({f"{n}_proj_weight": (4, 4) for n in "qkv"}, {"in_proj_weight": (12, 4)}, "q, k, v packed into one"),
        ({"running_mean": (4,), "running_var": (4,)},
         {"gamma": (4,), "beta": (4,), "moving_mean": (4,), "moving_variance": (4,)},
         "made: 1 everywhere, as the source has it"),
    ],
)  # fmt: skip
def test_words(one: Shapes, other: Shapes, words: str) -> None:
    carried = carry(layer(one), layer(other))
    assert carried.fits
    assert words in {value.words for value in carried.values.values()}
    assert any(value.words for value in carried.values.values()) is bool(words)


def test_counters_and_statistics() -> None:
    norm = {"gamma": (4,), "beta": (4,), "moving_mean": (4,), "moving_variance": (4,)}
    torch_norm = {"weight": (4,), "bias": (4,), "running_mean": (4,), "running_var": (4,), "num_batches_tracked": ()}
    assert carry(layer(torch_norm), layer(norm)).dropped == {"num_batches_tracked": "a counter that only PyTorch keeps"}
    carried = carry(layer(norm), layer(torch_norm))
    counter = carried.values["num_batches_tracked"]
    assert counter.make({}).dtype == np.dtype("int64")
    assert (counter.make({}).item(), counter.words) == (0, "made: 0, a counter that only PyTorch keeps")
    assert carry(layer(torch_norm), layer(torch_norm)).values["num_batches_tracked"].sources == ("num_batches_tracked",)
    affine = {"weight": (4,), "bias": (4,)}
    assert not carry(layer(norm), layer(affine)).fits
    carried = carry(layer(norm, "instance_norm"), layer(affine))
    assert carried.fits
    assert set(carried.dropped) == {"moving_mean", "moving_variance"}
    assert carry(layer(affine), layer(norm, "instance_norm")).values["moving_variance"].make({}).tolist() == [1] * 4
    assert not carry(layer({**torch_norm}), layer({"running_mean": (4,), "running_var": (4,)})).fits


def test_idle() -> None:
    assert idle(layer({"n.gamma": (4,), "n.beta": (4,)})) == {"n.gamma": 1, "n.beta": 0}
    norm = layer({"gamma": (4,), "beta": (4,), "moving_mean": (4,), "moving_variance": (4,)})
    assert idle(norm) == {"gamma": 1, "beta": 0, "moving_mean": 0, "moving_variance": 1}
    assert idle(Layer("", norm.tensors, "instance_norm")) == {"gamma": 1, "beta": 0}
    assert idle(layer({"weight": (4,), "bias": (4,)})) == {}
    assert idle(layer({"gamma": (4,), "beta": (4,), "rho": (4,)})) == {}
