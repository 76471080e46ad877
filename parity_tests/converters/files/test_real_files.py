"""Published checkpoints, where they are at hand: read as torch reads them, and carried through every format."""

from pathlib import Path

import numpy as np
import pytest

from twinzoo.converters.files import Checkpoint, read, write

DATA = Path(__file__).parents[3].parent / "shared" / "data" / "checkpoints"
TORCH = ("aodnet", "srgan_netG", "lpips_lin_alex", "lpips_lin_vgg", "lpips_lin_squeeze", "conv1d_torch")


def published(name: str) -> Path:
    if not (DATA / name).is_file():
        pytest.skip(f"needs the real file {name}, which is not in this checkout: see the README of its data folder")
    return DATA / name


def assert_equal(a: Checkpoint, b: Checkpoint) -> None:
    assert list(a) == list(b)
    assert all(a[name].dtype == b[name].dtype and a[name].tobytes() == b[name].tobytes() for name in a)


def test_aod_net_saved_on_a_gpu() -> None:
    checkpoint = read(published("aodnet.pth"))
    assert checkpoint.format == "torch-legacy"
    assert {name: entry.shape for name, entry in checkpoint.entries.items()} == {
        "e_conv1.weight": (3, 3, 1, 1),
        "e_conv1.bias": (3,),
        "e_conv2.weight": (3, 3, 3, 3),
        "e_conv2.bias": (3,),
        "e_conv3.weight": (3, 6, 5, 5),
        "e_conv3.bias": (3,),
        "e_conv4.weight": (3, 6, 7, 7),
        "e_conv4.bias": (3,),
        "e_conv5.weight": (3, 12, 3, 3),
        "e_conv5.bias": (3,),
    }


@pytest.mark.parametrize("name", TORCH)
def test_torch_agrees(name: str) -> None:
    torch = pytest.importorskip("torch")
    path = published(f"{name}.pth")
    checkpoint = read(path)
    wanted = torch.load(path, map_location="cpu", weights_only=True)
    assert list(checkpoint) == list(wanted)
    assert all(np.array_equal(checkpoint[key], tensor.numpy()) for key, tensor in wanted.items())


def test_the_pair_of_huaweis_converter() -> None:
    torch, mindspore = read(published("conv1d_torch.pth")), read(published("conv1d_mindspore.ckpt"))
    assert torch["conv1d.weight"].shape == (256, 256, 1)
    assert mindspore["conv1d.weight"].shape == (256, 256, 1, 1)
    assert list(torch) == list(mindspore)
    assert all(torch[name].tobytes() == mindspore[name].tobytes() for name in torch)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".ckpt", ".npz"])
@pytest.mark.parametrize("name", ["srgan_netG.pth", "conv1d_mindspore.ckpt"])
def test_through_every_format(name: str, suffix: str, tmp_path: Path) -> None:
    source = read(published(name))
    write(tmp_path / f"x{suffix}", source)
    assert_equal(read(tmp_path / f"x{suffix}"), source)
