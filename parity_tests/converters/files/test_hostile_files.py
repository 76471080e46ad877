"""No file, however it was made, runs code, takes memory or time that it has no right to, or raises another error."""

import functools
import os
import pickle
import random
import struct
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twinzoo.converters.files import pickles, read, state_tree, write
from twinzoo.zoo.errors import CheckpointError

Tensors = dict[str, npt.NDArray[Any]]
Maker = Callable[..., Path]


@contextmanager
def one_line(path: Path, seconds: float = 10, megabytes: float = 100) -> Iterator[None]:
    """A CheckpointError of one line that names the file, soon and without much memory."""
    tracemalloc.start()
    begin = time.process_time()
    try:
        with pytest.raises(CheckpointError) as caught:
            yield
        assert time.process_time() - begin < seconds
        assert tracemalloc.get_traced_memory()[1] < megabytes * 1e6
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable() and len(message) < 600
    assert message.count(": ") >= 2, "what is wrong, and what to do"


def read_all(path: Path) -> None:
    checkpoint = read(path)
    for name in checkpoint:
        checkpoint[name]


class Run:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, Any]:
        return self.call


def attacks(mark: Path) -> dict[str, bytes]:
    """Pickles that would make the file `mark` if anything ran them."""
    command = f"touch {mark}"
    code = f"open({str(mark)!r}, 'w')"
    line = command.encode()
    return {
        "os.system": pickle.dumps(Run(os.system, command), 2),
        "os.system in protocol 0": pickle.dumps(Run(os.system, command), 0),
        "os.system in protocol 4": pickle.dumps({"a": Run(os.system, command)}, 4),
        "builtins.eval": pickle.dumps([Run(eval, code)], 2),
        "builtins.exec": b"cbuiltins\nexec\n(V" + code.encode() + b"\ntR.",
        "an old instance": b"(V" + line + b"\nios\nsystem\n.",
        "an object": b"(cos\nsystem\nV" + line + b"\no.",
        "a method of a known module": b"ccollections\nabc.sys.modules\n.",
        "getattr": pickle.dumps(Run(getattr, "x", "y"), 2),
        "torch.hub.load": b"\x80\x02ctorch.hub\nload\n(tR.",
        "torch.load": b"\x80\x02ctorch\nload\nX\x01\x00\x00\x00a\x85R.",
        "a nested torch file": b"\x80\x02ctorch.storage\n_load_from_bytes\nC\x01a\x85R.",
        "an extension": b"\x80\x02\x82\x01.",
        "a persistent id": b"\x80\x02X\x01\x00\x00\x00aQ.",
        "a set state": b"\x80\x02ccollections\nOrderedDict\n}b.",
        "numpy objects": b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00O8\x89\x88\x87R.",
        "new with keywords": b"\x80\x04ccollections\nOrderedDict\n)}\x92.",
        "functools.partial": pickle.dumps(functools.partial(os.system, command), 2),
    }


