"""safetensors and NumPy: their files are read as they read them, and they read ours."""

import json
import struct
import time
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

from twinzoo.converters.files import Checkpoint, read, write
from twinzoo.zoo.errors import CheckpointError

Tensors = dict[str, npt.NDArray[Any]]


def assert_same(found: Any, wanted: Tensors) -> None:
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        assert found[name].shape == array.shape, name
        assert str(found[name].dtype) == str(array.dtype), name  # by name: MindSpore registers a bfloat16 of its own
        assert np.ascontiguousarray(found[name]).tobytes() == np.ascontiguousarray(array).tobytes(), name
        if isinstance(found, Checkpoint):
            assert b"".join(found.pieces(name)) == np.ascontiguousarray(array).tobytes(), name


def test_safetensors_of_the_library(tmp_path: Path, tensors: Tensors) -> None:
    library = pytest.importorskip("safetensors.numpy")
    contiguous = {name: np.array(array, order="C") for name, array in tensors.items()}
    library.save_file(contiguous, tmp_path / "x.safetensors", {"format": "np"})
    checkpoint = read(tmp_path / "x.safetensors")
    assert_same(checkpoint, tensors)
    assert checkpoint.metadata == {"format": "np"}


def test_safetensors_of_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("safetensors.torch")
    for dtype in (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.bool, torch.int64, torch.complex64):
        tensor = torch.arange(4).to(dtype)
        library.save_file({"x": tensor}, tmp_path / "x.safetensors")
        found = read(tmp_path / "x.safetensors")["x"]
        assert str(found.dtype) == str(dtype).removeprefix("torch.")
        assert found.tobytes() == bytes(tensor.view(torch.uint8).numpy().tobytes())


def test_the_library_reads_our_safetensors(tmp_path: Path, tensors: Tensors) -> None:
    library = pytest.importorskip("safetensors.numpy")
    torch_library = pytest.importorskip("safetensors.torch")
    write(tmp_path / "x.safetensors", tensors, {"note": "测试"})
    assert_same(library.load_file(tmp_path / "x.safetensors"), tensors)
    assert list(torch_library.load_file(tmp_path / "x.safetensors"))
    content = (tmp_path / "x.safetensors").read_bytes()
    assert struct.unpack("<Q", content[:8])[0] % 8 == 0
    for name, array in read(tmp_path / "x.safetensors").items():
        assert array.flags.aligned, name


def test_safetensors_keep_the_order_as_far_as_alignment_lets_them(tmp_path: Path) -> None:
    def order(*types: str) -> str:
        tensors = {f"{n}": np.ones(1, code) for n, code in enumerate(types)}
        write(tmp_path / "x.safetensors", tensors)
        checkpoint = read(tmp_path / "x.safetensors")
        assert all(array.flags.aligned for array in checkpoint.values())
        return " ".join(checkpoint)

    assert order("f4", "f4", "f4", "f4") == "0 1 2 3"
    assert order("f4", "f4", "i8", "f4") == "0 1 2 3"
    assert order("f4", "i8", "f4", "f4") == "0 2 1 3", "the wide one waits for the next place that fits"
    assert order("f4", "i8", "i8", "f4", "f4") == "0 3 1 2 4"
    assert order("f4", "f4", "f4", "i8") == "3 0 1 2", "it would wait for ever"


def test_a_large_safetensors_file_of_mixed_types_is_written_soon(tmp_path: Path) -> None:
    tensors = {f"{n}": np.ones(1, "f4" if n == 0 else "i8") for n in range(5_000)} | {"last": np.ones(1, "f4")}
    begin = time.process_time()
    write(tmp_path / "x.safetensors", tensors)
    assert time.process_time() - begin < 2


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_of_numpy(tmp_path: Path, save: Any, tensors: Tensors) -> None:
    plain = {name: array for name, array in tensors.items() if array.dtype != ml_dtypes.bfloat16}
    extra = {
        "big": np.arange(3, dtype=">i4"),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "name.npy": np.ones(2),
    }
    save(tmp_path / "x.npz", **plain, **extra)
    checkpoint = read(tmp_path / "x.npz")
    assert all(array.flags.aligned and not array.flags.writeable for array in checkpoint.values())
    assert_same(checkpoint, {**plain, **extra, "big": np.arange(3, dtype=np.int32)})
    assert list(checkpoint) == [*plain, *extra]


