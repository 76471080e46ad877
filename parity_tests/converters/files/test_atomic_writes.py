"""A write leaves the old file or the new one: never half of one, never a stray one, never with other numbers."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from twinzoo.converters.files import Format, formats, read, write, writing
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


def test_a_disk_that_does_not_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.pth"
    write(path, OLD)

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(
        CheckpointError, match="x.pth: cannot be written: input/output error: check the path and the disk"
    ):
        write(path, {"new": np.ones(3)})
    assert_untouched(path)


def damaged_by(monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], object]) -> None:
    """Have `damage` done to every file as soon as it is written."""

    def spoilt(format: Format) -> Format:
        def write_and_damage(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
            assert format.write is not None
            format.write(path, tensors, metadata)
            damage(path)

        return replace(format, write=write_and_damage if format.write else None)

    monkeypatch.setattr(writing, "formats", lambda: map(spoilt, formats()))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("place", [0, 5000, -1], ids=["first", "middle", "last"])
def test_what_does_not_read_back_is_not_kept(
    suffix: str, place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"x{suffix}"
    write(path, OLD)
    values = np.random.default_rng(0).random(10_000)
    content = values.tobytes()
    position = place % len(values) * 8 + 3
    wrong = content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
    for damage in (
        lambda target: target.write_bytes(target.read_bytes()[:-30]),
        lambda target: target.write_bytes(target.read_bytes().replace(content, wrong)),
    ):
        with monkeypatch.context() as patch:
            damaged_by(patch, damage)
            with pytest.raises(CheckpointError, match=f"x{suffix}: .*(read back|checksum)"):
                write(path, {"before": np.ones(3), "new": values, "after": np.ones(3)})
        assert_untouched(path)


def test_what_has_other_names_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.safetensors"
    damaged_by(monkeypatch, lambda target: target.write_bytes(target.read_bytes().replace(b'"new"', b'"wen"')))
    with pytest.raises(CheckpointError, match="what was read back has other names, shapes or types"):
        write(path, {"new": np.ones(3)})
    assert os.listdir(tmp_path) == []


KILLED = """
import sys
import numpy as np
from twinzoo.converters.files import write

class Slow(dict):
    asked = 0
    def __getitem__(self, name):
        self.asked += name == "z"
        if self.asked == 2:
            print("writing", flush=True)
            sys.stdin.read()
        return super().__getitem__(name)

write(sys.argv[1], Slow(a=np.ones(1000), z=np.ones(10)))
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


WRITING = """
import sys
import numpy as np
from twinzoo.converters.files import write

for number in range(1_000_000):
    write(sys.argv[1], {str(n): np.full(2**17, float(number)) for n in range(8)})
    if number == 0:
        print("once", flush=True)
"""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_process_that_is_killed_at_any_moment(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    dice = random.Random(suffix)
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", WRITING, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stdout.readline() == "once\n"
        time.sleep(dice.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        process.stdout.close()
        found = read(path)
        assert len({value for name in found for value in np.unique(found[name])}) == 1, "all of one moment"
        assert len(found) == 8
