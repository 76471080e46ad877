"""U-Net-256 and ResNet-9 in MindSpore as one writes them by hand: what a twin's speed is held against.

They avoid what is wrong on CPU as the twins do, since only a right program is worth comparing with: nn.InstanceNorm2d
is missing there, `output_padding` gives a wrong edge, and nn.Tanh errs by 1e-4.
"""

from __future__ import annotations

from typing import Any

from mindspore import Tensor, nn, ops


class Tanh(nn.Cell):  # type: ignore[misc]
    """tanh to 2e-6."""

    def construct(self, x: Tensor) -> Tensor:
        """x (...) -> (...)."""
        return 2 * ops.sigmoid(2 * x) - 1


def halving(channels_in: int, channels: int) -> Any:
    """The 4x4 convolution on the way down."""
    return nn.Conv2d(channels_in, channels, 4, stride=2, pad_mode="pad", padding=1)


class Down(nn.Cell):  # type: ignore[misc]
    """Leaky ReLU, halving convolution, batch norm."""

    def __init__(self, channels_in: int, channels: int, *, first: bool = False, norm: bool = True) -> None:
        super().__init__()
        self.act = nn.Identity() if first else nn.LeakyReLU(0.2)
        self.conv = halving(channels_in, channels)
        self.norm = nn.BatchNorm2d(channels) if norm else nn.Identity()

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, C, H, W) -> the activated x, which the skip takes, and (N, channels, H/2, W/2)."""
        x = self.act(x)
        return x, self.norm(self.conv(x))


class Up(nn.Cell):  # type: ignore[misc]
    """ReLU, doubling transposed convolution, batch norm, dropout."""

    def __init__(self, channels_in: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv2dTranspose(channels_in, channels, 4, stride=2, pad_mode="pad", padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(p=dropout) if dropout else nn.Identity()

    def construct(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) -> (N, channels, 2 H, 2 W)."""
        return self.dropout(self.norm(self.conv(ops.relu(x))))


class UNet256(nn.Cell):  # type: ignore[misc]
    """The U-Net-256 of pix2pix: x (N, 3, H, W) -> (N, 3, H, W), H and W multiples of 256."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        channels = [width * min(2**i, 8) for i in range(8)]
        sizes = list(zip([3, *channels], channels, strict=False))
        self.downs = nn.CellList([Down(a, b, first=i == 0, norm=0 < i < 7) for i, (a, b) in enumerate(sizes)])
        self.ups = nn.CellList(
            [
                Up(channels[i] * (1 if i == 7 else 2), channels[i - 1], 0.5 if 4 <= i < 7 else 0.0)
                for i in range(7, 0, -1)
            ]
        )
        self.last = nn.Conv2dTranspose(2 * width, 3, 4, stride=2, pad_mode="pad", padding=1, has_bias=True)
        self.tanh = Tanh()

    def construct(self, x: Tensor) -> Tensor:
        """x (N, 3, H, W) -> (N, 3, H, W)."""
        skips = []
        for down in self.downs:
            skip, x = down(x)
            skips.append(skip)
        for i, up in enumerate(self.ups):
            x = ops.cat([skips[7 - i], up(x)], axis=1)
        return self.tanh(self.last(ops.relu(x)))


class InstanceNorm(nn.Cell):  # type: ignore[misc]
    """Instance norm without parameters, as groups of one channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def construct(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) -> (N, C, H, W)."""
        return ops.group_norm(x, self.channels)


class Block(nn.Cell):  # type: ignore[misc]
    """x + two 3x3 convolutions of x with reflected edges and instance norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.SequentialCell(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, pad_mode="valid", has_bias=True),
            InstanceNorm(channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, pad_mode="valid", has_bias=True),
            InstanceNorm(channels),
        )

    def construct(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) -> (N, C, H, W)."""
        return x + self.body(x)


def doubling(channels_in: int, channels: int) -> Any:
    """PyTorch's ConvTranspose2d(3, stride=2, padding=1, output_padding=1)."""
    return nn.Conv2dTranspose(channels_in, channels, 3, stride=2, pad_mode="pad", padding=(1, 0, 1, 0), has_bias=True)


class ResNet9(nn.Cell):  # type: ignore[misc]
    """The ResNet generator of CycleGAN with nine blocks: x (N, 3, H, W) -> (N, 3, H, W), H and W multiples of 4."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.body = nn.SequentialCell(
            nn.ReflectionPad2d(3),
            nn.Conv2d(3, width, 7, pad_mode="valid", has_bias=True),
            InstanceNorm(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, pad_mode="pad", padding=1, has_bias=True),
            InstanceNorm(2 * width),
            nn.ReLU(),
            nn.Conv2d(2 * width, 4 * width, 3, stride=2, pad_mode="pad", padding=1, has_bias=True),
            InstanceNorm(4 * width),
            nn.ReLU(),
            *(Block(4 * width) for _ in range(9)),
            doubling(4 * width, 2 * width),
            InstanceNorm(2 * width),
            nn.ReLU(),
            doubling(2 * width, width),
            InstanceNorm(width),
            nn.ReLU(),
            nn.ReflectionPad2d(3),
            nn.Conv2d(width, 3, 7, pad_mode="valid", has_bias=True),
            Tanh(),
        )

    def construct(self, x: Tensor) -> Tensor:
        """x (N, 3, H, W) -> (N, 3, H, W)."""
        return self.body(x)
