"""Zip files whose directory lies, and what is packed otherwise than torch and NumPy pack it."""

import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from parity_tests.converters.files.hostile import one_line
from twinzoo.converters.files import read
from twinzoo.zoo.errors import CheckpointError


def zip_with(path: Path, change: Callable[[bytes], bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("x/data.pkl", pickle.dumps({}, 2))
        archive.writestr("x/data/0", bytes(1000))
    path.write_bytes(change(path.read_bytes()))
    return path


def test_zip_members_that_overlap(tmp_path: Path) -> None:
    def change(content: bytes) -> bytes:
        first = content.index(b"PK\x01\x02")
        return content[: first + 20] + (60).to_bytes(4, "little") * 2 + content[first + 28 :]

    with pytest.raises(CheckpointError, match="zip members 'x/data.pkl' and 'x/data/0' overlap"):
        read(zip_with(tmp_path / "x.pth", change))


def test_zip_members_of_one_name(tmp_path: Path) -> None:
    path = zip_with(tmp_path / "x.pth", bytes)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("x/data.pkl", pickle.dumps({"other": 1}, 2))
    with pytest.raises(CheckpointError, match="two zip members are called 'x/data.pkl'"):
        read(path)


def test_a_zip_member_beyond_the_end(tmp_path: Path) -> None:
    def change(content: bytes) -> bytes:
        second = content.rindex(b"PK\x01\x02")
        return content[: second + 20] + (2**20).to_bytes(4, "little") * 2 + content[second + 28 :]

    with pytest.raises(CheckpointError, match="'x/data/0' at offset .* needs 1048576 bytes, but the file ends at"):
        read(zip_with(tmp_path / "x.pth", change))


def test_an_encrypted_zip(tmp_path: Path) -> None:
    def change(content: bytes) -> bytes:
        first = content.index(b"PK\x01\x02")
        return content[: first + 8] + b"\x01" + content[first + 9 :]

    with pytest.raises(CheckpointError, match="'x/data.pkl' is encrypted: decrypt"):
        read(zip_with(tmp_path / "x.pth", change))


def test_a_torch_zip_that_was_packed_again(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="'x/data.pkl' is compressed, expected it as torch.save leaves it: "):
        read(zip_with(tmp_path / "x.pth", bytes, zipfile.ZIP_DEFLATED))
    with pytest.raises(CheckpointError, match="'x/data.pkl' is compressed in an unusual way"):
        read(zip_with(tmp_path / "y.pth", bytes, zipfile.ZIP_LZMA))


def test_an_npz_that_unpacks_to_more_than_it_can(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.zeros(1000))
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (2**31).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="'a.npy' claims to unpack"):
        read(path)


def test_a_header_that_promises_what_the_npz_does_not_hold(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(16))
    with one_line(path):
        read(path)
