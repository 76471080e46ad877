"""EPDN's and Cycle-Dehaze's networks as PyTorch modules, nested and named as the published ones; nothing of twinzoo's.

Written from the papers and the published key lists. Cycle-Dehaze's are TensorFlow's: what its `SAME` pads is written
out here by index.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

Tensor = torch.Tensor


def _pad_conv(channels: int, made: int, kernel: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(channels, made, kernel)]


def _normed(channels: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(channels), nn.ReLU()]


class Block(nn.Module):
    """Two convolutions around which the input goes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = _pad_conv(channels, channels, 3), _pad_conv(channels, channels, 3)
        self.conv_block = nn.Sequential(*first, *_normed(channels), *second, nn.InstanceNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """x and what it becomes."""
        made: Tensor = x + self.conv_block(x)
        return made


class Enhancer(nn.Module):
    """`Dehaze` in the published file."""

    def __init__(self) -> None:
        super().__init__()
        self.refine1, self.refine2 = nn.Conv2d(6, 20, 3, padding=1), nn.Conv2d(20, 20, 3, padding=1)
        self.conv1010, self.conv1020, self.conv1030, self.conv1040 = (nn.Conv2d(20, 1, 1) for _ in range(4))
        self.refine3 = nn.Conv2d(24, 3, 3, padding=1)
        self.batch1 = nn.InstanceNorm2d(100, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """The pyramid of means, smallest first, before the features."""
        for conv in (self.refine1, self.refine2):
            x = functional.leaky_relu(conv(x), 0.2)
        pools = {32: self.conv1010, 16: self.conv1020, 8: self.conv1030, 4: self.conv1040}
        means = [functional.leaky_relu(conv(functional.avg_pool2d(x, size)), 0.2) for size, conv in pools.items()]
        wide = [functional.interpolate(mean, size=x.shape[2:], mode="nearest") for mean in means]
        return torch.tanh(self.refine3(torch.cat([*wide, x], 1)))


class Epdn(nn.Module):
    """`LocalEnhancer` in the published file."""

    def __init__(self, width: int, halvings: int, blocks: int, local_blocks: int) -> None:
        super().__init__()
        channels = 2 * width
        whole = [*_pad_conv(3, channels, 7), *_normed(channels)]
        for _ in range(halvings):
            whole += [nn.Conv2d(channels, 2 * channels, 3, 2, 1), *_normed(2 * channels)]
            channels *= 2
        whole += [Block(channels) for _ in range(blocks)]
        for _ in range(halvings):
            whole += [nn.ConvTranspose2d(channels, channels // 2, 3, 2, 1, 1), *_normed(channels // 2)]
            channels //= 2
        self.model = nn.Sequential(*whole)
        self.model1_1 = nn.Sequential(
            *_pad_conv(3, width, 7), *_normed(width), nn.Conv2d(width, channels, 3, 2, 1), *_normed(channels)
        )
        up = [nn.ConvTranspose2d(channels, width, 3, 2, 1, 1), *_normed(width), *_pad_conv(width, 3, 7), nn.Tanh()]
        self.model1_2 = nn.Sequential(*(Block(channels) for _ in range(local_blocks)), *up)
        self.dehaze, self.dehaze2 = Enhancer(), Enhancer()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """What is judged, and the dehazed image."""
        half = functional.avg_pool2d(image, 3, 2, 1, count_include_pad=False)
        made = self.model1_2(self.model1_1(image) + self.model(half))
        first = self.dehaze(torch.cat([made, image], 1))
        return made, self.dehaze2(torch.cat([made, first], 1))


class MultiscaleDiscriminator(nn.Module):
    """The layers of each scale as attributes, the smallest image's first."""

    def __init__(self, channels: int, width: int, layers: int, scales: int) -> None:
        super().__init__()
        self.layers, self.scales = layers, scales
        for scale in range(scales):
            have, want = channels, width
            for i in range(layers + 1):
                conv = nn.Conv2d(have, want, 4, 2 if i < layers else 1, 2)
                norm = [nn.InstanceNorm2d(want)] if i else []
                setattr(self, f"scale{scale}_layer{i}", nn.Sequential(conv, *norm, nn.LeakyReLU(0.2)))
                have, want = want, min(2 * want, 512)
            setattr(self, f"scale{scale}_layer{layers + 1}", nn.Sequential(nn.Conv2d(have, 1, 4, 1, 2)))

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """The features of each scale, the full size first, by the layers that are named last."""
        seen = []
        for scale in reversed(range(self.scales)):
            values: list[Tensor] = []
            for i in range(self.layers + 2):
                values.append(getattr(self, f"scale{scale}_layer{i}")(values[-1] if values else x))
            seen.append(values)
            x = functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        return seen


def same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """x padded as TensorFlow's `SAME` does: what is needed in all, the smaller half of it before."""
    pads: list[int] = []
    for size in (x.shape[3], x.shape[2]):
        needed = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [needed // 2, needed - needed // 2]
    return functional.pad(x, pads)


def same_transposed(x: Tensor, weight: Tensor) -> Tensor:
    """The gradient of a `SAME` convolution of stride 2 with respect to its input, which is what TensorFlow computes."""
    n, _, h, w = x.shape
    image = torch.zeros(n, weight.shape[1], 2 * h, 2 * w, dtype=x.dtype, requires_grad=True)
    made = functional.conv2d(same(image, 3, 2), weight, stride=2)
    (back,) = torch.autograd.grad(made, image, x)
    return back


def cycle_dehaze(state: dict[str, Tensor], image: Tensor, blocks: int) -> Tensor:
    """The generator as a sum of TensorFlow's functions, with weights by spec name."""

    def normed(name: str, x: Tensor) -> Tensor:
        mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, unbiased=False)
        scale, offset = (state[f"{name}.{role}"].reshape(1, -1, 1, 1) for role in ("weight", "bias"))
        return scale * ((x - mean) * torch.rsqrt(variance + 1e-5)) + offset

    def reflected(name: str, x: Tensor, pad: int) -> Tensor:
        return functional.conv2d(functional.pad(x, (pad,) * 4, mode="reflect"), state[f"{name}.weight"])

    x = torch.relu(normed("stem_norm", reflected("stem_conv", image, 3)))
    for i in (1, 2):
        x = functional.conv2d(same(x, 3, 2), state[f"down{i}_conv.weight"], stride=2)
        x = torch.relu(normed(f"down{i}_norm", x))
    for i in range(1, blocks + 1):
        y = torch.relu(normed(f"block{i}_norm1", reflected(f"block{i}_conv1", x, 1)))
        x = x + normed(f"block{i}_norm2", reflected(f"block{i}_conv2", y, 1))
    for i in (1, 2):
        x = torch.relu(normed(f"up{i}_norm", same_transposed(x, state[f"up{i}_conv.weight"])))
    return torch.tanh(reflected("head_conv", x, 3))


def cycle_dehaze_judge(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The discriminator in the same way."""
    for i in range(1, 5):
        x = functional.conv2d(same(x, 4, 2), state[f"conv{i}.weight"], stride=2)
        if i > 1:
            x = functional.instance_norm(x, weight=state[f"norm{i}.weight"], bias=state[f"norm{i}.bias"])
        x = functional.leaky_relu(x, 0.2)
    return functional.conv2d(same(x, 4, 1), state["logits.weight"], state["logits.bias"])


def loaded(module: nn.Module, state: dict[str, Any]) -> nn.Module:
    """The module in double precision with a state in its own keys."""
    made = module.double()
    made.load_state_dict({key: torch.from_numpy(value).double() for key, value in state.items()})
    return made.eval()
