"""Values by place and by name: looked up where they wait, and not held."""

from __future__ import annotations

import numpy as np
import pytest

from twinzoo.parity.graphs.placed import Named, Placed

VALUES = {place: np.full(2, place) for place in range(5)}


def test_what_was_made_stands_before_side_bs_own() -> None:
    made = np.zeros(2)
    placed = Placed(VALUES, {0: 3, 4: 1, 2: 2}, {1: made, 2: made})
    assert placed[0] is VALUES[3] and placed[4] is VALUES[1] and placed[1] is made and placed[2] is made
    assert 0 in placed and 1 in placed and 3 not in placed
    assert placed.get(3) is None
    with pytest.raises(KeyError):
        placed[3]


def test_places_are_counted_and_given_in_order() -> None:
    placed = Placed(VALUES, {4: 1, 0: 3}, {2: np.zeros(2)})
    assert list(placed) == [0, 2, 4] and len(placed) == 3
    assert [array.size for array in placed.values()] == [2, 2, 2]


def test_named_values() -> None:
    named = Named(VALUES, [3, 1, 9])
    assert list(named) == ["n3", "n1"] and len(named) == 2
    assert "n1" in named and "n9" not in named and "n0" not in named
    assert named["n3"] is VALUES[3]
    assert named.pop("n3") is VALUES[3] and "n3" not in named and len(named) == 1
    assert named.pop("n3") is None and named.pop("n9", 5) == 5
    assert 3 in VALUES
