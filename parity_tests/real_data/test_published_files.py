"""Real files, where ../shared/data has them: published outputs reproduced, checkpoints inspected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import twinzoo as tz
from twinzoo.converters.inspect import inspect

DATA = Path(__file__).parents[2].parent / "shared" / "data"

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")

GRID = 2  # torchvision's padding between and around the pictures of a grid


def halves(path: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The two pictures of a side-by-side grid, each (H, W, 3): the network's input and its output."""
    grid = np.asarray(Image.open(path).convert("RGB"))
    height, width = grid.shape[0] - 2 * GRID, (grid.shape[1] - 3 * GRID) // 2
    left, right = GRID, 2 * GRID + width
    rows = slice(GRID, GRID + height)
    return grid[rows, left : left + width], grid[rows, right : right + width]


@pytest.mark.parametrize("port", ["torch", "mindspore"])
@pytest.mark.parametrize("name", ["canyon", "man"])
def test_aodnet_gives_its_published_pictures(port: str, name: str) -> None:
    pytest.importorskip(port)
    from twinzoo.ports.registry import port as find_port

    hazy = np.asarray(Image.open(DATA / "images" / f"hazy_{name}.png").convert("RGB"))
    shown, published = halves(DATA / "images" / f"hazy_then_aod_sidebyside_{name}.png")
    assert np.array_equal(hazy, shown)
    image = hazy.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
    model = tz.build("aodnet", port, weights=DATA / "checkpoints" / "aodnet.pth")
    clean = find_port(port).run(model, {"image": image})["output"][0].transpose(1, 2, 0)
    pixels = np.floor(np.clip(clean, 0, 1) * np.float32(255)).astype(np.uint8)
    assert np.mean(pixels == published) >= 0.9999


def test_srgan_is_inspected() -> None:
    found = inspect(DATA / "checkpoints" / "srgan_netG.pth")
    assert len(found.tensors) == 79
    assert any("10 batch norms without num_batches_tracked" in line for line in found.warnings)
    assert {"conv2d", "PReLU", "batch norm"} <= {tensor.kind for tensor in found.tensors}


@pytest.mark.parametrize(("net", "heads"), [("alex", 5), ("vgg", 5), ("squeeze", 7)])
def test_lpips_heads_are_inspected(net: str, heads: int) -> None:
    found = inspect(DATA / "checkpoints" / f"lpips_lin_{net}.pth")
    assert len(found.tensors) == heads
    lowest = [tensor.statistics.minimum for tensor in found.tensors if tensor.statistics]
    assert len(lowest) == heads
    assert all(value is not None and value >= 0 for value in lowest)
    assert found.warnings == []
