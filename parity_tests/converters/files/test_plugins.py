"""Formats of other packages: used like our own, reported when broken, and never in the way of the rest."""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twinzoo.converters.files import Checkpoint, Entry, Format, formats, plugin_problems, read, write
from twinzoo.zoo.errors import CheckpointError


class Point:
    """An entry point that gives an object or raises."""

    def __init__(self, name: str, found: object) -> None:
        self.name, self.value, self._found = name, f"package:{name}", found

    def load(self) -> object:
        if isinstance(self._found, BaseException):
            raise self._found
        return self._found


def _read(path: Path) -> Checkpoint:
    array = np.frombuffer(path.read_bytes()[4:], np.float64).copy()
    return Checkpoint(path, "raw", {"all": Entry(array.shape, array.dtype)}, lambda name: array)


def _write(path: Path, tensors: Any, metadata: Any) -> None:
    path.write_bytes(b"RAW!" + b"".join(np.asarray(tensors[name], np.float64).tobytes() for name in tensors))


RAW = Format("raw", (".raw",), lambda head, path: head.startswith(b"RAW!"), _read, _write)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Puts entry points in the place of the installed ones."""
    module = importlib.import_module("twinzoo.converters.files.plugins")

    def set_points(**points: object) -> None:
        found = [Point(name, value) for name, value in points.items()]
        monkeypatch.setattr(module, "entry_points", lambda group: found if group == "twinzoo.formats" else [])
        module.plugins.cache_clear()

    yield set_points
    module.plugins.cache_clear()


def test_a_plugin_is_a_format_like_ours(install: Callable[..., None], tmp_path: Path) -> None:
    install(raw=RAW)
    assert [format.name for format in formats()][-1] == "raw"
    assert plugin_problems() == []
    path = tmp_path / "x.raw"
    write(path, {"all": np.arange(4.0)})
    assert read(path)["all"].tolist() == [0, 1, 2, 3]
    with pytest.raises(CheckpointError, match="what was read back has other names"):
        write(path, {"other": np.ones(1)})
    assert read(path)["all"].tolist() == [0, 1, 2, 3], "a plug-in's output is read back too"


def test_broken_plugins_are_reported_and_left_out(install: Callable[..., None], tmp_path: Path) -> None:
    install(
        absent=ModuleNotFoundError("No module named 'absent'"),
        leaving=SystemExit(1),
        wrong=3,
        double=replace(RAW, name="torch"),
        raw=RAW,
    )
    assert [format.name for format in formats()][-1] == "raw"
    problems = plugin_problems()
    assert len(problems) == 4
    assert "absent (package:absent) does not load: ModuleNotFoundError: No module named 'absent'" in problems[0]
    assert "leaving (package:leaving) does not load: SystemExit" in problems[1]
    assert "wrong (package:wrong) is a int, not a Format" in problems[2]
    assert "double (package:double): there is a format torch already" in problems[3]
    write(tmp_path / "x.pth", {"a": np.ones(2)})
    assert read(tmp_path / "x.pth")["a"].tolist() == [1, 1]


def test_a_plugin_that_fails_in_use(install: Callable[..., None], tmp_path: Path) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("division\nby zero")

    path = tmp_path / "x.raw"
    path.write_bytes(b"RAW!" + bytes(8))
    install(first=replace(RAW, name="first", sniff=fail), raw=RAW)
    assert read(path)["all"].tolist() == [0]
    assert plugin_problems() == [
        "the plug-in for format first failed (ZeroDivisionError: division by zero): tell its authors"
    ]
    install(raw=replace(RAW, read=fail, write=fail))
    message = r"x.raw: the plug-in for format raw failed \(ZeroDivisionError: division by zero\): tell its authors"
    with pytest.raises(CheckpointError, match=message):
        read(path)
    with pytest.raises(CheckpointError, match=message):
        write(path, {"all": np.ones(1)})
    install(raw=replace(RAW, write=None))
    with pytest.raises(CheckpointError, match="no format is written to .raw: use .pth .pt .ckpt .safetensors .npz"):
        write(path, {"all": np.ones(1)})
