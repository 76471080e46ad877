"""No pickle runs anything: a hundred that would leave a mark on the disk, in every kind of file that has a pickle."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from parity_tests.converters.files.hostile import one_line, read_all
from parity_tests.converters.files.malice import SYSTEM, attacks, call, text
from twinzoo.converters.files import read
from twinzoo.zoo.errors import CheckpointError

Maker = Callable[..., Path]
NAMES = list(attacks(Path("mark"), Path("hubconf.py")))


def npz(folder: Path, pickled: bytes) -> Path:
    """As numpy.savez writes an array of objects."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
    with zipfile.ZipFile(folder / "made.npz", "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + pickled)
    return folder / "made.npz"


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("container", ["torch_zip", "torch_legacy", "npz"])
def test_a_pickle_runs_nothing(kind: str, container: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    pickled = attacks(mark, tmp_path / "hubconf.py")[kind]
    path = npz(tmp_path, pickled) if container == "npz" else request.getfixturevalue(container)(pickled)
    before = sorted(os.listdir(tmp_path))
    with one_line(path):
        read_all(path)
    assert sorted(os.listdir(tmp_path)) == before


def test_there_are_many() -> None:
    bodies = set(attacks(Path("mark"), Path("hubconf.py")).values())
    assert len(bodies) == len(NAMES) >= 100


VICTIM = """
import pickle, sys
for path in sys.argv[1:]:
    try:
        pickle.load(open(path, "rb"))
    except BaseException:
        pass
"""


def test_each_of_them_would_work(tmp_path: Path) -> None:
    """Python's own unpickler leaves every mark, some of them while it ends."""
    paths = []
    for index, kind in enumerate(NAMES):
        if "torch" in kind and find_spec("torch") is None:
            continue
        folder = tmp_path / f"{index} {kind}".replace("/", " ").replace(" ", "_").replace("'", "")
        folder.mkdir()
        script = folder / "hubconf.py"
        script.write_text(f"open({str(folder / 'mark')!r}, 'w').close()")
        (folder / "attack.pkl").write_bytes(attacks(folder / "mark", script)[kind])
        paths.append(str(folder / "attack.pkl"))
    subprocess.run([sys.executable, "-c", VICTIM, *paths], capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    unmarked = [path for path in paths if not any(n.startswith("mark") for n in os.listdir(Path(path).parent))]
    assert not unmarked


WATCHED = """
import encodings.raw_unicode_escape  # pickletools needs it for texts of protocol 0
import resource, sys
from pathlib import Path
from twinzoo.converters.files import read
from twinzoo.zoo.errors import CheckpointError

used = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, used + 2**27))
watching = False
seen = set()

def watch(event, arguments):
    allowed = event == "open" and "w" not in str(arguments[1]) or event in ("compile", "object.__getattr__")
    if watching and not allowed and not event.startswith(("mmap.", "os.listdir", "sys._", "os.scandir")):
        seen.add(event)

sys.addaudithook(watch)
paths = [Path(path) for path in sys.argv[1:]]
for path in paths[:3] + [None] + paths:
    if path is None:
        watching = True  # what is imported when it is first needed is there now
        continue
    try:
        read(path)
        print("was read:", path)
    except CheckpointError:
        pass
watching = False
print(sorted(seen))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the memory in use is read from /proc")
def test_python_sees_nothing_run(tmp_path: Path, torch_zip: Maker, torch_legacy: Maker) -> None:
    """The interpreter's audit events show neither an import nor a call, and 128 MB of memory are enough."""
    paths: list[Path] = []
    for kind, pickled in attacks(tmp_path / "mark", tmp_path / "hubconf.py").items():
        for made in (torch_zip(pickled), torch_legacy(pickled), npz(tmp_path, pickled)):
            paths.append(made.rename(tmp_path / f"{len(paths)}-{kind[:3]}{made.suffix}".replace("/", "")))
    done = subprocess.run([sys.executable, "-c", WATCHED, *map(str, paths)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_global_is_named(torch_zip: Maker) -> None:
    path = torch_zip(b"\x80\x04" + call(SYSTEM, text("true")) + b".")
    with pytest.raises(CheckpointError, match=r"pickle asks for os\.system: refused, .*: re-save"):
        read(path)
    path = torch_zip(b"\x80\x02c\x1b[31mred\nname\n.")
    with one_line(path):
        read(path)


@pytest.mark.parametrize(
    "pickled",
    {
        "an extension that nobody registered": b"\x80\x02\x82\x01.",
        "a persistent id": b"\x80\x02X\x01\x00\x00\x00aQ.",
        "a persistent id in text": b"Pos.system\n.",
        "an item of an allowed name": b"ccollections\nOrderedDict.__init__\n.",
        "numpy objects": b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00O8\x89\x88\x87R.",
        "new with keywords": b"\x80\x04ccollections\nOrderedDict\n)}\x92.",
        "a reference to a buffer": b"\x80\x05\x97.",
        "a name of Python 2": b"c__builtin__\neval\n.",
        "a name that is a module": b"ctorch\n_utils\n.",
        "a call of a class": b"ctorch\nTensor\n)R.",
        "a state for a name": b"ctorch\nTensor\n}b.",
    }.items(),
    ids=lambda item: str(item[0]),
)
def test_what_else_torch_does_not_write(pickled: tuple[str, bytes], torch_zip: Maker) -> None:
    path = torch_zip(pickled[1])
    with one_line(path):
        read_all(path)
