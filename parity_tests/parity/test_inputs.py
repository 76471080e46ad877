"""Inputs: cast and checked where given, drawn from their span where not."""

import numpy as np
import pytest

from twinzoo.parity.inputs import checked_inputs, default_inputs
from twinzoo.zoo import registry
from twinzoo.zoo.errors import ParityError, SpecError
from twinzoo.zoo.spec import Spec


def test_one_array_will_do_for_one_input(chain_spec: Spec) -> None:
    given = checked_inputs(chain_spec, np.zeros((2, 3, 5, 7)))
    assert [(name, x.shape, str(x.dtype)) for name, x in given.items()] == [("image", (2, 3, 5, 7), "float32")]


def test_several_inputs_are_given_by_name(loss_spec: Spec) -> None:
    with pytest.raises(ParityError, match="image, target: give a mapping"):
        checked_inputs(loss_spec, np.zeros((1, 3, 5, 5)))


@pytest.mark.parametrize("shape", [(1, 4, 5, 5), (3, 5, 5)])
def test_a_wrong_shape_is_one_line(chain_spec: Spec, shape: tuple[int, ...]) -> None:
    with pytest.raises(SpecError, match=r"image must be \(N, 3, H, W\)") as caught:
        checked_inputs(chain_spec, np.zeros(shape))
    assert "\n" not in str(caught.value)


def test_a_wrong_name_is_one_line(chain_spec: Spec) -> None:
    with pytest.raises(SpecError, match="takes inputs image; got picture"):
        checked_inputs(chain_spec, {"picture": np.zeros((1, 3, 5, 5))})


def test_numbers_of_another_kind_are_refused(chain_spec: Spec) -> None:
    with pytest.raises(ParityError, match="must hold real numbers, got complex128"):
        checked_inputs(chain_spec, np.zeros((1, 3, 5, 5), complex))


def test_default_inputs_are_in_the_span_of_the_input(chain_spec: Spec) -> None:
    image = default_inputs(chain_spec, 0)["image"]
    assert image.shape == (1, 3, 12, 12)
    assert image.dtype == np.float32
    assert 0 <= image.min() < 0.1
    assert 0.9 < image.max() <= 1
    assert default_inputs(chain_spec, 0, {"H": 5, "N": 2})["image"].shape == (2, 3, 5, 12)
    np.testing.assert_array_equal(image, default_inputs(chain_spec, 0)["image"])
    assert not np.array_equal(image, default_inputs(chain_spec, 1)["image"])


def test_inputs_of_one_shape_differ(loss_spec: Spec) -> None:
    given = default_inputs(loss_spec)
    assert not np.array_equal(given["image"], given["target"])


def test_integers_lie_within_what_they_index() -> None:
    s = Spec("table")
    rows = s.reshape("flat", s.input("rows", shape=("N", 9), dtype="int"), (-1,))
    s.output(
        output=s.embedding("embed", rows, 5, 2), taken=s.gather("taken", s.embedding("other", rows, 3, 7), rows, axis=1)
    )
    rows_drawn = default_inputs(s, 0, {"N": 40})["rows"]
    assert rows_drawn.dtype == np.int64
    assert (rows_drawn.min(), rows_drawn.max()) == (0, 2)


def test_integers_that_index_inside_a_called_network() -> None:
    """The row taken is bounded by the size that the network is called with, not by its example's."""
    inner = Spec("inner")
    table = inner.input("table", shape=("N", "R", 4))
    rows = inner.input("rows", shape=("K",), dtype="int")
    inner.output(taken=inner.gather("taken", table, rows, axis=1), rows=inner.reshape("same", rows, (-1,)))
    s = Spec("outer")
    table = s.input("table", shape=("N", 6, 4))
    rows, free = (s.input(name, shape=("K",), dtype="int") for name in ("rows", "free"))
    role = s.role("net", inner)
    taken, same = s.call("call", role, table, rows)
    s.output(taken=taken, other=s.embedding("other", same, 3, 2), free=s.embedding("free_rows", free, 9, 2))
    drawn = default_inputs(s, 0, {"K": 60})
    assert (drawn["rows"].min(), drawn["rows"].max()) == (0, 2)
    assert drawn["free"].max() == 8
    s = Spec("alone")
    table = s.input("table", shape=("N", 6, 4))
    rows = s.input("rows", shape=("K",), dtype="int")
    s.output(taken=s.call("call", s.role("net", inner), table, rows)[0])
    drawn = default_inputs(s, 0, {"K": 60})
    assert (drawn["rows"].min(), drawn["rows"].max()) == (0, 5)


def test_every_registered_spec_has_default_inputs() -> None:
    registry.load()
    for entry in (registry.MODELS | registry.LOSSES).values():
        spec = registry.spec(entry.name, **entry.small)
        assert set(default_inputs(spec)) == set(spec.inputs)
