"""Files that torch wrote are read as torch reads them, and ours are read by torch, which the readers never import."""

import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from twinzoo.converters.files import Checkpoint, read, write
from twinzoo.zoo.errors import CheckpointError

Tensors = dict[str, npt.NDArray[Any]]


def bits(tensor: Any) -> bytes:
    """The bytes of a torch tensor, through a view that every dtype has."""
    import torch

    flat = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return bytes(flat.view(torch.uint8).numpy().tobytes())


def assert_same(checkpoint: Checkpoint, state: dict[str, Any]) -> None:
    assert list(checkpoint) == list(state)
    for name, tensor in state.items():
        assert checkpoint[name].shape == tuple(tensor.shape), name
        assert str(checkpoint[name].dtype) == str(tensor.dtype).removeprefix("torch."), name
        assert checkpoint[name].tobytes() == bits(tensor), name
        assert b"".join(checkpoint.pieces(name)) == bits(tensor), name


def state() -> dict[str, Any]:
    """Everything that a tensor in a state_dict can be."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    base = torch.randn(6, 4)
    return {
        "plain": torch.randn(3, 2, 1),
        "base": base,
        "slice": base[2:5, 1:3],
        "transposed": base.t(),
        "expanded": torch.randn(1, 3).expand(4, 3),
        "parameter": torch.nn.Parameter(torch.randn(2)),
        "buffer": torch.nn.Buffer(torch.randn(2)),
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 5),
        "flag": torch.tensor([True, False]),
        "half": torch.randn(3).half(),
        "bfloat16": torch.randn(3).bfloat16(),
        "double": torch.randn(3).double(),
        "complex": torch.randn(3, dtype=torch.complex64),
        "conjugate": torch.randn(3, dtype=torch.complex128).conj(),
        "negative": torch.randn(3, dtype=torch.complex64).conj().imag,
        "float8": torch.randn(5).to(torch.float8_e4m3fn),
        "uint16": torch.tensor([1, 65535], dtype=torch.uint16),
        **{f"int{size}": torch.tensor([-1, 1]).to(getattr(torch, f"int{size}")) for size in (8, 16, 32, 64)},
    }


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_state_dict(tmp_path: Path, as_zip: bool, protocol: int) -> None:
    torch = pytest.importorskip("torch")
    wanted = state()
    torch.save(OrderedDict(wanted), tmp_path / "x.pth", _use_new_zipfile_serialization=as_zip, pickle_protocol=protocol)
    checkpoint = read(tmp_path / "x.pth")
    assert checkpoint.format == ("torch" if as_zip else "torch-legacy")
    assert_same(checkpoint, wanted)


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])
def test_a_module_with_its_attributes(tmp_path: Path, as_zip: bool) -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.PReLU())
    model[2].weight.note = "a parameter with an attribute of its own"
    torch.save(model.state_dict(keep_vars=True), tmp_path / "x.pth", _use_new_zipfile_serialization=as_zip)
    assert_same(read(tmp_path / "x.pth"), model.state_dict())


def test_tensors_of_one_storage_share_their_bytes_in_the_file(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    weight = torch.randn(1000)
    torch.save({"a": weight, "b": weight, "c": weight[500:]}, tmp_path / "x.pth")
    assert (tmp_path / "x.pth").stat().st_size < 8000
    assert_same(read(tmp_path / "x.pth"), {"a": weight, "b": weight, "c": weight[500:]})


def test_a_file_without_checksums(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"x": torch.arange(5)}, tmp_path / "x.pth")
    finally:
        torch.serialization.set_crc32_options(before)
    assert_same(read(tmp_path / "x.pth"), {"x": torch.arange(5)})


def test_a_file_of_a_big_endian_machine(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    wanted = {"f": torch.randn(3, 2).t(), "b": torch.randn(3).bfloat16(), "c": torch.randn(2, dtype=torch.complex64)}
    torch.save(wanted, tmp_path / "little.pth")
    with zipfile.ZipFile(tmp_path / "little.pth") as old, zipfile.ZipFile(tmp_path / "big.pth", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if "/data/" in name:
                size = {"0": 4, "1": 2, "2": 4}[name[-1]]
                content = np.frombuffer(content, f"u{size}").byteswap().tobytes()
            new.writestr(name, b"big" if name.endswith("byteorder") else content)
    assert_same(read(tmp_path / "big.pth"), wanted)
    loaded = torch.load(tmp_path / "big.pth", weights_only=True)
    assert all(torch.equal(loaded[name], wanted[name]) for name in wanted), "torch agrees that this is big-endian"


@pytest.mark.parametrize(
    "wrapper", ["state_dict", "model", "params", "params_ema", "net", "generator", "a name of their own"]
)
@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])
def test_one_wrapping_dict_is_taken_off(tmp_path: Path, wrapper: str, as_zip: bool) -> None:
    torch = pytest.importorskip("torch")
    wanted = {"0.weight": torch.ones(2), "1.weight": torch.zeros(3)}
    extras = {"epoch": 12, "arch": "unet", "lr": 2e-4, "done": True, "none": None, "long": "x" * 1000, "list": [1, 2]}
    torch.save({"epoch": 12, wrapper: wanted, **extras}, tmp_path / "x.pth", _use_new_zipfile_serialization=as_zip)
    checkpoint = read(tmp_path / "x.pth")
    assert_same(checkpoint, wanted)
    assert checkpoint.metadata == {"epoch": "12", "arch": "unet", "lr": "0.0002", "done": "True"}


def test_several_dicts_get_dotted_names(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    first, second = torch.nn.Linear(2, 2).state_dict(), torch.nn.Linear(2, 3).state_dict()
    torch.save({"netG": first, "netD": second, "epoch": 1}, tmp_path / "x.pth")
    checkpoint = read(tmp_path / "x.pth")
    assert list(checkpoint) == ["netG.weight", "netG.bias", "netD.weight", "netD.bias"]
    assert checkpoint["netD.bias"].tobytes() == bits(second["bias"])
    assert checkpoint.metadata == {"epoch": "1"}


def test_names_that_collide_are_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"a.b": torch.ones(1), "a": {"b": torch.ones(1)}}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="two tensors are both called 'a.b'"):
        read(tmp_path / "x.pth")


def test_lists_single_tensors_and_numpy_values(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save([torch.ones(2), {"w": torch.zeros(1)}], tmp_path / "list.pth")
    assert list(read(tmp_path / "list.pth")) == ["0", "1.w"]
    torch.save([{"w": torch.zeros(1)}], tmp_path / "list.pth")
    assert list(read(tmp_path / "list.pth")) == ["0.w"]
    torch.save(torch.arange(3), tmp_path / "one.pth")
    assert_same(read(tmp_path / "one.pth"), {"tensor": torch.arange(3)})
    arrays: dict[str, Any] = {
        "a": np.arange(6.0).reshape(2, 3),
        "f": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
        "n": np.float32(0.5),
    }
    for protocol in (2, 4):
        torch.save(arrays, tmp_path / "numpy.pth", pickle_protocol=protocol)
        checkpoint = read(tmp_path / "numpy.pth")
        assert list(checkpoint) == ["a", "f"]
        assert np.array_equal(checkpoint["a"], arrays["a"])
        assert np.array_equal(checkpoint["f"], arrays["f"])
        assert checkpoint.metadata == {"n": "0.5"}


class Net:
    """Stands for a user's class that a checkpoint should not hold."""


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])
def test_what_is_no_state_dict_is_refused_with_a_way_out(tmp_path: Path, as_zip: bool) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "x.pth"
    table = [
        (torch.nn.Sequential(torch.nn.Linear(2, 2)), r"holds a whole pickled model .*: re-save the state_dict"),
        ({"w": torch.ones(2), "args": Net()}, r"pickle asks for .*Net: refused, .*: re-save the state_dict"),
        ({"w": torch.ones(2).to_sparse()}, r"holds a sparse tensor: call .to_dense\(\)"),
        (
            {"w": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8)},
            r"holds a quantized tensor: call .dequantize\(\)",
        ),
    ]
    for content, message in table:
        torch.save(content, path, _use_new_zipfile_serialization=as_zip)
        with pytest.raises(CheckpointError, match=f"x.pth: {message}") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="TorchScript program"):
        read(tmp_path / "x.pt")


