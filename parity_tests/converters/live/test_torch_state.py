"""The state of a live module: read, shared tensors told, set all or nothing."""

from __future__ import annotations

import inspect
from typing import Any

import ml_dtypes
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn.utils import parametrizations  # noqa: E402

from twinzoo.converters.live import Live  # noqa: E402
from twinzoo.converters.live.torch import model as functions  # noqa: E402
from twinzoo.converters.live.torch.model import aliases_of, arrays_of, assign  # noqa: E402
from twinzoo.zoo.errors import ConversionError  # noqa: E402


def holding(**tensors: Any) -> nn.Module:
    model = nn.Module()
    for name, tensor in tensors.items():
        model.register_buffer(name, tensor)
    return model


def test_the_functions_are_those_of_the_protocol() -> None:
    for name in ("arrays_of", "aliases_of", "assign", "trace"):
        wanted = [(p.name, p.kind, p.default) for p in inspect.signature(getattr(Live, name)).parameters.values()]
        found = [(p.name, p.kind, p.default) for p in inspect.signature(getattr(functions, name)).parameters.values()]
        assert found == wanted[1:]


def test_arrays_are_copies_by_name() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    arrays = arrays_of(model)
    assert list(arrays) == list(model.state_dict())
    assert arrays["1.num_batches_tracked"].shape == ()
    arrays["0.weight"][:] = 7
    arrays_of(model.to(torch.bfloat16))["0.weight"][:] = 7
    assert (arrays_of(model)["0.weight"].astype(float) < 7).all()


DTYPES = [
    "float16",
    "float32",
    "float64",
    "int8",
    "uint8",
    "int16",
    "int32",
    "int64",
    "bool",
    "complex64",
    "complex128",
]
FOREIGN = ["bfloat16", "float8_e4m3fn", "float8_e5m2"]


@pytest.mark.parametrize("name", DTYPES + FOREIGN)
@pytest.mark.parametrize("shape", [(), (4,), (2, 2)])
def test_every_element_type_goes_out_and_in(name: str, shape: tuple[int, ...]) -> None:
    dtype = np.dtype(getattr(ml_dtypes, name) if name in FOREIGN else name)
    values = np.array([1, 0, 1, 1][: int(np.prod(shape))]).reshape(shape).astype(dtype)
    model = holding(t=torch.zeros(shape, dtype=getattr(torch, name)))
    assign(model, {"t": values})
    found = arrays_of(model)["t"]
    assert found.dtype == dtype and found.shape == shape
    assert np.array_equal(found.astype(complex), values.astype(complex))


def test_views_and_expanded_and_conjugate_tensors_are_read_as_they_look() -> None:
    base = torch.arange(6.0).reshape(2, 3)
    arrays = arrays_of(holding(t=base.t(), e=base[0].expand(2, 3), c=torch.tensor([1 + 2j]).conj()))
    assert np.array_equal(arrays["t"], base.numpy().T)
    assert arrays["e"].shape == (2, 3) and arrays["c"][0] == 1 - 2j


def test_what_is_no_tensor_is_left_out() -> None:
    class Extra(nn.Linear):
        def get_extra_state(self) -> Any:
            return {"version": 1}

    assert list(arrays_of(Extra(1, 1))) == ["weight", "bias"]


@pytest.mark.parametrize("model", [nn.LazyLinear(2), nn.Linear(2, 2, device="meta")])
def test_tensors_without_values_are_refused_in_one_line(model: nn.Module) -> None:
    for run in (arrays_of, functions.trace, lambda m: assign(m, {})):
        with pytest.raises(ConversionError, match=r"weight:? has no values yet: run the model once"):
            run(model)


def test_aliases_are_further_names_of_one_tensor() -> None:
    conv = nn.Conv2d(2, 2, 1)
    model = nn.ModuleDict({"a": conv, "b": nn.Linear(3, 3), "c": conv, "d": nn.Linear(3, 3), "e": nn.Linear(3, 3)})
    model["d"].weight = model["b"].weight
    model["e"].bias.data = model["b"].bias.data
    assert aliases_of(model) == {"c.weight": "a.weight", "c.bias": "a.bias", "d.weight": "b.weight", "e.bias": "b.bias"}
    assert aliases_of(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))) == {}
    base = torch.zeros(2, 3)
    assert aliases_of(holding(a=base, b=base.view(6), c=base.t())) == {}
    assert aliases_of(holding(a=torch.zeros(0), b=torch.zeros(0))) == {}


def test_assign_keeps_tensors_types_and_what_is_not_named() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).half()
    before, weight = arrays_of(model), model[0].weight
    assign(model, {"0.weight": np.full((2, 2), 0.5)})
    assert model[0].weight is weight and weight.dtype == torch.float16 and weight.requires_grad
    after = arrays_of(model)
    assert (after.pop("0.weight") == 0.5).all()
    assert all(np.array_equal(after[name], before[name]) for name in after)


def test_assign_takes_big_endian_and_read_only_arrays() -> None:
    model = nn.Linear(2, 1)
    value = np.array([[1.5, 2.5]], ">f4")
    value.setflags(write=False)
    assign(model, {"weight": value})
    assert np.array_equal(arrays_of(model)["weight"], value)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"0.wight": np.zeros((2, 2))}, "has no tensor '0.wight': it has 0.weight, 0.bias, 1.weight, 1.bias"),
        ({"0.weight": np.zeros((2, 3))}, r"0.weight is \(2, 2\), the value given is \(2, 3\)"),
        ({"0.weight": np.zeros((2, 2), complex)}, "0.weight is torch.float32, the value given is complex128"),
        ({"0.weight": np.full((2, 2), "a")}, "no tensors of <U1"),
    ],
)
def test_assign_is_all_or_nothing(state: dict[str, Any], message: str) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    before = arrays_of(model)
    with pytest.raises(ConversionError, match=message) as caught:
        assign(model, {"1.weight": np.ones((2, 2)), **state, "1.bias": np.ones(2)})
    assert "\n" not in str(caught.value)
    assert all(np.array_equal(value, before[name]) for name, value in arrays_of(model).items())


def test_a_tied_tensor_is_set_once() -> None:
    model = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    model[1].weight = model[0].weight
    ones = np.ones((2, 2), np.float32)
    assign(model, {"1.weight": ones})
    assert np.array_equal(arrays_of(model)["0.weight"], ones)
    assign(model, {"0.weight": 2 * ones, "1.weight": 2 * ones})
    with pytest.raises(ConversionError, match="0.weight and 1.weight are one tensor, and are given different values"):
        assign(model, {"0.weight": ones, "1.weight": 3 * ones})
    with pytest.raises(ConversionError, match="are one tensor"):
        assign(model, {"1.weight": ones, "0.weight": 3 * ones})
    assert np.array_equal(arrays_of(model)["1.weight"], 2 * ones)


def test_parametrized_weights_are_set_where_they_are_kept() -> None:
    model = parametrizations.weight_norm(nn.Linear(2, 2))
    direction = np.array([[3.0, 4.0], [0.0, 1.0]], np.float32)
    assign(
        model,
        {"parametrizations.weight.original0": np.array([[1.0], [2.0]]), "parametrizations.weight.original1": direction},
    )
    assert np.allclose(model.weight.detach().numpy(), [[0.6, 0.8], [0.0, 2.0]])
