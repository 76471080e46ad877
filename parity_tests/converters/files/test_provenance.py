"""Where a file came from: its SHA-256 as other tools compute it, and notes in every format that has room for them."""

import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest

from twinzoo.converters.files import Digest, formats, provenance, read, sha256, write, writing
from twinzoo.zoo.errors import CheckpointError

TENSORS = {"x": np.arange(200_000.0)}
NOTES = {"twinzoo": "1.0", "mapping": json.dumps({"a": "b"}), "quote": 'a "测试"\n', "empty": ""}
WITH_NOTES = (".pth", ".safetensors", ".npz")


def test_of_one_file(tmp_path: Path) -> None:
    write(tmp_path / "x.pth", TENSORS)
    assert sha256(read(tmp_path / "x.pth").files) == hashlib.sha256((tmp_path / "x.pth").read_bytes()).hexdigest()


@pytest.mark.skipif(which("sha256sum") is None, reason="needs sha256sum to compare with")
def test_of_several_files(tmp_path: Path) -> None:
    table = {}
    for name in ("b.safetensors", "a.safetensors"):
        write(tmp_path / name, {name: np.ones(3)})
        table[name] = name
    (tmp_path / "m.index.json").write_text(json.dumps({"weight_map": table}))
    checkpoint = read(tmp_path)
    command = "sha256sum m.index.json a.safetensors b.safetensors | sha256sum"
    done = subprocess.run(command, shell=True, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert sha256(checkpoint.files) == done.stdout.split()[0]


def test_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="absent: cannot be read: no such file"):
        sha256([tmp_path / "absent"])


@pytest.mark.parametrize("suffix", WITH_NOTES)
def test_notes_and_digests_are_kept(suffix: str, tmp_path: Path) -> None:
    write(tmp_path / "source.pth", TENSORS)
    source = read(tmp_path / "source.pth")
    notes: Mapping[str, str | Digest] = {**NOTES, "sha256": Digest(source.files), "last": "x"}
    write(tmp_path / f"x{suffix}", source, notes)
    found = read(tmp_path / f"x{suffix}")
    assert found.metadata == {**NOTES, "sha256": sha256(source.files), "last": "x"}
    assert list(found.metadata) == list(notes)
    assert np.array_equal(found["x"], TENSORS["x"])


def test_a_format_without_room_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is hashed in vain either."""
    asked: list[object] = []
    monkeypatch.setattr(provenance, "sha256", asked.append)
    write(tmp_path / "x.ckpt", TENSORS, {**NOTES, "sha256": Digest((tmp_path / "x.pth",))})
    assert read(tmp_path / "x.ckpt").metadata == {}
    assert not asked


@pytest.mark.parametrize("suffix", WITH_NOTES)
def test_a_digest_that_cannot_be_computed(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"x{suffix}: .*absent: cannot be read"):
        write(tmp_path / f"x{suffix}", TENSORS, {"sha256": Digest((tmp_path / "absent",))})
    assert list(tmp_path.iterdir()) == []


def test_a_plugin_sees_plain_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    seen: dict[str, Any] = {}

    def look(path: Path, tensors: Any, metadata: Mapping[str, str]) -> None:
        seen.update(metadata)
        native.write(path, tensors, metadata)  # type: ignore[misc]

    native = next(format for format in formats() if format.name == "npz")
    monkeypatch.setattr(writing, "formats", lambda: [replace(native, write=look)])
    write(tmp_path / "a.npz", TENSORS, {"sha256": Digest((Path(__file__),)), "n": "1"})
    assert seen == {"sha256": sha256([Path(__file__)]), "n": "1"}


def test_torch_and_safetensors_do_not_mind(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("safetensors")
    notes: Mapping[str, str | Digest] = {**NOTES, "sha256": Digest((Path(__file__),))}
    write(tmp_path / "x.pth", TENSORS, notes)
    write(tmp_path / "x.safetensors", TENSORS, notes)
    assert list(torch.load(tmp_path / "x.pth", weights_only=True)) == ["x"]
    with library.safe_open(tmp_path / "x.safetensors", "np") as opened:
        assert opened.metadata()["sha256"] == sha256([Path(__file__)])
