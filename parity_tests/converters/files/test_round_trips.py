"""Every format gives back what it was given, bit for bit, in order, whatever the type and the layout."""

import mmap
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from twinzoo.converters.files import Checkpoint, Entry, read, write
from twinzoo.zoo.errors import CheckpointError

Tensors = dict[str, npt.NDArray[Any]]

SUFFIXES = (".pth", ".safetensors", ".ckpt", ".npz")
PLAIN = [np.dtype(code) for code in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")]
SMALL_FLOATS = [np.dtype(getattr(ml_dtypes, f"float8_{kind}")) for kind in ("e4m3fn", "e5m2", "e4m3fnuz", "e5m2fnuz")]
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
HELD = {
    ".pth": [*PLAIN, BFLOAT16, *SMALL_FLOATS, np.dtype("c8"), np.dtype("c16")],
    ".safetensors": [*PLAIN, BFLOAT16, *SMALL_FLOATS, np.dtype("c8")],
    ".ckpt": [*PLAIN, BFLOAT16],
    ".npz": [*PLAIN, BFLOAT16, *SMALL_FLOATS, np.dtype("c8"), np.dtype("c16")],
}


def same_bits(found: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> bool:
    little = wanted.astype(wanted.dtype.newbyteorder("<")) if wanted.dtype.kind in "iufc" else wanted
    return (found.shape, found.dtype) == (wanted.shape, little.dtype) and found.tobytes() == little.tobytes()


def assert_same(checkpoint: Checkpoint, wanted: Tensors, in_order: bool = True) -> None:
    """`in_order` is False for what went through a safetensors file, which cannot hold every order."""
    assert list(checkpoint) == list(wanted) if in_order else sorted(checkpoint) == sorted(wanted)
    assert len(checkpoint) == len(wanted)
    for name, array in wanted.items():
        assert same_bits(checkpoint[name], array), name
        assert checkpoint[name].flags.aligned and not checkpoint[name].flags.writeable, name
        assert checkpoint.entries[name] == Entry(array.shape, checkpoint[name].dtype)
        assert checkpoint.entries[name].nbytes == array.nbytes


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_was_written_is_read(suffix: str, tmp_path: Path, tensors: Tensors) -> None:
    path = tmp_path / f"model{suffix}"
    write(path, tensors, {"source": "a test, 测试"})
    checkpoint = read(path)
    assert_same(checkpoint, tensors, suffix != ".safetensors")
    assert checkpoint.metadata == ({} if suffix == ".ckpt" else {"source": "a test, 测试"})
    assert checkpoint.path == path


@pytest.mark.parametrize("target", SUFFIXES)
@pytest.mark.parametrize("source", SUFFIXES)
def test_a_checkpoint_can_be_written_as_it_is(source: str, target: str, tmp_path: Path, tensors: Tensors) -> None:
    write(tmp_path / f"first{source}", tensors)
    write(tmp_path / f"second{target}", read(tmp_path / f"first{source}"))
    assert_same(read(tmp_path / f"second{target}"), tensors, ".safetensors" not in (source, target))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_content_tells_the_format(suffix: str, tmp_path: Path, tensors: Tensors) -> None:
    write(tmp_path / f"right{suffix}", tensors)
    wrong = tmp_path / "wrong.txt"
    (tmp_path / f"right{suffix}").rename(wrong)
    assert_same(read(wrong), tensors, suffix != ".safetensors")


@pytest.mark.parametrize(
    ("suffix", "dtype"), [(suffix, dtype) for suffix in SUFFIXES for dtype in HELD[suffix]], ids=str
)
def test_every_type_keeps_its_bits(suffix: str, dtype: np.dtype[Any], tmp_path: Path) -> None:
    bits = np.random.default_rng(1).integers(0, 2 if dtype == np.bool_ else 256, (3, 5, dtype.itemsize), np.uint8)
    tensor = bits.view(dtype)[..., 0]
    wanted = {"x": tensor, "after": np.ones(3, np.float32)}
    write(tmp_path / f"x{suffix}", wanted)
    assert_same(read(tmp_path / f"x{suffix}"), wanted, suffix != ".safetensors")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_type_that_the_format_cannot_hold_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    unheld: list[npt.NDArray[Any]] = [np.array(["text"]), np.array([None]), np.array([1], "M8[s]"), np.ones(2, "g")]
    held = HELD[suffix]
    unheld += [np.ones(2, dtype) for dtype in HELD[".pth"] if dtype not in held]
    for tensor in unheld:
        with pytest.raises(CheckpointError, match=f"x{suffix}: tensor 'bad' is of type .* cannot hold: convert it"):
            write(path, {"good": np.ones(2), "bad": tensor})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_byte_order_and_layout_of_the_input_do_not_matter(suffix: str, tmp_path: Path) -> None:
    grid = np.arange(24, dtype=">f4").reshape(2, 3, 4)
    given_ = {"big": grid, "reversed": grid[:, ::-1], "fortran": np.asfortranarray(grid), "one": np.ones(())}
    write(tmp_path / f"x{suffix}", given_)
    assert_same(read(tmp_path / f"x{suffix}"), given_)


def is_mapped(array: npt.NDArray[Any]) -> bool:
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap.mmap)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_arrays_are_read_only_and_mapped_ones_outlive_the_checkpoint(
    suffix: str, tmp_path: Path, tensors: Tensors
) -> None:
    path = tmp_path / f"x{suffix}"
    write(path, {**tensors, "x": np.arange(1000.0), "y": np.ones(3)})
    assert suffix == ".ckpt" or all(is_mapped(array) or array.size == 0 for array in read(path).values())
    array = read(path)["x"]
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    assert not is_mapped(np.asarray(array, np.float32))
    path.unlink()
    assert array.sum() == 499500


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_unknown_name_is_a_key_error(suffix: str, tmp_path: Path) -> None:
    write(tmp_path / f"x{suffix}", {"x": np.ones(3)})
    with pytest.raises(KeyError):
        read(tmp_path / f"x{suffix}")["y"]


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
shapes = st.lists(st.integers(0, 3), max_size=4).map(tuple).filter(lambda shape: shape != (0,))


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=20, deadline=None)
@example({"00\x80{": ()}, np.dtype(np.uint8))  # safetensors files have this brace in this place
@example({"x/data/y": ()}, np.dtype(np.uint8))  # torch's zip members are called so
@given(
    st.dictionaries(names.filter(lambda name: name != "__metadata__"), shapes, min_size=1, max_size=5),
    st.sampled_from(HELD[".ckpt"]),
)
def test_any_names_and_shapes(suffix: str, table: dict[str, tuple[int, ...]], dtype: np.dtype[Any]) -> None:
    tensors = {name: np.ones(shape, dtype) for name, shape in table.items()}
    with TemporaryDirectory() as folder:
        write(Path(folder) / f"x{suffix}", tensors)
        assert_same(read(Path(folder) / f"x{suffix}"), tensors)
