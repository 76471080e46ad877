"""LPIPS as a PyTorch module nested as the published one is, with torchvision's features and nothing of twinzoo's."""

from __future__ import annotations

from typing import Any

SLICES: dict[str, tuple[str, tuple[int, ...]]] = {
    "alex": ("alexnet", (0, 2, 5, 8, 10, 12)),
    "vgg": ("vgg16", (0, 4, 9, 16, 23, 30)),
    "squeeze": ("squeezenet1_1", (0, 2, 5, 8, 10, 11, 12, 13)),
}
"""Network -> torchvision's model, and where its features are cut."""

CHANNELS: dict[str, tuple[int, ...]] = {
    "alex": (64, 192, 384, 256, 256),
    "vgg": (64, 128, 256, 512, 512),
    "squeeze": (64, 128, 256, 384, 384, 512, 512),
}


def lpips(network: str, *, eps: float = 1e-10, scaled: bool = True) -> Any:
    """(images, images) in [-1, 1] -> (N, 1, 1, 1); version 0.0 is not `scaled`."""
    import torch
    from torch import nn
    from torchvision import models

    name, cuts = SLICES[network]
    features = getattr(models, name)().features

    def unit(x: torch.Tensor) -> torch.Tensor:
        return x / (torch.sqrt(torch.sum(x**2, dim=1, keepdim=True)) + eps)

    class Scaling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188])[None, :, None, None])
            self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450])[None, :, None, None])

        def forward(self, x: torch.Tensor) -> Any:
            return (x - self.get_buffer("shift")) / self.get_buffer("scale") if scaled else x

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for stage, (first, last) in enumerate(zip(cuts, cuts[1:], strict=False), 1):
                modules = nn.Sequential()
                for i in range(first, last):
                    modules.add_module(str(i), features[i])
                self.add_module(f"slice{stage}", modules)

        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            return [x := stage(x) for stage in self.children()]

    class Head(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.model = nn.Sequential(nn.Dropout(), nn.Conv2d(channels, 1, 1, bias=False))

        def forward(self, x: torch.Tensor) -> Any:
            return self.model(x)

    class Published(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scaling_layer = Scaling()
            self.net = Network()
            heads = [Head(channels) for channels in CHANNELS[network]]
            for i, head in enumerate(heads):
                self.add_module(f"lin{i}", head)
            self.lins = nn.ModuleList(heads)

        def forward(self, one: torch.Tensor, other: torch.Tensor) -> Any:
            stages = [self.net(self.scaling_layer(image)) for image in (one, other)]
            total: Any = 0
            for head, x, y in zip(self.lins, *stages, strict=True):
                total = total + head((unit(x) - unit(y)) ** 2).mean([2, 3], keepdim=True)
            return total

    return Published().eval()
