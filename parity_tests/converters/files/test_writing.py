"""A write leaves the old file or the new one: never half of one, never a stray one, never one with other numbers."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from twinzoo.converters.files import formats, read, write, writing
from twinzoo.zoo.errors import CheckpointError

SUFFIXES = (".pth", ".safetensors", ".ckpt", ".npz")
OLD = {"old": np.arange(3.0)}


class Failing(Mapping[str, npt.NDArray[Any]]):
    """Tensors of which the last cannot be had when its bytes are wanted."""

    def __init__(self, error: BaseException) -> None:
        self.asked = 0
        self.error = error

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        self.asked += name == "bad"
        if self.asked > 1:
            raise self.error
        return np.ones(1000)

    def __iter__(self) -> Iterator[str]:
        return iter(("good", "bad"))

    def __len__(self) -> int:
        return 2


def assert_untouched(path: Path) -> None:
    assert read(path)["old"].tolist() == [0, 1, 2]
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("error", [ValueError("broken"), OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_half_way(suffix: str, error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    write(path, OLD)
    raised = CheckpointError if isinstance(error, OSError) else type(error)
    with pytest.raises(raised) as caught:
        write(path, Failing(error))
    assert_untouched(path)
    if isinstance(error, OSError):
        assert str(caught.value) == f"{path}: cannot be written: no space left on device: free some space, " \
            "or choose another folder"  # fmt: skip


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_disk_that_is_full(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    write(path, OLD)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(CheckpointError, match=f"x{suffix}: cannot be written: file too large: raise the limit"):
            write(path, {"a": np.ones(1000), "b": np.ones(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_untouched(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_does_not_read_back_is_not_kept(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"x{suffix}"
    write(path, OLD)

    def spoil(damage: Any) -> None:
        sync = writing._sync

        def after(target: Path) -> None:
            sync(target)
            if target.is_file():
                damage(target)

        monkeypatch.setattr(writing, "_sync", after)
        with pytest.raises(CheckpointError, match=f"x{suffix}: .*(read back|checksum)"):
            write(path, {"new": np.full(100, 2.0)})
        monkeypatch.setattr(writing, "_sync", sync)
        assert_untouched(path)

    spoil(lambda target: target.write_bytes(target.read_bytes()[:-30]))
    spoil(lambda target: target.write_bytes(target.read_bytes().replace(np.full(100, 2.0).tobytes(), bytes(800))))


def test_other_numbers_on_the_disk_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above where the format has no checksum that would tell: the comparison itself."""
    format = next(format for format in formats() if format.name == "safetensors")

    def one_bit(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
        assert format.write is not None
        format.write(path, tensors, metadata)
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)

    from dataclasses import replace

    monkeypatch.setattr(writing, "formats", lambda: (replace(format, write=one_bit),))
    with pytest.raises(CheckpointError, match="tensor 'x' read back with other values"):
        write(tmp_path / "x.safetensors", {"x": np.full(10_000, np.nan)})
    assert os.listdir(tmp_path) == []


KILLED = """
import sys
import numpy as np
from twinzoo.converters.files import write

class Slow(dict):
    def __getitem__(self, name):
        if name == "z" and self.ready:
            print("writing", flush=True)
            sys.stdin.read()
        return super().__getitem__(name)

tensors = Slow(a=np.ones(1000), z=np.ones(10))
tensors.ready = False
from twinzoo.converters.files import payloads
original = payloads.flat_bytes
def flat_bytes(*arguments):
    tensors.ready = True
    return original(*arguments)
payloads.flat_bytes = flat_bytes
write(sys.argv[1], tensors)
"""


def test_a_process_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    write(path, OLD)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdin is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdin.close()
    process.stdout.close()
    assert read(path)["old"].tolist() == [0, 1, 2]
    others = [name for name in os.listdir(tmp_path) if name != "x.pth"]
    assert len(others) == 1 and others[0].startswith(".twinzoo-")


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
@pytest.mark.parametrize("target", [".pth", ".ckpt"])
def test_memory_does_not_grow_with_the_file(source: str, target: str, tmp_path: Path) -> None:
    """96 MB in tensors of 8 MB pass through much less than the file."""
    write(tmp_path / f"a{source}", {f"layer{n}": np.full(2**20, float(n)) for n in range(12)})
    command = [sys.executable, "-c", MEMORY, str(tmp_path / f"a{source}"), str(tmp_path / f"b{target}")]
    used = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert used < 50e6


def test_writing_is_quick(tmp_path: Path) -> None:
    tensors = {f"layer{n}.weight": np.ones(100, np.float32) for n in range(2000)}
    begin = time.monotonic()
    for suffix in SUFFIXES:
        write(tmp_path / f"x{suffix}", tensors)
        assert len(read(tmp_path / f"x{suffix}")) == 2000
    assert time.monotonic() - begin < 20
