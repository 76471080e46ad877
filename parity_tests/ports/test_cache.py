"""The cache of generated files: exact, atomic, shared by processes, and never in the way."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from twinzoo.ports import cache
from twinzoo.ports.registry import port
from twinzoo.zoo.errors import PortError
from twinzoo.zoo.registry import spec as draw


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache directory of the test's own."""
    monkeypatch.setenv("TWINZOO_CACHE", str(tmp_path))
    return tmp_path / "generated"


def test_named_by_port_class_and_hash(folder: Path) -> None:
    pytest.importorskip("torch")
    model = port("torch").build(draw("aodnet"))
    (path,) = folder.iterdir()
    assert path.name.startswith("torch_Aodnet_") and path.suffix == ".py"
    assert path.read_text() == port("torch").source(draw("aodnet"))
    assert sys.modules[type(model).__module__].__file__ == str(path)
    assert type(port("torch").build(draw("aodnet"))) is type(model)


def test_a_tampered_file_is_rewritten_and_never_run(folder: Path) -> None:
    pytest.importorskip("torch")
    spec = draw("aodnet")
    text = port("torch").source(spec)
    port("torch").build(spec)
    (path,) = folder.iterdir()
    path.write_text("raise SystemExit('tampered')")
    for name in [name for name in sys.modules if name.startswith("twinzoo.ports.generated.")]:
        del sys.modules[name]
    port("torch").build(spec)
    assert path.read_text() == text
    assert [p.name for p in folder.iterdir()] == [path.name]


def test_compiled_files_beside_it_are_not_run(folder: Path) -> None:
    text = "value = 'ours'\n"
    spec = draw("aodnet")
    path = Path(str(cache.module_of("torch", "Planted", spec, text).__file__))
    other = folder / "other.py"
    other.write_text("value = 'planted'\n")
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(other), importlib.util.cache_from_source(str(path)), invalidation_mode=unchecked)
    del sys.modules[f"twinzoo.ports.generated.{path.stem}"]
    assert cache.module_of("torch", "Planted", spec, text).value == "ours"


def test_an_equal_file_is_left_alone(folder: Path) -> None:
    first = cache.place("stem", "text").stat()
    second = cache.place("stem", "text").stat()
    assert (first.st_ino, first.st_mtime_ns) == (second.st_ino, second.st_mtime_ns)
    assert cache.place("stem", "other").read_text() == "other"


def _placed(arguments: tuple[str, int]) -> bool:
    """In another process: the file always holds one whole text, while several processes exchange it."""
    home, number = arguments
    os.environ["TWINZOO_CACHE"] = home
    texts = {f"# {i}\n" * 20000 for i in range(4)}
    return all(cache.place("shared", f"# {number}\n" * 20000).read_text() in texts for _ in range(50))


def test_several_processes_at_once(folder: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert all(pool.map(_placed, [(str(folder.parent), i) for i in range(4)]))
    assert [path.name for path in folder.iterdir()] == ["shared.py"]


HOMELESS = """
from twinzoo.ports.registry import port
from twinzoo.ports import cache
from twinzoo.zoo.registry import spec
model = port("torch").build(spec("aodnet"))
import sys
print(sys.modules[type(model).__module__].__file__)
"""


@pytest.mark.parametrize("home", ["/dev/null", "/proc/nowhere"])
def test_a_home_that_cannot_be_written_to(home: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    environment = {k: v for k, v in os.environ.items() if k not in ("TWINZOO_CACHE", "XDG_CACHE_HOME")}
    environment |= {"HOME": home, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", HOMELESS], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(tmp_path)
    assert not list(tmp_path.glob("twinzoo-*")), "the private directory goes with the process"


def test_a_chosen_directory_that_cannot_be_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINZOO_CACHE", "/dev/null")
    with pytest.raises(PortError, match="^TWINZOO_CACHE=/dev/null: cannot be written to"):
        cache.place("stem", "text")