@pytest.mark.parametrize("kind", attacks(Path()))
@pytest.mark.parametrize("container", ["torch_zip", "torch_legacy"])
def test_a_pickle_runs_nothing(kind: str, container: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    path = request.getfixturevalue(container)(attacks(mark)[kind])
    with one_line(path):
        read_all(path)
    assert not mark.exists()


def test_the_attacks_would_work(tmp_path: Path) -> None:
    for kind in ("os.system", "os.system in protocol 0", "builtins.exec", "an old instance", "an object"):
        mark = tmp_path / str(len(os.listdir(tmp_path)))
        pickle.loads(attacks(mark)[kind])
        assert mark.exists(), kind


def test_the_global_is_named(torch_zip: Maker) -> None:
    path = torch_zip(pickle.dumps(Run(os.system, "true"), 2))
    with pytest.raises(CheckpointError, match=r"pickle asks for (posix|nt|os)\.system: refused, .*: re-save"):
        read(path)
    path = torch_zip(b"\x80\x02c\x1b[31mred\nname\n.")
    with one_line(path):
        read(path)


def unicode(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def tensor(count: int, shape: bytes, strides: bytes, kind: bytes = b"FloatStorage", offset: bytes = b"K\x00") -> bytes:
    """The pickle of one tensor in storage 0, with anything for its numbers."""
    storage = b"(" + unicode("storage") + b"ctorch\n" + kind + b"\n" + unicode("0") + unicode("cpu")
    storage += b"J" + struct.pack("<i", count) + b"tQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + shape + strides + b"\x89}tR"


def pickled(*parts: bytes) -> bytes:
    return b"\x80\x02}(" + unicode("w") + b"".join(parts) + b"u."


HUGE = b"\x8a\x08" + (2**40).to_bytes(8, "little")
NEGATIVE = b"J\xff\xff\xff\xff"
TENSORS = {
    "more than its storage": tensor(4, b"K\x05\x85", b"K\x01\x85"),
    "beyond its storage": tensor(4, b"K\x04\x85", b"K\x01\x85", offset=b"K\x01"),
    "strides beyond its storage": tensor(4, b"K\x02\x85", b"K\x04\x85"),
    "a huge shape of one element": tensor(4, HUGE + b"\x85", b"K\x00\x85"),
    "two huge sizes": tensor(4, HUGE + HUGE + b"\x86", b"K\x00K\x00\x86"),
    "a huge size and none": tensor(4, b"(" + HUGE * 8 + b"K\x00t", b"(" + b"K\x01" * 9 + b"t"),
    "a gigabyte out of 16 bytes": tensor(4, b"J\x00\x00\x00\x10\x85", b"K\x00\x85"),
    "a negative size": tensor(4, NEGATIVE + b"\x85", b"K\x01\x85"),
    "a negative stride": tensor(4, b"K\x02\x85", NEGATIVE + b"\x85"),
    "a negative offset": tensor(4, b"K\x02\x85", b"K\x01\x85", offset=NEGATIVE),
    "a text for a size": tensor(4, unicode("a") + b"\x85", b"K\x01\x85"),
    "no strides": tensor(4, b"K\x02\x85", b")"),
    "forty dimensions": tensor(4, b"(" + b"K\x01" * 40 + b"t", b"(" + b"K\x01" * 40 + b"t"),
    "a storage of another size": tensor(5, b"K\x02\x85", b"K\x01\x85"),
    "a storage of another type": tensor(4, b"K\x02\x85", b"K\x01\x85", kind=b"DoubleStorage"),
    "a storage of no type": tensor(4, b"K\x02\x85", b"K\x01\x85", kind=b"float32Storage"),
    "a negative storage": tensor(-4, b"K\x02\x85", b"K\x01\x85"),
    "a class as a storage": b"ctorch._utils\n_rebuild_tensor_v2\n(ctorch\nFloatStorage\nK\x00))\x89}tR",
    "too few arguments": b"ctorch._utils\n_rebuild_tensor_v3\n(K\x00tR",
    "a tensor of a tensor of a tensor, and so on": b"ctorch._tensor\n_rebuild_from_type_v2\nq\x00"
    + b"h\x00N" * 5000
    + b")"
    + b"\x87" * 5000
    + b"R",
    "two sizes of one storage": tensor(4, b"K\x04\x85", b"K\x01\x85")
    + unicode("v")
    + tensor(2, b"K\x01\x85", b"K\x01\x85"),
}


@pytest.mark.parametrize("kind", TENSORS)
def test_a_tensor_that_is_not_there(kind: str, torch_zip: Maker) -> None:
    path = torch_zip(pickled(TENSORS[kind]), {"0": bytes(16)})
    with one_line(path):
        read_all(path)


def test_such_a_tensor_that_is_there(torch_zip: Maker) -> None:
    read_all(torch_zip(pickled(tensor(4, b"K\x02K\x02\x86", b"K\x01K\x02\x86")), {"0": bytes(16)}))


def test_a_storage_that_is_missing(torch_zip: Maker) -> None:
    path = torch_zip(pickled(tensor(4, b"K\x04\x85", b"K\x01\x85")))
    with pytest.raises(CheckpointError, match="'w' is in storage '0', which is not in the file"):
        read(path)


def nested(levels: int, opening: bytes, closing: bytes) -> bytes:
    return b"\x80\x02" + opening * levels + b"N" + closing * levels + b"."


doubling = b"\x80\x02(]" + b"".join(
    b"q" + bytes([n]) + b"](h" + bytes([n]) + b"h" + bytes([n]) + b"e" for n in range(60)
)
copying = b"\x80\x02](" + b"N" * 100_000 + b"eq\x00" + b"cbuiltins\nlist\nq\x010" + b"h\x01h\x00\x85R0" * 100_000
BOMBS = {
    "a list in a list, and so on": nested(50_000, b"]", b"a"),
    "a tuple in a tuple, and so on": nested(50_000, b"", b"\x85"),
    "a key that is a deep tuple": b"\x80\x02}" + b"N" + b"\x85" * 50_000 + b"Ns.",
    "a list in itself": b"\x80\x02]q\x00h\x00a.",
    "a dict in itself": b"\x80\x02}q\x00" + unicode("a") + b"h\x00s.",
    "lists that double": doubling + b"t.",
    "a copy of a copy": copying + b"h\x00.",
    "a memo index of 4 billion": b"\x80\x02Nr\xff\xff\xff\xff0j\xfe\xff\xff\xff.",
    "a memo index of 400 digits": b"\x80\x02Np" + b"9" * 400 + b"\n.",
    "a text of an exabyte": b"\x80\x04\x8d" + (2**60).to_bytes(8, "little") + b"x.",
    "bytes of an exabyte": b"\x80\x04\x8e" + (2**60).to_bytes(8, "little") + b"x.",
    "a negative length": b"\x80\x02T\xff\xff\xff\xffx.",
    "a number of a megabyte": b"\x80\x02\x8b" + (10**6).to_bytes(4, "little") + b"\x7f" * 10**6 + b".",
    "a number of 10000 digits": b"\x80\x02L" + b"9" * 10_000 + b"L\n.",
    "numbers with one hash": b"\x80\x02}(" + b"".join(
        b"\x8a\x0c" + (n * (2**61 - 1)).to_bytes(12, "little") + b"N" for n in range(8, 20_000)
    ) + b"u.",
    "a line without an end": b"\x80\x02c" + b"x" * 200_000,
    "no end": b"\x80\x02}",
    "nothing on the stack": b"\x80\x020.",
    "nothing to get": b"\x80\x02h\x07.",
    "a call across a mark": b"\x80\x02})(\x86t0.",
    "a mark too few": b"\x80\x02t.",
    "two objects": b"\x80\x02NN.",
    "an odd number of items": b"\x80\x02}(Nu.",
    "items for a number": b"\x80\x02K\x01(Ne.",
    "an opcode that there is not": b"\x80\x02\xff.",
    "nothing": b"",
}  # fmt: skip


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb(kind: str, torch_zip: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_tree, "MAX_VISITS", 20_000)  # as with the real one, but sooner
    path = torch_zip(BOMBS[kind])
    with one_line(path):
        read_all(path)


def test_more_operations_than_a_checkpoint_needs(torch_zip: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MAX_OPERATIONS", 1000)
    with pytest.raises(CheckpointError, match="more than 1000 operations"):
        read(torch_zip(b"\x80\x02" + b"N0" * 1000 + b"N."))


def test_a_line_without_an_end_in_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C, 2) + b"\x80\x02c")
    os.truncate(path, 2**30)
    with one_line(path):
        read(path)


