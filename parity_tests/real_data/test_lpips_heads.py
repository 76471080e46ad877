"""The published heads of LPIPS, where ../shared/data has them: they fill their model, and a distance has no sign."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import twinzoo as tz
from twinzoo.ports.reference.port import PORT
from twinzoo.zoo.init import initial_state

DATA = Path(__file__).parents[2].parent / "shared" / "data"

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")


def photograph(name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """(1, 3, H, W) in [-1, 1]."""
    pixels = np.asarray(Image.open(DATA / "images" / name).convert("RGB"), np.float32)
    return pixels.transpose(2, 0, 1)[None] / np.float32(127.5) - np.float32(1)


@pytest.mark.parametrize("network", ["alex", "vgg", "squeeze"])
def test_published_heads_make_a_distance(network: str) -> None:
    """The networks' own weights are not there; whatever they are, heads that are not negative make no negative sum."""
    heads = tz.convert(DATA / "checkpoints" / f"lpips_lin_{network}.pth", f"lpips_heads,channels={CHANNELS[network]}")
    drawn = tz.spec("lpips", network=network)
    state = initial_state(drawn) | {f"heads.{name}": value for name, value in heads.state.items()}
    model = tz.build(drawn, "reference", weights=state)
    reference, near, far = (photograph(f"lpips_ex_{name}.png") for name in ("ref", "p0", "p1"))
    pairs = [{"prediction": image, "target": reference} for image in (near, far)]
    distances = [float(PORT.run(model, pair)["output"][0]) for pair in pairs]
    assert min(distances) > 0


CHANNELS = {"alex": "64+192+384+256+256", "vgg": "64+128+256+512+512", "squeeze": "64+128+256+384+384+512+512"}