@pytest.mark.parametrize("mmap", [True, False])
def test_torch_reads_what_we_write(tmp_path: Path, mmap: bool, tensors: Tensors) -> None:
    torch = pytest.importorskip("torch")
    torch.save(state(), tmp_path / "theirs.pth")
    write(tmp_path / "ours.pth", read(tmp_path / "theirs.pth"), {"note": "torch ignores this"})
    ours = torch.load(tmp_path / "ours.pth", weights_only=True, mmap=mmap)
    assert type(ours) is OrderedDict
    assert_same(read(tmp_path / "theirs.pth"), ours)
    write(tmp_path / "mixed.pth", {**tensors, "a large number": np.zeros((0, 2**33), np.float32)})
    assert_same(read(tmp_path / "mixed.pth"), torch.load(tmp_path / "mixed.pth", weights_only=True, mmap=mmap))


def test_storages_that_we_write_are_aligned(tmp_path: Path, tensors: Tensors) -> None:
    write(tmp_path / "x.pth", tensors)
    checkpoint = read(tmp_path / "x.pth")
    for name in tensors:
        assert not checkpoint[name].size or checkpoint[name].ctypes.data % 64 == 0, name


def test_reading_and_writing_import_no_framework(tmp_path: Path) -> None:
    code = """
import sys
import numpy as np
from twinzoo.converters.files import read, write
for suffix in (".pth", ".safetensors", ".ckpt", ".npz"):
    write(sys.argv[1] + suffix, {"x": np.ones(3)})
    assert read(sys.argv[1] + suffix)["x"].sum() == 3
found = {"torch", "mindspore", "safetensors", "google.protobuf"} & set(sys.modules)
assert not found, found
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], check=True)
