"""U-Net-256 and ResNet-9 in PyTorch as one writes them by hand: what a twin's speed is held against."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Down(nn.Module):
    """Leaky ReLU, halving convolution, batch norm."""

    def __init__(self, channels_in: int, channels: int, *, first: bool = False, norm: bool = True) -> None:
        super().__init__()
        self.act = nn.Identity() if first else nn.LeakyReLU(0.2)
        self.conv = nn.Conv2d(channels_in, channels, 4, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels) if norm else nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, C, H, W) -> the activated x, which the skip takes, and (N, channels, H/2, W/2)."""
        x = self.act(x)
        return x, self.norm(self.conv(x))


class Up(nn.Module):
    """ReLU, doubling transposed convolution, batch norm, dropout."""

    def __init__(self, channels_in: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(channels_in, channels, 4, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) -> (N, channels, 2 H, 2 W)."""
        x = self.norm(self.conv(torch.relu(x)))
        made: Tensor = self.dropout(x)
        return made


class UNet256(nn.Module):
    """The U-Net-256 of pix2pix: x (N, 3, H, W) -> (N, 3, H, W), H and W multiples of 256."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        channels = [width * min(2**i, 8) for i in range(8)]
        sizes = list(zip([3, *channels], channels, strict=False))
        self.downs = nn.ModuleList(Down(a, b, first=i == 0, norm=0 < i < 7) for i, (a, b) in enumerate(sizes))
        self.ups = nn.ModuleList(
            Up(channels[i] * (1 if i == 7 else 2), channels[i - 1], 0.5 if 4 <= i < 7 else 0.0) for i in range(7, 0, -1)
        )
        self.last = nn.ConvTranspose2d(2 * width, 3, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, 3, H, W) -> (N, 3, H, W)."""
        skips = []
        for down in self.downs:
            skip, x = down(x)
            skips.append(skip)
        for up in self.ups:
            x = torch.cat([skips.pop(), up(x)], dim=1)
        return torch.tanh(self.last(torch.relu(x)))


class Block(nn.Module):
    """x + two 3x3 convolutions of x with reflected edges and instance norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) -> (N, C, H, W)."""
        y: Tensor = self.body(x)
        return x + y


class ResNet9(nn.Module):
    """The ResNet generator of CycleGAN with nine blocks: x (N, 3, H, W) -> (N, 3, H, W), H and W multiples of 4."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(3, width, 7),
            nn.InstanceNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.InstanceNorm2d(2 * width),
            nn.ReLU(),
            nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1),
            nn.InstanceNorm2d(4 * width),
            nn.ReLU(),
            *(Block(4 * width) for _ in range(9)),
            nn.ConvTranspose2d(4 * width, 2 * width, 3, stride=2, padding=1, output_padding=1),
            nn.InstanceNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 3, stride=2, padding=1, output_padding=1),
            nn.InstanceNorm2d(width),
            nn.ReLU(),
            nn.ReflectionPad2d(3),
            nn.Conv2d(width, 3, 7),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x (N, 3, H, W) -> (N, 3, H, W)."""
        made: Tensor = self.body(x)
        return made
