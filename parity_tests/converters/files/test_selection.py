"""Several networks in one file: which there are, and each as a checkpoint of its own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twinzoo.converters.files import groups, read, selected, write
from twinzoo.zoo.errors import CheckpointError

NETWORK = {"conv.weight": np.ones((2, 2)), "conv.bias": np.zeros(2)}


def save(path: Path, content: Any) -> Path:
    """A torch file of nested dicts of NumPy arrays, as tensors."""
    torch = pytest.importorskip("torch")

    def convert(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: convert(item) for key, item in value.items()}
        return torch.from_numpy(value) if isinstance(value, np.ndarray) else value

    torch.save(convert(content), path)
    return path


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"netG": NETWORK, "netD": NETWORK}, ["netG", "netD"]),
        ({"params": NETWORK, "params_ema": NETWORK}, ["params", "params_ema"]),
        ({"state": {"a": NETWORK, "b": NETWORK}, "epoch": 3}, ["a", "b"]),
        ({"encoder": NETWORK, "mean": np.ones(3)}, ["encoder"]),
        ({"state_dict": NETWORK, "epoch": 3}, []),
        (NETWORK, []),
        ({"features.0.weight": np.ones(1), "classifier.0.weight": np.ones(1)}, []),
        ({"generator.0.weight": np.ones(1), "discriminator.0.weight": np.ones(1)}, ["generator", "discriminator"]),
        ({"G_A.w": np.ones(1), "G_B.w": np.ones(1), "D_A.w": np.ones(1)}, ["G_A", "G_B", "D_A"]),
        ({"generator.w": np.ones(1), "discriminator.w": np.ones(1), "scale": np.ones(1)}, []),
    ],
    ids=str,
)
def test_the_groups_of_a_file(content: Any, found: list[str], tmp_path: Path) -> None:
    assert groups(read(save(tmp_path / "x.pth", content))) == found


def test_a_list_of_one_is_no_group(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save([{"w": torch.ones(1)}], tmp_path / "x.pth")
    assert groups(read(tmp_path / "x.pth")) == []


def test_one_of_them(tmp_path: Path) -> None:
    other = {key: array + 1 for key, array in NETWORK.items()}
    whole = read(save(tmp_path / "x.pth", {"netG": NETWORK, "netD": other, "epoch": 3}))
    one = selected(whole, "netD")
    assert {key: array.tolist() for key, array in one.items()} == {k: v.tolist() for k, v in other.items()}
    assert one.entries["conv.bias"] == whole.entries["netD.conv.bias"]
    assert (one.path, one.files, one.metadata) == (whole.path, whole.files, {"epoch": "3"})
    assert b"".join(one.pieces("conv.weight")) == other["conv.weight"].tobytes()
    assert list(selected(whole, "netG.conv")) == ["weight", "bias"]
    write(tmp_path / "y.ckpt", one)
    assert read(tmp_path / "y.ckpt")["conv.bias"].tolist() == [1, 1]


def test_a_name_that_is_not_there(tmp_path: Path) -> None:
    nested = read(save(tmp_path / "x.pth", {"netG": NETWORK, "netD": NETWORK}))
    write(tmp_path / "x.npz", {"stem.weight": np.ones(1), "head.weight": np.ones(1)})
    flat = read(tmp_path / "x.npz")
    with pytest.raises(CheckpointError, match=r"x.pth: no tensor's name begins with 'net\.': choose one of netG netD"):
        selected(nested, "net")
    with pytest.raises(CheckpointError, match="choose one of stem head"):
        selected(flat, "neck")


def test_tied_tensors_of_a_group(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    weight = torch.ones(4)
    torch.save(
        {"a": {"x": weight, "y": weight}, "b": {"x": weight, "y": weight, "z": torch.ones(4)}}, tmp_path / "x.pth"
    )
    whole = read(tmp_path / "x.pth")
    assert whole.aliases == {"a.y": "a.x", "b.x": "a.x", "b.y": "a.x"}
    assert selected(whole, "a").aliases == {"y": "x"}
    assert selected(whole, "b").aliases == {"y": "x"}, "the first name outside of the group is none in it"


def test_names_of_one_element_of_a_storage_are_tied_and_others_are_not(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    base = torch.arange(6.0)
    views = {"base": base, "again": base, "part": base[:3], "shaped": base.view(2, 3), "turned": base.view(2, 3).t()}
    more = {
        "same": base[:3],
        "empty": torch.zeros(0),
        "none": torch.zeros(0),
    }
    for as_zip in (True, False):
        torch.save(views | more, tmp_path / "x.pth", _use_new_zipfile_serialization=as_zip)
        assert read(tmp_path / "x.pth").aliases == {"again": "base", "same": "part"}
