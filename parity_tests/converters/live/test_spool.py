"""Arrays that wait on disk come back bit for bit, and a trace is the same with and without them."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from twinzoo.converters.live import live
from twinzoo.converters.live.spool import Loaded, Spool, Spooled

ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.array(2.5),
    np.zeros((0, 3), np.int64),
    np.array([[True, False]]),
    np.array([1.5, -2], ml_dtypes.bfloat16),
    np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1),
]


def test_arrays_come_back_bit_for_bit() -> None:
    spool = Spool()
    found = Loaded({place: spool.put(array) for place, array in enumerate(ARRAYS)} | {9: ARRAYS[0]})
    assert list(found) == [*range(len(ARRAYS)), 9] and len(found) == 7 and 9 in found and 7 not in found
    for place, array in enumerate(ARRAYS):
        assert found[place].dtype == array.dtype and found[place].shape == array.shape
        assert found[place].tobytes() == array.tobytes()
    assert found[9] is ARRAYS[0] and found[0] is not found[0]


def test_the_first_arrays_wait_in_memory() -> None:
    spool = Spool(memory=ARRAYS[0].nbytes + ARRAYS[5].nbytes)
    kept = [spool.put(array) for array in (ARRAYS[0], ARRAYS[5], ARRAYS[1])]
    assert kept[0] is ARRAYS[0] and kept[1] is ARRAYS[5] and isinstance(kept[2], Spooled)


@pytest.mark.parametrize("framework", ["torch", "mindspore"])
def test_a_trace_is_the_same_from_disk(framework: str) -> None:
    pytest.importorskip(framework)
    import twinzoo as tz

    model = tz.build("patchgan", framework, width=4, layers=2)
    image = (np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32),)
    traces = [
        live(model).trace(model, image, values=True, pull=lambda i, shape: np.ones(shape, np.float32), spool=spool)
        for spool in (None, Spool())
    ]
    assert all(isinstance(x, Spooled) for x in traces[1].values.kept.values())  # type: ignore[attr-defined]
    assert all(isinstance(x, Spooled) for x in traces[1].gradients.kept.values())  # type: ignore[attr-defined]
    for part in ("values", "gradients"):
        first, second = (getattr(trace, part) for trace in traces)
        assert list(first) == list(second) and len(first) > 5
        assert all(np.array_equal(first[place], second[place]) for place in first)
