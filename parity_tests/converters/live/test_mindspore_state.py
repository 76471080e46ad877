"""The state of a cell: the names are those of a checkpoint, and assigning is all or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from twinzoo.ports.mindspore.runtime import prepare
from twinzoo.zoo.errors import ConversionError

prepare()
ms = pytest.importorskip("mindspore")

from mindspore import Parameter, Tensor, nn  # noqa: E402

from twinzoo.converters.live.mindspore.model import aliases_of, arrays_of, assign  # noqa: E402


def ones(*shape: int) -> Any:
    """A tensor of ones."""
    return Tensor(np.ones(shape, np.float32))


class Parts(nn.Cell):  # type: ignore[misc]
    """Every way to own tensors: cells twice, in lists and dictionaries, parameters with own names, a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Dense(2, 3)
        self.second = self.first
        self.scale = Parameter(ones(3), name="gain")
        self.plain = Parameter(ones(4))
        self.row = nn.SequentialCell([nn.Dense(2, 2)] * 3)
        self.listed = nn.CellList([nn.Dense(2, 4), self.first])
        self.mapped = nn.CellDict({"x": nn.BatchNorm2d(3)})
        self.register_buffer("mean", ones(2))


def test_names_are_those_of_a_checkpoint(tmp_path: Path) -> None:
    model = Parts()
    path = tmp_path / "parts.ckpt"
    ms.save_checkpoint(model, str(path))
    written = list(ms.load_checkpoint(str(path)))
    names = arrays_of(model)
    assert [name for name in names if name != "mean"] == written
    assert {"gain", "listed.1.weight", "row.0.weight", "mapped.x.moving_mean"} <= set(names)


def test_what_is_assigned_is_what_a_checkpoint_of_these_names_would_set() -> None:
    values = {name: np.full(value.shape, place + 2.0) for place, (name, value) in enumerate(arrays_of(Parts()).items())}
    ours, theirs = Parts(), Parts()
    assign(ours, values)
    loaded = {name: Parameter(Tensor(value.astype(np.float32)), name=name) for name, value in values.items()}
    ms.load_param_into_net(theirs, loaded, strict_load=True)
    for ours_now, theirs_now in zip(ours.get_parameters(), theirs.get_parameters(), strict=True):
        np.testing.assert_array_equal(ours_now.asnumpy(), theirs_now.asnumpy())
    np.testing.assert_array_equal(ours.mean.asnumpy(), values["mean"])


def test_further_names_of_a_shared_tensor() -> None:
    model = Parts()
    assert aliases_of(model) == {
        "first.weight": "listed.1.weight",
        "first.bias": "listed.1.bias",
        "second.weight": "listed.1.weight",
        "second.bias": "listed.1.bias",
        "row.1.weight": "row.0.weight",
        "row.1.bias": "row.0.bias",
        "row.2.weight": "row.0.weight",
        "row.2.bias": "row.0.bias",
    }
    assert set(aliases_of(model).values()) <= set(arrays_of(model))


def test_a_parameter_shared_by_two_cells_is_listed_once() -> None:
    model = nn.SequentialCell(nn.Dense(2, 2), nn.Dense(2, 2))
    model[1].weight = model[0].weight
    assert list(arrays_of(model)) == ["0.weight", "0.bias", "1.bias"]
    assert aliases_of(model) == {"1.weight": "0.weight"}


def test_two_parameters_of_one_name_are_refused() -> None:
    class Twice(nn.Cell):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.left = Parameter(ones(2), name="weight")
            self.right = Parameter(ones(2), name="weight")

    with pytest.raises(ConversionError, match="Twice: left and right are both named 'weight'"):
        arrays_of(Twice())


def test_arrays_are_copies() -> None:
    model = nn.Dense(2, 2)
    arrays_of(model)["weight"][:] = 7
    assert not (model.weight.asnumpy() == 7).any()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"weights": np.ones((2, 3))}, "Dense: has no tensor 'weights': it has weight, bias"),
        ({"weight": np.ones((3, 2))}, r"Dense: weight is \(2, 3\), the value given is \(3, 2\)"),
    ],
)
def test_nothing_is_assigned_where_one_does_not_fit(wrong: dict[str, Any], said: str) -> None:
    model = nn.Dense(3, 2)
    before = arrays_of(model)
    with pytest.raises(ConversionError, match=said):
        assign(model, {"bias": np.full(2, 9.0), **wrong})
    np.testing.assert_array_equal(arrays_of(model)["bias"], before["bias"])


@pytest.mark.parametrize("given", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("own", ["float32", "float16", "bfloat16"])
def test_the_element_type_stays(own: str, given: Any) -> None:
    model = nn.Dense(2, 2, dtype=getattr(ms, own))
    assign(model, {"weight": np.array([[1.5, -2], [0.25, 3]], given)})
    assert model.weight.dtype == getattr(ms, own)
    now = arrays_of(model)["weight"]
    assert now.dtype == np.dtype(getattr(ml_dtypes, own, own))
    np.testing.assert_array_equal(now.astype(np.float32), [[1.5, -2], [0.25, 3]])


def test_assigning_is_in_place() -> None:
    model = nn.Dense(2, 2)
    weight = model.weight
    assign(model, {"weight": np.full((2, 2), 3.0)})
    assert model.weight is weight
    assert weight.name == "weight" and weight.requires_grad


def test_a_compiled_graph_sees_what_was_assigned() -> None:
    model, x = nn.Dense(2, 1, weight_init="ones", bias_init="zeros"), ones(1, 2)
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        assert model(x).asnumpy().item() == 2
        assign(model, {"weight": np.full((1, 2), 3.0), "bias": np.array([1.0])})
        assert model(x).asnumpy().item() == 7
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
