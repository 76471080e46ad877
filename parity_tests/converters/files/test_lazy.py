"""Tensors that are made when they are asked for are written as if they had been there, without being all there."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinzoo.converters.files import Entry, Lazy, carried, made, read, write
from twinzoo.converters.files.checkpoint import CHUNK
from twinzoo.zoo.errors import CheckpointError

Tensors = Mapping[str, npt.NDArray[Any]]
SUFFIXES = (".pth", ".safetensors", ".ckpt", ".npz")
F4, F2 = np.dtype(np.float32), np.dtype(np.float16)
TENSORS = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.arange(6, dtype=np.float32).reshape(2, 3).T}


def half(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values.astype(np.float16)


def state(tensors: Tensors) -> Lazy:
    return Lazy(
        {
            "same": carried(tensors, "a"),
            "flat": carried(tensors, "a", (12,)),
            "half": carried(tensors, "a", dtype=F2, change=half),
            "both": carried(tensors, "b", (1, 6), F2, half),
            "turned": made(Entry((4, 3), F4), lambda: tensors["a"].T),
            "added": made(Entry((), np.dtype(np.int64)), lambda: np.array(7)),
        }
    )


WANTED = {
    "same": TENSORS["a"],
    "flat": TENSORS["a"].reshape(12),
    "half": half(TENSORS["a"]),
    "both": half(TENSORS["b"]).reshape(1, 6),
    "turned": TENSORS["a"].T,
    "added": np.array(7),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("source", ["a mapping", *SUFFIXES])
def test_it_is_written_like_arrays(suffix: str, source: str, tmp_path: Path) -> None:
    tensors: Tensors = TENSORS
    if source != "a mapping":
        write(tmp_path / f"source{source}", TENSORS)
        tensors = read(tmp_path / f"source{source}")
    write(tmp_path / f"lazy{suffix}", state(tensors))
    write(tmp_path / f"plain{suffix}", WANTED)
    assert (tmp_path / f"lazy{suffix}").read_bytes() == (tmp_path / f"plain{suffix}").read_bytes()


def test_it_is_a_mapping() -> None:
    lazy = state(TENSORS)
    assert list(lazy) == list(WANTED)
    assert all(np.array_equal(lazy[name], WANTED[name]) and lazy[name].dtype == WANTED[name].dtype for name in WANTED)
    assert all(lazy.entries[name] == Entry(WANTED[name].shape, WANTED[name].dtype) for name in WANTED)
    with pytest.raises(KeyError):
        lazy["other"]


@given(st.integers(0, 3 * CHUNK // 4 + 5), st.integers(1, 3))
def test_elements_are_changed_in_runs_of_whole_ones(count: int, factor: int) -> None:
    values = np.arange(count, dtype=np.float32)
    item = carried({"x": values}, "x", dtype=np.dtype(np.float64), change=lambda run: run.astype(np.float64) * factor)
    assert item.pieces is not None
    runs = list(item.pieces())
    assert b"".join(runs) == (values.astype(np.float64) * factor).tobytes()
    assert all(len(run) <= 2 * CHUNK for run in runs)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("shape", [(5,), (3, 4), (300_000,)])
def test_what_comes_otherwise_than_announced(suffix: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    lazy = Lazy(
        {"x": made(Entry((7, 2), F4), lambda: np.ones(shape, F4)), "y": made(Entry((1,), F4), lambda: np.ones(1))}
    )
    with pytest.raises(
        CheckpointError, match=r"tensor 'x' was announced as float32 \(7, 2\), but came .* bytes: keep it"
    ):
        write(tmp_path / f"x{suffix}", lazy)
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_a_change_stays_what_it_is(tmp_path: Path) -> None:
    def refuse(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        raise OverflowError("too large")

    with pytest.raises(OverflowError, match="too large"):
        write(tmp_path / "x.pth", Lazy({"x": carried(TENSORS, "a", dtype=F2, change=refuse)}))
    assert list(tmp_path.iterdir()) == []


MEMORY = """
import sys
import numpy as np
from twinzoo.converters.files import Entry, Lazy, carried, made, read, write

source = read(sys.argv[1])
half = np.dtype(np.float16)
items = {"same": carried(source, "large"), "half": carried(source, "large", None, half, lambda run: run.astype(half))}
items |= {f"turned{n}": made(Entry((2**10, 2**11), np.dtype("f4")), source["part"].T.view) for n in range(4)}
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024

before = peak()
write(sys.argv[2], Lazy(items, source.release))
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_memory_stays_below_a_carried_tensor(tmp_path: Path) -> None:
    """64 MB are carried twice, once in half precision; 8 MB are turned four times."""
    tensors = {"large": np.ones(2**24, np.float32), "part": np.ones((2**11, 2**10), np.float32)}
    write(tmp_path / "a.pth", tensors)
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "a.pth"), str(tmp_path / "b.ckpt")]
    used = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert used < 24e6


def test_asking_whether_a_tensor_is_there_makes_none() -> None:
    def never() -> npt.NDArray[Any]:
        raise AssertionError("made")

    state = Lazy({"a": made(Entry((2,), np.dtype(np.float32)), never)})
    assert "a" in state
    assert "b" not in state