def legacy(protocol: int = 1001, keys: tuple[str, ...] = ("0",), count: int = 4, data: bytes = bytes(16)) -> bytes:
    start = [pickle.dumps(item, 2) for item in (0x1950A86A20F9469CFC6C, protocol, None)]
    body = pickled(tensor(4, b"K\x04\x85", b"K\x01\x85"))
    return b"".join([*start, body, pickle.dumps(list(keys), 2), struct.pack("<q", count), data])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (legacy(protocol=1002), "torch's file protocol, before offset .*, is '1002', expected 1001"),
        (legacy(count=5, data=bytes(20)), "storage '0' at offset .* has 5 elements, expected 4"),
        (legacy(data=bytes(15)), "storage '0' at offset .* needs 16 bytes, but the file ends at"),
        (legacy(data=bytes(17)), "1 bytes follow the last storage"),
        (legacy(keys=("0", "0")), "storage '0' at offset .* belongs to no tensor, or comes twice"),
        (legacy(keys=("1",)), "storage '1' at offset .* belongs to no tensor, or comes twice"),
        (legacy(keys=(), count=4, data=b"")[:-8], "'w' is in storage '0', which is not in the file"),
    ],
)
def test_a_wrong_legacy_file(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(legacy())
    assert read(path)["w"].tolist() == [0] * 4
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"x.pth: .*{problem}"):
        read(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([bytes([n]) for n in b"(})]tulaesdRbQq0123."] + [
    b"N", b"K\x01", b"q\x00", b"h\x00", unicode("storage"), unicode("a"), b"ctorch\nFloatStorage\n", b"\x85", b"\x86",
    b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n", b"cnumpy\ndtype\n", unicode("f4"),
    b"cnumpy.core.multiarray\n_reconstruct\n", b"ctorch._tensor\n_rebuild_from_type_v2\n", b"c_codecs\nencode\n",
]), max_size=40))  # fmt: skip
def test_any_row_of_opcodes(torch_zip: Maker, opcodes: list[bytes]) -> None:
    path = torch_zip(b"\x80\x02" + b"".join(opcodes) + b".")
    try:
        read_all(path)
    except CheckpointError as error:
        assert "\n" not in str(error)


KINDS = ("x.pth", "legacy.pth", "x.safetensors", "x.ckpt", "crc.ckpt", "x.npz", "packed.npz")
CHECKED = ("x.pth", "crc.ckpt", "x.npz", "packed.npz")  # the formats with a checksum


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
    path.write_bytes(content)
    wanted = {name: array.tobytes() for name, array in read(path).items()}
    for position in range(0, len(content), 1 + len(content) // 900):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        try:
            found = {name: array.tobytes() for name, array in read(path).items()}
        except CheckpointError as error:
            assert str(error).startswith(f"{path}: ") and str(error).isprintable(), position
        else:
            assert kind not in CHECKED or found == wanted, position


@pytest.mark.parametrize("kind", KINDS)
def test_changed_bytes(kind: str, tmp_path: Path) -> None:
    content, path = sample(kind), tmp_path / kind
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


def test_a_cut_file_says_where(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(sample("x.safetensors")[:-4])
    size = len(sample("x.safetensors"))
    with pytest.raises(CheckpointError, match=f"describes a file of {size} bytes, but it has {size - 4}"):
        read(path)


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
