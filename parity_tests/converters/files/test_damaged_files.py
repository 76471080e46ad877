"""Files that were cut short or changed on the way: the right numbers or one clear line, in every format."""

import functools
import json
import os
import pickle
import random
import struct
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from parity_tests.converters.files.hostile import pickled, read_all, tensor
from twinzoo.converters.files import read, write
from twinzoo.zoo.errors import CheckpointError

Tensors = dict[str, npt.NDArray[Any]]


SHARD = "x.safetensors"
KINDS = ("x.index.json", "x.pth", "legacy.pth", "x.safetensors", "x.ckpt", "crc.ckpt", "x.npz", "packed.npz")
CHECKED = ("x.index.json", "x.pth", "crc.ckpt", "x.npz", "packed.npz")  # the formats with a checksum


@functools.cache
def sample(kind: str) -> bytes:
    """A small file of each kind, as bytes."""
    table: Tensors = {"a": np.arange(5, dtype=np.float32), "b": np.ones((2, 2), np.int16)}
    with TemporaryDirectory() as folder:
        path = Path(folder) / kind
        if kind == "legacy.pth":
            start = [pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2), pickle.dumps({}, 2)]
            body = pickled(tensor(5, b"K\x05\x85", b"K\x01\x85")) + pickle.dumps(["0"], 2)
            path.write_bytes(b"".join(start) + body + struct.pack("<q", 5) + table["a"].tobytes())
        elif kind == "x.index.json":
            index = {"metadata": {"total_size": 28}, "weight_map": {"a": SHARD, "b": SHARD}}
            path.write_text(json.dumps(index))
        elif kind == "packed.npz":
            np.savez_compressed(path, a=table["a"], b=table["b"])
        else:
            write(path, table)
        content = path.read_bytes()
    if kind == "crc.ckpt":
        content += b"crc_num" + zlib.crc32(content).to_bytes(10, "big")
    return content


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_short(kind: str, tmp_path: Path) -> None:
    content, path = sample(kind), tmp_path / kind
    (tmp_path / SHARD).write_bytes(sample(SHARD))
    path.write_bytes(content)
    read_all(path)
    for length in [*range(min(len(content), 200)), *range(200, len(content), 7), len(content) - 1]:
        path.write_bytes(content[:length])
        if kind.endswith(".ckpt") and length in (content.find(b"\n", 20), len(sample("x.ckpt"))):
            continue  # whole parameters, or a whole file without its checksum: nothing in the format tells
        with pytest.raises(CheckpointError) as caught:
            read_all(path)
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value), length


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_bit(kind: str, tmp_path: Path) -> None:
    content, path = sample(kind), tmp_path / kind
    (tmp_path / SHARD).write_bytes(sample(SHARD))
    path.write_bytes(content)
    wanted = read_all(path)
    for position in range(0, len(content), 1 + len(content) // 900):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        try:
            found = read_all(path)
        except CheckpointError as error:
            assert str(error).startswith(f"{path}: ") and str(error).isprintable(), position
        else:
            assert kind not in CHECKED or found == wanted, position


@pytest.mark.parametrize("kind", KINDS)
def test_changed_bytes(kind: str, tmp_path: Path) -> None:
    content, path = sample(kind), tmp_path / kind
    (tmp_path / SHARD).write_bytes(sample(SHARD))
    dice = random.Random(0)
    for _ in range(200):
        changed = bytearray(content)
        for _ in range(dice.randint(1, 8)):
            start = dice.randrange(len(changed))
            changed[start : start + dice.randint(0, 8)] = dice.randbytes(dice.randint(0, 8))
        path.write_bytes(changed or b"x")
        try:
            read_all(path)
        except CheckpointError as error:
            assert str(error).startswith(f"{path}: ") and str(error).isprintable()


@pytest.mark.parametrize("suffix", [".pth", ".npz"])
def test_a_changed_number_in_a_large_tensor(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    write(path, {"a": np.arange(100_000.0), "b": np.ones(3)})
    content = bytearray(path.read_bytes())
    content[400_000] ^= 1
    path.write_bytes(content)
    checkpoint = read(path)
    assert checkpoint["b"].tolist() == [1, 1, 1]
    with pytest.raises(CheckpointError, match="the .* bytes of zip member .* do not have the checksum"):
        checkpoint["a"]
    with pytest.raises(CheckpointError, match="the .* bytes of zip member .* do not have the checksum"):
        list(read(path).pieces("a"))


def test_a_cut_file_says_where(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(sample("x.safetensors")[:-4])
    size = len(sample("x.safetensors"))
    with pytest.raises(CheckpointError, match=f"describes a file of {size} bytes, but it has {size - 4}"):
        read(path)


def test_a_file_that_is_cut_short_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write(path, {"a": np.arange(100_000.0)})
    pieces = read(path).pieces("a")
    next(pieces)
    os.truncate(path, 300_000)
    with pytest.raises(
        CheckpointError, match="x.safetensors: ends before offset .*, which it had when it was opened: "
    ):
        list(pieces)
