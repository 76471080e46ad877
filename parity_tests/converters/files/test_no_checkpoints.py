"""What is no checkpoint at all gets one line that says what it is and what to do."""

import os
import pickle
from pathlib import Path

import pytest

from twinzoo.converters.files import read
from twinzoo.zoo.errors import CheckpointError

LOOKS = {
    "empty": (b"", "is empty, expected a checkpoint: fetch or save it again"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer.*: run git lfs pull"),
    "html": (b"\n<!DOCTYPE html><html>", "is a web page.*: fetch it again"),
    "zip": (b"PK\x05\x06" + bytes(18), "is an empty zip file"),
    "gzip": (b"\x1f\x8b\x08\x00" + bytes(20), "is compressed with gzip.*: gunzip it first"),
    "tar": (bytes(257) + b"ustar\0", "is a tar archive"),
    "npy": (b"\x93NUMPY\x01\x00", "is a single NumPy array.*: save it by name"),
    "hdf5": (b"\x89HDF\r\n", "is an HDF5 file"),
    "pickle": (pickle.dumps({"a": 1}), "is a Python pickle that torch.save did not make"),
    "noise": (b"\xfe\xdc\xba\x98" * 4, "is no checkpoint of a known format .it begins with fe dc ba 98"),
}


@pytest.mark.parametrize("kind", LOOKS)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".ckpt", ".npz", ""])
def test_a_file_that_is_something_else(kind: str, suffix: str, tmp_path: Path) -> None:
    content, message = LOOKS[kind]
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"x{suffix}: {message}"):
        read(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, message in [
        (tmp_path, "is a folder, expected a checkpoint file"),
        (tmp_path / "absent.pth", "cannot be read: no such file or directory: check the path"),
        (tmp_path / "pipe", "is a pipe or a device"),
        (Path("/dev/zero"), "is a pipe or a device"),
        (tmp_path / "loop", "cannot be read: .*symbolic links"),
        (tmp_path / ("x" * 300), "cannot be read: file name too long: choose a shorter name"),
        (tmp_path / "a\0b", "cannot be read: embedded null"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            read(path)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "x.pth").write_bytes(b"x")
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(CheckpointError, match="x.pth: cannot be read: permission denied: change the permissions"):
        read(tmp_path / "x.pth")
