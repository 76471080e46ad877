"""Files that MindSpore wrote are read as MindSpore reads them, and ours are read by MindSpore."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

from parity_tests.converters.files.hostile import read_all
from twinzoo.converters.files import Lazy, carried, mindspore_ckpt, protobuf, read, write
from twinzoo.zoo.errors import CheckpointError

Tensors = dict[str, npt.NDArray[Any]]

TYPES = (
    *("bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "bfloat16"),
)


def message(tag: str, dims: tuple[int, ...], kind: str, content: bytes) -> bytes:
    """One parameter, put together by hand."""

    def holding(number: int, inner: bytes) -> bytes:
        return protobuf.announce(number, len(inner)) + inner

    sizes = b"".join(protobuf.key(1, 0) + protobuf.encoded(size) for size in dims)
    return holding(1, holding(1, tag.encode()) + holding(2, sizes + holding(2, kind.encode()) + holding(3, content)))


@pytest.mark.parametrize("crc", [False, True])
def test_every_type_that_mindspore_saves(tmp_path: Path, crc: bool) -> None:
    ms = pytest.importorskip("mindspore")
    values = np.array([[1, 0], [1, 1], [0, 1]], np.float32)
    saved = {name: ms.Tensor(values).astype(getattr(ms, name)) for name in TYPES}
    saved |= {"scalar": ms.Tensor(np.float32(2.5)), "one": ms.Tensor(np.array([2.5], np.float32))}
    path = tmp_path / "x.ckpt"
    ms.save_checkpoint([{"name": name, "data": tensor} for name, tensor in saved.items()], str(path), crc_check=crc)
    checkpoint = read(path)
    assert list(checkpoint) == list(saved)
    for name, tensor in saved.items():
        assert checkpoint[name].shape == tensor.shape
        wanted = values if name in TYPES else np.float32(2.5)
        assert np.array_equal(checkpoint[name].astype(np.float32), np.broadcast_to(wanted, tensor.shape)), name
    assert checkpoint["bfloat16"].dtype == ml_dtypes.bfloat16
    assert checkpoint["bool_"].dtype == np.bool_
    assert checkpoint["scalar"].shape == ()
    assert checkpoint["one"].shape == (1,)


def test_values_beside_the_parameters(tmp_path: Path) -> None:
    ms = pytest.importorskip("mindspore")
    path = tmp_path / "x.ckpt"
    extras = {"epoch": 3, "lr": 0.5, "note": "测试"}
    ms.save_checkpoint([{"name": "w", "data": ms.Tensor([1.0])}], str(path), append_dict=extras)
    checkpoint = read(path)
    assert list(checkpoint) == ["w", "epoch", "lr"]
    assert checkpoint["epoch"] == 3
    assert checkpoint.metadata == {"note": "测试"}


def test_a_cell(tmp_path: Path) -> None:
    ms = pytest.importorskip("mindspore")
    cell = ms.nn.SequentialCell(ms.nn.Conv2d(3, 4, 3, has_bias=True), ms.nn.BatchNorm2d(4))
    ms.save_checkpoint(cell, str(tmp_path / "x.ckpt"))
    checkpoint = read(tmp_path / "x.ckpt")
    wanted = {parameter.name: parameter.asnumpy() for parameter in cell.get_parameters()}
    assert list(checkpoint) == list(wanted)
    assert all(np.array_equal(checkpoint[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("slice_size", [mindspore_ckpt.SLICE, 64])
def test_mindspore_reads_what_we_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slice_size: int, tensors: Tensors
) -> None:
    ms = pytest.importorskip("mindspore")
    monkeypatch.setattr(mindspore_ckpt, "SLICE", slice_size)
    path = tmp_path / "x.ckpt"
    write(path, tensors)
    loaded = ms.load_checkpoint(str(path))
    assert list(loaded) == list(tensors)
    for name, tensor in tensors.items():
        assert loaded[name].shape == tensor.shape, name
        assert loaded[name].asnumpy().tobytes() == tensor.tobytes(), name
        assert str(loaded[name].dtype).lower() == str(tensor.dtype), name


def test_the_same_bytes_as_mindspore(tmp_path: Path) -> None:
    ms = pytest.importorskip("mindspore")
    table: Tensors = {"a.weight": np.arange(300, dtype=np.float32).reshape(3, 100), "b": np.array(3, np.int64)}
    items = [{"name": name, "data": ms.Tensor(array)} for name, array in table.items()]
    ms.save_checkpoint(items, str(tmp_path / "theirs.ckpt"))
    write(tmp_path / "ours.ckpt", table)
    assert (tmp_path / "ours.ckpt").read_bytes() == (tmp_path / "theirs.ckpt").read_bytes()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".ckpt", ".npz"])
def test_mindspores_own_bfloat16_is_bfloat16(suffix: str, tmp_path: Path) -> None:
    ms = pytest.importorskip("mindspore")
    theirs = ms.Tensor(np.array([1.0, 2.5]), ms.bfloat16).asnumpy()
    assert theirs.dtype != ml_dtypes.bfloat16
    write(tmp_path / f"x{suffix}", {"x": theirs, "scalar": theirs[0].reshape(())})
    found = read(tmp_path / f"x{suffix}")["x"]
    assert found.dtype == ml_dtypes.bfloat16
    assert found.tolist() == [1.0, 2.5]


def test_slices_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mindspore_ckpt, "SLICE", 40)
    table: Tensors = {"a": np.arange(100, dtype=np.float32), "b": np.ones(3), "c": np.arange(30, dtype=np.int16)}
    write(tmp_path / "x.ckpt", table)
    assert (tmp_path / "x.ckpt").read_bytes().count(b"Float32") == 10
    checkpoint = read(tmp_path / "x.ckpt")
    assert all(np.array_equal(checkpoint[name], table[name]) for name in table)


def test_slices_that_split_an_element(tmp_path: Path) -> None:
    content = np.arange(100, dtype=np.float32).tobytes()
    parts = (content[:7], content[7:8], content[8:250], content[250:])
    (tmp_path / "x.ckpt").write_bytes(b"".join(message("a", (100,), "Float32", part) for part in parts))
    assert read_all(tmp_path / "x.ckpt") == {"a": content}
    half = carried(
        read(tmp_path / "x.ckpt"), "a", dtype=np.dtype(np.float16), change=lambda run: run.astype(np.float16)
    )
    write(tmp_path / "y.ckpt", Lazy({"a": half}))
    assert read(tmp_path / "y.ckpt")["a"].tolist() == list(range(100))


def test_complex_tensors_are_read_though_mindspore_cannot_load_them(tmp_path: Path) -> None:
    ms = pytest.importorskip("mindspore")
    values = np.array([1 + 2j, -3j], np.complex64)
    saved = [{"name": "c", "data": ms.Tensor(values)}, {"name": "d", "data": ms.Tensor(values.astype(np.complex128))}]
    ms.save_checkpoint(saved, str(tmp_path / "x.ckpt"))
    checkpoint = read(tmp_path / "x.ckpt")
    assert checkpoint["c"].tolist() == checkpoint["d"].tolist() == values.tolist()
    with pytest.raises(CheckpointError, match="tensor 'c' is of type complex64, which a MindSpore file cannot hold"):
        write(tmp_path / "y.ckpt", checkpoint)


def test_a_scalar_may_have_the_dim_0(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    path.write_bytes(message("s", (0,), "Float32", np.float32(2).tobytes()) + message("e", (0,), "Float32", b""))
    checkpoint = read(path)
    assert checkpoint["s"].shape == ()
    assert checkpoint["s"] == 2
    assert checkpoint["e"].shape == (0,)


def test_an_empty_vector_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"'e' of shape \(0,\) would load as a scalar in MindSpore"):
        write(tmp_path / "x.ckpt", {"e": np.ones(0)})


HALF = message("a", (2,), "Float32", b"abcd")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (message("a", (3,), "Float32", bytes(8)), "'a' at offset .* has 8 bytes, expected 12"),
        (message("a", (2,), "Float4", bytes(8)), "'a' is of type 'Float4', expected one of Bool"),
        (message("a", (2**40, 2**40), "Float32", bytes(8)), "'a' has an impossible shape"),
        (message("a", (1,) * 40, "Float32", bytes(4)), "'a' has 40 dimensions"),
        (HALF + message("b", (1,), "Int8", b"x") + HALF, "'a' comes a second time at offset"),
        (HALF + message("a", (2,), "Int32", b"abcd"), "slices of parameter 'a' disagree"),
        (HALF, "'a' at offset .* has 4 bytes, expected 8"),
        (message("a", (4,), "Int8", b"abcd")[:-1], "field at offset .* needs .* bytes, but .* are left"),
        (message("a", (4,), "Int8", b"abcd") + b"\x00", "field at offset .*|no number at"),
        (message("a", (4,), "Int8", b"abcd") + b"\x0f", "no field begins at offset"),
        (message("a", (1,), "Bool", b"\x02"), "'a' is boolean but holds bytes other than 0 and 1"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"x.ckpt: .*(?:{problem}).*: ") as caught:
        read_all(tmp_path / "x.ckpt")
    assert "\n" not in str(caught.value)


def test_a_wrong_checksum(tmp_path: Path) -> None:
    content = message("a", (4,), "Int8", b"abcd")
    (tmp_path / "x.ckpt").write_bytes(content + b"crc_num" + (12345).to_bytes(10, "big"))
    with pytest.raises(CheckpointError, match="do not have the checksum"):
        read(tmp_path / "x.ckpt")


def test_files_of_ours_need_no_mindspore() -> None:
    code = "import sys, twinzoo.converters.files; sys.exit('mindspore' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
