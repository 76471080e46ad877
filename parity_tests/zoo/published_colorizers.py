"""ECCV16 and SIGGRAPH17 as PyTorch modules nested as the published ones are, with nothing of twinzoo's."""

from __future__ import annotations

from typing import Any


def _block(
    channels: list[int], *, dilation: int = 1, stride: int = 1, relu_first: bool = False, norm: bool = True
) -> Any:
    """3x3 convolutions with a ReLU each, the last one with the stride, and batch norm at the end."""
    from torch import nn

    modules: list[Any] = [nn.ReLU()] if relu_first else []
    for i, (before, after) in enumerate(zip(channels, channels[1:], strict=False), 2):
        step = stride if i == len(channels) else 1
        modules += [nn.Conv2d(before, after, 3, step, dilation, dilation), nn.ReLU()]
    return nn.Sequential(*modules, *([nn.BatchNorm2d(channels[-1])] if norm else []))


def _up(before: int, after: int) -> Any:
    from torch import nn

    return nn.ConvTranspose2d(before, after, 4, 2, 1)


def eccv16(width: int) -> Any:
    """L* -> (logits, ab)."""
    import torch
    from torch import nn

    w = width

    class Published(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model1 = _block([1, w, w], stride=2)
            self.model2 = _block([w, 2 * w, 2 * w], stride=2)
            self.model3 = _block([2 * w, 4 * w, 4 * w, 4 * w], stride=2)
            self.model4 = _block([4 * w, 8 * w, 8 * w, 8 * w])
            self.model5 = _block([8 * w] * 4, dilation=2)
            self.model6 = _block([8 * w] * 4, dilation=2)
            self.model7 = _block([8 * w] * 4)
            after = _block([4 * w] * 3, norm=False)
            self.model8 = nn.Sequential(_up(8 * w, 4 * w), nn.ReLU(), *after, nn.Conv2d(4 * w, 313, 1))
            self.softmax = nn.Softmax(dim=1)
            self.model_out = nn.Conv2d(313, 2, 1, bias=False)
            self.upsample4 = nn.Upsample(scale_factor=4, mode="bilinear")

        def forward(self, lightness: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            x = (lightness - 50) / 100
            for i in range(1, 9):
                x = getattr(self, f"model{i}")(x)
            return x, self.upsample4(self.model_out(self.softmax(x))) * 110

    return Published()


def siggraph17(width: int, classification: bool = False) -> Any:
    """L*, hints, mask -> (logits, ab); `classification` detaches what the training code detaches."""
    import torch
    from torch import nn

    w = width

    class Published(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model1 = _block([4, w, w])
            self.model2 = _block([w, 2 * w, 2 * w])
            self.model3 = _block([2 * w, 4 * w, 4 * w, 4 * w])
            self.model4 = _block([4 * w, 8 * w, 8 * w, 8 * w])
            self.model5 = _block([8 * w] * 4, dilation=2)
            self.model6 = _block([8 * w] * 4, dilation=2)
            self.model7 = _block([8 * w] * 4)
            self.model8up = nn.Sequential(_up(8 * w, 4 * w))
            self.model8 = _block([4 * w] * 3, relu_first=True)
            self.model9up = nn.Sequential(_up(4 * w, 2 * w))
            self.model9 = _block([2 * w] * 2, relu_first=True)
            self.model10up = nn.Sequential(_up(2 * w, 2 * w))
            self.model10 = nn.Sequential(nn.ReLU(), nn.Conv2d(2 * w, 2 * w, 3, 1, 1), nn.LeakyReLU(0.2))
            self.model3short8 = nn.Sequential(nn.Conv2d(4 * w, 4 * w, 3, 1, 1))
            self.model2short9 = nn.Sequential(nn.Conv2d(2 * w, 2 * w, 3, 1, 1))
            self.model1short10 = nn.Sequential(nn.Conv2d(w, 2 * w, 3, 1, 1))
            self.model_class = nn.Sequential(nn.Conv2d(4 * w, 529, 1))
            self.model_out = nn.Sequential(nn.Conv2d(2 * w, 2, 1), nn.Tanh())

        def forward(
            self, lightness: torch.Tensor, hint: torch.Tensor, mask: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            x1 = self.model1(torch.cat([(lightness - 50) / 100, hint / 110, mask], 1))
            x2 = self.model2(x1[:, :, ::2, ::2])
            x3 = self.model3(x2[:, :, ::2, ::2])
            x7 = self.model7(self.model6(self.model5(self.model4(x3[:, :, ::2, ::2]))))
            x8 = self.model8(self.model8up(x7) + self.model3short8(x3))
            logits = self.model_class(x8 if classification else x8.detach())
            if classification:
                x1, x2, x8 = x1.detach(), x2.detach(), x8.detach()
            x9 = self.model9(self.model9up(x8) + self.model2short9(x2))
            x10 = self.model10(self.model10up(x9) + self.model1short10(x1))
            return logits, self.model_out(x10) * 110

    return Published()