def test_numpy_reads_our_npz(tmp_path: Path, tensors: Tensors) -> None:
    plain = {name: array for name, array in tensors.items() if array.dtype != ml_dtypes.bfloat16}
    write(tmp_path / "x.npz", plain)
    with np.load(tmp_path / "x.npz") as found:
        assert_same({name: found[name] for name in found.files}, plain)
    write(tmp_path / "x.npz", {"b": np.ones(2, ml_dtypes.bfloat16)}, {"note": "测试"})
    with np.load(tmp_path / "x.npz") as found:
        assert found["b"].view(ml_dtypes.bfloat16).tolist() == [1, 1]
        assert json.loads(found["__metadata__"]) == {"metadata": {"note": "测试"}, "types": {"b": "bfloat16"}}


@pytest.mark.parametrize(
    "array",
    [np.array([{"x": 1}], object), np.array(["text"]), np.zeros(2, [("a", "f4")]), np.array([1], "M8[s]")],
    ids=str,
)
def test_npz_of_other_than_numbers(tmp_path: Path, array: npt.NDArray[Any]) -> None:
    np.savez(tmp_path / "x.npz", good=np.ones(2), bad=array)
    with pytest.raises(CheckpointError, match=r"x.npz: array 'bad' is of type .*, expected plain numbers: save it as"):
        read(tmp_path / "x.npz")


def test_npz_with_something_else_inside(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", good=np.ones(2))
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as archive:
        archive.writestr("readme.txt", "text")
    with pytest.raises(CheckpointError, match=r"zip member 'readme.txt' is no .npy array: take it out"):
        read(tmp_path / "x.npz")


def safetensors_file(path: Path, header: object, data: bytes = bytes(16)) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def field(begin: int, end: int, dtype: object = "F32", shape: object = None) -> dict[str, object]:
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ({"a": field(0, 8), "b": field(4, 12)}, "'b' begins at offset .*, expected .*: it overlaps the one before it"),
        ({"a": field(0, 4), "b": field(8, 16)}, "'b' begins at offset .*, expected .*: it leaves a gap before it"),
        ({"a": field(4, 16)}, "'a' begins at offset .*: it leaves a gap"),
        ({"a": field(0, 12)}, "describes a file of .* bytes, but it has"),
        ({"a": field(0, 32)}, "describes a file of .* bytes, but it has"),
        ({"a": field(0, 16, shape=[2, 3])}, "'a' is given data_offsets 0 to 16, its shape needs 24 bytes"),
        ({"a": field(0, 16, shape=[2**40, 2**40])}, "'a' has an impossible shape"),
        ({"a": field(0, 16, shape=[-4])}, "'a' are no lists of non-negative numbers"),
        ({"a": field(0, 16, shape=[4.0])}, "'a' are no lists of non-negative numbers"),
        ({"a": field(0, 16, shape=[True] * 4)}, "'a' are no lists of non-negative numbers"),
        ({"a": field(0, 16, shape=4)}, "'a' are no lists of non-negative numbers"),
        ({"a": field(0, 16, "F4")}, "'a' is of type 'F4', expected one of BOOL"),
        ({"a": field(0, 16, ["F32"])}, "'a' is of type .*, expected one of BOOL"),
        ({"a": {**field(0, 16), "more": 1}}, "'a' other fields than dtype, shape and data_offsets"),
        ({"a": 3}, "'a' other fields than"),
        ({"a": field(0, 16), "__metadata__": {"n": 1}}, "__metadata__ in the header .* holds other than strings"),
        ({"a": field(0, 16), "__metadata__": []}, "__metadata__ in the header .* holds other than strings"),
        (b'{"a": 1, "a": 2}', "duplicate key a"),
        (b'{"a": ' + b"[" * 100_000, "no valid JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "no valid JSON"),
        (b"{\xff}", "no valid JSON"),
    ],
)
def test_a_wrong_safetensors_header(tmp_path: Path, header: object, problem: str) -> None:
    with pytest.raises(CheckpointError, match=f"x.safetensors: .*{problem}") as caught:
        read(safetensors_file(tmp_path / "x.safetensors", header))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 10**12, 200_000_000, 1000])
def test_a_header_longer_than_the_file(tmp_path: Path, length: int) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b'{"a": 1}')
    with pytest.raises(CheckpointError, match=f"header at offset 8 claims {length} bytes, expected at most 8"):
        read(path)
