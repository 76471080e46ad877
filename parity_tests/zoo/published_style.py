"""AdaIN's and Johnson's networks as PyTorch modules nested as the published ones are, with nothing of twinzoo's."""

from __future__ import annotations

from typing import Any


def vgg_normalised(width: int) -> Any:
    """The first 31 modules, up to relu4_1."""
    from torch import nn

    modules: list[Any] = [nn.Conv2d(3, 3, 1)]
    before = 3
    for block, convs in enumerate((2, 2, 4, 1)):
        for _ in range(convs):
            channels = width * 2**block
            modules += [nn.ReflectionPad2d(1), nn.Conv2d(before, channels, 3), nn.ReLU()]
            before = channels
        modules += [nn.MaxPool2d(2, 2, 0, ceil_mode=True)] if block < 3 else []
    return nn.Sequential(*modules)


def adain_decoder(width: int) -> Any:
    """29 modules."""
    from torch import nn

    w = width
    modules: list[Any] = []
    for i, (before, after) in enumerate(
        [(8 * w, 4 * w), *[(4 * w, 4 * w)] * 3, (4 * w, 2 * w), (2 * w, 2 * w), (2 * w, w), (w, w), (w, 3)]
    ):
        modules += [nn.ReflectionPad2d(1), nn.Conv2d(before, after, 3), nn.ReLU()]
        modules += [nn.Upsample(scale_factor=2, mode="nearest")] if i in (0, 4, 6) else []
    return nn.Sequential(*modules[:-1])


def johnson_transformer(width: int, blocks: int = 5) -> Any:
    """transformer_net.py of pytorch/examples."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Conv(nn.Module):
        def __init__(self, before: int, after: int, kernel: int, stride: int = 1, double: bool = False) -> None:
            super().__init__()
            self.reflection_pad = nn.ReflectionPad2d(kernel // 2)
            self.conv2d = nn.Conv2d(before, after, kernel, stride)
            self.doubled = double

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = F.interpolate(x, mode="nearest", scale_factor=2) if self.doubled else x
            made: torch.Tensor = self.conv2d(self.reflection_pad(x))
            return made

    class Block(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.conv1, self.in1 = Conv(channels, channels, 3), nn.InstanceNorm2d(channels, affine=True)
            self.conv2, self.in2 = Conv(channels, channels, 3), nn.InstanceNorm2d(channels, affine=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = self.in2(self.conv2(F.relu(self.in1(self.conv1(x))))) + x
            return made

    class Published(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            w = width
            self.conv1, self.in1 = Conv(3, w, 9), nn.InstanceNorm2d(w, affine=True)
            self.conv2, self.in2 = Conv(w, 2 * w, 3, 2), nn.InstanceNorm2d(2 * w, affine=True)
            self.conv3, self.in3 = Conv(2 * w, 4 * w, 3, 2), nn.InstanceNorm2d(4 * w, affine=True)
            for i in range(1, blocks + 1):
                setattr(self, f"res{i}", Block(4 * w))
            self.deconv1, self.in4 = Conv(4 * w, 2 * w, 3, double=True), nn.InstanceNorm2d(2 * w, affine=True)
            self.deconv2, self.in5 = Conv(2 * w, w, 3, double=True), nn.InstanceNorm2d(w, affine=True)
            self.deconv3 = Conv(w, 3, 9)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for i in (1, 2, 3):
                x = F.relu(getattr(self, f"in{i}")(getattr(self, f"conv{i}")(x)))
            for i in range(1, blocks + 1):
                x = getattr(self, f"res{i}")(x)
            for i in (1, 2):
                x = F.relu(getattr(self, f"in{i + 3}")(getattr(self, f"deconv{i}")(x)))
            made: torch.Tensor = self.deconv3(x)
            return made

    return Published()
