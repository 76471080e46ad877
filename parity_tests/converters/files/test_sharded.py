"""A checkpoint in several files is one checkpoint, and nothing in its index leads out of its folder."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from parity_tests.converters.files.hostile import one_line, read_all
from twinzoo.converters.files import read, write
from twinzoo.zoo.errors import CheckpointError

Array = npt.NDArray[Any]
PARTS: Mapping[str, Mapping[str, Array]] = {
    "model-00001-of-00002.safetensors": {"z.weight": np.arange(6.0).reshape(2, 3), "z.bias": np.ones(2, np.int8)},
    "model-00002-of-00002.safetensors": {"a.weight": np.full((), 7, np.float32), "flag": np.array([True, False])},
}
INDEX = "model.safetensors.index.json"


def save(folder: Path, parts: Mapping[str, Mapping[str, Array]] = PARTS, index: str = INDEX, **changes: str) -> Path:
    """The files and their index; `changes` are further entries of its table."""
    folder.mkdir(exist_ok=True)
    for name, tensors in parts.items():
        target = folder / name
        written = target if target.suffix in (".pth", ".safetensors") else target.with_name(name + ".pth")
        write(written, tensors)
        written.rename(target)
    table = {key: name for name, tensors in parts.items() for key in tensors}
    table = dict(sorted(table.items())) | changes
    content = {"metadata": {"total_size": 54, "note": "x", "list": []}, "weight_map": table}
    (folder / index).write_text(json.dumps(content, indent=2))
    return folder / index


def test_all_files_are_one_checkpoint(tmp_path: Path) -> None:
    path = save(tmp_path)
    for checkpoint in (read(path), read(tmp_path)):
        wanted = {key: array for tensors in PARTS.values() for key, array in tensors.items()}
        assert list(checkpoint) == list(wanted), "in the order of the files, not of the sorted index"
        assert all(np.array_equal(checkpoint[key], wanted[key]) for key in wanted)
        assert {key: entry.shape for key, entry in checkpoint.entries.items()} == {
            k: v.shape for k, v in wanted.items()
        }
        assert checkpoint.format == "sharded safetensors"
        assert checkpoint.metadata == {"total_size": "54", "note": "x"}
        assert checkpoint.files == (path, *(tmp_path / name for name in PARTS))
        assert all(b"".join(checkpoint.pieces(key)) == wanted[key].tobytes() for key in wanted)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".ckpt", ".npz"])
def test_it_can_be_written_as_one_file(suffix: str, tmp_path: Path) -> None:
    checkpoint = read(save(tmp_path))
    write(tmp_path / f"whole{suffix}", checkpoint)
    whole = read(tmp_path / f"whole{suffix}")
    assert {key: array.tobytes() for key, array in whole.items()} == {k: v.tobytes() for k, v in checkpoint.items()}


def test_files_of_torch_and_mixed_ones(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    parts = {"b.bin": {"y": np.ones(2)}, "c.safetensors": {"x": np.zeros(3)}}
    path = save(tmp_path, parts, "pytorch_model.bin.index.json", w="a.bin", v="a.bin")
    torch.save({"w": torch.ones(4), "v": torch.zeros(1)}, tmp_path / "a.bin", _use_new_zipfile_serialization=False)
    checkpoint = read(path)
    assert list(checkpoint) == ["w", "v", "y", "x"]
    assert checkpoint["w"].sum() == 4
    assert checkpoint.format == "sharded torch-legacy + torch + safetensors"


def test_tied_tensors_of_a_shard(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = save(tmp_path, {}, first="a.bin", second="a.bin")
    weight = torch.ones(4)
    torch.save({"first": weight, "second": weight}, tmp_path / "a.bin")
    assert read(path).aliases == {"second": "first"}


def test_mindspores_map(tmp_path: Path) -> None:
    save(tmp_path, index="param_name_map.json")
    assert len(read(tmp_path)) == 4
    table = json.loads((tmp_path / "param_name_map.json").read_text())["weight_map"]
    (tmp_path / "param_name_map.json").write_text(json.dumps(table))
    assert len(read(tmp_path)) == 4


def test_each_file_is_opened_once_and_read_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path)
    opened: list[str] = []
    original = os.open

    def counted(name: Any, *arguments: Any, **keywords: Any) -> int:
        opened.append(os.path.basename(name))
        return original(name, *arguments, **keywords)

    monkeypatch.setattr(os, "open", counted)
    checkpoint = read(path)
    heads = len(opened)
    for key in checkpoint:
        checkpoint[key]
    assert len(opened) == heads
    assert all(opened.count(name) == 2 for name in PARTS), "once to tell the format, once to map it"


def test_a_hugging_face_cache_may_link_to_its_blobs(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--x" / "snapshots" / "0123abcd"
    blobs = tmp_path / "models--x" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    save(snapshot)
    for number, name in enumerate([*PARTS, INDEX]):
        (snapshot / name).rename(blobs / str(number))
        (snapshot / name).symlink_to(f"../../blobs/{number}")
    read_all(snapshot / INDEX)
    read_all(snapshot)


def test_a_link_out_of_the_folder(tmp_path: Path) -> None:
    path = save(tmp_path / "model")
    write(tmp_path / "secret.safetensors", {"s": np.ones(1)})
    (tmp_path / "model" / "link.safetensors").symlink_to(tmp_path / "secret.safetensors")
    save(tmp_path / "model", s="link.safetensors")
    with pytest.raises(CheckpointError, match="its file 'link.safetensors' is a link out of its folder: copy"):
        read(path)


@pytest.mark.parametrize(
    "name", ["../secret.safetensors", "a/../../secret.safetensors", "{root}/secret.safetensors", "..", ".", "", "a\0b",
             "..\\secret.safetensors", "C:secret.safetensors", "sub/inner.safetensors"],
)  # fmt: skip
def test_a_name_out_of_the_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    for place in (tmp_path / "secret.safetensors", folder / "sub" / "inner.safetensors"):
        write(place, {"s": np.ones(1)})
    path = save(folder, s=name.format(root=tmp_path))
    with pytest.raises(CheckpointError, match="its weight_map names the file .*, which is not in its own folder: save"):
        read(path)


def test_what_index_and_files_disagree_on(tmp_path: Path) -> None:
    first, second = PARTS
    more = {**PARTS[first], "more": np.ones(1)}
    table: list[tuple[Callable[[], object], str]] = [
        (lambda: (tmp_path / second).unlink(), "its file 'model-00002-of-00002.safetensors' is missing: fetch it"),
        (lambda: save(tmp_path, lost=first), "the tensor 'lost' is not in its file 'model-00001"),
        (lambda: save(tmp_path, flag=first), "'model-00002.*' has .* 'flag', which the index lists for 'model-00001"),
        (lambda: write(tmp_path / first, more), "'model-00001.*' has .* 'more', which the index does not list"),
        (lambda: write(tmp_path / first, PARTS[second]), "'model-00001.*' has .* 'a.weight', which .* 'model-00002"),
        (lambda: (tmp_path / first).write_bytes(b""), "model-00001-of-00002.safetensors: is empty"),
        (lambda: save(tmp_path, inner=INDEX), f"{INDEX}: is JSON, which holds no tensors"),
    ]
    for change, problem in table:
        path = save(tmp_path)
        read(path)
        change()
        with pytest.raises(CheckpointError, match=problem):
            read(path)
        (tmp_path / INDEX).unlink()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"weight_map": {}}', "is JSON without a weight_map"),
        ('{"weight_map": ["a"]}', "is JSON without a weight_map"),
        ('{"weight_map": {"a": 3}}', "its weight_map gives 'a' no file name"),
        ('{"weight_map": {"a": "x.bin", "a": "y.bin"}}', "duplicate key a"),
        ('{"weight_map": {"a": "x.bin"', "is not valid"),
        ('{"weight_map": ' + "[" * 100_000, "is not valid"),
        ('{"weight_map": {"a": "\xff"}}'.encode("latin-1"), "is not valid"),
        (json.dumps({"weight_map": {str(n): f"{n}.bin" for n in range(10_001)}}), "names more than 10000 files"),
        ('{"architectures": ["VGG"], "model_type": "vgg"}', "is JSON, which holds no tensors, .*: name the checkpoint"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_index(content: str | bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / INDEX
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with one_line(path):
        read(path)
    with pytest.raises(CheckpointError, match=f"{INDEX}: .*{problem}"):
        read(path)


def test_an_index_that_is_too_long(tmp_path: Path) -> None:
    path = save(tmp_path)
    os.truncate(path, 2**32)
    with one_line(path):
        read(path)


def test_a_folder_with_two_indices(tmp_path: Path) -> None:
    save(tmp_path)
    save(tmp_path, index="other.bin.index.json")
    with pytest.raises(
        CheckpointError, match=r"several sharded checkpoints \('model.*', 'other.*'\): name one of them"
    ):
        read(tmp_path)


def test_a_folder_without_an_index(tmp_path: Path) -> None:
    write(tmp_path / "x.pth", {"a": np.ones(1)})
    with pytest.raises(CheckpointError, match="is a folder, expected a checkpoint file: name the file inside it"):
        read(tmp_path)


def test_the_single_file_of_hugging_face(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"a": torch.arange(3)}, tmp_path / "pytorch_model.bin")
    assert read(tmp_path / "pytorch_model.bin")["a"].tolist() == [0, 1, 2]
