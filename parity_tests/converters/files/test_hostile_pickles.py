"""Pickles that describe tensors which are not there, or that would take memory and time without end."""

import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parity_tests.converters.files.hostile import one_line, pickled, read_all, tensor, unicode
from twinzoo.converters.files import pickles, read, state_tree
from twinzoo.zoo.errors import CheckpointError

Maker = Callable[..., Path]

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
        read(path)


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
