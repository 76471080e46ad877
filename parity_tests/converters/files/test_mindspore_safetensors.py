"""MindSpore's own safetensors files are read as MindSpore reads them, and ours are read by MindSpore."""

import json
import struct
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

from twinzoo.converters.files import read, write
from twinzoo.zoo.errors import CheckpointError

Tensors = dict[str, npt.NDArray[Any]]
TYPES = (
    "bool_",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
)


@pytest.mark.parametrize("crc", [False, True])
def test_what_mindspore_saves(tmp_path: Path, crc: bool) -> None:
    ms = pytest.importorskip("mindspore")
    values = np.array([[1, 0], [1, 1], [0, 1]], np.float32)
    types = TYPES if crc else (*TYPES, "bfloat16")  # of which MindSpore 2.10 cannot compute a checksum
    saved = {name: ms.Tensor(values).astype(getattr(ms, name)) for name in types}
    saved |= {"scalar": ms.Tensor(np.float32(2.5)), "one": ms.Tensor(np.array([2.5], np.float32))}
    path = tmp_path / "x.safetensors"
    ms.save_checkpoint(
        [{"name": name, "data": tensor} for name, tensor in saved.items()],
        str(path),
        format="safetensors",
        crc_check=crc,
    )
    checkpoint = read(path)
    assert sorted(checkpoint) == sorted(saved)
    assert checkpoint.metadata["format"] == "ms"
    assert ("crc_num" in checkpoint.metadata) == crc
    for name, tensor in saved.items():
        assert checkpoint[name].shape == tensor.shape, name
        wanted = np.float32(2.5) if name in ("scalar", "one") else values
        assert np.array_equal(checkpoint[name].astype(np.float32), np.broadcast_to(wanted, tensor.shape)), name
    assert crc or checkpoint["bfloat16"].dtype == ml_dtypes.bfloat16
    assert checkpoint["bool_"].dtype == np.bool_


def test_mindspore_reads_what_we_write(tmp_path: Path, tensors: Tensors) -> None:
    ms = pytest.importorskip("mindspore")
    path = tmp_path / "x.safetensors"
    held = {name: np.array(array, order="C") for name, array in tensors.items() if array.size}
    write(path, held, {"twinzoo": "converted", "source": "x.pth"})
    loaded = ms.load_checkpoint(str(path), format="safetensors")
    assert sorted(loaded) == sorted(held)
    for name, tensor in held.items():
        assert loaded[name].shape == tensor.shape, name
        assert loaded[name].asnumpy().tobytes() == tensor.tobytes(), name
        assert str(loaded[name].dtype).lower() == str(tensor.dtype), name


def test_a_cell_and_back(tmp_path: Path) -> None:
    ms = pytest.importorskip("mindspore")
    cell = ms.nn.SequentialCell(ms.nn.Conv2d(3, 4, 3, has_bias=True), ms.nn.BatchNorm2d(4))
    ms.save_checkpoint(cell, str(tmp_path / "theirs.safetensors"), format="safetensors")
    write(tmp_path / "ours.safetensors", read(tmp_path / "theirs.safetensors"))
    other = ms.nn.SequentialCell(ms.nn.Conv2d(3, 4, 3, has_bias=True), ms.nn.BatchNorm2d(4))
    found = ms.load_checkpoint(str(tmp_path / "ours.safetensors"), format="safetensors")
    left = ms.load_param_into_net(other, found)
    assert left == ([], [])
    for one, same in zip(cell.get_parameters(), other.get_parameters(), strict=True):
        assert np.array_equal(one.asnumpy(), same.asnumpy()), one.name


def test_packed_numbers_are_not_taken_for_others(tmp_path: Path) -> None:
    header = {"w": {"dtype": "I8", "shape": [2], "data_offsets": [0, 2]}, "__metadata__": {"format": "ms", "w": "Int4"}}
    text = json.dumps(header).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"\x12\x34")
    with pytest.raises(CheckpointError, match="x.safetensors: tensor 'w' is of MindSpore's type Int4: dequantize it"):
        read(tmp_path / "x.safetensors")
