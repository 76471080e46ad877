"""What can be written and where, and that neither memory nor time grow out of proportion."""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twinzoo.converters.files import read, write
from twinzoo.converters.files.checkpoint import CHUNK, chunks
from twinzoo.zoo.errors import CheckpointError

SUFFIXES = (".pth", ".safetensors", ".ckpt", ".npz")
OLD = {"old": np.arange(3.0)}


def test_targets_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder.pth").mkdir()
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "file").write_bytes(b"x")
    table = [
        ("folder.pth", "is a folder, expected a file to write"),
        ("pipe.pth", "is a pipe or a device"),
        ("absent/x.pth", "there is no folder .*absent: make it first"),
        ("file/x.pth", "there is no folder"),
        ("x.h5", "no format is written to .h5: use .pth .pt .ckpt .safetensors .npz"),
        ("x", "no format is written to a name without suffix: use .pth"),
        ("x" * 300 + ".pth", "cannot be written: file name too long"),
    ]
    before = sorted(os.listdir(tmp_path))
    for name, message in table:
        with pytest.raises(CheckpointError, match=message) as caught:
            write(tmp_path / name, OLD)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert sorted(os.listdir(tmp_path)) == before


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(CheckpointError, match="cannot be written: read-only file system: choose another folder"):
        write(tmp_path / "x.pth", OLD)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "there are no tensors to write"),
        ({3: np.ones(1)}, "tensor '3' is named by a int, expected a str"),
        ({"a\0": np.ones(1)}, "is too long or holds a NUL: rename it"),
        ({"a" * 5000: np.ones(1)}, "is too long or holds a NUL: rename it"),
        ({"\ud800": np.ones(1)}, "is no valid Unicode: rename it"),
    ],
)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_tensors_that_cannot_be_written(suffix: str, tensors: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"x{suffix}: .*{message}") as caught:
        write(tmp_path / f"x{suffix}", tensors)
    assert str(caught.value).isprintable()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_a_name_that_the_format_keeps_for_itself(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot hold a tensor called __metadata__: rename it"):
        write(tmp_path / f"x{suffix}", {"__metadata__": np.ones(1)})


def test_metadata_is_text(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="metadata holds other than strings by name"):
        write(tmp_path / "x.pth", OLD, {"epoch": 3})  # type: ignore[dict-item]


def test_a_link_stays_a_link_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    write(tmp_path / "store" / "real.pth", OLD)
    link = tmp_path / "link.pth"
    link.symlink_to(tmp_path / "store" / "real.pth")
    write(link, {"new": np.ones(2)})
    assert link.is_symlink()
    assert list(read(tmp_path / "store" / "real.pth")) == ["new"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_can_be_written_from_itself(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    write(path, OLD)
    checkpoint = read(path)
    write(path, {**checkpoint, "more": np.ones(2)})
    assert list(read(path)) == ["old", "more"]
    assert checkpoint["old"].tolist() == [0, 1, 2], "the old file's tensors are still there for who opened it"


def test_the_new_file_has_ordinary_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"x")
    write(tmp_path / "x.PTH", OLD)
    assert (tmp_path / "x.PTH").stat().st_mode == (tmp_path / "plain").stat().st_mode


MEMORY = """
import sys
from twinzoo.converters.files import read, write

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024

before = peak()
write(sys.argv[2], read(sys.argv[1]))
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize("source", SUFFIXES)
@pytest.mark.parametrize("target", SUFFIXES)
def test_memory_grows_neither_with_the_file_nor_with_a_tensor(source: str, target: str, tmp_path: Path) -> None:
    """96 MB, most of it in one tensor, pass through a tenth of that."""
    write(tmp_path / f"a{source}", {"small": np.ones(3), "large": np.full(10 * 2**20, 2.0), "odd": np.ones(2**20 + 1)})
    command = [sys.executable, "-c", MEMORY, str(tmp_path / f"a{source}"), str(tmp_path / f"b{target}")]
    used = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert used < 10e6


def test_a_tensor_in_another_order_is_written_soon(tmp_path: Path) -> None:
    """Each run of it lies all over the file, which must not be read again for every one."""
    np.savez(tmp_path / "a.npz", turned=np.asfortranarray(np.ones((2**12, 2**12), np.float32)))
    begin = time.process_time()
    write(tmp_path / "b.ckpt", read(tmp_path / "a.npz"))
    assert time.process_time() - begin < 3


def test_memory_is_given_back_run_by_run_but_not_again_and_again() -> None:
    array = np.zeros(3 * CHUNK // 8)
    for given, times in ((array, 4), (array.reshape(3, -1).T, 1)):
        released: list[None] = []
        content = b"".join(chunks(given, partial(released.append, None)))
        assert content == given.tobytes()
        assert len(released) == times


def test_writing_is_quick(tmp_path: Path) -> None:
    tensors = {f"layer{n}.weight": np.ones(100, np.float32) for n in range(2000)}
    begin = time.monotonic()
    for suffix in SUFFIXES:
        write(tmp_path / f"x{suffix}", tensors)
        assert len(read(tmp_path / f"x{suffix}")) == 2000
    assert time.monotonic() - begin < 20
