"""SRGAN's generator against a PyTorch module nested as the published one is: keys, order, shapes, numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import twinzoo as tz
from parity_tests.zoo.golden_arrays import weights
from parity_tests.zoo.published import file_keys, published_keys
from twinzoo.ports.reference.port import PORT
from twinzoo.zoo import registry
from twinzoo.zoo.naming import module_paths
from twinzoo.zoo.spec.show import parameter_count

NAMING = "leftthomas/SRGAN"
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def test_counts_and_keys() -> None:
    """The 79 keys of the published file, which was written before PyTorch 0.4.1, and its ten counters of today."""
    drawn = registry.spec("srgan_generator")
    blocks = [f"block{i}" for i in range(2, 7)]
    expected = ["block1.0.weight", "block1.0.bias", "block1.1.weight"]
    for block in blocks:
        for i in (1, 2):
            expected += [f"{block}.conv{i}.weight", f"{block}.conv{i}.bias"]
            expected += [f"{block}.bn{i}.{role}" for role in NORM]
            expected += [f"{block}.prelu.weight"] if i == 1 else []
    expected += ["block7.0.weight", "block7.0.bias", "block7.1.weight"]
    for i in (0, 1):
        expected += [f"block8.{i}.conv.weight", f"block8.{i}.conv.bias", f"block8.{i}.prelu.weight"]
    assert list(file_keys(drawn, NAMING)) == [*expected, "block8.2.weight", "block8.2.bias"]
    assert len(published_keys(drawn, NAMING)) == 79
    assert parameter_count(drawn) == 734_092


def published(width: int, blocks: int, doublings: int) -> Any:
    """The published module, from the paper's figure 4 and the file's keys."""
    import torch
    from torch import nn

    def conv(before: int, after: int, kernel: int) -> Any:
        return nn.Conv2d(before, after, kernel, padding=kernel // 2)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = conv(width, width, 3), nn.BatchNorm2d(width)
            self.prelu = nn.PReLU()
            self.conv2, self.bn2 = conv(width, width, 3), nn.BatchNorm2d(width)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = x + self.bn2(self.conv2(self.prelu(self.bn1(self.conv1(x)))))
            return made

    class Up(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv(width, 4 * width, 3)
            self.pixel_shuffle, self.prelu = nn.PixelShuffle(2), nn.PReLU()

        def forward(self, x: torch.Tensor) -> Any:
            return self.prelu(self.pixel_shuffle(self.conv(x)))

    class Published(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block1 = nn.Sequential(conv(3, width, 9), nn.PReLU())
            for i in range(blocks):
                setattr(self, f"block{i + 2}", Block())
            setattr(self, f"block{blocks + 2}", nn.Sequential(conv(width, width, 3), nn.PReLU()))
            ups = [Up() for _ in range(doublings)]
            setattr(self, f"block{blocks + 3}", nn.Sequential(*ups, conv(width, 3, 9)))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            x = first = self.block1(image)
            for i in range(blocks + 1):
                x = getattr(self, f"block{i + 2}")(x)
            return (torch.tanh(getattr(self, f"block{blocks + 3}")(first + x)) + 1) / 2

    return Published().double().eval()


@pytest.mark.parametrize(("blocks", "doublings"), [(2, 2), (0, 0), (1, 3)])
def test_same_keys_and_same_numbers(blocks: int, doublings: int) -> None:
    torch = pytest.importorskip("torch")
    drawn = registry.spec("srgan_generator", width=4, blocks=blocks, doublings=doublings)
    network = published(4, blocks, doublings)
    theirs = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert list(file_keys(drawn, NAMING).items()) == list(theirs.items())
    state, keys = weights(drawn), published_keys(drawn, NAMING)
    assert set(module_paths(drawn, NAMING).values()) <= {path for path, _ in network.named_modules()}
    network.load_state_dict({keys[n]: torch.from_numpy(v).double() for n, v in state.items()}, strict=False)
    image = np.random.default_rng(0).uniform(0, 1, (2, 3, 7, 5))
    model = PORT.build(drawn)
    PORT.load(model, state)
    with torch.no_grad():
        expected = network(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(PORT.run(model, {"image": image})["output"], expected, rtol=1e-9, atol=1e-12)


def test_an_old_file_goes_round_bit_for_bit(tmp_path: Path) -> None:
    """Without counters, as the published one is, by way of MindSpore's `.w` and `.gamma`."""
    drawn = registry.spec("srgan_generator", width=4, blocks=2)
    state, keys = weights(drawn), published_keys(drawn, NAMING)
    old = {keys[name]: value for name, value in state.items()}
    tz.convert(old, drawn, tmp_path / "spec.ckpt")
    back = tz.convert(tmp_path / "spec.ckpt", drawn, tmp_path / "back.npz", naming=NAMING)
    assert {name: value.tobytes() for name, value in back.state.items()} == {
        name: value.tobytes() for name, value in state.items()
    }
    with np.load(tmp_path / "back.npz") as again:
        assert all(again[key].tobytes() == value.tobytes() for key, value in old.items())
        added = set(again) - old.keys() - {"__metadata__"}
    assert added == {f"block{i}.bn{k}.num_batches_tracked" for i in (2, 3) for k in (1, 2)}
